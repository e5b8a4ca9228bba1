package dev.kalamlive

import dev.kalamlive.internal.Subscribing
import kotlin.time.Duration

/** What live rows begin with, and how they are shown. */
public data class LiveOptions(
    /** A name of your choice, for [KalamClient.cancelSubscription]; unique among the open ones of a client. */
    val id: String? = null,
    /** Begin with so many of the newest rows, rather than all. */
    val lastRows: Int? = null,
    /** Rows in one page of what it begins with. Without it the client takes what suits the server. */
    val batchSize: Int? = null,
    /** Only rows written after this: a `checkpoint` of rows or of an event. */
    val from: String? = null,
    /** Show at most so many rows: with [orderBy] the first of that order, without it the most recently written. */
    val limit: Int? = null,
    /** The columns that identify a row, rather than the primary key. */
    val keyColumns: List<String>? = null,
    /** Sort, as `"priority DESC, created_at"`. Without it rows stand in the order in which they arrived. */
    val orderBy: String? = null,
    /** Also show rows while the first snapshot is loading, in the phase [Phase.LOADING]. */
    val partial: Boolean = false,
    val verify: Verify = Verify.Auto,
    /** Called with the place to go on from before rows are handed out. */
    val onCheckpoint: (suspend (String) -> Unit)? = null,
)

/** How often live rows are checked against the server. */
public sealed interface Verify {
    /** As often as the server makes it necessary, which the embedded one does not. */
    public data object Auto : Verify

    public data object Off : Verify

    public data class Every(val period: Duration) : Verify
}

/** What a stream of events begins with. */
public data class EventOptions(
    /** As in [LiveOptions]. */
    val id: String? = null,
    /** As in [LiveOptions]. */
    val lastRows: Int? = null,
    /** As in [LiveOptions]. */
    val batchSize: Int? = null,
    /** As in [LiveOptions]. */
    val from: String? = null,
    /** `false`: begin with nothing, and see only what happens from now on. */
    val initialData: Boolean = true,
    /** Called with the place to go on from before an event is handed out. */
    val onCheckpoint: (suspend (String) -> Unit)? = null,
)

internal fun LiveOptions.native() = Subscribing(
    id = id,
    lastRows = lastRows?.let { count("lastRows", it) },
    batchSize = batchSize?.let { count("batchSize", it) },
    from = from,
    initialData = null,
    limit = limit?.let { count("limit", it) },
    keyColumns = keyColumns,
    orderBy = orderBy,
    partial = partial,
    verify = when (verify) {
        Verify.Auto -> null
        Verify.Off -> 0.0
        is Verify.Every -> verify.period.seconds
    },
)

internal fun EventOptions.native() = Subscribing(
    id = id,
    lastRows = lastRows?.let { count("lastRows", it) },
    batchSize = batchSize?.let { count("batchSize", it) },
    from = from,
    initialData = initialData,
    limit = null,
    keyColumns = null,
    orderBy = null,
    partial = false,
    verify = null,
)
