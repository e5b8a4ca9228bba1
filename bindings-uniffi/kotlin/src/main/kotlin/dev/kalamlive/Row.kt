package dev.kalamlive

import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import java.math.BigDecimal
import java.time.LocalDate
import java.time.LocalTime
import java.util.UUID
import kotlin.time.Instant

/** A column of rows. */
@Serializable
public data class Column(
    /** As it is selected. */
    val name: String,
    /** As SQL spells it: `BIGINT`, `DECIMAL(18,4)`. */
    val type: String,
    /** Whether it is of the primary key. */
    val primaryKey: Boolean,
    /** Whether it is never NULL. */
    val notNull: Boolean,
)

/** What a FILE column holds: where the bytes are. */
@Serializable
public data class FileRef(
    /** The server's id of the stored file. */
    val id: String,
    /** The sub-directory that the server put it in. */
    val sub: String,
    /** File name as uploaded. */
    val name: String,
    /** In bytes. */
    val size: Long,
    /** MIME type. */
    val mime: String,
    /** Of the bytes, in hexadecimal. */
    val sha256: String,
)

/** The columns of rows, which share one of these. */
public class Columns internal constructor(private val list: List<Column>) : AbstractList<Column>() {
    private val places = HashMap<String, Int>().apply { list.forEachIndexed { i, column -> put(column.name, i) } }

    override val size: Int get() = list.size

    override fun get(index: Int): Column = list[index]

    /** The place of the column [name], or -1. */
    public fun place(name: String): Int = places[name] ?: -1

    internal companion object {
        val NONE = Columns(emptyList())

        private val json = Json { ignoreUnknownKeys = true }

        fun read(text: String) = Columns(json.decodeFromString<List<Column>>(text))
    }
}

/**
 * A row that can not be changed. Its cells follow the types of the columns:
 *
 * | column | cell |
 * |---|---|
 * | BOOLEAN | [Boolean] |
 * | SMALLINT, INT, BIGINT | [Long] |
 * | FLOAT, DOUBLE | [Double] |
 * | DECIMAL | [BigDecimal] |
 * | TEXT | [String] |
 * | TIMESTAMP, DATETIME | [Instant], to the microsecond |
 * | DATE, TIME | [LocalDate], [LocalTime] |
 * | UUID | [UUID] |
 * | JSON, and types that this version does not know | [JsonElement] |
 * | BYTES, EMBEDDING | [ByteArray], [FloatArray]: not to be changed |
 * | FILE | [FileRef] |
 * | NULL | `null` |
 *
 * `row["body"]` is the cell as it is, `row.string("body")` and its like say which type it has. In live rows an unchanged
 * row is the same object (`===`) in the next ones.
 */
public class Row internal constructor(public val columns: Columns, private val cells: Array<Any?>) : Iterable<Any?> {
    /** The number of cells. */
    public val size: Int get() = cells.size

    public operator fun get(index: Int): Any? = cells[index]

    /** @throws KalamException `invalid_argument` when there is no such column. */
    public operator fun get(column: String): Any? = cells[place(column)]

    /** Whether there is such a column. */
    public operator fun contains(column: String): Boolean = columns.place(column) >= 0

    /** @throws KalamException `invalid_argument` when the cell is NULL or of another type, here and below. */
    public fun boolean(column: String): Boolean = typed(column)

    public fun long(column: String): Long = typed(column)

    public fun double(column: String): Double = typed(column)

    public fun decimal(column: String): BigDecimal = typed(column)

    public fun string(column: String): String = typed(column)

    public fun instant(column: String): Instant = typed(column)

    public fun date(column: String): LocalDate = typed(column)

    public fun time(column: String): LocalTime = typed(column)

    public fun uuid(column: String): UUID = typed(column)

    public fun json(column: String): JsonElement = typed(column)

    public fun bytes(column: String): ByteArray = typed(column)

    public fun floats(column: String): FloatArray = typed(column)

    public fun file(column: String): FileRef = typed(column)

    private inline fun <reified C> typed(column: String): C {
        val cell = this[column]
        if (cell is C) return cell
        val found = if (cell == null) "NULL" else cell::class.simpleName
        throw invalid("the cell of \"$column\" (${columns[place(column)].type}) is $found, not ${C::class.simpleName}")
    }

    private fun place(column: String): Int {
        val place = columns.place(column)
        if (place < 0) throw invalid("there is no column \"$column\": there are ${columns.joinToString { it.name }}")
        return place
    }

    override fun iterator(): Iterator<Any?> = cells.iterator()

    /** The cells by the names of their columns, in their order. */
    public fun toMap(): Map<String, Any?> = columns.indices.associate { columns[it].name to cells[it] }

    override fun equals(other: Any?): Boolean =
        this === other || (other is Row && cells.contentDeepEquals(other.cells) && hasNamesOf(other))

    private fun hasNamesOf(other: Row): Boolean =
        columns === other.columns || columns.indices.all { columns[it].name == other.columns[it].name }

    override fun hashCode(): Int = cells.contentDeepHashCode()

    override fun toString(): String = columns.indices.joinToString(", ", "{", "}") {
        "${columns[it].name}=${show(cells[it])}"
    }

    private fun show(cell: Any?): String = when (cell) {
        is ByteArray -> "${cell.size} bytes"
        is FloatArray -> cell.contentToString()
        else -> cell.toString()
    }
}
