import SwiftUI
import Testing
import UIKit

@testable import KalamLive

/// Links to `examples/swift`. On Linux what they use of Apple's frameworks is in `Tests/Apple`.
@Suite struct ExampleTests {
    @Test func firstProgram() async throws { try await firstQuery() }

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
