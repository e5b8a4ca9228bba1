// Measures the package at the frame server of `tests/bench`: `Bench URL ROUNDS` prints one line `name value` a measurement.

import Foundation
import KalamLive

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

struct Message: Decodable, Sendable {
    let id: Int64
    let room: String
    let sender: String
    let body: String
    let n: Int64
    let at: Date
}

struct Prepared: Decodable { let final_seq: Int64 }

let changes = 20_000

func batches() -> LiveOptions {
    var options = LiveOptions()
    options.batchSize = 1000
    return options
}

func connect(_ url: String) async throws -> KalamClient {
    try await KalamClient.connect(ConnectOptions(url: url, token: "bench-token"))
}

func post(_ url: String, _ path: String) async throws -> Data {
    var request = URLRequest(url: URL(string: url + path)!)
    request.httpMethod = "POST"
    return try await URLSession.shared.data(for: request).0
}

func seconds(since start: ContinuousClock.Instant) -> Double {
    let (seconds, attoseconds) = (ContinuousClock.now - start).components
    return Double(seconds) + Double(attoseconds) / 1e18
}

/// Rows a second until the first list is there, all of it read.
func snapshot<T>(_ url: String, _ open: (KalamClient, String) -> LiveRows<T>) async throws -> Int {
    let table = "update_100000_200"
    _ = try await post(url, "/bench/prepare?table=\(table)")
    let client = try await connect(url)
    _ = try await client.query("SELECT 1")
    let start = ContinuousClock.now
    var live = open(client, "SELECT id, room, sender, body, n, at FROM bench.\(table)").makeAsyncIterator()
    let rows = try await live.next()!
    var seen = 0
    for _ in rows { seen += 1 }
    let took = seconds(since: start)
    precondition(seen == 100_000)
    live.close()
    await client.close()
    return Int(Double(seen) / took)
}

/// Microseconds a change until the last one is seen, with so many rows held.
func change(_ url: String, _ held: Int) async throws -> Double {
    let table = "update_\(held)_\(changes)"
    let prepared = try JSONDecoder().decode(
        Prepared.self, from: try await post(url, "/bench/prepare?table=\(table)"))
    let client = try await connect(url)
    var start: ContinuousClock.Instant?
    for try await rows in client.live(
        "SELECT id, room, sender, body, n, at FROM bench.\(table)", options: batches())
    {
        if start == nil, rows.count == held {
            start = ContinuousClock.now
            Task { try await post(url, "/bench/go?table=\(table)") }
        }
        if rows.lastSeqID == prepared.final_seq { break }
    }
    let each = seconds(since: start!) * 1e6 / Double(changes)
    await client.close()
    return each
}

let url = CommandLine.arguments[1]
for _ in 0..<Int(CommandLine.arguments[2])! {
    print("cells \(try await snapshot(url) { $0.live($1, options: batches()) })")
    print("classes \(try await snapshot(url) { $0.live(Message.self, $1, options: batches()) })")
    for held in [1_000, 100_000] { print("change_\(held) \(try await change(url, held))") }
}
