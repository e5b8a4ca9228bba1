import Foundation
import Testing

@testable import KalamLive

// What the tests share: one embedded server for all, a namespace for each test.

let password = "Test-Password-1"

/// The server of all tests; it goes with the process.
private let starting = Task { try await EmbeddedServer.start(rootPassword: password) }

func server() async throws -> EmbeddedServer { try await starting.value }

private let names = Names()

private actor Names {
    private var last = 0

    func next() -> String {
        last += 1
        return "w\(ProcessInfo.processInfo.processIdentifier)_\(last)"
    }
}

/// A client at the server of all tests, as root unless the options say otherwise.
func open(_ change: (inout ConnectOptions) -> Void = { _ in }) async throws -> KalamClient {
    var options = ConnectOptions(url: try await server().url, user: "root", password: password)
    change(&options)
    return try await KalamClient.connect(options)
}

/// A client with an empty namespace of its own, and if wanted a table `t` in it.
func place(_ table: String? = nil) async throws -> (client: KalamClient, ns: String) {
    let client = try await open()
    let ns = await names.next()
    try await client.execute("CREATE NAMESPACE \(ns)")
    if let table { try await client.execute("CREATE TABLE \(ns).t (\(table))") }
    return (client, ns)
}

/// Returns when the condition holds; it is looked at again and again.
func until(isolation: isolated (any Actor)? = #isolation, _ condition: () async throws -> Bool) async throws {
    while !(try await condition()) { try await Task.sleep(nanoseconds: 2_000_000) }
}

/// What it fails with.
func failure(_ body: () async throws -> Void) async throws -> KalamError {
    do {
        try await body()
    } catch let error as KalamError {
        return error
    }
    throw Failure("it should have failed")
}

struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// Throws when it takes longer than everything that is sound.
func soon<R: Sendable>(_ seconds: Double = 60, _ body: @escaping @Sendable () async throws -> R) async throws -> R {
    try await withThrowingTaskGroup(of: R.self) { group in
        group.addTask(operation: body)
        group.addTask {
            try await Task.sleep(nanoseconds: UInt64(seconds * 1e9))
            throw Failure("it takes more than \(seconds) s")
        }
        defer { group.cancelAll() }
        return try await group.next()!
    }
}

/// Checks that the changes, applied in order to the rows before, give these, object by object.
func checkReplay(_ before: [Row], _ rows: Rows<Row>) throws {
    var list = before
    for change in rows.changes {
        switch change {
        case .reset:
            #expect(rows.changes.count == 1)
            list = Array(rows)
        case .remove(let index, let row): #expect(list.remove(at: index) === row)
        case .insert(let index, let row): list.insert(row, at: index)
        case .update(let index, let row, let old):
            #expect(list[index] === old)
            list[index] = row
        }
    }
    try #require(list.count == rows.count)
    for (i, row) in rows.enumerated() {
        #expect(list[i] === row)
        #expect(rows[i] === row)
    }
}

/// A value that several tasks look at.
final class Shared<T: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: T

    init(_ value: T) { self.value = value }

    func get() -> T { lock.withLock { value } }

    func change<R>(_ body: (inout T) -> R) -> R { lock.withLock { body(&value) } }
}
