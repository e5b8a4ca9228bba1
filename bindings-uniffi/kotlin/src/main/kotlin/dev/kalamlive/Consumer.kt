package dev.kalamlive

import dev.kalamlive.internal.Consuming
import dev.kalamlive.internal.NativeConsumer
import dev.kalamlive.internal.Records
import dev.kalamlive.internal.Start
import kotlinx.coroutines.DelicateCoroutinesApi
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.GlobalScope
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonElement
import java.io.Closeable
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlin.time.Instant

/** What a [Consumer] is made from. */
public data class ConsumerOptions(
    /** The topic, with its namespace: `app.orders`. */
    val topic: String,
    /** The group: its members share the records, and its progress is kept by the server. */
    val groupId: String,
    /** The partition to read. */
    val partitionId: Int = 0,
    /** Where a group begins that is new. */
    val start: ConsumerStart = ConsumerStart.Latest,
    /** Whether what was marked is committed by itself. */
    val autoCommit: Boolean = true,
    /** How long what was marked may wait for that (5 s). */
    val autoCommitInterval: Duration? = null,
    /** How long a poll waits for records (30 s). */
    val pollTimeout: Duration? = null,
    /** The most records that one poll gives (100). */
    val maxPollRecords: Int? = null,
)

/** Where a group begins that has not committed anything. */
public sealed interface ConsumerStart {
    /** With what is written from now on. */
    public data object Latest : ConsumerStart

    /** With the oldest record that is kept. */
    public data object Earliest : ConsumerStart

    public data class Offset(val offset: Long) : ConsumerStart
}

/** One record of a topic: what was done to a row. */
public class ConsumerRecord internal constructor(
    /** `namespace.topic`. */
    public val topic: String,
    /** The partition, from 0. */
    public val partition: Int,
    /** Its place in the partition. */
    public val offset: Long,
    /** The primary key of the row, as text. */
    public val key: String?,
    /** What was done to the row: `insert`, `update` or `delete`. */
    public val op: String,
    /** When. */
    public val timestamp: Instant,
    /** Owner of the row, where it has one. */
    public val user: String?,
    /** The bytes of the record: JSON, unless somebody else writes to the topic. Not to be changed. */
    public val payload: ByteArray,
    /** The payload as a row; `null` when it is no row of a table that the client may read. */
    public val row: Row?,
    /** What of the record could not be read. */
    public val problem: String?,
) {
    /** The payload as JSON, without types: a BIGINT is a text. */
    public fun json(): JsonElement = Json.parseToJsonElement(payload.decodeToString())

    override fun toString(): String = "ConsumerRecord($topic/$partition@$offset $op $key)"
}

/** What a commit did. */
@Serializable
public data class Committed(
    /** The first offset that the group has not committed, as far as this member knows. */
    val nextOffset: Long,
    /** Records that are finished and not committed yet: something before them is not. */
    val heldBack: Long,
)

/** Where a consumer and its group are. */
public data class ConsumerOffsets(
    /** The offset of the next record that will be handed out, as far as is known. */
    val position: Long,
    /** The first offset that the group has not committed, as far as this member knows. */
    val committed: Long,
    /** Records that are finished and not committed yet. */
    val heldBack: Long,
    /** Records that were handed out and are not finished. */
    val unfinished: Long,
)

/**
 * One member of a group of consumers that share the records of a topic. Made by [KalamClient.consumer].
 *
 * Every record is handed out at least once: what was not marked before the consumer ended, or within the server's visibility
 * timeout, is delivered again, to this or another member. A commit says "all up to here" for the whole group, so it never goes
 * past a record that somebody still holds; what is finished beyond one is committed later.
 *
 * ```
 * client.consumer(ConsumerOptions("app.orders", groupId = "billing")).use { consumer ->
 *     consumer.records().collect { record -> println("${record.op} ${record.row}") }
 * }
 * ```
 */
public class Consumer internal constructor(internal val native: NativeConsumer) : Closeable {
    /** How often the group was moved here. */
    private val moves = AtomicInteger()

    /**
     * The next records; none when there were none in time. A poll may be cancelled at any time: the records that it waited for
     * are there for the next one.
     *
     * @throws KalamException
     */
    public suspend fun poll(timeout: Duration? = null): List<ConsumerRecord> {
        val poll = translated { native.poll(timeout?.seconds) }
        try {
            withContext(Dispatchers.Default) { poll.ready() }
            // From here to the end nothing suspends: what was taken is returned.
            return translated { poll.take() }.told()
        } finally {
            poll.end()
            poll.destroy()
        }
    }

