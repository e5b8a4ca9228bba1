import Foundation
import SwiftUI
import Testing
import UIKit

@testable import KalamLive

/// Links to `examples/swift`. On Linux what they use of Apple's frameworks is in `Tests/Apple`.
@Suite struct ExampleTests {
    @Test func firstProgram() async throws { try await firstQuery() }

    /// At a real signal, to this process.
    @Test func ctrlCEndsAWorkerWhenWhatItIsAtIsFinished() async throws {
        let server = try await EmbeddedServer.start(rootPassword: password, topicVisibility: 1)
        let client = try await KalamClient.connect(url: server.url, user: "root", password: password)
        for sql in [
            "CREATE NAMESPACE app", "CREATE TABLE app.orders (id BIGINT PRIMARY KEY)", "CREATE TOPIC app.order_events",
            "ALTER TOPIC app.order_events ADD SOURCE app.orders ON INSERT WITH (payload = 'full')",
            "INSERT INTO app.orders VALUES (0), (1), (2), (3), (4), (5)",
        ] { try await client.execute(sql) }
        let (begun, finished) = (Shared<[UInt64]>([]), Shared<[UInt64]>([]))
        var options = RunOptions()
        options.concurrency = 3
        let (loop, stop) = (options, options.stop)
        let working = Task {
            try await billOrders(client, loop) { record in
                begun.change { $0.append(record.offset) }
                if record.offset > 0 { try await until { stop.isStopped } }
                finished.change { $0.append(record.offset) }
            }
        }
        try await soon { try await until { begun.get().count == 4 } }
        kill(getpid(), SIGINT)
        #expect(try await soon { try await working.value } == RunSummary(handled: 4, failed: 0))
        #expect(begun.get() == [0, 1, 2, 3] && finished.get().sorted() == begun.get())
        let acked = "SELECT last_acked_offset AS n FROM system.topic_offsets WHERE topic_id = 'app.order_events'"
        #expect(try await client.queryOne(acked)?.int("n") == 3)

        // The next worker gets what was not begun, and nothing else.
        let left = Shared<[UInt64]>([])
        let again = RunOptions()
        let summary = try await soon {
            try await billOrders(client, again) { record in
                left.change { $0.append(record.offset) }
                if record.offset == 5 { again.stop.stop() }
            }
        }
        #expect(summary == RunSummary(handled: 2, failed: 0) && left.get() == [4, 5])
        signal(SIGINT, SIG_DFL)
        await client.close()
        await server.close()
    }

    @Test @MainActor func aListForAView() async throws {
        let (client, ns) = try await place("id BIGINT PRIMARY KEY, body TEXT")
        try await client.execute("INSERT INTO \(ns).t VALUES (1, 'a')")
        let list = LiveList<Row>()
        let following = Task { await list.follow(client.liveTable("\(ns).t")) }
        try await until { list.rows?.count == 1 }
        try await client.execute("INSERT INTO \(ns).t VALUES (2, 'b')")
        try await until { list.rows?.count == 2 }
        following.cancel()
        await following.value
        #expect(list.failure == nil && list.rows?.count == 2)
        await list.follow(client.live("SELECT nothing FROM \(ns).t"))
        #expect(list.failure?.code == "invalid_sql" || list.failure?.code == "not_found")
        await client.close()
    }

    private func todos() async throws -> KalamClient {
        let client = try await KalamClient.connect()
        try await client.execute("CREATE NAMESPACE app")
        try await client.execute("CREATE TABLE app.tasks (id BIGINT PRIMARY KEY, project TEXT, title TEXT, done BOOLEAN)")
        try await client.execute(
            "INSERT INTO app.tasks VALUES (1, 'home', 'sweep', false), (2, 'home', 'cook', false), (3, 'work', 'write', false)")
        return client
    }

    @Test @MainActor func aCollectionViewIsToldWhatHasChanged() async throws {
        let client = try await todos()
        let table = TaskTable(UICollectionView())
        let following = Task { try await table.follow(client.live(Todo.self, "SELECT id, title, done FROM app.tasks")) }
        func shown() -> [String?] { table.source.snapshot().itemIdentifiers.map { table.source.texts[$0] ?? nil } }
        try await until { shown() == ["sweep", "cook", "write"] }
        try await client.batch([
            "DELETE FROM app.tasks WHERE id = 1", "INSERT INTO app.tasks VALUES (4, 'work', 'rest', false)",
            "UPDATE app.tasks SET title = 'rewrite' WHERE id = 3",
        ])
        try await until { shown() == ["cook", "rewrite", "rest"] }
        following.cancel()
        try await following.value
        await client.close()
    }

    #if os(Linux)
        @Test @MainActor func aViewFollowsWhileItIsShown() async throws {
            let client = try await todos()
            _ = monitor(client)
            let view = TaskList(client: client, project: "home")
            func shown() -> [String] {
                SwiftUI.texts = []
                _ = view.body
                return SwiftUI.texts
            }
            #expect(shown() == [])
            let action = try #require(SwiftUI.tasks.first)
            let showing = Task { await action() }
            try await until { shown() == ["cook", "sweep"] }
            try await client.execute("UPDATE app.tasks SET done = true WHERE id = 2")
            try await until { shown() == ["sweep", "cook"] }
            showing.cancel()
            await showing.value
            await client.close()
        }
    #endif
}
