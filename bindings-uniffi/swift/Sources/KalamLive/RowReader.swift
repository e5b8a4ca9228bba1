import Foundation
import KalamLiveNative

/// The tags of `bindings-common/src/packet.rs`; one more is text that is not ASCII.
private enum Tag {
    static let null: UInt8 = 0
    static let no: UInt8 = 1
    static let yes: UInt8 = 2
    static let number: UInt8 = 3
    static let bigint: UInt8 = 4
    static let timestamp: UInt8 = 5
    static let text: UInt8 = 6
    static let json: UInt8 = 8
    static let bytes: UInt8 = 10
    static let embedding: UInt8 = 11
    static let absent: UInt8 = 12
    static let decimal: UInt8 = 14
    static let file: UInt8 = 16
    static let date: UInt8 = 18
    static let time: UInt8 = 19
    static let uuid: UInt8 = 20
}

/// Makes rows of the packets of one handle. Read by one task at a time.
final class RowReader {
    private let handle: NativeHandle?
    private(set) var columns: Columns
    /// Of old rows: the columns that are there, by which ones.
    private var parts: [[Int]: Columns] = [:]

    init(_ handle: NativeHandle?, _ columns: Columns = .none) { (self.handle, self.columns) = (handle, columns) }

    /// Takes over the columns that a packet announces.
    func readColumns(_ packet: Packet) throws {
        guard packet.hasNewColumns, let handle else { return }
        columns = try Columns(json: handle.columns())
        parts = [:]
    }

    /// All rows that `first` announces; those that did not fit into it are fetched.
    func readAll<Element>(_ first: Packet, _ make: (Row) throws -> Element) throws -> [Element] {
        var rows: [Element] = []
        rows.reserveCapacity(first.total)
        try read(first) { rows.append(try make($0)) }
        while rows.count < first.total {
            let more = handle?.more() ?? Data()
            try more.withUnsafeBytes { bytes in
                let packet = Packet(bytes)
                if packet.rows == 0 {
                    throw KalamError(code: "protocol", message: "rows are missing: please report it")
                }
                try read(packet) { rows.append(try make($0)) }
            }
        }
        return rows
    }

    /// The rows of this packet; of old rows the columns that are there.
    func read(_ packet: Packet, _ use: (Row) throws -> Void) throws {
        for i in 0..<packet.rows { try use(try row(packet, packet.cells + i * packet.stride)) }
    }

    private func row(_ packet: Packet, _ tags: Int) throws -> Row {
        let count = packet.columns
        let slots = tags + padded(count)
        var hasAbsent = false
        let cells = try [Value](unsafeUninitializedCapacity: count) { buffer, initialized in
            for c in 0..<count {
                let tag = packet.bytes[tags + c]
                hasAbsent = hasAbsent || tag == Tag.absent
                let value = try cell(packet, tag, slots + c * 8)
                (buffer.baseAddress! + c).initialize(to: value)
                initialized = c + 1
            }
        }
        if !hasAbsent { return Row(columns, cells) }
        let there = cells.indices.filter { packet.bytes[tags + $0] != Tag.absent }
        let columns = parts[there] ?? Columns(there.map { self.columns[$0] })
        parts[there] = columns
        return Row(columns, there.map { cells[$0] })
    }

