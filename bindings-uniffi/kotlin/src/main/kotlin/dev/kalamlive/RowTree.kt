package dev.kalamlive

/**
 * A list that can not be changed: a counted B+tree. A change copies the nodes on its path, so its cost is the logarithm of
 * the number of rows, and both lists share the rest.
 */
internal class RowTree<out T> private constructor(private val root: Node) : Iterable<T> {
    val size: Int get() = root.size

    operator fun get(index: Int): T {
        if (index < 0 || index >= size) throw IndexOutOfBoundsException("index $index of $size rows")
        var node = root
        var at = index
        while (node.height > 0) {
            var i = 0
            while (true) {
                val child = node.child(i++)
                if (at < child.size) {
                    node = child
                    break
                }
                at -= child.size
            }
        }
        @Suppress("UNCHECKED_CAST")
        return node.parts[at] as T
    }

    fun set(index: Int, row: @UnsafeVariance T): RowTree<T> = RowTree(root.set(index, row))

    fun insert(index: Int, row: @UnsafeVariance T): RowTree<T> {
        val nodes = root.insert(index, row)
        return RowTree(nodes.singleOrNull() ?: Node(root.height + 1, arrayOf(nodes[0], nodes[1])))
    }

    fun removeAt(index: Int): RowTree<T> {
        var node = root.removeAt(index)
        while (node.height > 0 && node.parts.size == 1) node = node.child(0)
        return if (node.size == 0) EMPTY else RowTree(node)
    }

    override fun iterator(): Iterator<T> = object : Iterator<T> {
        /** From the root to the leaf, each with its next part. */
        private val path = ArrayList<Node>()
        private val next = ArrayList<Int>()
        private var left = size

        init {
            descend(root)
        }

        private fun descend(from: Node) {
            var node = from
            while (true) {
                path.add(node)
                next.add(0)
                if (node.height == 0 || node.size == 0) return
                node = node.child(0)
                next[next.lastIndex] = 1
            }
        }

        override fun hasNext() = left > 0

        override fun next(): T {
            if (left == 0) throw NoSuchElementException()
            while (next.last() == path.last().parts.size) {
                path.removeAt(path.lastIndex)
                next.removeAt(next.lastIndex)
            }
            val at = next.last()
            next[next.lastIndex] = at + 1
            val node = path.last()
            if (node.height > 0) {
                descend(node.child(at))
                return next()
            }
            left--
            @Suppress("UNCHECKED_CAST")
            return node.parts[at] as T
        }
    }

    companion object {
        val EMPTY: RowTree<Nothing> = RowTree(Node(0, emptyArray()))

        fun <T> of(rows: List<T>): RowTree<T> {
            if (rows.isEmpty()) return EMPTY
            var nodes = rows.chunked(WIDTH) { Node(0, it.toTypedArray<Any?>()) }
            while (nodes.size > 1) {
                val height = nodes[0].height + 1
                nodes = nodes.chunked(WIDTH) { Node(height, it.toTypedArray<Any?>()) }
            }
            return RowTree(nodes[0])
        }
    }
}

private const val WIDTH = 32

/** Of height 0: its parts are rows; else nodes that are one lower. */
private class Node(val height: Int, val parts: Array<Any?>) {
    val size: Int = if (height == 0) parts.size else parts.sumOf { (it as Node).size }

    fun child(i: Int): Node = parts[i] as Node

    fun set(index: Int, row: Any?): Node {
        if (height == 0) return with(index, row)
        val (i, at) = find(index)
        return with(i, child(i).set(at, row))
    }

    /** One node, or two when it had to be split. */
    fun insert(index: Int, row: Any?): Array<Node> {
        if (height == 0) return split(spliced(index, index, arrayOf(row)))
        // At the border of two children into the first.
        val (i, at) = if (index == size) parts.lastIndex to child(parts.lastIndex).size else find(index)
        return split(spliced(i, i + 1, child(i).insert(at, row)))
    }

    fun removeAt(index: Int): Node {
        if (height == 0) return Node(0, spliced(index, index + 1))
        val (i, at) = find(index)
        val child = child(i).removeAt(at)
        if (child.parts.isEmpty()) return Node(height, spliced(i, i + 1))
        // A child that has become small joins its neighbour, if both fit into one with room to grow.
        val other = if (i > 0) i - 1 else i + 1
        if (child.parts.size < WIDTH / 4 && other < parts.size) {
            val neighbour = child(other)
            if (neighbour.parts.size + child.parts.size <= WIDTH * 3 / 4) {
                val (first, second) = if (other < i) neighbour to child else child to neighbour
                val joined = Node(child.height, arrayOf(*first.parts, *second.parts))
                val from = minOf(i, other)
                return Node(height, spliced(from, from + 2, arrayOf(joined)))
            }
        }
        return with(i, child)
    }

    private fun find(index: Int): Pair<Int, Int> {
        var at = index
        var i = 0
        while (at >= child(i).size) at -= child(i++).size
        return i to at
    }

    private fun with(i: Int, part: Any?): Node = Node(height, parts.copyOf().also { it[i] = part })

    /** A copy of the parts with [new] in place of those from [from] up to [to]. */
    private fun spliced(from: Int, to: Int, new: Array<out Any?> = emptyArray()): Array<Any?> {
        val copy = arrayOfNulls<Any?>(parts.size - (to - from) + new.size)
        parts.copyInto(copy, 0, 0, from)
        new.copyInto(copy, from)
        parts.copyInto(copy, from + new.size, to)
        return copy
    }

    private fun split(parts: Array<Any?>): Array<Node> {
        if (parts.size <= WIDTH) return arrayOf(Node(height, parts))
        val middle = parts.size / 2
        return arrayOf(
            Node(height, parts.copyOfRange(0, middle)),
            Node(height, parts.copyOfRange(middle, parts.size)),
        )
    }
}
