import Foundation
import KalamLiveNative
import Testing

@testable import KalamLive

private let columns =
    "id BIGINT PRIMARY KEY, b BOOLEAN, i INT, d DOUBLE, dec DECIMAL(18,4), t TEXT, ts TIMESTAMP, da DATE, ti TIME, u UUID, "
    + "js JSON, em EMBEDDING(3), by BYTES"
private let all = "id, b, i, d, dec, t, ts, da, ti, u, js, em, by"

@Suite struct ValuesTests {
    private let uuid = UUID(uuidString: "550e8400-e29b-41d4-a716-446655440000")!
    private let moment = Timestamp(microseconds: -1)
    private var cells: [Value] {
        [
            .int(.max - 1), .bool(true), .int(-7), .double(0.1), .decimal(Decimal(string: "12.34")!),
            .text("héllo 🙂 \"q\""), .timestamp(moment), .date(LocalDate(year: 1969, month: 7, day: 20)),
            .time(LocalTime(hour: 3, minute: 4, second: 5, microsecond: 6)), .uuid(uuid), .json(JSON(text: "{\"a\":1}")),
            .floats([1, -2.5, 0]), .bytes(Data([0, 255, 127])),
        ]
    }

    private func insert(_ client: KalamClient, _ ns: String, _ values: [Value]) async throws {
        let places = (1...values.count).map { "$\($0)" }.joined(separator: ", ")
        try await client.execute("INSERT INTO \(ns).t VALUES (\(places))", values.map { $0 })
    }

    @Test func everyTypeOfCellThereAndBack() async throws {
        let (client, ns) = try await place(columns)
        try await insert(client, ns, cells)
        try await insert(client, ns, [.int(2)] + [Value](repeating: .null, count: 12))
        let rows = try await client.query("SELECT \(all) FROM \(ns).t ORDER BY id")
        #expect(Array(rows[0]) == [.int(2)] + [Value](repeating: .null, count: 12))
        let row = rows[1]
        #expect(Array(row) == cells)
        #expect("\(rows)".hasPrefix("[{id: 2, b: null") && "\(rows)".hasSuffix("}]"))
        #expect(try row.int("id") == .max - 1)
        #expect(try row.bool("b") && row.int("i") == -7 && row.double("d") == 0.1)
        #expect(try row.decimal("dec") == Decimal(string: "12.34"))
        #expect(try row.timestamp("ts") == moment && row.date("da").description == "1969-07-20")
        #expect(try row.time("ti").description == "03:04:05.000006" && row.uuid("u") == uuid)
        #expect(try row.json("js").decode([String: Int].self) == ["a": 1])
        #expect(try row.floats("em") == [1, -2.5, 0] && row.bytes("by") == Data([0, 255, 127]))
        #expect(try await client.queryOne("SELECT \(all) FROM \(ns).t WHERE id = $1", [row["id"]]) == row)
        #expect(rows.columns[0].type == "BIGINT" && rows.columns[0].primaryKey)
        #expect(try await failure { _ = try row.int("t") }.code == "invalid_argument")
        #expect(try await failure { _ = try rows[0].text("t") }.code == "invalid_argument")
        #expect(try await failure { _ = try row.text("nothing") }.code == "invalid_argument")
        #expect(row["nothing"] == nil)
        await client.close()
    }

    @Test func daysOfTheCalendar() {
        for days in stride(from: -800_000, through: 800_000, by: 37) {
            let parts = LocalDate(days: days).components
            #expect(LocalDate(year: parts.year!, month: parts.month!, day: parts.day!).days == days)
        }
        #expect(LocalDate(year: 2000, month: 2, day: 29).days == 11_016)
        #expect(LocalDate(days: 0).description == "1970-01-01")
    }

    @Test func whatNoParameterCanBe() async throws {
        let (client, ns) = try await place("id BIGINT PRIMARY KEY, v TEXT")
        let wrong: [any Parameter] = [Double.nan, Float.infinity, Date.distantFuture + 1e300, [Float.nan]]
        for value in wrong {
            let failed = try await failure { try await client.execute("INSERT INTO \(ns).t VALUES (1, $1)", [value]) }
            #expect(failed.code == "invalid_argument" && failed.message.hasPrefix("parameter $1"))
        }
        try await client.execute("INSERT INTO \(ns).t VALUES ($1, $2)", [Int32(1), nil])
        #expect(try await client.queryOne("SELECT v FROM \(ns).t")?["v"] == .null)
        await client.close()
    }

    enum Kind: String, Decodable { case small, large }

    struct Nested: Decodable, Hashable { let a: Int }

    struct Thing: Decodable, Sendable {
        let id: Int64
        let i: Int32
        let t: Kind
        let d: Float
        let dec: Decimal
        let ts: Date
        let da: LocalDate
        let ti: LocalTime
        let u: UUID
        let js: Nested
        let em: [Float]
        let by: Data
        let b: Bool?
        let notThere: String?
    }

    struct Small: Decodable, Sendable { let id: Int8 }

    struct Raw: Decodable, Sendable {
        let js: JSON
        let ts: Timestamp
        let dec: String
        enum CodingKeys: String, CodingKey { case js, ts, dec }

        init(from decoder: any Decoder) throws {
            let row = try decoder.container(keyedBy: CodingKeys.self)
            dec = try row.decode(String.self, forKey: .dec)
            js = JSON(text: try row.decode(String.self, forKey: .js))
            ts = Timestamp(try row.decode(Date.self, forKey: .ts))!
        }
    }

    @Test func rowsBecomeTypes() async throws {
        let (client, ns) = try await place(columns)
        var given = cells
        given[1] = .null
        given[5] = .text("small")
        try await insert(client, ns, given)
        let thing = try #require(try await client.queryOne(Thing.self, "SELECT \(all) FROM \(ns).t"))
        #expect(thing.id == .max - 1 && thing.i == -7 && thing.t == .small && thing.d == 0.1)
        #expect(thing.dec == Decimal(string: "12.34") && thing.ts == moment.date && thing.u == uuid)
        #expect(thing.da == LocalDate(year: 1969, month: 7, day: 20) && thing.ti.components.minute == 4)
        #expect(thing.js == Nested(a: 1) && thing.em == [1, -2.5, 0] && thing.by == Data([0, 255, 127]))
        #expect(thing.b == nil && thing.notThere == nil)
        let raw = try await client.queryAll(Raw.self, "SELECT \(all) FROM \(ns).t")
        #expect(raw[0].js.text == "{\"a\":1}" && raw[0].ts == moment && raw[0].dec == "12.34")
        let row = try #require(try await client.queryOne("SELECT \(all) FROM \(ns).t"))
        #expect { try row.decode(Small.self) } throws: { "\($0)".contains("column \\\"id\\\"") || "\($0)".contains("id") }
        await client.close()
    }

    @Test func everyErrorCodeIsKnown() {
        #expect(Set(errorCodes()) == KalamError.codes)
    }
}
