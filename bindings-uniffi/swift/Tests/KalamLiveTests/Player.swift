import Foundation
import Testing

@testable import KalamLive

typealias Step = [String: Any]

/// What a task reads out of a sequence, one at a time, for a step to ask for.
private final class Reading<Element: Sendable>: Sendable {
    private let stream: AsyncThrowingStream<Element, any Error>
    private let task: Task<Void, Never>
    private let box: IteratorBox<Element>

    init<S: AsyncSequence & Sendable>(_ sequence: S) where S.Element == Element {
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: Element.self)
        self.stream = stream
        box = IteratorBox(stream)
        task = Task {
            do {
                for try await element in sequence { continuation.yield(element) }
                continuation.finish()
            } catch {
                continuation.finish(throwing: error)
            }
        }
    }

    func next() async throws -> Element? { try await box.next() }

    func close() async {
        task.cancel()
        await task.value
    }
}

/// Used by one step after the other.
private final class IteratorBox<Element: Sendable>: @unchecked Sendable {
    private var iterator: AsyncThrowingStream<Element, any Error>.Iterator

    init(_ stream: AsyncThrowingStream<Element, any Error>) { iterator = stream.makeAsyncIterator() }

    func next() async throws -> Element? { try await iterator.next() }
}

/// The state of one scenario. Steps are described in `tests/scenarios/README.md`.
final class Player {
    private let options: ConnectOptions
    private let isComplete: Bool
    private var clients: [String: KalamClient]
    private var lives: [String: Reading<Rows<Row>>] = [:]
    /// Waited for when it was opened, and not looked at yet.
    private var loaded: [String: Rows<Row>] = [:]
    private var shown: [String: Rows<Row>] = [:]
    private var streams: [String: Reading<KalamEvent<Row>>] = [:]
    private let checkpoints = Shared<[String: String]>([:])
    private var kept: [String: String] = [:]
    private let topics = TopicSteps()

    init(_ options: ConnectOptions, _ client: KalamClient, isComplete: Bool) {
        (self.options, self.isComplete) = (options, isComplete)
        clients = ["": client]
    }

    func leave() async {
        for live in lives.values { await live.close() }
        for stream in streams.values { await stream.close() }
        for (name, client) in clients where name != "" { await client.close() }
    }

    /// `what` is the key that comes first, which a dictionary does not keep.
    func play(_ what: String, _ step: Step) async throws {
        let expected = step["error"] as? String
        do {
            try await play(what, step, clients[step["on"] as? String ?? ""]!)
        } catch let error as KalamError {
            #expect(error.code == expected, "\(step): \(error)")
            return
        }
        #expect(expected == nil, "\(step) should fail")
    }

