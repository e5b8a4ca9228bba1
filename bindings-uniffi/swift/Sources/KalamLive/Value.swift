import Foundation

/// One cell. Which case it is follows the type of its column.
public enum Value: Sendable, Hashable {
    case null
    /// BOOLEAN.
    case bool(Bool)
    /// SMALLINT, INT, BIGINT.
    case int(Int64)
    /// FLOAT, DOUBLE.
    case double(Double)
    /// DECIMAL.
    case decimal(Decimal)
    /// TEXT.
    case text(String)
    /// TIMESTAMP, DATETIME.
    case timestamp(Timestamp)
    /// DATE.
    case date(LocalDate)
    /// TIME.
    case time(LocalTime)
    /// UUID.
    case uuid(UUID)
    /// JSON, and types that this version does not know.
    case json(JSON)
    /// BYTES.
    case bytes(Data)
    /// EMBEDDING.
    case floats([Float])
    /// FILE: where the file is, not its bytes.
    case file(FileRef)

    public var isNull: Bool { self == .null }
}

/// A moment, to the microsecond.
public struct Timestamp: Sendable, Hashable, Comparable {
    /// Since 1970-01-01T00:00:00Z.
    public let microseconds: Int64

    public init(microseconds: Int64) { self.microseconds = microseconds }

    /// The nearest microsecond; nil beyond what 64 bits of them hold.
    public init?(_ date: Date) {
        guard let microseconds = Int64(exactly: (date.timeIntervalSince1970 * 1_000_000).rounded()) else { return nil }
        self.microseconds = microseconds
    }

    public var date: Date { Date(timeIntervalSince1970: Double(microseconds) / 1_000_000) }

    public static func < (one: Timestamp, other: Timestamp) -> Bool { one.microseconds < other.microseconds }
}

/// A day, without time and time zone.
public struct LocalDate: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
    /// Since 1970-01-01.
    public let days: Int

    public init(days: Int) { self.days = days }

    public init(year: Int, month: Int, day: Int) {
        // Days of the proleptic Gregorian calendar, counted in years that begin in March.
        let shifted = month <= 2 ? year - 1 : year
        let era = (shifted >= 0 ? shifted : shifted - 399) / 400
        let yearOfEra = shifted - era * 400
        let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
        days = era * 146_097 + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - 719_468
    }

    public var components: DateComponents {
        let shifted = days + 719_468
        let era = (shifted >= 0 ? shifted : shifted - 146_096) / 146_097
        let dayOfEra = shifted - era * 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let fromMarch = (5 * dayOfYear + 2) / 153
        let month = fromMarch < 10 ? fromMarch + 3 : fromMarch - 9
        let year = yearOfEra + era * 400 + (month <= 2 ? 1 : 0)
        return DateComponents(year: year, month: month, day: dayOfYear - (153 * fromMarch + 2) / 5 + 1)
    }

    public var description: String {
        let parts = components
        return String(format: "%04d-%02d-%02d", parts.year!, parts.month!, parts.day!)
    }

    public static func < (one: LocalDate, other: LocalDate) -> Bool { one.days < other.days }
}

/// A time of the day, to the microsecond, without time zone.
public struct LocalTime: Sendable, Hashable, Comparable, Codable, CustomStringConvertible {
    /// Since midnight.
    public let microseconds: Int64

    public init(microseconds: Int64) { self.microseconds = microseconds }

    public init(hour: Int, minute: Int, second: Int = 0, microsecond: Int = 0) {
        microseconds = Int64(((hour * 60 + minute) * 60 + second)) * 1_000_000 + Int64(microsecond)
    }

    public var components: DateComponents {
        let seconds = Int(microseconds / 1_000_000)
        return DateComponents(
            hour: seconds / 3600, minute: seconds / 60 % 60, second: seconds % 60,
            nanosecond: Int(microseconds % 1_000_000) * 1000)
    }

    public var description: String {
        let parts = components
        let whole = String(format: "%02d:%02d:%02d", parts.hour!, parts.minute!, parts.second!)
        let rest = microseconds % 1_000_000
        return rest == 0 ? whole : whole + String(format: ".%06d", Int(rest))
    }

    public static func < (one: LocalTime, other: LocalTime) -> Bool { one.microseconds < other.microseconds }
}

/// A JSON cell, read when it is asked for.
public struct JSON: Sendable, Hashable, CustomStringConvertible {
    public let text: String

    public init(text: String) { self.text = text }

    /// Whatever can be written as JSON.
    public init(_ value: some Encodable) throws {
        text = String(decoding: try JSONEncoder().encode(value), as: UTF8.self)
    }

    public func decode<T: Decodable>(_ type: T.Type = T.self) throws -> T {
        try JSONDecoder().decode(type, from: Data(text.utf8))
    }

    /// As dictionaries, arrays, strings, numbers and `NSNull`.
    public func object() throws -> Any {
        try JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)
    }

    public var description: String { text }
}

/// What a FILE column holds: where the bytes are.
public struct FileRef: Sendable, Hashable, Codable {
    /// The server's id of the stored file.
    public let id: String
    /// The sub-directory that the server put it in.
    public let sub: String
    /// File name as uploaded.
    public let name: String
    /// In bytes.
    public let size: Int64
    /// MIME type.
    public let mime: String
    /// Of the bytes, in hexadecimal.
    public let sha256: String
}
