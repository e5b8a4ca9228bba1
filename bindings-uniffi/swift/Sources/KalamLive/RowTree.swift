/// A list that can not be changed: a counted B+tree. A change copies the nodes on its path, so its cost is the logarithm of the
/// number of rows, and both lists share the rest.
struct RowTree<Element: Sendable>: Sendable {
    private let root: Node<Element>

    var count: Int { root.count }

    private init(root: Node<Element>) { self.root = root }

    init(_ rows: [Element] = []) {
        guard !rows.isEmpty else {
            root = Node(rows: [])
            return
        }
        var nodes = chunks(rows).map { Node(rows: $0) }
        while nodes.count > 1 { nodes = chunks(nodes).map { Node(children: $0) } }
        root = nodes[0]
    }

    subscript(index: Int) -> Element {
        precondition(index >= 0 && index < count, "index \(index) of \(count) rows")
        var node = root
        var at = index
        while !node.isLeaf {
            for child in node.children {
                if at < child.count {
                    node = child
                    break
                }
                at -= child.count
            }
        }
        return node.rows[at]
    }

    func setting(_ index: Int, _ row: Element) -> RowTree { RowTree(root: root.setting(index, row)) }

    func inserting(_ index: Int, _ row: Element) -> RowTree {
        let nodes = root.inserting(index, row)
        return RowTree(root: nodes.count == 1 ? nodes[0] : Node(children: nodes))
    }

    func removing(_ index: Int) -> RowTree {
        var node = root.removing(index)
        while node.children.count == 1 { node = node.children[0] }
        return RowTree(root: node.count == 0 ? Node(rows: []) : node)
    }

    func makeIterator() -> RowIterator<Element> { RowIterator(root) }
}

/// Reads rows one after the other, in constant time each.
public struct RowIterator<Element: Sendable>: IteratorProtocol {
    /// The nodes that are still to be read, the next one last.
    private var coming: [Node<Element>]
    private var leaf: [Element] = []
    private var place = 0

    fileprivate init(_ root: Node<Element>) { coming = [root] }

    public mutating func next() -> Element? {
        while place == leaf.count {
            guard let node = coming.popLast() else { return nil }
            if node.isLeaf {
                (leaf, place) = (node.rows, 0)
            } else {
                coming.append(contentsOf: node.children.reversed())
            }
        }
        defer { place += 1 }
        return leaf[place]
    }
}

private let width = 32

private func chunks<T>(_ list: [T]) -> [[T]] {
    stride(from: 0, to: list.count, by: width).map { Array(list[$0..<min($0 + width, list.count)]) }
}

/// A leaf with rows, or a node with children that are all of the same height.
private final class Node<Element: Sendable>: Sendable {
    let rows: [Element]
    let children: [Node]
    let count: Int

    var isLeaf: Bool { children.isEmpty }
    /// Rows or children.
    var parts: Int { isLeaf ? rows.count : children.count }

    init(rows: [Element]) {
        self.rows = rows
        children = []
        count = rows.count
    }

    init(children: [Node]) {
        rows = []
        self.children = children
        count = children.reduce(0) { $0 + $1.count }
    }

    private func find(_ index: Int) -> (child: Int, at: Int) {
        var (child, at) = (0, index)
        while at >= children[child].count {
            at -= children[child].count
            child += 1
        }
        return (child, at)
    }

    func setting(_ index: Int, _ row: Element) -> Node {
        if isLeaf {
            var copy = rows
            copy[index] = row
            return Node(rows: copy)
        }
        let (i, at) = find(index)
        var copy = children
        copy[i] = copy[i].setting(at, row)
        return Node(children: copy)
    }

    /// One node, or two when it had to be split.
    func inserting(_ index: Int, _ row: Element) -> [Node] {
        if isLeaf {
            var copy = rows
            copy.insert(row, at: index)
            if copy.count <= width { return [Node(rows: copy)] }
            let middle = copy.count / 2
            return [Node(rows: Array(copy[..<middle])), Node(rows: Array(copy[middle...]))]
        }
        // At the very end into the last child.
        let last = children.count - 1
        let (i, at) = index == count ? (last, children[last].count) : find(index)
        var copy = children
        copy.replaceSubrange(i...i, with: copy[i].inserting(at, row))
        if copy.count <= width { return [Node(children: copy)] }
        let middle = copy.count / 2
        return [Node(children: Array(copy[..<middle])), Node(children: Array(copy[middle...]))]
    }

    func removing(_ index: Int) -> Node {
        if isLeaf {
            var copy = rows
            copy.remove(at: index)
            return Node(rows: copy)
        }
        let (i, at) = find(index)
        var copy = children
        let child = children[i].removing(at)
        copy[i] = child
        // A child that has become small joins its neighbour, if both fit into one with room to grow.
        let other = i > 0 ? i - 1 : i + 1
        if child.count == 0 {
            copy.remove(at: i)
        } else if child.parts < width / 4, other < copy.count, copy[other].parts + child.parts <= width * 3 / 4 {
            let first = min(i, other)
            let (one, two) = (copy[first], copy[first + 1])
            let joined = one.isLeaf ? Node(rows: one.rows + two.rows) : Node(children: one.children + two.children)
            copy.replaceSubrange(first...first + 1, with: [joined])
        }
        return copy.isEmpty ? Node(rows: []) : Node(children: copy)
    }
}
