import Foundation

/// A column of rows.
public struct Column: Sendable, Hashable, Codable {
    /// As it is selected.
    public let name: String
    /// As SQL spells it: `BIGINT`, `DECIMAL(18,4)`.
    public let type: String
    /// Whether it is of the primary key.
    public let primaryKey: Bool
    /// Whether it is never NULL.
    public let notNull: Bool
}

/// The columns of rows, which share one of these.
public final class Columns: Sendable, RandomAccessCollection {
    private let list: [Column]
    private let places: [String: Int]

    init(_ list: [Column]) {
        self.list = list
        places = Dictionary(list.enumerated().map { ($1.name, $0) }, uniquingKeysWith: { _, last in last })
    }

    convenience init(json: String) throws {
        self.init(try JSONDecoder().decode([Column].self, from: Data(json.utf8)))
    }

    static let none = Columns([])

    public var startIndex: Int { 0 }
    public var endIndex: Int { list.count }
    public subscript(index: Int) -> Column { list[index] }

    /// The place of the column.
    public func place(of name: String) -> Int? { places[name] }
}

/// A row that can not be changed. Its cells follow the types of the columns: see ``Value``.
///
/// `row["body"]` is the cell as it is, `row.text("body")` and its like say which type it has. In live rows an unchanged row is
/// the same object (`===`) in the next ones.
public final class Row: Sendable, Hashable, RandomAccessCollection, CustomStringConvertible {
    public let columns: Columns
    private let cells: [Value]

    init(_ columns: Columns, _ cells: [Value]) {
        self.columns = columns
        self.cells = cells
    }

    public var startIndex: Int { 0 }
    public var endIndex: Int { cells.count }
    public subscript(index: Int) -> Value { cells[index] }

    /// The cell; nil when there is no such column.
    public subscript(column: String) -> Value? { columns.place(of: column).map { cells[$0] } }

    /// Throws `invalid_argument` when the cell is NULL or of another type, or there is no such column, here and below.
    public func bool(_ column: String) throws -> Bool {
        guard case .bool(let value) = try cell(column) else { throw wrong(column, "a boolean") }
        return value
    }

    public func int(_ column: String) throws -> Int64 {
        guard case .int(let value) = try cell(column) else { throw wrong(column, "an integer") }
        return value
    }

    public func double(_ column: String) throws -> Double {
        guard case .double(let value) = try cell(column) else { throw wrong(column, "a floating-point number") }
        return value
    }

    public func decimal(_ column: String) throws -> Decimal {
        guard case .decimal(let value) = try cell(column) else { throw wrong(column, "a decimal") }
        return value
    }

    public func text(_ column: String) throws -> String {
        guard case .text(let value) = try cell(column) else { throw wrong(column, "a text") }
        return value
    }

    public func timestamp(_ column: String) throws -> Timestamp {
        guard case .timestamp(let value) = try cell(column) else { throw wrong(column, "a timestamp") }
        return value
    }

    public func date(_ column: String) throws -> LocalDate {
        guard case .date(let value) = try cell(column) else { throw wrong(column, "a date") }
        return value
    }

    public func time(_ column: String) throws -> LocalTime {
        guard case .time(let value) = try cell(column) else { throw wrong(column, "a time") }
        return value
    }

    public func uuid(_ column: String) throws -> UUID {
        guard case .uuid(let value) = try cell(column) else { throw wrong(column, "a UUID") }
        return value
    }

    public func json(_ column: String) throws -> JSON {
        guard case .json(let value) = try cell(column) else { throw wrong(column, "JSON") }
        return value
    }

    public func bytes(_ column: String) throws -> Data {
        guard case .bytes(let value) = try cell(column) else { throw wrong(column, "bytes") }
        return value
    }

    public func floats(_ column: String) throws -> [Float] {
        guard case .floats(let value) = try cell(column) else { throw wrong(column, "an embedding") }
        return value
    }

    public func file(_ column: String) throws -> FileRef {
        guard case .file(let value) = try cell(column) else { throw wrong(column, "a file") }
        return value
    }

    private func cell(_ column: String) throws -> Value {
        guard let cell = self[column] else {
            let names = columns.map(\.name).joined(separator: ", ")
            throw KalamError.invalid("there is no column \"\(column)\": there are \(names)")
        }
        return cell
    }

    private func wrong(_ column: String, _ wanted: String) -> KalamError {
        let type = columns.place(of: column).map { columns[$0].type } ?? ""
        let found = self[column] == .null ? "NULL" : "of another type"
        return .invalid("the cell of \"\(column)\" (\(type)) is \(found), not \(wanted)")
    }

    public static func == (one: Row, other: Row) -> Bool {
        one === other || (one.cells == other.cells && one.hasNames(of: other))
    }

    private func hasNames(of other: Row) -> Bool {
        columns === other.columns || columns.map(\.name) == other.columns.map(\.name)
    }

    public func hash(into hasher: inout Hasher) { hasher.combine(cells) }

    public var description: String {
        "{" + zip(columns, cells).map { "\($0.name): \(show($1))" }.joined(separator: ", ") + "}"
    }

    private func show(_ value: Value) -> String {
        switch value {
        case .null: "null"
        case .bool(let value): "\(value)"
        case .int(let value): "\(value)"
        case .double(let value): "\(value)"
        case .decimal(let value): "\(value)"
        case .text(let value): "\"\(value)\""
        case .timestamp(let value): "\(value.date)"
        case .date(let value): "\(value)"
        case .time(let value): "\(value)"
        case .uuid(let value): "\(value)"
        case .json(let value): "\(value)"
        case .bytes(let value): "\(value.count) bytes"
        case .floats(let value): "\(value)"
        case .file(let value): "\(value.name)"
        }
    }
}
