import Foundation
import KalamLiveNative

extension NativeHandle {
    /// Waits for the next packet and reads it; `nil` at the end. A task that is cancelled ends the handle at once, since Rust
    /// futures do not hear of it.
    func next<R>(_ max: UInt32, _ read: (Packet) throws -> R) async throws -> R? {
        while true {
            await withTaskCancellationHandler {
                await ready()
            } onCancel: {
                end()
            }
            guard let bytes = try translated({ try take(max: max) }) else { return nil }
            if !bytes.isEmpty { return try bytes.withUnsafeBytes { try read(Packet($0)) } }
        }
    }

    /// Waits for a call and reads its result.
    func result<R>(_ read: (Packet) throws -> R) async throws -> R {
        do {
            if let result = try await next(0, read) { return result }
        } catch let error as KalamError where error.code == "closed" && Task.isCancelled {
            throw CancellationError()
        }
        if Task.isCancelled { throw CancellationError() }
        throw KalamError(code: "closed", message: "the call was cancelled")
    }

    /// Waits for a call whose result is JSON.
    func answer<R: Decodable>(_ type: R.Type = R.self) async throws -> R {
        try await result { try JSONDecoder().decode(type, from: Data(($0.note(0) ?? "null").utf8)) }
    }

    /// Waits for a call without a result.
    func done() async throws { try await result { _ in } }

    /// The rows of a query.
    func rows<Element>(_ make: (Row) throws -> Element) async throws -> QueryResult<Element> {
        let reader = RowReader(self)
        return try await result { packet in
            try reader.readColumns(packet)
            let rows = try reader.readAll(packet, make)
            return QueryResult(
                rows: rows, columns: reader.columns, rowCount: Int(packet.double(0)), message: packet.note(2),
                truncated: packet.word(4) != 0)
        }
    }
}
