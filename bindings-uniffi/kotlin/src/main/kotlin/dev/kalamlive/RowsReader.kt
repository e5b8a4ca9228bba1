package dev.kalamlive

import dev.kalamlive.internal.NativeHandle

/** Makes each list of live rows of the one before and what changed. */
internal class RowsReader<T>(handle: NativeHandle, private val make: (Row) -> T) {
    private val reader = RowReader(handle)
    private var tree: RowTree<T> = RowTree.EMPTY

    fun read(packet: Packet): Rows<T> {
        reader.readColumns(packet)
        val changes = if (packet.kind == Packet.RESET) reset(packet) else change(packet)
        return Rows(
            tree = tree,
            columns = reader.columns,
            changes = changes,
            lastSeqId = packet.version(0),
            checkpoint = packet.note(3),
            phase = PHASES[packet.word(2)],
        )
    }

    /** Listed is for each row its place in the rows before + 1, or 0 if it is the next new one; nothing when all are new. */
    private fun reset(packet: Packet): List<Change<T>> {
        val places = packet.list(5, packet.listed - 5)
        val fresh = reader.readAll(packet, make)
        tree = if (places.isEmpty()) {
            RowTree.of(fresh)
        } else {
            var next = 0
            RowTree.of(places.map { if (it == 0) fresh[next++] else tree[it - 1] })
        }
        return listOf(Change.Reset)
    }

    private fun change(packet: Packet): List<Change<T>> {
        val (removed, inserted, updated) = IntArray(3) { packet.word(5 + it) }
        var list = 8
        var next = 0
        val fresh = reader.readAll(packet, make)
        val changes = ArrayList<Change<T>>(removed + inserted + updated)
        repeat(removed) {
            val index = packet.word(list++)
            changes.add(Change.Remove(index, tree[index]))
            tree = tree.removeAt(index)
        }
        repeat(inserted) {
            val index = packet.word(list++)
            val row = fresh[next++]
            changes.add(Change.Insert(index, row))
            tree = tree.insert(index, row)
        }
        repeat(updated) {
            val index = packet.word(list++)
            val row = fresh[next++]
            changes.add(Change.Update(index, row, tree[index]))
            tree = tree.set(index, row)
        }
        return changes
    }

    private companion object {
        val PHASES = Phase.entries
    }
}
