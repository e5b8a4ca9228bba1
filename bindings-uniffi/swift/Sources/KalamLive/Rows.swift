/// How far live rows can be believed.
public enum Phase: Int, Sendable {
    /// The first snapshot is not complete yet; seen with `partial` only.
    case loading = 0
    case live
    /// The connection is lost: the rows are those of before.
    case reconnecting
    /// A check has found a difference, or could not be made, and it is not put right yet.
    case unverified
    /// With `from`: only what was written after that.
    case partial
}

/// One difference between two lists of live rows.
public enum Change<Element: Sendable>: Sendable {
    /// `row` came in at `index`.
    case insert(index: Int, row: Element)
    /// `old` became `row`, which is at `index`.
    case update(index: Int, row: Element, old: Element)
    /// `row` left; it was at `index`.
    case remove(index: Int, row: Element)
    /// Everything may have changed: the first rows, or more changes than rows.
    case reset
}

/// The rows of a live query at one moment: a collection that can not be changed and shares with the next one what stays.
///
/// A ``Row`` that has not changed is the same object (`===`) in the next one. Reading one row by its index takes time in the
/// logarithm of their number, a loop constant time a row.
public struct Rows<Element: Sendable>: Sendable, RandomAccessCollection, CustomStringConvertible {
    let tree: RowTree<Element>
    /// The columns of the rows; empty when the server did not tell them.
    public let columns: Columns
    /// What turns the rows before into these, when applied in order: removals from the last to the first, insertions from the
    /// first to the last, updates. A single ``Change/reset`` when everything may have changed.
    public let changes: [Change<Element>]
    /// The newest write that these rows have seen: a number that does not say whose it is.
    public let lastSeqID: Int64?
    /// Where to go on after these rows: keep it, and give it back as `from`.
    public let checkpoint: String?
    /// How far these rows can be believed.
    public let phase: Phase

    public var startIndex: Int { 0 }
    public var endIndex: Int { tree.count }
    public subscript(index: Int) -> Element { tree[index] }

    public func makeIterator() -> RowIterator<Element> { tree.makeIterator() }

    /// The rows as an array shows them, the first twenty.
    public var description: String { shown(self) }
}

/// What a query returned.
public struct QueryResult<Element: Sendable>: Sendable, RandomAccessCollection, CustomStringConvertible {
    let rows: [Element]
    public let columns: Columns
    /// How many rows the statement returned or changed, as the server counted.
    public let rowCount: Int
    /// What the server says, such as `Inserted 1 row(s)`.
    public let message: String?
    /// Whether the server probably left rows out: KalamDB returns 50 rows without a LIMIT and 1,000 with any.
    public let truncated: Bool

    public var startIndex: Int { 0 }
    public var endIndex: Int { rows.count }
    public subscript(index: Int) -> Element { rows[index] }

    /// The rows as an array shows them, the first twenty.
    public var description: String { shown(self) }
}

private func shown(_ rows: some RandomAccessCollection) -> String {
    let first = rows.prefix(20).map { "\($0)" }
    let more = rows.count > first.count ? ["... and \(rows.count - first.count) more"] : []
    return "[" + (first + more).joined(separator: ", ") + "]"
}
