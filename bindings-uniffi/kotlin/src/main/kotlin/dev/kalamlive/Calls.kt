package dev.kalamlive

import dev.kalamlive.internal.NativeHandle
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.FlowCollector
import kotlinx.coroutines.withContext
import kotlinx.serialization.DeserializationStrategy
import kotlinx.serialization.json.Json

private val json = Json { ignoreUnknownKeys = true }

/**
 * Waits for the next packet and reads it; `null` at the end. Always on a thread of the default dispatcher: a waker must not
 * run the coroutine that it wakes, and rows are not decoded on the thread of a user interface.
 */
internal suspend fun <R> NativeHandle.next(max: Int, read: (Packet) -> R): R? = withContext(Dispatchers.Default) {
    while (true) {
        ready()
        val bytes = translated { take(max.toUInt()) } ?: return@withContext null
        if (bytes.isNotEmpty()) return@withContext read(Packet(bytes))
    }
    @Suppress("UNREACHABLE_CODE")
    null
}

/** Uses a handle, and ends it whatever happens: a coroutine that is cancelled gives the call up at once. */
internal inline fun <R> NativeHandle.whileOpen(use: (NativeHandle) -> R): R =
    try {
        use(this)
    } finally {
        end()
        destroy()
    }

/** Waits for a call and reads its result. */
internal suspend fun <R> NativeHandle.result(read: (NativeHandle, Packet) -> R): R = whileOpen { handle ->
    handle.next(0) { read(handle, it) } ?: throw KalamException("closed", "the call was cancelled")
}

/** Waits for a call whose result is JSON. */
internal suspend fun <R> NativeHandle.answer(deserializer: DeserializationStrategy<R>): R =
    result { _, packet -> json.decodeFromString(deserializer, packet.note(0) ?: "null") }

/** Waits for a call without a result. */
internal suspend fun NativeHandle.done(): Unit = result { _, _ -> }

/** The rows of a query. */
internal suspend fun <T> NativeHandle.rows(make: (Row) -> T): QueryResult<T> = result { handle, packet ->
    val reader = RowReader(handle)
    reader.readColumns(packet)
    val rows = reader.readAll(packet, make)
    QueryResult(rows, reader.columns, packet.double(0).toLong(), packet.note(2), packet.word(4) != 0)
}

/** Emits live rows until their end. They are taken only when the collector asks: a slow one gets the newest. */
internal suspend fun <T> FlowCollector<Rows<T>>.emitRows(
    handle: NativeHandle,
    make: (Row) -> T,
    onCheckpoint: (suspend (String) -> Unit)?,
): Unit = handle.whileOpen {
    val reader = RowsReader(handle, make)
    var told: String? = null
    while (true) {
        val rows = handle.next(0, reader::read) ?: break
        if (onCheckpoint != null && rows.checkpoint != null && rows.checkpoint != told) {
            told = rows.checkpoint
            onCheckpoint(rows.checkpoint)
        }
        emit(rows)
    }
}

/** Events of one packet, at most. */
private const val MOST_EVENTS = 1024

/** Emits events until their end. */
internal suspend fun <T> FlowCollector<KalamEvent<T>>.emitEvents(
    handle: NativeHandle,
    make: (Row) -> T,
    onCheckpoint: (suspend (String) -> Unit)?,
): Unit = handle.whileOpen {
    val reader = EventReader(handle, make)
    var told: String? = null
    while (true) {
        for (event in handle.next(MOST_EVENTS, reader::read) ?: break) {
            if (onCheckpoint != null) {
                val checkpoint = event.checkpoint
                if (checkpoint != null && checkpoint != told) {
                    told = checkpoint
                    onCheckpoint(checkpoint)
                }
            }
            emit(event)
        }
    }
}
