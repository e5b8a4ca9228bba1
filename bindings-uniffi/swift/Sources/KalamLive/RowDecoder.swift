import Foundation

/// What makes a `T` of a row: each property from the column of its name, whatever else the row has.
///
/// Integers fit into the property's type or fail; a TIMESTAMP is a `Date` or a ``Timestamp``; a JSON column becomes any
/// `Decodable`.
func rowDecoder<T: Decodable>(_ type: T.Type) -> (Row) throws -> T {
    { row in try T(from: RowDecoder(row: row)) }
}

extension Row {
    /// The row as a `T`.
    public func decode<T: Decodable>(_ type: T.Type = T.self) throws -> T { try T(from: RowDecoder(row: self)) }
}

private struct RowDecoder: Decoder {
    let row: Row
    var codingPath: [any CodingKey] { [] }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) -> KeyedDecodingContainer<Key> {
        KeyedDecodingContainer(RowContainer<Key>(row: row))
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { throw notAList }

    func singleValueContainer() throws -> any SingleValueDecodingContainer {
        if row.count == 1 { return CellContainer(cell: row[0], key: nil) }
        throw notAList
    }

    private var notAList: DecodingError {
        .typeMismatch(
            [Value].self, .init(codingPath: [], debugDescription: "a row is made a type with a property a column"))
    }
}

private struct RowContainer<Key: CodingKey>: KeyedDecodingContainerProtocol {
    let row: Row
    var codingPath: [any CodingKey] { [] }
    var allKeys: [Key] { row.columns.compactMap { Key(stringValue: $0.name) } }

    func contains(_ key: Key) -> Bool { row.columns.place(of: key.stringValue) != nil }

    private func cell(_ key: Key) throws -> CellContainer {
        guard let place = row.columns.place(of: key.stringValue) else {
            let message = "there is no column \"\(key.stringValue)\""
            throw DecodingError.keyNotFound(key, .init(codingPath: [], debugDescription: message))
        }
        return CellContainer(cell: row[place], key: key)
    }

    func decodeNil(forKey key: Key) throws -> Bool { try cell(key).decodeNil() }
    func decode(_ type: Bool.Type, forKey key: Key) throws -> Bool { try cell(key).decode(type) }
    func decode(_ type: String.Type, forKey key: Key) throws -> String { try cell(key).decode(type) }
    func decode(_ type: Double.Type, forKey key: Key) throws -> Double { try cell(key).decode(type) }
    func decode(_ type: Float.Type, forKey key: Key) throws -> Float { try cell(key).decode(type) }
    func decode(_ type: Int.Type, forKey key: Key) throws -> Int { try cell(key).integer(type) }
    func decode(_ type: Int8.Type, forKey key: Key) throws -> Int8 { try cell(key).integer(type) }
    func decode(_ type: Int16.Type, forKey key: Key) throws -> Int16 { try cell(key).integer(type) }
    func decode(_ type: Int32.Type, forKey key: Key) throws -> Int32 { try cell(key).integer(type) }
    func decode(_ type: Int64.Type, forKey key: Key) throws -> Int64 { try cell(key).integer(type) }
    func decode(_ type: UInt.Type, forKey key: Key) throws -> UInt { try cell(key).integer(type) }
    func decode(_ type: UInt8.Type, forKey key: Key) throws -> UInt8 { try cell(key).integer(type) }
    func decode(_ type: UInt16.Type, forKey key: Key) throws -> UInt16 { try cell(key).integer(type) }
    func decode(_ type: UInt32.Type, forKey key: Key) throws -> UInt32 { try cell(key).integer(type) }
    func decode(_ type: UInt64.Type, forKey key: Key) throws -> UInt64 { try cell(key).integer(type) }
    func decode<T: Decodable>(_ type: T.Type, forKey key: Key) throws -> T { try cell(key).decode(type) }

    func nestedContainer<Nested: CodingKey>(
        keyedBy type: Nested.Type, forKey key: Key
    ) throws -> KeyedDecodingContainer<Nested> { throw try cell(key).wrong("an object") }

    func nestedUnkeyedContainer(forKey key: Key) throws -> any UnkeyedDecodingContainer {
        throw try cell(key).wrong("a list")
    }

