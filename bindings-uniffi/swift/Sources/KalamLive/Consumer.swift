import Foundation
import KalamLiveNative

/// What a ``Consumer`` is made from. Times are in seconds.
public struct ConsumerOptions: Sendable {
    /// The topic, with its namespace: `app.orders`.
    public var topic: String
    /// The group: its members share the records, and its progress is kept by the server.
    public var groupId: String
    /// The partition to read.
    public var partitionId: Int = 0
    /// Where a group begins that is new.
    public var start = Start.latest
    /// Whether what was marked is committed by itself.
    public var autoCommit = true
    /// How long what was marked may wait for that (5 s).
    public var autoCommitInterval: TimeInterval?
    /// How long a poll waits for records (30 s).
    public var pollTimeout: TimeInterval?
    /// The most records that one poll gives (100).
    public var maxPollRecords: Int?

    public init(topic: String, groupId: String) {
        (self.topic, self.groupId) = (topic, groupId)
    }

    /// Where a group begins that has not committed anything.
    public enum Start: Sendable, Hashable {
        /// With what is written from now on.
        case latest
        /// With the oldest record that is kept.
        case earliest
        case offset(UInt64)
    }
}

/// One record of a topic: what was done to a row.
public struct ConsumerRecord: Sendable {
    /// `namespace.topic`.
    public let topic: String
    /// The partition, from 0.
    public let partition: Int
    /// Its place in the partition.
    public let offset: UInt64
    /// The primary key of the row, as text.
    public let key: String?
    /// What was done to the row: `insert`, `update` or `delete`.
    public let op: String
    /// When.
    public let timestamp: Timestamp
    /// Owner of the row, where it has one.
    public let user: String?
    /// The bytes of the record: JSON, unless somebody else writes to the topic.
    public let payload: Data
    /// The payload as a row; `nil` when it is no row of a table that the client may read.
    public let row: Row?
    /// What of the record could not be read.
    public let problem: String?

    /// The payload as JSON, without types: a BIGINT is a text.
    public var json: JSON { JSON(text: String(decoding: payload, as: UTF8.self)) }
}

/// What a commit did.
public struct Committed: Sendable, Hashable, Codable {
    /// The first offset that the group has not committed, as far as this member knows.
    public let nextOffset: UInt64
    /// Records that are finished and not committed yet: something before them is not.
    public let heldBack: UInt64
}

/// Where a consumer and its group are.
public struct ConsumerOffsets: Sendable, Hashable {
    /// The offset of the next record that will be handed out, as far as is known.
    public let position: UInt64
    /// The first offset that the group has not committed, as far as this member knows.
    public let committed: UInt64
    /// Records that are finished and not committed yet.
    public let heldBack: UInt64
    /// Records that were handed out and are not finished.
    public let unfinished: UInt64
}

/// One member of a group of consumers that share the records of a topic. Made by ``KalamClient/consumer(_:)``.
///
/// Every record is handed out at least once: what was not marked before the consumer ended, or within the server's visibility
/// timeout, is delivered again, to this or another member. A commit says "all up to here" for the whole group, so it never goes
/// past a record that somebody still holds; what is finished beyond one is committed later.
///
/// ```swift
/// let consumer = try client.consumer(ConsumerOptions(topic: "app.orders", groupId: "billing"))
/// for try await record in consumer.records { print(record.op, record.row ?? "") }
/// ```
public final class Consumer: Sendable {
    let native: NativeConsumer
    fileprivate let moves = Moves()

    init(_ native: NativeConsumer) { self.native = native }

    /// The next records; none when there were none in time. A poll may be cancelled at any time: the records that it waited for
    /// are there for the next one.
    public func poll(timeout: TimeInterval? = nil) async throws -> [ConsumerRecord] {
        let poll = try translated { try native.poll(timeout: timeout) }
        await withTaskCancellationHandler {
            await poll.ready()
        } onCancel: {
            poll.end()
        }
        try Task.checkCancellation()
        return try translated { try poll.take() }.told()
    }

    /// The records one after the other. A record is finished, and committed in time, when the loop asks for the next one; one
    /// that the loop was left in is delivered again. Trouble that may pass is waited out. Ends when the consumer is closed.
    public var records: Records { Records(consumer: self) }

