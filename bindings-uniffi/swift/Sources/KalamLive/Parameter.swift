import Foundation

/// What a parameter `$1`, `$2`, ... can be; `nil` is NULL.
///
/// | Swift | parameter |
/// |---|---|
/// | `Bool`, `String` | BOOLEAN, TEXT |
/// | integers | BIGINT |
/// | `Float`, `Double` | DOUBLE |
/// | `Date`, `Timestamp` | TIMESTAMP |
/// | `Decimal`, `UUID`, `LocalDate`, `LocalTime` | their text |
/// | `[Float]`, `JSON` | EMBEDDING, JSON |
public protocol Parameter: Sendable {
    var parameter: Value { get }
}

extension Value: Parameter { public var parameter: Value { self } }
extension Bool: Parameter { public var parameter: Value { .bool(self) } }
extension String: Parameter { public var parameter: Value { .text(self) } }
extension Int: Parameter { public var parameter: Value { .int(Int64(self)) } }
extension Int64: Parameter { public var parameter: Value { .int(self) } }
extension Int32: Parameter { public var parameter: Value { .int(Int64(self)) } }
extension Int16: Parameter { public var parameter: Value { .int(Int64(self)) } }
extension Double: Parameter { public var parameter: Value { .double(self) } }
extension Float: Parameter { public var parameter: Value { .double(Double(self)) } }
extension Decimal: Parameter { public var parameter: Value { .decimal(self) } }
extension UUID: Parameter { public var parameter: Value { .uuid(self) } }
extension Timestamp: Parameter { public var parameter: Value { .timestamp(self) } }
extension LocalDate: Parameter { public var parameter: Value { .date(self) } }
extension LocalTime: Parameter { public var parameter: Value { .time(self) } }
extension JSON: Parameter { public var parameter: Value { .json(self) } }
extension Data: Parameter { public var parameter: Value { .bytes(self) } }
extension [Float]: Parameter { public var parameter: Value { .floats(self) } }
extension Date: Parameter {
    // One that is too far away is refused when it is written.
    public var parameter: Value { Timestamp(self).map { .timestamp($0) } ?? .double(.nan) }
}

/// Parameters as JSON with their types, for `bindings-common/src/params.rs`.
func encode(_ params: [(any Parameter)?]) throws -> String? {
    if params.isEmpty { return nil }
    let parts = try params.enumerated().map { i, value in
        try encode(value?.parameter ?? .null, where: "parameter $\(i + 1)")
    }
    return "[\(parts.joined(separator: ","))]"
}

private func encode(_ value: Value, where place: String) throws -> String {
    switch value {
    case .null: "null"
    case .bool(let value): value ? "true" : "false"
    case .int(let value): "{\"int\":\"\(value)\"}"
    case .double(let value): "{\"float\":\(try finite(value, place))}"
    case .decimal(let value): quoted("\(value)")
    case .text(let value): quoted(value)
    case .timestamp(let value): "{\"timestamp\":\"\(value.microseconds)\"}"
    case .date(let value): quoted("\(value)")
    case .time(let value): quoted("\(value)")
    case .uuid(let value): quoted(value.uuidString.lowercased())
    case .json(let value): "{\"json\":\(quoted(value.text))}"
    case .bytes(let value): "{\"bytes\":\"\(value.base64EncodedString())\"}"
    case .floats(let value):
        "{\"embedding\":[\(try value.map { try finite(Double($0), place) }.joined(separator: ","))]}"
    case .file: throw KalamError.invalid("\(place) is a file, which is uploaded rather than written")
    }
}

private func finite(_ number: Double, _ place: String) throws -> String {
    if !number.isFinite { throw KalamError.invalid("\(place) is \(number), which is no finite number or moment") }
    return "\(number)"
}

private func quoted(_ text: String) -> String {
    // A text can not fail to be JSON.
    String(decoding: (try? JSONEncoder().encode(text)) ?? Data("\"\"".utf8), as: UTF8.self)
}
