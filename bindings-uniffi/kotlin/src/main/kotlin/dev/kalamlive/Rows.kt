package dev.kalamlive

/** How far live rows can be believed. */
public enum class Phase {
    /** The first snapshot is not complete yet; seen with `partial` only. */
    LOADING,
    LIVE,

    /** The connection is lost: the rows are those of before. */
    RECONNECTING,

    /** A check has found a difference, or could not be made, and it is not put right yet. */
    UNVERIFIED,

    /** With `from`: only what was written after that. */
    PARTIAL,
}

/** One difference between two lists of live rows. */
public sealed interface Change<out T> {
    /** [row] came in at [index]. */
    public data class Insert<out T>(val index: Int, val row: T) : Change<T>

    /** [old] became [row], which is at [index]. */
    public data class Update<out T>(val index: Int, val row: T, val old: T) : Change<T>

    /** [row] left; it was at [index]. */
    public data class Remove<out T>(val index: Int, val row: T) : Change<T>

    /** Everything may have changed: the first rows, or more changes than rows. */
    public data object Reset : Change<Nothing>
}

/**
 * The rows of a live query at one moment: a list that can not be changed and shares with the next one what stays.
 *
 * A row that has not changed is the same object (`===`) in the next one. Reading one row by its index takes time in the
 * logarithm of their number, a loop constant time a row.
 *
 * Two of these are equal when they are of the same moment too: a `StateFlow`, which drops what equals the value before, so tells
 * that only the [phase] has changed, and does not compare the rows one by one to see it.
 */
public class Rows<out T> internal constructor(
    private val tree: RowTree<T>,
    /** The columns of the rows; empty when the server did not tell them. */
    public val columns: Columns,
    /**
     * What turns the rows before into these, when applied in order: removals from the last to the first, insertions from
     * the first to the last, updates. A single [Change.Reset] when everything may have changed.
     */
    public val changes: List<Change<T>>,
    /** The newest write that these rows have seen: a number that does not say whose it is. */
    public val lastSeqId: Long?,
    /** Where to go on after these rows: keep it, and give it back as `from`. */
    public val checkpoint: String?,
    /** How far these rows can be believed. */
    public val phase: Phase,
) : AbstractList<T>(), RandomAccess {
    override val size: Int get() = tree.size

    override fun get(index: Int): T = tree[index]

    override fun iterator(): Iterator<T> = tree.iterator()

    override fun equals(other: Any?): Boolean = when {
        this === other -> true
        other !is Rows<*> -> super.equals(other)
        else -> phase == other.phase && lastSeqId == other.lastSeqId && checkpoint == other.checkpoint && super.equals(other)
    }

    override fun hashCode(): Int = super.hashCode()
}

/** What a query returned. */
public class QueryResult<out T> internal constructor(
    private val rows: List<T>,
    public val columns: Columns,
    /** How many rows the statement returned or changed, as the server counted. */
    public val rowCount: Long,
    /** What the server says, such as `Inserted 1 row(s)`. */
    public val message: String?,
    /** Whether the server probably left rows out: KalamDB returns 50 rows without a LIMIT and 1,000 with any. */
    public val truncated: Boolean,
) : AbstractList<T>(), RandomAccess {
    override val size: Int get() = rows.size

    override fun get(index: Int): T = rows[index]
}
