package dev.kalamlive

import dev.kalamlive.internal.Failure
import dev.kalamlive.internal.NativeException

/**
 * Anything that the client, the connection or the server could not do.
 *
 * Programs match on [code], which is stable and the same in every language: one of [codes]. The message is for people and
 * may change. It never holds a password or token.
 */
public class KalamException(
    public val code: String,
    message: String,
    /** Whether the same call may succeed when it is made again. */
    public val retryable: Boolean = false,
    /** The server's own code, such as `TABLE_NOT_FOUND`, where it gave one. */
    public val serverCode: String? = null,
) : Exception(message) {
    override val message: String get() = super.message!!

    override fun toString(): String =
        "KalamException: $message (${listOfNotNull(code, serverCode).joinToString()})"

    public companion object {
        /** Every [code] of this version. */
        public val codes: Set<String> = setOf(
            "already_exists", "auth_failed", "closed", "config", "disconnected", "invalid_argument", "invalid_sql", "lagged",
            "not_found", "not_supported", "permission_denied", "protocol", "rate_limited", "server", "subscription_limit", "timeout",
            "unavailable",
        )
    }
}

internal fun Failure.exception() = KalamException(code, text, retryable, serverCode)

/** What the native half throws, as what programs catch. */
internal inline fun <R> translated(block: () -> R): R =
    try {
        block()
    } catch (failed: NativeException.Failed) {
        throw failed.failure.exception()
    }

internal fun invalid(message: String) = KalamException("invalid_argument", message)
