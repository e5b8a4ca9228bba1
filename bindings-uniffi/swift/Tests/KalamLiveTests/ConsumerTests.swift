import Testing

@testable import KalamLive

@Suite struct ConsumerTests {
    private func topic() async throws -> (client: KalamClient, ns: String) {
        let (client, ns) = try await place("id BIGINT PRIMARY KEY, v TEXT")
        try await client.execute("CREATE TOPIC \(ns).orders")
        for op in ["INSERT", "UPDATE"] {
            try await client.execute("ALTER TOPIC \(ns).orders ADD SOURCE \(ns).t ON \(op) WITH (payload = 'full')")
        }
        return (client, ns)
    }

    private func consumer(_ client: KalamClient, _ ns: String) throws -> Consumer {
        var options = ConsumerOptions(topic: "\(ns).orders", groupId: "g")
        (options.start, options.autoCommit) = (.earliest, false)
        return try client.consumer(options)
    }

    @Test func pollMarkCommitAndSeek() async throws {
        let (client, ns) = try await topic()
        try await client.execute("INSERT INTO \(ns).t VALUES (1, 'a')")
        try await client.execute("UPDATE \(ns).t SET v = 'b' WHERE id = 1")
        let consumer = try consumer(client, ns)
        var records: [ConsumerRecord] = []
        while records.count < 2 { records += try await consumer.poll() }
        #expect(records.map(\.op) == ["insert", "update"] && records.map(\.offset) == [0, 1])
        #expect(try records[0].row?.int("id") == 1 && records[1].row?.text("v") == "b")
        // What is not finished holds back what comes after it.
        consumer.markProcessed(records[1])
        #expect(try await consumer.commit() == Committed(nextOffset: 0, heldBack: 1))
        consumer.markProcessed(records[0])
        #expect(try await consumer.commit() == Committed(nextOffset: 2, heldBack: 0))
        #expect(consumer.position == 2)
        try await consumer.seek(1)
        #expect(try await consumer.poll().map(\.offset) == [1])
        let late = try client.consumer(ConsumerOptions(topic: "\(ns).orders", groupId: "late"))
        #expect(try await late.poll(timeout: 0.01).isEmpty, "it begins with what comes")
        await late.close()
        await consumer.close()
        await consumer.close()
        #expect(try await failure { _ = try await consumer.poll() }.code == "closed")
        await client.close()
    }

    @Test func aCancelledPollLosesNothingAndAClosedOneEnds() async throws {
        let (client, ns) = try await topic()
        let consumer = try consumer(client, ns)
        for _ in 0..<20 {
            let poll = Task { try await consumer.poll() }
            poll.cancel()
            _ = try? await poll.value
        }
        try await client.execute("INSERT INTO \(ns).t VALUES (1, 'a')")
        for try await record in consumer.records {
            #expect(record.offset == 0)
            break
        }
        let waiting = Task { for try await _ in consumer.records {} }
        await consumer.close()
        try await waiting.value
        try await client.execute("INSERT INTO \(ns).t VALUES (2, 'b')")
        let closed = try self.consumer(client, ns)
        var begun = 0
        for try await _ in closed.records {
            begun += 1
            await closed.close()
        }
        #expect(begun == 1, "nothing more is begun")
        await client.close()
    }

    private struct Seven: Error {}

    @Test func aWorkerLoopWithFailures() async throws {
        let (client, ns) = try await topic()
        for id in 1...20 { try await client.execute("INSERT INTO \(ns).t VALUES ($1, 'x')", [id]) }
        let consumer = try consumer(client, ns)
        let handled = Shared<Set<Int64>>([])
        let failures = Shared<[String]>([])
        var options = RunOptions()
        (options.concurrency, options.maxAttempts, options.backoff, options.maxBackoff) = (4, 2, 0.001, 0.002)
        options.onFailed = { failed in
            failures.change { $0.append("\(failed.attempts) \(failed.error)") }
            return .skip
        }
        let loop = options
        let running = Task {
            try await consumer.run(loop) { record in
                let id = try record.row!.int("id")
                if id == 7 { throw Seven() }
                handled.change { _ = $0.insert(id) }
            }
        }
        try await soon { try await until { handled.get().count == 19 && failures.get().count == 1 } }
        options.stop.stop()
        #expect(try await running.value == RunSummary(handled: 19, failed: 1))
        #expect(failures.get() == ["2 Seven()"])
        #expect(try await consumer.commit().nextOffset == 20)
        await consumer.close()
        await client.close()
    }

    @Test func aHandlerThatHangsFailsInTime() async throws {
        let (client, ns) = try await topic()
        try await client.execute("INSERT INTO \(ns).t VALUES (1, 'a'), (2, 'b')")
        let consumer = try consumer(client, ns)
        let failures = Shared<[String]>([])
        var options = RunOptions()
        (options.maxAttempts, options.timeout) = (1, 0.05)
        let stop = options.stop
        options.onFailed = { failed in
            failures.change { $0.append(failed.error) }
            return .skip
        }
        let loop = options
        let summary = try await soon {
            try await consumer.run(loop) { record in
                if record.offset == 1 { return stop.stop() }
                // Does not heed its cancellation.
                await withUnsafeContinuation { (never: UnsafeContinuation<Void, Never>) in hanging.change { $0.append(never) } }
            }
        }
        #expect(summary == RunSummary(handled: 1, failed: 1))
        #expect(failures.get() == ["the handler took longer than 0.05 s"])
        hanging.change { $0.forEach { $0.resume() } }
        await consumer.close()
        await client.close()
    }
}

private let hanging = Shared<[UnsafeContinuation<Void, Never>]>([])