    /**
     * The records one after the other. A record is finished, and committed in time, when the collector asks for the next one;
     * one that the collector fails on, or is cancelled in, is delivered again. Trouble that may pass is waited out. Ends when
     * the consumer is closed.
     */
    public fun records(): Flow<ConsumerRecord> = flow {
        while (true) {
            val moved = moves.get()
            val records = try {
                poll()
            } catch (failed: KalamException) {
                if (failed.code == "closed") break
                if (!failed.retryable) throw failed
                continue
            }
            for (record in records) {
                emit(record)
                // What was taken before the group was moved is neither finished nor handed out after it.
                if (moves.get() != moved) break
                markProcessed(record)
                // After the end what was taken is not begun: its commit would come too late.
                if (native.isClosed()) return@flow
            }
        }
    }

    /** The record is finished. It is committed with the next commit, once everything before it is finished too. */
    public fun markProcessed(record: ConsumerRecord): Unit = native.mark(record.offset.toULong())

    /**
     * Commits what is finished, as far as nothing before it is unfinished, and waits for the server. What has to be held back is
     * committed later by itself.
     *
     * @throws KalamException
     */
    public suspend fun commit(): Committed = native.commit().answer(Committed.serializer())

    /** As [commit], without waiting: a failure is logged, and tried again with the next commit. */
    public fun commitLater(): Unit = native.commitLater()

    /** The offset of the next record that will be handed out, as far as is known. */
    public val position: Long get() = offsets().position

    /** Where the consumer and its group are. */
    public fun offsets(): ConsumerOffsets = with(native.offsets()) {
        ConsumerOffsets(position.toLong(), committed.toLong(), heldBack.toLong(), unfinished.toLong())
    }

    /**
     * Moves the **group** to [offset], also back, and goes on there: the server knows one offset for all members. Stop the
     * others before.
     */
    public suspend fun seek(offset: Long) {
        if (offset < 0) throw invalid("$offset is no offset")
        native.seek(offset.toULong()).done()
        moves.incrementAndGet()
    }

    /**
     * Handles records with [handler] until [RunOptions.stop]: those of one key one after the other, those of different keys at the
     * same time, failures again after a pause. Commits what is finished. A cancelled loop leaves what it was handling to be
     * delivered again.
     *
     * ```
     * consumer.run(RunOptions(concurrency = 8, deadLetterTopic = "app.dead")) { record -> bill(record.row!!.decode<Order>()) }
     * ```
     *
     * @throws KalamException what no repetition can help against, such as `not_found` and `permission_denied`
     */
    public suspend fun run(options: RunOptions = RunOptions(), handler: suspend (ConsumerRecord) -> Unit): RunSummary =
        work(options, handler)

    /** Commits what may be committed and ends. Returns at once, and may be called often; [closeAndWait] waits for it. */
    @OptIn(DelicateCoroutinesApi::class)
    override fun close() {
        val closing = native.finish(PATIENCE.seconds)
        GlobalScope.launch(Dispatchers.Default) { closing.done() }
    }

    /** [close], and waits until it is done, for [patience] at most. */
    public suspend fun closeAndWait(patience: Duration = PATIENCE): Unit = native.finish(patience.seconds).done()

    private companion object {
        val PATIENCE = 5.seconds
    }
}

internal fun ConsumerOptions.native() = Consuming(
    topic = topic,
    groupId = groupId,
    partitionId = count("partitionId", partitionId),
    start = when (start) {
        ConsumerStart.Latest -> Start.Latest
        ConsumerStart.Earliest -> Start.Earliest
        is ConsumerStart.Offset -> Start.Offset(start.offset.toULong())
    },
    autoCommit = autoCommit,
    autoCommitInterval = autoCommitInterval?.seconds,
    pollTimeout = pollTimeout?.seconds,
    maxPollRecords = maxPollRecords?.let { count("maxPollRecords", it) },
)

internal fun Records.told(): List<ConsumerRecord> {
    val rows = rows.flatMap { piece -> readRows(piece.columns, piece.packet) }.iterator()
    return records.map {
        ConsumerRecord(
            topic = it.topic,
            partition = it.partition.toInt(),
            offset = it.offset.toLong(),
            key = it.key,
            op = it.op,
            timestamp = Instant.fromEpochMilliseconds(it.timestampMs),
            user = it.user,
            payload = it.payload,
            row = if (it.hasRow) rows.next() else null,
            problem = it.problem,
        )
    }
}
