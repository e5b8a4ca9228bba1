import Foundation
import KalamLiveNative

/// How ``Consumer/run(_:_:)`` works. Times are in seconds.
public struct RunOptions: Sendable {
    /// Records that are handled at the same time, of different keys.
    public var concurrency = 1
    /// How often a record is handled before it has failed.
    public var maxAttempts = 3
    /// Upper bound of the first pause between attempts (0.25). It doubles each time.
    public var backoff: TimeInterval?
    /// Upper bound of every pause (5, or `backoff` if that is more).
    public var maxBackoff: TimeInterval?
    /// How long one attempt may take before it counts as failed. Its task is cancelled then, and not waited for.
    public var timeout: TimeInterval?
    /// Decides what becomes of a record that failed as often as it may; `nil` is what happens without it.
    public var onFailed: (@Sendable (FailedRecord) async -> FailedAction?)?
    /// Where records go that failed, `namespace.name`. Without it they are held.
    public var deadLetterTopic: String?
    /// Stops the loop gracefully.
    public var stop = Stop()

    public init() {}
}

/// Stops a worker loop gracefully: nothing more is begun, what runs is finished and committed.
public final class Stop: @unchecked Sendable {
    private let lock = NSLock()
    private var stopped = false
    private var runs: [NativeRun] = []

    public init() {}

    public func stop() {
        let runs = lock.withLock {
            stopped = true
            return self.runs
        }
        for run in runs { run.stop() }
    }

    /// Whether it was stopped. A handler that takes long may look.
    public var isStopped: Bool { lock.withLock { stopped } }

    func add(_ run: NativeRun) {
        if lock.withLock({
            if !stopped { runs.append(run) }
            return stopped
        }) {
            run.stop()
        }
    }

    func remove(_ run: NativeRun) { lock.withLock { runs.removeAll { $0 === run } } }
}

/// A record that failed as often as it may.
public struct FailedRecord: Sendable {
    /// The record whose handler failed.
    public let record: ConsumerRecord
    /// What the last attempt failed with.
    public let error: String
    /// How often it was tried.
    public let attempts: Int
}

/// What becomes of a record that failed.
public enum FailedAction: String, Sendable, Hashable {
    /// It stays unfinished: no commit passes it, the records of its key wait, and the server delivers it again.
    case hold
    /// It counts as finished.
    case skip
}

/// What a worker loop did.
public struct RunSummary: Sendable, Hashable {
    /// Records that were handled.
    public let handled: UInt64
    /// Records that failed as often as they may.
    public let failed: UInt64
}

extension Consumer {
    /// Handles records with `handler` until ``RunOptions/stop``: those of one key one after the other, those of different keys at
    /// the same time, failures again after a pause. Commits what is finished. A loop whose task is cancelled leaves what it was
    /// handling to be delivered again.
    ///
    /// ```swift
    /// var options = RunOptions()
    /// options.concurrency = 8
    /// try await consumer.run(options) { record in try await bill(record.row!.decode(Order.self)) }
    /// ```
    ///
    /// Throws what no repetition can help against, such as `not_found` and `permission_denied`.
    @discardableResult
    public func run(
        _ options: RunOptions = RunOptions(), _ handler: @escaping @Sendable (ConsumerRecord) async throws -> Void
    ) async throws -> RunSummary {
        let running = Running(
            concurrency: try count("concurrency", options.concurrency) ?? 1,
            maxAttempts: try count("maxAttempts", options.maxAttempts) ?? 1,
            backoff: options.backoff, maxBackoff: options.maxBackoff, deadLetterTopic: options.deadLetterTopic,
            asks: options.onFailed != nil)
        let run = try translated { try native.run(options: running) }
        options.stop.add(run)
        defer { options.stop.remove(run) }
        return try await withThrowingTaskGroup(of: Void.self) { group in
            defer { group.cancelAll() }
            while true {
                await withTaskCancellationHandler {
                    await run.ready()
                } onCancel: {
                    run.end()
                }
                try Task.checkCancellation()
                guard let taken = try translated({ try run.take() }) else {
                    let summary = run.summary()
                    return RunSummary(handled: summary.handled, failed: summary.failed)
                }
                for (record, task) in zip(try taken.records.told(), taken.tasks) {
                    group.addTask {
                        if let error = task.failedWith {
                            let failed = FailedRecord(record: record, error: error, attempts: Int(task.attempt))
                            run.decide(offset: record.offset, action: await options.onFailed?(failed)?.rawValue)
                            return
                        }
                        do {
                            if let timeout = options.timeout {
                                try await within(timeout) { try await handler(record) }
                            } else {
                                try await handler(record)
                            }
                            run.handled(offset: record.offset, error: nil)
                        } catch {
                            if Task.isCancelled { return }
                            run.handled(offset: record.offset, error: "\(error)")
                        }
                    }
                }
            }
        }
    }
}

/// Throws when the body takes longer, whether it heeds its cancellation or not: a group would wait for it.
private func within(_ seconds: TimeInterval, _ body: @escaping @Sendable () async throws -> Void) async throws {
    let (ends, end) = AsyncThrowingStream.makeStream(of: Void.self)
    let work = Task {
        do {
            try await body()
            end.finish()
        } catch {
            end.finish(throwing: error)
        }
    }
    let clock = Task {
        try await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
        end.finish(throwing: Late(seconds: seconds))
    }
    defer {
        work.cancel()
        clock.cancel()
    }
    // Ends when this task is cancelled, too.
    for try await _ in ends {}
}

private struct Late: Error, CustomStringConvertible {
    let seconds: TimeInterval
    var description: String { "the handler took longer than \(seconds) s" }
}
