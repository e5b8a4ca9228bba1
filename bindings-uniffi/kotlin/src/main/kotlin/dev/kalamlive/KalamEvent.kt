package dev.kalamlive

import dev.kalamlive.internal.NativeHandle

/** One thing that a subscription told, in the order in which the server told it. */
public sealed class KalamEvent<out T>(private val place: CheckpointText) {
    /**
     * Where to go on after this event: keep it, and give it back as `from`. `null` before the first rows, and between the
     * pages of what it begins with.
     */
    public val checkpoint: String? get() = place.text

    /** The server has accepted the subscription. */
    public class Ack internal constructor(place: CheckpointText) : KalamEvent<Nothing>(place)

    /** A page of the rows as they were at the start. */
    public class InitialDataBatch<out T> internal constructor(
        public val rows: List<T>,
        public val hasMore: Boolean,
        public val lastSeqId: Long?,
        place: CheckpointText,
    ) : KalamEvent<T>(place)

    public class Insert<out T> internal constructor(
        public val rows: List<T>,
        public val lastSeqId: Long?,
        place: CheckpointText,
    ) : KalamEvent<T>(place)

    /** [oldRows]: for each row the key and the changed columns as they were. */
    public class Update<out T> internal constructor(
        public val rows: List<T>,
        public val oldRows: List<Row>,
        public val lastSeqId: Long?,
        place: CheckpointText,
    ) : KalamEvent<T>(place)

    /** [rows]: as they were. */
    public class Delete<out T> internal constructor(
        public val rows: List<T>,
        public val lastSeqId: Long?,
        place: CheckpointText,
    ) : KalamEvent<T>(place)

    /** The subscription goes on after a lost connection; nothing is missing, nothing comes twice. */
    public class Resumed internal constructor(place: CheckpointText) : KalamEvent<Nothing>(place)

    /** [message]: what may be missing, for a person. */
    public class GapPossible internal constructor(public val message: String, place: CheckpointText) :
        KalamEvent<Nothing>(place)

    /** The reader was too slow: so many events were dropped. The subscription goes on after the last one before. */
    public class Lagged internal constructor(public val dropped: Long, place: CheckpointText) :
        KalamEvent<Nothing>(place)

    /** What a newer server tells. */
    public class Unknown internal constructor(place: CheckpointText) : KalamEvent<Nothing>(place)

    override fun toString(): String = when (this) {
        is InitialDataBatch -> "InitialDataBatch($rows, hasMore=$hasMore)"
        is Insert -> "Insert($rows)"
        is Update -> "Update($rows, old=$oldRows)"
        is Delete -> "Delete($rows)"
        is GapPossible -> "GapPossible($message)"
        is Lagged -> "Lagged($dropped)"
        else -> this::class.simpleName!!
    }
}

/** The text of a checkpoint, which is put together when somebody asks. */
public class CheckpointText internal constructor(
    private val version: Long?,
    private val before: String,
    private val after: String,
) {
    internal val text: String? get() = version?.let { "$before$it$after" }
}

/** Makes events of packets. */
internal class EventReader<T>(handle: NativeHandle, private val make: (Row) -> T) {
    private val reader = RowReader(handle)
    private var before = ""
    private var after = ""

    fun read(packet: Packet): List<KalamEvent<T>> {
        reader.readColumns(packet)
        val rows = ArrayList<Row>(packet.rows)
        reader.read(packet) { rows.add(it) }
        var next = 0
        return List(packet.listed / WORDS) { i ->
            val at = i * WORDS
            val own = rows.subList(next, next + packet.word(at + 1))
            next += own.size
            val old = rows.subList(next, next + packet.word(at + 2))
            next += old.size
            packet.note(at + 12)?.split("\n")?.let {
                before = it[0]
                after = it.getOrElse(1) { "" }
            }
            event(packet, at, own, old, CheckpointText(packet.version(at + 10), before, after))
        }
    }

    private fun event(packet: Packet, at: Int, rows: List<Row>, old: List<Row>, place: CheckpointText): KalamEvent<T> {
        val seq = packet.version(at + 4)
        return when (packet.word(at)) {
            0 -> KalamEvent.Ack(place)
            1 -> KalamEvent.InitialDataBatch(rows.map(make), packet.word(at + 3) != 0, seq, place)
            2 -> KalamEvent.Insert(rows.map(make), seq, place)
            3 -> KalamEvent.Update(rows.map(make), old.toList(), seq, place)
            4 -> KalamEvent.Delete(rows.map(make), seq, place)
            5 -> KalamEvent.Resumed(place)
            6 -> KalamEvent.GapPossible(packet.note(at + 8) ?: "", place)
            7 -> KalamEvent.Lagged(packet.double(at + 6).toLong(), place)
            else -> KalamEvent.Unknown(place)
        }
    }

    private companion object {
        /** Words of an event in the lists. */
        const val WORDS = 14
    }
}