    private func cell(_ packet: Packet, _ tag: UInt8, _ slot: Int) throws -> Value {
        switch tag {
        case Tag.null, Tag.absent: return .null
        case Tag.no: return .bool(false)
        case Tag.yes: return .bool(true)
        case Tag.number: return .double(packet.load(slot))
        case Tag.bigint: return .int(packet.load(slot))
        case Tag.timestamp: return .timestamp(Timestamp(microseconds: packet.load(slot)))
        case Tag.text, Tag.text + 1: return .text(text(packet, slot))
        case Tag.json, Tag.json + 1: return .json(JSON(text: text(packet, slot)))
        case Tag.bytes: return .bytes(Data(blob(packet, slot)))
        case Tag.embedding:
            let bytes = blob(packet, slot)
            return .floats(
                stride(from: 0, to: bytes.count, by: 4).map { bytes.loadUnaligned(fromByteOffset: $0, as: Float.self) })
        case Tag.decimal, Tag.decimal + 1: return .decimal(Decimal(string: text(packet, slot)) ?? .nan)
        case Tag.file, Tag.file + 1:
            return .file(try JSONDecoder().decode(FileRef.self, from: Data(text(packet, slot).utf8)))
        case Tag.date: return .date(LocalDate(days: Int(packet.load(slot, as: Int64.self))))
        case Tag.time: return .time(LocalTime(microseconds: packet.load(slot)))
        case Tag.uuid: return .uuid(UUID(uuid: blob(packet, slot).loadUnaligned(as: uuid_t.self)))
        default: throw KalamError(code: "protocol", message: "a cell of an unknown kind: please report it")
        }
    }

    private func text(_ packet: Packet, _ slot: Int) -> String {
        packet.string(
            packet.text + Int(packet.load(slot, as: UInt32.self)), Int(packet.load(slot + 4, as: UInt32.self)))
    }

    private func blob(_ packet: Packet, _ slot: Int) -> UnsafeRawBufferPointer {
        let start = packet.blobs + Int(packet.load(slot, as: UInt32.self))
        return UnsafeRawBufferPointer(
            rebasing: packet.bytes[start..<start + Int(packet.load(slot + 4, as: UInt32.self))])
    }
}

/// The rows of a packet that is all there is of them.
func readRows(_ columns: String, _ bytes: Data) throws -> [Row] {
    let reader = RowReader(nil, try Columns(json: columns))
    var rows: [Row] = []
    try bytes.withUnsafeBytes { try reader.read(Packet($0)) { rows.append($0) } }
    return rows
}

/// Makes each list of live rows of the one before and what changed.
final class RowsReader<Element: Sendable> {
    private let reader: RowReader
    private let make: (Row) throws -> Element
    private var tree = RowTree<Element>()

    init(_ handle: NativeHandle, _ make: @escaping (Row) throws -> Element) {
        reader = RowReader(handle)
        self.make = make
    }

    func read(_ packet: Packet) throws -> Rows<Element> {
        try reader.readColumns(packet)
        let changes = packet.kind == Packet.reset ? try reset(packet) : try change(packet)
        return Rows(
            tree: tree, columns: reader.columns, changes: changes, lastSeqID: packet.version(0),
            checkpoint: packet.note(3), phase: Phase(rawValue: packet.word(2)) ?? .unverified)
    }

    /// Listed is for each row its place in the rows before + 1, or 0 if it is the next new one; nothing when all are new.
    private func reset(_ packet: Packet) throws -> [Change<Element>] {
        let places = (5..<max(packet.listed, 5)).map { packet.word($0) }
        let fresh = try reader.readAll(packet, make)
        if places.isEmpty {
            tree = RowTree(fresh)
        } else {
            var coming = fresh.makeIterator()
            tree = RowTree(places.map { $0 == 0 ? coming.next()! : tree[$0 - 1] })
        }
        return [.reset]
    }

    private func change(_ packet: Packet) throws -> [Change<Element>] {
        let (removed, inserted, updated) = (packet.word(5), packet.word(6), packet.word(7))
        let fresh = try reader.readAll(packet, make)
        var changes: [Change<Element>] = []
        changes.reserveCapacity(removed + inserted + updated)
        var list = 8
        var coming = fresh.makeIterator()
        for _ in 0..<removed {
            let index = packet.word(list)
            changes.append(.remove(index: index, row: tree[index]))
            tree = tree.removing(index)
            list += 1
        }
        for _ in 0..<inserted {
            let (index, row) = (packet.word(list), coming.next()!)
            changes.append(.insert(index: index, row: row))
            tree = tree.inserting(index, row)
            list += 1
        }
        for _ in 0..<updated {
            let (index, row) = (packet.word(list), coming.next()!)
            changes.append(.update(index: index, row: row, old: tree[index]))
            tree = tree.setting(index, row)
            list += 1
        }
        return changes
    }
}
