import Foundation
import Testing

@testable import KalamLive

private let table = "id BIGINT PRIMARY KEY, body TEXT"

private struct Note: Decodable, Sendable, Hashable {
    let id: Int64
    let body: String?
}

@Suite(.serialized) struct LiveTests {
    @Test func rowsThatStayAreTheSameObjects() async throws {
        let (client, ns) = try await place(table)
        try await client.execute("INSERT INTO \(ns).t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
        var live = client.live("SELECT id, body FROM \(ns).t").makeAsyncIterator()
        let first = try #require(try await live.next())
        #expect(first.phase == .live && first.count == 3)
        try await client.execute("UPDATE \(ns).t SET body = 'B' WHERE id = 2")
        let second = try #require(try await live.next())
        try checkReplay(Array(first), second)
        guard case .update(1, let row, let old) = second.changes[0] else { throw Failure("\(second.changes)") }
        #expect(old["body"] == .text("b") && row["body"] == .text("B"))
        #expect(first[0] === second[0] && first[2] === second[2] && first[1] !== second[1])
        try await client.execute("DELETE FROM \(ns).t WHERE id = 1")
        let third = try #require(try await live.next())
        try checkReplay(Array(second), third)
        guard case .remove(0, let gone) = third.changes[0] else { throw Failure("\(third.changes)") }
        #expect(gone === first[0] && second.count == 3, "a snapshot stays as it was")
        #expect(third.lastSeqID! > first.lastSeqID!)
        live.close()
        #expect(try await live.next() == nil)
        await client.close()
    }

    @Test func rowsAsTypes() async throws {
        let (client, ns) = try await place(table)
        try await client.execute("INSERT INTO \(ns).t VALUES (1, 'a'), (2, NULL)")
        for try await rows in client.live(Note.self, "SELECT id, body FROM \(ns).t WHERE id < $1", [10]) {
            #expect(Array(rows) == [Note(id: 1, body: "a"), Note(id: 2, body: nil)])
            break
        }
        for try await rows in client.liveTable(Note.self, "\(ns).t") {
            #expect(rows.count == 2)
            break
        }
        for try await event in client.liveEvents(Note.self, "SELECT id, body FROM \(ns).t") {
            if case .initialDataBatch(let rows, _) = event.kind {
                #expect(rows.count == 2)
                break
            }
        }
        #expect(try await client.subscriptions() == [], "a loop that was left has ended its subscription")
        await client.close()
    }

    @Test func eventsWithOldRowsAndCheckpoints() async throws {
        let (client, ns) = try await place(table)
        try await client.execute("INSERT INTO \(ns).t VALUES (1, 'a')")
        let told = Shared<[String]>([])
        var options = EventOptions()
        options.onCheckpoint = { checkpoint in told.change { $0.append(checkpoint) } }
        var events = client.liveEvents("SELECT id, body FROM \(ns).t", options: options).makeAsyncIterator()
        guard case .ack? = try await events.next()?.kind else { throw Failure("no ack") }
        guard case .initialDataBatch(let rows, _)? = try await events.next()?.kind else { throw Failure("no rows") }
        #expect(rows.count == 1)
        try await client.execute("UPDATE \(ns).t SET body = 'b' WHERE id = 1")
        let update = try #require(try await events.next())
        guard case .update(let new, let old) = update.kind else { throw Failure("\(update)") }
        #expect(new[0]["body"] == .text("b") && old[0]["body"] == .text("a"))
        #expect(told.get().last == update.checkpoint)
        events.close()
        try await client.execute("INSERT INTO \(ns).t VALUES (2, 'c')")
        let later = EventOptions(from: update.checkpoint)
        for try await event in client.liveEvents("SELECT id, body FROM \(ns).t", options: later) {
            if case .insert(let rows) = event.kind {
                #expect(rows.map { $0["id"] } == [.int(2)])
                break
            }
        }
        await client.close()
    }

    @Test func aCancelledTaskHasClosedItsSubscription() async throws {
        let (client, ns) = try await place(table)
        let seen = Shared(0)
        let task = Task {
            for try await _ in client.liveTable("\(ns).t") { seen.change { $0 += 1 } }
            return "ended"
        }
        try await soon { try await until { seen.get() > 0 } }
        #expect(try await client.subscriptions().count == 1)
        task.cancel()
        #expect(try await task.value == "ended")
        #expect(try await client.subscriptions() == [])
        await client.close()
    }

    @Test func closeInEveryStateEndsWhatIsOpen() async throws {
        let (other, ns) = try await place(table)
        // Before the loop has begun, while it waits, and with the connection lost.
        for state in 0..<4 {
            let client = try await open()
            let seen = Shared(0)
            let task = Task { for try await _ in client.liveTable("\(ns).t") { seen.change { $0 += 1 } } }
            if state > 0 { try await soon { try await until { seen.get() > 0 } } }
            if state == 2 { try await client.disconnect() }
            await client.close()
            if state == 3 { await client.close() }
            do {
                try await task.value
            } catch let error as KalamError {
                #expect(error.code == "closed", "\(state)")
            }
            #expect(try await failure { _ = try await client.query("SELECT 1") }.code == "closed")
            for await state in client.states where state == .closed { break }
        }
        await other.close()
    }

    @Test func aLostConnectionIsToldAndCanBeClosed() async throws {
        let own = try await EmbeddedServer.start(rootPassword: password)
        let client = try await KalamClient.connect(url: own.url, user: "root", password: password)
        try await client.execute("CREATE NAMESPACE app")
        try await client.execute("CREATE TABLE app.t (\(table))")
        try await client.execute("INSERT INTO app.t VALUES (1, 'a')")
        let phases = Shared<[Phase]>([])
        let showing = Task {
            for try await rows in client.liveTable("app.t") {
                #expect(rows.count == 1)
                phases.change { $0.append(rows.phase) }
            }
        }
        try await soon { try await until { phases.get() == [.live] } }
        await own.close()
        try await soon { try await until { phases.get().last == .reconnecting } }
        await client.close()
        try await showing.value
        for await state in client.states where state == .closed { break }
    }

    @Test func twoClientsDoNotShareTheirEnd() async throws {
        let (one, ns) = try await place(table)
        let two = try await open()
        var live = one.liveTable("\(ns).t").makeAsyncIterator()
        #expect(try await live.next()?.count == 0)
        try await two.execute("INSERT INTO \(ns).t VALUES (1, 'a')")
        while try await live.next()?.count != 1 {}
        await two.close()
        try await one.execute("INSERT INTO \(ns).t VALUES (2, 'b')")
        while try await live.next()?.count != 2 {}
        await one.close()
    }

    @Test func aSlowLoopGetsTheNewestRowsAndHarmsNobody() async throws {
        let (client, ns) = try await place(table)
        let go = Shared(false)
        let sizes = Shared<[Int]>([])
        let slow = Task {
            var before: [Row] = []
            for try await rows in client.liveTable("\(ns).t") {
                try checkReplay(before, rows)
                before = Array(rows)
                sizes.change { $0.append(rows.count) }
                try await until { go.get() }
                if rows.count == 500 { break }
            }
        }
        try await soon { try await until { !sizes.get().isEmpty } }
        // The other sees every state on the way while the first one sleeps.
        let quick = Task {
            for try await rows in client.liveTable("\(ns).t") where rows.count == 500 { return true }
            return false
        }
        for id in 1...500 { try await client.execute("INSERT INTO \(ns).t VALUES ($1, 'x')", [id]) }
        #expect(try await quick.value)
        go.change { $0 = true }
        try await slow.value
        #expect(sizes.get().count <= 4 && sizes.get().last == 500, "states were queued: \(sizes.get())")
        await client.close()
    }

    @Test func manyRowsComeInPieces() async throws {
        let (client, ns) = try await place(table)
        for start in stride(from: 0, to: 20_000, by: 1000) {
            let values = (start..<start + 1000).map { "(\($0), 'v\($0)')" }.joined(separator: ", ")
            try await client.execute("INSERT INTO \(ns).t VALUES \(values)")
        }
        var live = client.liveTable("\(ns).t").makeAsyncIterator()
        let rows = try #require(try await live.next())
        #expect(try rows.map { try $0.int("id") }.sorted() == (0..<20_000).map { Int64($0) })
        await client.close()
    }

    /// Resident memory of this process, in MiB.
    private func resident() throws -> Int {
        let text = try String(contentsOfFile: "/proc/self/statm", encoding: .utf8)
        return (Int(text.split(separator: " ")[1]) ?? 0) * 4096 >> 20
    }

    @Test func tenThousandSubscriptionsLeaveNothingBehind() async throws {
        let (client, ns) = try await place(table)
        try await client.execute("INSERT INTO \(ns).t VALUES (1, 'a')")
        func cycles(_ count: Int) async throws {
            try await withThrowingTaskGroup(of: Void.self) { group in
                for _ in 0..<8 {
                    group.addTask {
                        for _ in 0..<count / 8 { for try await _ in client.liveTable("\(ns).t") { break } }
                    }
                }
                try await group.waitForAll()
            }
        }
        try await cycles(4_000)  // what the allocators of the threads keep
        let before = try resident()
        try await cycles(10_000)
        #expect(try await client.subscriptions() == [])
        let after = try resident()
        #expect(after - before < 40, "from \(before) to \(after) MiB")
        await client.close()
    }
}
