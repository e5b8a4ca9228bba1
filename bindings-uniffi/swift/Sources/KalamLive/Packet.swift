import Foundation

/// What crossed from the native half, for as long as it is being read. The layout is described in
/// `bindings-common/src/packet.rs`.
struct Packet {
    static let reset = 3

    let bytes: UnsafeRawBufferPointer
    let kind: Int
    /// Whether the columns are not those of the packet before.
    let hasNewColumns: Bool
    /// Rows of this packet and those that follow.
    let total: Int
    let rows: Int
    let columns: Int
    /// How many words the lists have.
    let listed: Int
    /// Where the rows begin.
    let cells: Int
    /// Bytes that a row takes.
    let stride: Int
    /// Where the text begins.
    let text: Int
    /// Where the blobs begin.
    let blobs: Int

    /// Words in front of the lists.
    private static let head = 8

    init(_ bytes: UnsafeRawBufferPointer) {
        func word(_ at: Int) -> Int { Int(bytes.loadUnaligned(fromByteOffset: at * 4, as: UInt32.self)) }
        self.bytes = bytes
        kind = word(0)
        hasNewColumns = word(1) & 1 != 0
        total = word(2)
        rows = word(3)
        columns = word(4)
        listed = word(5)
        cells = padded((Packet.head + listed) * 4)
        stride = padded(columns) + columns * 8
        text = cells + rows * stride
        blobs = text + padded(word(6))
    }

    func load<T: BitwiseCopyable>(_ at: Int, as type: T.Type = T.self) -> T {
        bytes.loadUnaligned(fromByteOffset: at, as: type)
    }

    /// A word of the lists.
    func word(_ at: Int) -> Int { Int(load((Packet.head + at) * 4, as: UInt32.self)) }

    /// A version in the lists.
    func version(_ at: Int) -> Int64? {
        let version = load((Packet.head + at) * 4, as: Int64.self)
        return version < 0 ? nil : version
    }

    /// A double in the lists.
    func double(_ at: Int) -> Double { load((Packet.head + at) * 4) }

    /// The text of a note, whose two words are at `at`.
    func note(_ at: Int) -> String? {
        let length = word(at + 1)
        return length == 0 ? nil : string(text + word(at), length - 1)
    }

    func string(_ start: Int, _ length: Int) -> String {
        String(decoding: UnsafeRawBufferPointer(rebasing: bytes[start..<start + length]), as: UTF8.self)
    }
}

func padded(_ bytes: Int) -> Int { (bytes + 7) & ~7 }
