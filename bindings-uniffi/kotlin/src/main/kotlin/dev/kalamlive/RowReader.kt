package dev.kalamlive

import dev.kalamlive.internal.NativeHandle
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonPrimitive
import java.math.BigDecimal
import java.nio.ByteOrder
import java.time.LocalDate
import java.time.LocalTime
import java.util.UUID
import kotlin.time.Instant

/** Makes rows of the packets of one handle. */
internal class RowReader(private val handle: NativeHandle?, columns: Columns = Columns.NONE) {
    var columns = columns
        private set

    /** Of old rows: the columns that are there, by which ones. */
    private val parts = HashMap<List<Int>, Columns>()

    /** Takes over the columns that a packet announces. */
    fun readColumns(packet: Packet) {
        if (!packet.hasNewColumns) return
        columns = Columns.read(handle!!.columns())
        parts.clear()
    }

    /** All rows that [first] announces; those that did not fit into it are fetched. */
    fun <T> readAll(first: Packet, make: (Row) -> T): List<T> {
        val rows = ArrayList<T>(first.total)
        read(first) { rows.add(make(it)) }
        while (rows.size < first.total) {
            val packet = Packet(handle!!.more())
            if (packet.rows == 0) throw KalamException("protocol", "rows are missing: please report it")
            read(packet) { rows.add(make(it)) }
        }
        return rows
    }

    /** The rows of this packet; of old rows the columns that are there. */
    inline fun read(packet: Packet, use: (Row) -> Unit) {
        for (i in 0 until packet.rows) use(row(packet, packet.cells + i * packet.stride))
    }

    fun row(packet: Packet, tags: Int): Row {
        val count = packet.columns
        val slots = tags + padded(count)
        val cells = arrayOfNulls<Any?>(count)
        var absent = 0
        for (c in 0 until count) {
            val tag = packet.bytes[tags + c].toInt()
            if (tag == ABSENT) absent++ else cells[c] = cell(packet, tag, slots + c * 8)
        }
        return if (absent == 0) Row(columns, cells) else part(packet, tags, cells)
    }

    private fun part(packet: Packet, tags: Int, cells: Array<Any?>): Row {
        val there = cells.indices.filter { packet.bytes[tags + it].toInt() != ABSENT }
        val columns = parts.getOrPut(there) { Columns(there.map { columns[it] }) }
        return Row(columns, Array(there.size) { cells[there[it]] })
    }

    private fun cell(packet: Packet, tag: Int, slot: Int): Any? {
        val data = packet.data
        return when (tag) {
            NULL -> null
            FALSE -> false
            TRUE -> true
            NUMBER -> data.getDouble(slot)
            BIGINT -> data.getLong(slot)
            TIMESTAMP -> instant(data.getLong(slot))
            // ASCII: the bytes are copied as they are.
            TEXT -> text(packet, slot, Charsets.ISO_8859_1)
            TEXT_UNICODE -> text(packet, slot, Charsets.UTF_8)
            JSON, JSON_UNICODE -> json(text(packet, slot, Charsets.UTF_8))
            BYTES -> blob(packet, slot)
            EMBEDDING -> floats(blob(packet, slot))
            DECIMAL, DECIMAL + 1 -> BigDecimal(text(packet, slot, Charsets.ISO_8859_1))
            FILE, FILE + 1 -> files.decodeFromString<FileRef>(text(packet, slot, Charsets.UTF_8))
            DATE -> LocalDate.ofEpochDay(data.getLong(slot))
            TIME -> LocalTime.ofNanoOfDay(data.getLong(slot) * 1000)
            UUID_BYTES -> uuid(packet, slot)
            else -> throw KalamException("protocol", "a cell of an unknown kind: please report it")
        }
    }

    private fun text(packet: Packet, slot: Int, charset: java.nio.charset.Charset): String =
        String(packet.bytes, packet.text + packet.data.getInt(slot), packet.data.getInt(slot + 4), charset)

    private fun blob(packet: Packet, slot: Int): ByteArray {
        val start = packet.blobs + packet.data.getInt(slot)
        return packet.bytes.copyOfRange(start, start + packet.data.getInt(slot + 4))
    }

    private fun floats(bytes: ByteArray): FloatArray {
        val floats = FloatArray(bytes.size / 4)
        java.nio.ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder()).asFloatBuffer().get(floats)
        return floats
    }

    private fun uuid(packet: Packet, slot: Int): UUID {
        val bytes = java.nio.ByteBuffer.wrap(packet.bytes) // big-endian, whatever the machine
        val start = packet.blobs + packet.data.getInt(slot)
        return UUID(bytes.getLong(start), bytes.getLong(start + 8))
    }

    private companion object {
        // The tags of `bindings-common/src/packet.rs`; one more is text that is not ASCII.
        const val NULL = 0
        const val FALSE = 1
        const val TRUE = 2
        const val NUMBER = 3
        const val BIGINT = 4
        const val TIMESTAMP = 5
        const val TEXT = 6
        const val TEXT_UNICODE = 7
        const val JSON = 8
        const val JSON_UNICODE = 9
        const val BYTES = 10
        const val EMBEDDING = 11
        const val ABSENT = 12
        const val DECIMAL = 14
        const val FILE = 16
        const val DATE = 18
        const val TIME = 19
        const val UUID_BYTES = 20

        val files = Json { ignoreUnknownKeys = true }
    }
}

/** The rows of a packet that is all there is of them. */
internal fun readRows(columns: String, bytes: ByteArray): List<Row> {
    val rows = ArrayList<Row>()
    RowReader(null, Columns.read(columns)).read(Packet(bytes)) { rows.add(it) }
    return rows
}

internal fun instant(microseconds: Long): Instant =
    Instant.fromEpochSeconds(Math.floorDiv(microseconds, 1_000_000L), Math.floorMod(microseconds, 1_000_000L) * 1000)

/** A column type of a newer server may hold what is no JSON. */
private fun json(text: String): JsonElement =
    try {
        Json.parseToJsonElement(text)
    } catch (_: kotlinx.serialization.SerializationException) {
        JsonPrimitive(text)
    }