    private func play(_ what: String, _ step: Step, _ client: KalamClient) async throws {
        let of = step[what] as? String ?? ""
        switch what {
        case "execute":
            let affected = try await client.execute(of, params(step))
            if let expected = step["affected"] as? Int { #expect(affected == expected, "\(step)") }
        case "fill": try await fill(client, of, step["from"] as! Int, step["to"] as! Int)
        case "query": try await query(client, of, step)
        case "query_one":
            let row = try await client.queryOne(of, params(step))
            #expect(text(row.map(plain) ?? NSNull()) == text(step["row"]!), "\(step)")
        case "query_all":
            let rows = try await client.queryAll(of)
            let count = step["count"] as! Int
            let distinct = Set(rows.map { row -> Value in row[0] }).count
            #expect(rows.count == count && distinct == count, "\(step)")
        case "batch":
            let affected = try await client.batch((step["batch"] as! [String]).map { Statement($0) })
            if let expected = step["affected"] as? [Int] { #expect(affected == expected.reduce(0, +), "\(step)") }
        case "execute_with_files": try await upload(client, of, step)
        case "download_file":
            guard case .file(let file)? = try await client.queryOne(of)?[0] else { throw Failure("\(step): no file") }
            let download = try await client.downloadFile(file, table: step["table"] as! String)
            #expect(file.name == step["name"] as! String && download.mime == step["mime"] as? String, "\(step)")
            #expect(download.content == content(step), "\(step)")
        case "live":
            try await live(of, client.live(step["sql"] as! String, params(step), options: liveOptions(of, step)))
        case "live_table":
            try await live(of, client.liveTable(step["table"] as! String, options: liveOptions(of, step)))
        case "live_events":
            let events = Reading(
                client.liveEvents(step["sql"] as! String, params(step), options: eventOptions(of, step)))
            if step["error"] != nil { _ = try await events.next() }
            streams[of] = events
        case "rows": try await rows(client, of, step)
        case "phase": while "\(shown[of]!.phase)" != (step["is"] as! String) { try await show(of) }
        case "events":
            for (i, type) in (step["types"] as! [String]).enumerated() {
                let event = try #require(try await streams[of]!.next())
                let (name, rows) = told(event)
                #expect(name == type, "\(step)")
                #expect(text(rows.map(plain)) == text((step["rows"] as! [Any])[i]), "\(step)")
            }
        case "checkpoint":
            // Handed out before the rows or the event.
            kept[step["as"] as! String] = checkpoints.get()[of]!
        case "close" where topics.knows(of): try await topics.play(what, step, client)
        case _ where TopicSteps.kinds.contains(what): try await topics.play(what, step, client)
        case "close":
            await lives[of]?.close()
            await streams[of]?.close()
        case "cancel": try await client.cancelSubscription(of)
        case "ended":
            if let live = lives[of] { while try await live.next() != nil {} }
            if let stream = streams[of] { while try await stream.next() != nil {} }
        case "subscriptions":
            let expected = step["subscriptions"] as! [String]
            try await until { try await client.subscriptions().map(\.id) == expected }
        case "client":
            var other = options
            (other.user, other.password) = (step["user"] as? String, step["password"] as? String)
            clients[of] = try await KalamClient.connect(other)
        case "disconnect": try await client.disconnect()
        case "connect": try await client.connect()
        case "network_changed": client.networkChanged()
        case "health": #expect(try await client.health().status == "healthy")
        case "counters":
            try #require(of == "connects")
            #expect(try client.counters().connects == step["is"] as! Int)
        case "state":
            let wanted = step["state"] as! String
            for await state in client.states where state.rawValue == wanted { break }
        default: throw Failure("there is no step \(what)")
        }
    }

    // MARK: Statements

    private func fill(_ client: KalamClient, _ table: String, _ from: Int, _ to: Int) async throws {
        for start in stride(from: from, to: to, by: 300) {
            let values = (start..<min(start + 300, to)).map { "(\($0), 'v\($0)')" }.joined(separator: ", ")
            try await client.execute("INSERT INTO \(table) (id, v) VALUES \(values)")
        }
    }

    private func query(_ client: KalamClient, _ sql: String, _ step: Step) async throws {
        let result =
            if let user = step["as_user"] as? String {
                try await client.asUser(user).query(sql, params(step))
            } else {
                try await client.query(sql, params(step))
            }
        if let types = step["types"] as? [String] { #expect(result.columns.map(\.type) == types, "\(step)") }
        if let names = step["columns"] as? [String] { #expect(result.columns.map(\.name) == names, "\(step)") }
        if let rows = step["rows"] { #expect(text(try result.map(wire)) == text(rows), "\(step)") }
    }

    private func upload(_ client: KalamClient, _ sql: String, _ step: Step) async throws {
        let files = (step["files"] as! [String: Step]).mapValues { file in
            FileUpload(content(file), name: file["name"] as? String, mime: file["mime"] as? String)
        }
        let last = Shared<UploadProgress?>(nil)
        let affected = try await client.executeWithFiles(sql, params(step), files: files) { progress in
            last.change { $0 = progress }
        }
        #expect(affected == step["affected"] as? Int, "\(step)")
        let total = files.values.reduce(0) { $0 + $1.content.count }
        #expect(last.get() == UploadProgress(sentBytes: total, totalBytes: total), "\(step)")
    }

    private func content(_ file: Step) -> Data {
        if let text = file["text"] as? String { return Data(text.utf8) }
        return Data((0..<(file["bytes"] as! Int)).map { UInt8($0 * 31 % 251) })
    }

    private func params(_ step: Step) -> [(any Parameter)?] {
        (step["params"] as? [Any] ?? []).map { value in
            switch value {
            case is NSNull: nil
            case let value as String: value
            case let value as NSNumber: number(value)
            case let value as [String: [NSNumber]]: Data((value["bytes"] ?? []).map(\.uint8Value))
            default: JSON(text: text(value))
            }
        }
    }

    private func number(_ value: NSNumber) -> any Parameter {
        if isBoolean(value) { return value.boolValue }
        return value.doubleValue == value.doubleValue.rounded() ? value.int64Value : value.doubleValue
    }

    // MARK: Subscriptions

    private func from(_ options: Step) -> String? {
        if let from = options["from"] as? Step { return kept[from["checkpoint"] as! String]! }
        return options["from"].map { "\($0)" }
    }

    private func liveOptions(_ name: String, _ step: Step) -> LiveOptions {
        let given = step["options"] as? Step ?? [:]
        var options = LiveOptions()
        options.id = given["id"] as? String
        options.lastRows = given["last_rows"] as? Int
        options.batchSize = given["batch_size"] as? Int
        options.from = from(given)
        options.limit = given["limit"] as? Int
        options.keyColumns = given["key_columns"] as? [String]
        options.orderBy = given["order_by"] as? String
        options.partial = given["partial"] as? Bool ?? false
        if let verify = given["verify"] as? NSNumber {
            options.verify = !isBoolean(verify) ? .every(verify.doubleValue) : verify.boolValue ? .auto : .off
        }
        options.onCheckpoint = { [checkpoints] checkpoint in checkpoints.change { $0[name] = checkpoint } }
        return options
    }

    private func eventOptions(_ name: String, _ step: Step) -> EventOptions {
        let given = step["options"] as? Step ?? [:]
        var options = EventOptions()
        options.id = given["id"] as? String
        options.lastRows = given["last_rows"] as? Int
        options.batchSize = given["batch_size"] as? Int
        options.from = from(given)
        options.initialData = given["initial_data"] as? Bool ?? true
        options.onCheckpoint = { [checkpoints] checkpoint in checkpoints.change { $0[name] = checkpoint } }
        return options
    }

    private func live(_ name: String, _ rows: LiveRows<Row>) async throws {
        let reading = Reading(rows)
        loaded[name] = try await reading.next()
        lives[name] = reading
    }

    private func show(_ name: String) async throws {
        let next =
            if let first = loaded.removeValue(forKey: name) { first } else { try await lives[name]!.next() }
        let rows = try #require(next, "\(name) has ended")
        try checkReplay(shown[name].map { Array($0) } ?? [], rows)
        shown[name] = rows
    }

    private func rows(_ client: KalamClient, _ name: String, _ step: Step) async throws {
        var given = step["are"] as? [Any] ?? []
        var asSet = step["order"] as? String == "complete" && !isComplete
        if let select = step["equal_select"] as? String {
            given = try await client.queryAll(select).map(wire)
            asSet = true
        }
        func listed(_ rows: [Any]) -> [String] { asSet ? rows.map(text).sorted() : rows.map(text) }
        let expected = listed(given)
        func seen() throws -> [String]? { try shown[name].map { listed(try $0.map(wire)) } }
        // A player that waits for ever is ended by its limit, and this says for what.
        let deadline = Date(timeIntervalSinceNow: 10)
        while try seen() != expected || shown[name]!.phase == .loading {
            if Date() > deadline { break }
            try await show(name)
        }
        #expect(try seen() == expected, "\(step)")
    }
}

private func told(_ event: KalamEvent<Row>) -> (String, [Row]) {
    switch event.kind {
    case .ack: ("ack", [])
    case .initialDataBatch(let rows, _): ("initial_data_batch", rows)
    case .insert(let rows): ("insert", rows)
    case .update(let rows, _): ("update", rows)
    case .delete(let rows): ("delete", rows)
    case .resumed: ("resumed", [])
    case .gapPossible: ("gap_possible", [])
    case .lagged: ("lagged", [])
    case .unknown: ("unknown", [])
    }
}

private func isBoolean(_ number: NSNumber) -> Bool { String(cString: number.objCType) == "c" }

/// JSON whose texts can be compared.
func text(_ value: Any) -> String {
    let options: JSONSerialization.WritingOptions = [.fragmentsAllowed, .sortedKeys]
    guard let data = try? JSONSerialization.data(withJSONObject: value, options: options) else { return "\(value)" }
    return String(decoding: data, as: UTF8.self)
}

/// Cells without a scheme of columns: those of events and single rows.
func plain(_ row: Row) -> Any {
    row.map { cell -> Any in
        switch cell {
        case .null: NSNull()
        case .bool(let value): value
        case .int(let value): value
        case .double(let value): value
        case .text(let value): value
        default: "\(cell)"
        }
    }
}

private func wire(_ row: Row) throws -> Any {
    try zip(row.columns, row).map { try wire($1, $0.type) }
}

/// A cell as the wire writes it, which only the value of its column type becomes.
private func wire(_ cell: Value, _ type: String) throws -> Any {
    switch (String(type.prefix { $0 != "(" }), cell) {
    case (_, .null): return NSNull()
    case ("BOOLEAN", .bool(let value)): return value
    case ("SMALLINT", .int(let value)), ("INT", .int(let value)): return value
    case ("BIGINT", .int(let value)): return "\(value)"
    case ("FLOAT", .double(let value)), ("DOUBLE", .double(let value)): return value
    case ("DECIMAL", .decimal(let value)): return padded(value, scale: Int(type.split(separator: ",")[1].dropLast())!)
    case ("TEXT", .text(let value)): return value
    case ("UUID", .uuid(let value)): return value.uuidString.lowercased()
    case ("TIMESTAMP", .timestamp(let value)), ("DATETIME", .timestamp(let value)): return value.microseconds
    case ("DATE", .date(let value)): return value.days
    case ("TIME", .time(let value)): return value.microseconds
    case ("JSON", .json(let value)): return try value.object()
    case ("BYTES", .bytes(let value)): return value.map { Int($0) }
    case ("EMBEDDING", .floats(let value)): return value.map { Double($0) }
    default: throw Failure("\(cell) is not what a \(type) column gives")
    }
}

/// With the zeros at the end that a `Decimal` does not keep.
private func padded(_ value: Decimal, scale: Int) -> String {
    let text = "\(value)"
    let digits = text.split(separator: ".").dropFirst().first?.count ?? 0
    return text + (digits == 0 && scale > 0 ? "." : "") + String(repeating: "0", count: scale - digits)
}
