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
        /** The id of the subscription. */
        val subscription: String,
        /** What it was that showed: `unconfirmed`, `mismatch`, `newest_rows`, `schema`, `reconnect` or `traffic`. */
        val reason: String,
        /** HTTP queries that it took. */
        val queries: Long,
        /** Bytes of their answers. */
        val bytes: Long,
        /** Rows that were missing. */
        val added: Long,
        /** Rows with other content. */
        val changed: Long,
        /** Rows that were gone. */
        val removed: Long,
    ) : LifecycleEvent
}

/** An open subscription. */
public data class Subscription(
    /** Its name, for `cancelSubscription`. */
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
    /** Frames received. */
    val frames: Long,
    /** Bytes received, as they were on the wire. */
    val bytes: Long,
    /** Messages sent, pings aside. */
    val sent: Long,
    /** Connections established. */
    val connects: Long,
    /** Frames of a type that this version does not know. */
    val unknownFrames: Long,
    /** Frames for subscriptions that are not open any more. */
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
