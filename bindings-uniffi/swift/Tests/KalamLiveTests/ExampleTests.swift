import Testing

@testable import KalamLive

/// The examples that need nothing of Apple's: links to `examples/swift`.
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
}
