import KalamLiveNative

/// One thing that a subscription told, in the order in which the server told it.
public struct KalamEvent<Element: Sendable>: Sendable {
    public enum Kind: Sendable {
        /// The server has accepted the subscription.
        case ack
        /// A page of the rows as they were at the start.
        case initialDataBatch(rows: [Element], hasMore: Bool)
        case insert(rows: [Element])
        /// `oldRows`: for each row the key and the changed columns as they were.
        case update(rows: [Element], oldRows: [Row])
        /// `rows`: as they were.
        case delete(rows: [Element])
        /// The subscription goes on after a lost connection; nothing is missing, nothing comes twice.
        case resumed
        /// `message`: what may be missing, for a person.
        case gapPossible(message: String)
        /// The reader was too slow: so many events were dropped. The subscription goes on after the last one before.
        case lagged(dropped: Int)
        /// What a newer server tells.
        case unknown
    }

    public let kind: Kind
    /// The newest write that it tells of.
    public let lastSeqID: Int64?
    private let version: Int64?
    private let spelling: Spelling

    /// Where to go on after this event: keep it, and give it back as `from`. `nil` before the first rows, and between the pages
    /// of what it begins with.
    public var checkpoint: String? { version.map { "\(spelling.before)\($0)\(spelling.after)" } }

    init(_ kind: Kind, lastSeqID: Int64?, version: Int64?, spelling: Spelling) {
        (self.kind, self.lastSeqID, self.version, self.spelling) = (kind, lastSeqID, version, spelling)
    }
}

/// A checkpoint but for its version, which is in the middle.
struct Spelling: Sendable {
    var before = ""
    var after = ""
}

/// Makes events of packets.
final class EventReader<Element: Sendable> {
    private let reader: RowReader
    private let make: (Row) throws -> Element
    private var spelling = Spelling()
    /// Words of an event in the lists.
    private let words = 14

    init(_ handle: NativeHandle, _ make: @escaping (Row) throws -> Element) {
        reader = RowReader(handle)
        self.make = make
    }

    func read(_ packet: Packet) throws -> [KalamEvent<Element>] {
        try reader.readColumns(packet)
        var rows: [Row] = []
        rows.reserveCapacity(packet.rows)
        try reader.read(packet) { rows.append($0) }
        var next = 0
        func take(_ count: Int) -> ArraySlice<Row> {
            defer { next += count }
            return rows[next..<next + count]
        }
        return try (0..<packet.listed / words).map { i in
            let at = i * words
            let own = take(packet.word(at + 1))
            let old = take(packet.word(at + 2))
            if let text = packet.note(at + 12) {
                let parts = text.split(separator: "\n", omittingEmptySubsequences: false)
                spelling = Spelling(before: String(parts[0]), after: parts.count > 1 ? String(parts[1]) : "")
            }
            return KalamEvent(
                try kind(packet, at, own, old), lastSeqID: packet.version(at + 4), version: packet.version(at + 10),
                spelling: spelling)
        }
    }

    private func kind(
        _ packet: Packet, _ at: Int, _ rows: ArraySlice<Row>, _ old: ArraySlice<Row>
    ) throws -> KalamEvent<Element>.Kind {
        switch packet.word(at) {
        case 0: .ack
        case 1: .initialDataBatch(rows: try rows.map(make), hasMore: packet.word(at + 3) != 0)
        case 2: .insert(rows: try rows.map(make))
        case 3: .update(rows: try rows.map(make), oldRows: Array(old))
        case 4: .delete(rows: try rows.map(make))
        case 5: .resumed
        case 6: .gapPossible(message: packet.note(at + 8) ?? "")
        case 7: .lagged(dropped: Int(packet.double(at + 6)))
        default: .unknown
        }
    }
}