    public struct Records: AsyncSequence, Sendable {
        let consumer: Consumer

        public func makeAsyncIterator() -> Iterator { Iterator(consumer: consumer) }

        public struct Iterator: AsyncIteratorProtocol {
            let consumer: Consumer
            private var coming = [ConsumerRecord]().makeIterator()
            private var current: ConsumerRecord?
            private var moves = 0

            init(consumer: Consumer) { self.consumer = consumer }

            public mutating func next() async throws -> ConsumerRecord? {
                // What was taken before the group was moved is neither finished nor handed out after it.
                if moves != consumer.moves.count {
                    moves = consumer.moves.count
                    (coming, current) = ([].makeIterator(), nil)
                }
                if let current { consumer.markProcessed(current) }
                current = nil
                // After the end what was taken is not begun: its commit would come too late.
                if consumer.native.isClosed() { return nil }
                while true {
                    if let record = coming.next() {
                        current = record
                        return record
                    }
                    do {
                        coming = try await consumer.poll().makeIterator()
                    } catch let error as KalamError {
                        if error.code == "closed" { return nil }
                        if !error.retryable { throw error }
                    }
                }
            }
        }
    }

    /// The record is finished. It is committed with the next commit, once everything before it is finished too.
    public func markProcessed(_ record: ConsumerRecord) { native.mark(offset: record.offset) }

    /// Commits what is finished, as far as nothing before it is unfinished, and waits for the server. What has to be held back is
    /// committed later by itself.
    @discardableResult
    public func commit() async throws -> Committed { try await native.commit().answer() }

    /// As ``commit()``, without waiting: a failure is logged, and tried again with the next commit.
    public func commitLater() { native.commitLater() }

    /// The offset of the next record that will be handed out, as far as is known.
    public var position: UInt64 { native.offsets().position }

    /// Where the consumer and its group are.
    public var offsets: ConsumerOffsets {
        let offsets = native.offsets()
        return ConsumerOffsets(
            position: offsets.position, committed: offsets.committed, heldBack: offsets.heldBack,
            unfinished: offsets.unfinished)
    }

    /// Moves the **group** to `offset`, also back, and goes on there: the server knows one offset for all members. Stop the
    /// others before.
    public func seek(_ offset: UInt64) async throws {
        try await native.seek(offset: offset).done()
        moves.add()
    }

    /// Commits what may be committed and ends, within `patience` seconds. May be called often.
    public func close(patience: TimeInterval = 5) async { try? await native.finish(patience: patience).done() }
}

/// How often the group was moved by this member.
private final class Moves: @unchecked Sendable {
    private let lock = NSLock()
    private var moves = 0

    var count: Int { lock.withLock { moves } }

    func add() { lock.withLock { moves += 1 } }
}

extension KalamClient {
    /// A member of a group that reads a topic. It asks for nothing before it is polled. Throws `config` for a wrong option.
    public func consumer(_ options: ConsumerOptions) throws -> Consumer {
        let start: KalamLiveNative.Start =
            switch options.start {
            case .latest: .latest
            case .earliest: .earliest
            case .offset(let offset): .offset(offset: offset)
            }
        let partition = try count("partitionId", options.partitionId) ?? 0
        let most = try count("maxPollRecords", options.maxPollRecords)
        let native = try native()
        return Consumer(
            try translated {
                try native.consumer(
                    options: Consuming(
                        topic: options.topic, groupId: options.groupId, partitionId: partition, start: start,
                        autoCommit: options.autoCommit, autoCommitInterval: options.autoCommitInterval,
                        pollTimeout: options.pollTimeout, maxPollRecords: most))
            })
    }
}

extension KalamLiveNative.Records {
    func told() throws -> [ConsumerRecord] {
        var coming = try rows.flatMap { try readRows($0.columns, $0.packet) }.makeIterator()
        return records.map {
            ConsumerRecord(
                topic: $0.topic, partition: Int($0.partition), offset: $0.offset, key: $0.key, op: $0.op,
                timestamp: Timestamp(microseconds: $0.timestampMs * 1000), user: $0.user, payload: $0.payload,
                row: $0.hasRow ? coming.next() : nil, problem: $0.problem)
        }
    }
}
