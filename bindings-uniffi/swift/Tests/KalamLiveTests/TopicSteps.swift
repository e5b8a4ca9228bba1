import Foundation
import Testing

@testable import KalamLive

/// The steps of scenarios about consumers of topics.
final class TopicSteps {
    static let kinds = [
        "consumer", "poll", "iterate", "mark", "commit", "commit_later", "seek", "position", "offsets", "run",
    ]

    private var consumers: [String: Consumer] = [:]
    /// What each was given, by offset.
    private var given: [String: [UInt64: ConsumerRecord]] = [:]

    func knows(_ name: String) -> Bool { consumers[name] != nil }

    func play(_ what: String, _ step: Step, _ client: KalamClient) async throws {
        let of = step[what] as! String
        if what == "consumer" {
            consumers[of] = try client.consumer(try options(step))
            given[of] = [:]
            return
        }
        let consumer = try #require(consumers[of])
        switch what {
        case "poll":
            let expected = step["records"] as? [Step] ?? []
            let timeout = (step["timeout"] as? NSNumber)?.doubleValue
            var records = try await consumer.poll(timeout: timeout)
            while records.count < expected.count { records += try await consumer.poll(timeout: timeout) }
            try compare(records, expected)
            for record in records { given[of]![record.offset] = record }
        case "iterate":
            let expected = step["records"] as! [Step]
            var records: [ConsumerRecord] = []
            for try await record in consumer.records {
                records.append(record)
                if records.count < expected.count { continue }
                if step["closes_client"] == nil { break }
                await client.close()
            }
            try compare(records, expected)
            await consumer.close()
        case "mark":
            for offset in step["offsets"] as! [Int] { consumer.markProcessed(given[of]![UInt64(offset)]!) }
        case "commit":
            let done = try await consumer.commit()
            among(["next_offset": done.nextOffset, "held_back": done.heldBack], step)
        case "commit_later": consumer.commitLater()
        case "seek": try await consumer.seek(UInt64(step["to"] as! Int))
        case "position": among(["is": consumer.position], step)
        case "offsets":
            let offsets = consumer.offsets
            let ours = [
                "position": offsets.position, "committed": offsets.committed, "held_back": offsets.heldBack,
                "unfinished": offsets.unfinished,
            ]
            #expect(text(ours) == text(step["are"]!), "\(step)")
        case "run": try await run(consumer, step)
        case "close": await consumer.close()
        default: throw Failure("there is no step \(what)")
        }
    }

    private func options(_ step: Step) throws -> ConsumerOptions {
        let given = step["options"] as? Step ?? [:]
        var options = ConsumerOptions(topic: step["topic"] as! String, groupId: step["group"] as! String)
        options.partitionId = given["partition"] as? Int ?? 0
        switch given["start"] {
        case nil: break
        case let name as String: options.start = name == "earliest" ? .earliest : .latest
        case let offset?: options.start = .offset(UInt64(offset as! Int))
        }
        options.autoCommit = given["auto_commit"] as? Bool ?? true
        options.autoCommitInterval = (given["auto_commit_interval"] as? NSNumber)?.doubleValue
        options.pollTimeout = (given["poll_timeout"] as? NSNumber)?.doubleValue
        options.maxPollRecords = given["max_poll_records"] as? Int
        return options
    }

    /// What the handlers of a worker loop have seen.
    private struct Seen {
        var keys: [String] = []
        var failed = 0
        var attempts: UInt64 = 0
    }

    /// A worker loop, stopped when so many records were handled and have failed as there must be.
    private func run(_ consumer: Consumer, _ step: Step) async throws {
        let given = step["options"] as? Step ?? [:]
        let fails = step["fails"] as? [String] ?? []
        let decisions = step["on_failed"] as? [String: String] ?? [:]
        let whole = (step["handled"] as? Int ?? 0) + (step["failed"] as? Int ?? 0)
        let seen = Shared(Seen())
        var options = RunOptions()
        options.concurrency = given["concurrency"] as? Int ?? 1
        options.maxAttempts = given["max_attempts"] as? Int ?? 3
        (options.backoff, options.maxBackoff) = (0.001, 0.005)
        options.deadLetterTopic = given["dead_letter_topic"] as? String
        let stop = options.stop
        let see: @Sendable ((inout Seen) -> Void) -> Void = { change in
            let count = seen.change { seen in
                change(&seen)
                return seen.keys.count + seen.failed
            }
            if count >= whole { stop.stop() }
        }
        options.onFailed = { failed in
            see { $0.failed += 1 }
            switch decisions[failed.record.key!] {
            case "skip"?: return .skip
            case "hold"?: return .hold
            default: return nil
            }
        }
        let summary = try await consumer.run(options) { record in
            let key = record.key!
            seen.change { $0.attempts += 1 }
            if fails.contains(key) { throw Failure("on purpose") }
            see { $0.keys.append(key) }
        }
        let told = seen.get()
        among(["handled": summary.handled, "failed": summary.failed, "attempts": told.attempts], step)
        if let keys = step["keys"] as? [String] { #expect(told.keys.sorted() == keys, "\(step)") }
    }
}

/// Compares those of our values that the step names.
private func among(_ ours: [String: UInt64], _ step: Step) {
    for (name, value) in ours {
        if let expected = step[name] as? Int { #expect(value == UInt64(expected), "\(name): \(step)") }
    }
}

/// Compares what is named of each record.
private func compare(_ records: [ConsumerRecord], _ expected: [Step]) throws {
    try #require(records.map { Int($0.offset) } == expected.map { $0["offset"] as! Int })
    for (record, named) in zip(records, expected) {
        let ours: Step = [
            "topic": record.topic, "partition": record.partition, "offset": record.offset, "op": record.op,
            "key": record.key ?? NSNull(), "user": record.user ?? NSNull(), "row": record.row.map(plain) ?? NSNull(),
            "problem": record.problem != nil,
        ]
        for (name, value) in named { #expect(text(ours[name]!) == text(value), "\(name) of \(record.offset)") }
    }
}