    func superDecoder() throws -> any Decoder { RowDecoder(row: row) }
    func superDecoder(forKey key: Key) throws -> any Decoder { RowDecoder(row: row) }
}

/// One cell: what is decoded from it is in no container of its own.
private struct CellContainer: SingleValueDecodingContainer {
    let cell: Value
    let key: (any CodingKey)?
    var codingPath: [any CodingKey] { key.map { [$0] } ?? [] }

    func wrong(_ wanted: String) -> DecodingError {
        let found = cell == .null ? "NULL" : "\(cell)"
        let column = key.map { "column \"\($0.stringValue)\"" } ?? "the column"
        return .dataCorrupted(
            .init(codingPath: codingPath, debugDescription: "\(column) has \(found), which is not \(wanted)"))
    }

    func decodeNil() -> Bool { cell == .null }

    func decode(_ type: Bool.Type) throws -> Bool {
        guard case .bool(let value) = cell else { throw wrong("a boolean") }
        return value
    }

    func decode(_ type: String.Type) throws -> String {
        switch cell {
        case .text(let value): value
        case .decimal(let value): "\(value)"
        case .date(let value): "\(value)"
        case .time(let value): "\(value)"
        case .uuid(let value): value.uuidString.lowercased()
        case .json(let value): value.text
        default: throw wrong("a text")
        }
    }

    func decode(_ type: Double.Type) throws -> Double {
        switch cell {
        case .double(let value): value
        case .int(let value): Double(value)
        case .decimal(let value): NSDecimalNumber(decimal: value).doubleValue
        default: throw wrong("a number")
        }
    }

    func decode(_ type: Float.Type) throws -> Float { Float(try decode(Double.self)) }

    func integer<T: FixedWidthInteger>(_ type: T.Type) throws -> T {
        guard case .int(let value) = cell else { throw wrong("an integer") }
        guard let value = T(exactly: value) else { throw wrong("in \(T.min)...\(T.max)") }
        return value
    }

    func decode(_ type: Int.Type) throws -> Int { try integer(type) }
    func decode(_ type: Int8.Type) throws -> Int8 { try integer(type) }
    func decode(_ type: Int16.Type) throws -> Int16 { try integer(type) }
    func decode(_ type: Int32.Type) throws -> Int32 { try integer(type) }
    func decode(_ type: Int64.Type) throws -> Int64 { try integer(type) }
    func decode(_ type: UInt.Type) throws -> UInt { try integer(type) }
    func decode(_ type: UInt8.Type) throws -> UInt8 { try integer(type) }
    func decode(_ type: UInt16.Type) throws -> UInt16 { try integer(type) }
    func decode(_ type: UInt32.Type) throws -> UInt32 { try integer(type) }
    func decode(_ type: UInt64.Type) throws -> UInt64 { try integer(type) }

    func decode<T: Decodable>(_ type: T.Type) throws -> T {
        if let value = native() as? T { return value }
        switch cell {
        case .timestamp(let value) where type == Date.self: return value.date as! T
        case .json(let json): return try json.decode(type)
        case .int(let value) where type == Decimal.self: return Decimal(value) as! T
        default: return try T(from: CellDecoder(container: self))
        }
    }

    /// The value in the type that Swift has for it.
    private func native() -> Any? {
        switch cell {
        case .decimal(let value): value
        case .timestamp(let value): value
        case .date(let value): value
        case .time(let value): value
        case .uuid(let value): value
        case .json(let value): value
        case .bytes(let value): value
        case .floats(let value): value
        case .file(let value): value
        default: nil
        }
    }
}

private struct CellDecoder: Decoder {
    let container: CellContainer
    var codingPath: [any CodingKey] { container.codingPath }
    var userInfo: [CodingUserInfoKey: Any] { [:] }

    func container<Key: CodingKey>(keyedBy type: Key.Type) throws -> KeyedDecodingContainer<Key> {
        throw container.wrong("an object")
    }

    func unkeyedContainer() throws -> any UnkeyedDecodingContainer { throw container.wrong("a list") }

    func singleValueContainer() -> any SingleValueDecodingContainer { container }
}
