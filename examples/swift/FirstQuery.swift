import KalamLive

struct Message: Decodable, Sendable {
    let id: Int64
    let body: String
}

func firstQuery() async throws {
    // Without a URL an embedded server is started; a KalamDB is connect(url: "http://localhost:2900", user: ...).
    let client = try await KalamClient.connect()
    try await client.execute("CREATE NAMESPACE app")
    try await client.execute("CREATE TABLE app.messages (id BIGINT PRIMARY KEY, room TEXT, body TEXT)")
    try await client.execute("INSERT INTO app.messages VALUES ($1, $2, $3)", [1, "main", "hello"])

    for row in try await client.query("SELECT id, body FROM app.messages") {
        print(try row.int("id"), try row.text("body"))
    }

    for try await rows in client.live(Message.self, "SELECT id, body FROM app.messages WHERE room = $1", ["main"]) {
        for change in rows.changes {
            switch change {
            case .insert(let index, let message): print("new at \(index): \(message.body)")
            case .update(let index, let message, _): print("changed at \(index): \(message.body)")
            case .remove(let index, let message): print("gone from \(index): \(message.body)")
            case .reset: print("all: \(rows.map(\.body))")
            }
        }
        if rows.count == 2 { break }
        try await client.execute("INSERT INTO app.messages VALUES (2, 'main', 'world')")
    }
    await client.close()
}
