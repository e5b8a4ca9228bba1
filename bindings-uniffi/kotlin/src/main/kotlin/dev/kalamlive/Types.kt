package dev.kalamlive

import kotlinx.serialization.Serializable

/** The state of the connection. */
public enum class ConnectionState { IDLE, CONNECTING, CONNECTED, RECONNECTING, CLOSED }

/** What happens to a connection. */
public sealed interface LifecycleEvent {
    /** The connection stands, for the first time or again. */
    public data object Connected : LifecycleEvent

    /** The connection is lost. */
    public data class Disconnected(val error: KalamException) : LifecycleEvent

    /** Connecting failed, or the server reported an error that belongs to no call. */
    public data class Failed(val error: KalamException) : LifecycleEvent

    /** Rows of a live query were wrong, since the server had left something out, and were put right. */
    public data class Repaired(
        val subscription: String,
        val reason: String,
        val queries: Long,
        val bytes: Long,
        val added: Long,
        val changed: Long,
        val removed: Long,
    ) : LifecycleEvent
}

/** An open subscription. */
public data class Subscription(
    val id: String,
    /** The SQL as the server gets it: parameters bound, key columns added. */
    val query: String,
    /** `waiting`, `subscribing`, `loading` or `ready`. */
    val stage: String,
    /** The newest write received. */
    val lastSeqId: Long?,
)

/** What the server says about its health. */
@Serializable
public data class Health(val status: String, val version: String, val apiVersion: String, val buildDate: String)

/** What has been counted since the client was made. */
@Serializable
public data class Counters(
    val frames: Long,
    val bytes: Long,
    val sent: Long,
    val connects: Long,
    val unknownFrames: Long,
    val lateFrames: Long,
    /** How often a reader of events was too slow. */
    val lagged: Long,
    /** Queries that checked live rows. */
    val verifyQueries: Long,
    /** Checks that put rows right. */
    val verifyRepairs: Long,
)

/** SQL with the values of `$1`, `$2` and so on. */
public data class Statement(val sql: String, val params: List<Any?> = emptyList())
