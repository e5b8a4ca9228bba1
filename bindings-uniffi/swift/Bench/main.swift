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

/// Processor time of the whole process, the Rust threads included.
func processor() -> Double {
    Double(clock()) / Double(CLOCKS_PER_SEC)
}

/// Rows a second until the first list is there, all of it read; and rows a second of processor time.
func snapshot<T>(_ url: String, _ open: (KalamClient, String) -> LiveRows<T>) async throws -> String {
    let table = "update_100000_200"
    _ = try await post(url, "/bench/prepare?table=\(table)")
    let client = try await connect(url)
    _ = try await client.query("SELECT 1")
    let before = processor()
    let start = ContinuousClock.now
    var live = open(client, "SELECT id, room, sender, body, n, at FROM bench.\(table)").makeAsyncIterator()
    let rows = try await live.next()!
    var seen = 0
    for _ in rows { seen += 1 }
    let took = seconds(since: start)
    let cost = processor() - before
    precondition(seen == 100_000)
    live.close()
    await client.close()
    return "\(Int(Double(seen) / took)) \(Int(Double(seen) / cost))"
}

/// Microseconds a change of many that come at once, until the last one is seen.
func flood(_ url: String, _ held: Int) async throws -> String {
    let changes = 20_000
    let followed = try await follow(url, "update_\(held)_\(changes)", held)
    return "\(followed.seconds * 1e6 / Double(changes))"
}

/// Microseconds of processor time a list, of changes that come one after the other.
func single(_ url: String, _ held: Int) async throws -> String {
    let followed = try await follow(url, "update_\(held)_3000_r2000", held)
    return "\(followed.processor * 1e6 / Double(followed.lists)) \(followed.lists)"
}

/// What it took from the first change to the last, and how many lists showed them.
func follow(
    _ url: String, _ table: String, _ held: Int
) async throws -> (seconds: Double, processor: Double, lists: Int) {
    let prepared = try JSONDecoder().decode(
        Prepared.self, from: try await post(url, "/bench/prepare?table=\(table)"))
    let client = try await connect(url)
    let sql = "SELECT id, room, sender, body, n, at FROM bench.\(table)"
    var (start, before, lists) = (ContinuousClock.now, 0.0, 0)
    var took = (seconds: 0.0, processor: 0.0, lists: 0)
    for try await rows in client.live(sql, options: batches()) {
        if lists == 0 {
            precondition(rows.count == held)
            (start, before) = (ContinuousClock.now, processor())
            Task { try await post(url, "/bench/go?table=\(table)") }
        }
        lists += 1
        if rows.lastSeqID == prepared.final_seq {
            // Before all the rows are given back.
            took = (seconds(since: start), processor() - before, lists - 1)
            break
        }
    }
    await client.close()
    return took
}

let held = [100, 10_000, 100_000]
let url = CommandLine.arguments[1]
for _ in 0..<Int(CommandLine.arguments[2])! {
    print("cells \(try await snapshot(url) { $0.live($1, options: batches()) })")
    print("classes \(try await snapshot(url) { $0.live(Message.self, $1, options: batches()) })")
    for rows in held { print("change_\(rows) \(try await flood(url, rows))") }
    for rows in held { print("single_\(rows) \(try await single(url, rows))") }
}
