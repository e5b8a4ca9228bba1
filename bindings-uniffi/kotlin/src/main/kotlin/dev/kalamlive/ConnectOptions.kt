package dev.kalamlive

import dev.kalamlive.internal.Connecting
import kotlin.time.Duration
import kotlin.time.DurationUnit

private const val EMBEDDED = "embedded:"

/** Where a client connects to, and how. */
public data class ConnectOptions(
    /**
     * The server: `http`, `https`, `ws` or `wss`. Without it an embedded server is started in this process, in memory;
     * `embedded:PATH` keeps its data in the directory PATH. Either stops with the client, whose user is `root` unless
     * [user] says otherwise.
     */
    val url: String? = null,
    /** Several nodes of one cluster, in place of [url]; attempts to connect rotate over them. */
    val urls: List<String>? = null,
    /** Logs in with [password]. */
    val user: String? = null,
    /** Of [user]. For an embedded server and the user `root` it is also set there. */
    val password: String? = null,
    /** An access token (JWT) in place of a user. */
    val token: String? = null,
    /** Returns a token; asked again when the server no longer accepts the last one. */
    val tokenProvider: (suspend () -> String)? = null,
    /** Of tables that are named without one. */
    val namespace: String? = null,
    val timeouts: Timeouts = Timeouts(),
    /** Whether to connect again after a loss. */
    val reconnect: Boolean = true,
    /** Upper bound of the first wait before that (1 s). It doubles each time. */
    val reconnectDelay: Duration? = null,
    /** Upper bound of every wait (30 s). */
    val reconnectMaxDelay: Duration? = null,
    /** Failures in a row after which to give up (never). */
    val reconnectAttempts: Int? = null,
    /** For every request, for gateways in front of the server. */
    val headers: Map<String, String> = emptyMap(),
    /** Certificate authorities to trust beside those of the system, PEM. */
    val tlsCa: ByteArray? = null,
    /** The certificate chain to present, PEM. */
    val tlsClientCertificate: ByteArray? = null,
    /** The private key of [tlsClientCertificate], PEM. */
    val tlsClientKey: String? = null,
    /** `http://[user:password@]host:port`. */
    val proxy: String? = null,
    val userAgent: String? = null,
    /** Whether the server may compress what it sends. */
    val compression: Boolean = true,
    /** Greatest frame or answer that is accepted (64 MiB). */
    val maxMessageBytes: Int? = null,
    /** Called with what happens to the connection, from the first attempt on; must not block. See [KalamClient.events]. */
    val onEvent: ((LifecycleEvent) -> Unit)? = null,
) {
    /** Without anything secret. */
    override fun toString(): String = "ConnectOptions(url=$url, urls=$urls, user=$user)"
}

/** How long things may take; `null` is the default. */
public data class Timeouts(
    /** Opening a connection (10 s). */
    val connect: Duration? = null,
    /** Until there is a token, and until it is accepted (10 s each). */
    val auth: Duration? = null,
    /** A query (30 s). */
    val request: Duration? = null,
    /** Opening a subscription (15 s). */
    val subscribe: Duration? = null,
    /** Silence after which the connection is tested (5 s). */
    val keepalive: Duration? = null,
    /** How long a test may take (5 s). */
    val pong: Duration? = null,
)

internal fun ConnectOptions.native(): Connecting {
    if (url != null && urls != null) throw KalamException("config", "give `url` or `urls`, not both")
    if ((tlsClientCertificate == null) != (tlsClientKey == null)) {
        throw KalamException("config", "give `tlsClientCertificate` and `tlsClientKey` together")
    }
    val embedded = urls == null && (url == null || url.startsWith(EMBEDDED))
    val directory = if (embedded) url?.substring(EMBEDDED.length) else null
    if (directory == "") {
        val hint = "write ${EMBEDDED}PATH, or leave the URL out for one in memory"
        throw KalamException("config", "\"$EMBEDDED\" names no directory: $hint")
    }
    val named = with(timeouts) {
        listOf(
            "connect" to connect, "auth" to auth, "request" to request,
            "subscribe" to subscribe, "keepalive" to keepalive, "pong" to pong,
        )
    }
    return Connecting(
        urls = if (embedded) null else urls ?: listOf(url!!),
        directory = directory,
        rootPassword = password.takeIf { embedded && user == "root" },
        user = user,
        password = password,
        token = token,
        tokenProvider = tokenProvider != null,
        namespace = namespace,
        timeouts = named.mapNotNull { (name, value) -> value?.let { name to it.seconds } }.toMap(),
        reconnect = reconnect,
        reconnectDelay = reconnectDelay?.seconds,
        reconnectMaxDelay = reconnectMaxDelay?.seconds,
        reconnectAttempts = reconnectAttempts?.let { count("reconnectAttempts", it) },
        headers = headers,
        tlsCa = tlsCa,
        tlsClientCertificate = tlsClientCertificate,
        tlsClientKey = tlsClientKey,
        proxy = proxy,
        userAgent = userAgent,
        compression = compression,
        maxMessageBytes = maxMessageBytes?.let { count("maxMessageBytes", it) },
    )
}

internal val Duration.seconds: Double get() = toDouble(DurationUnit.SECONDS)

internal fun count(option: String, value: Int): UInt {
    if (value < 0) throw KalamException("config", "option `$option`: $value is negative")
    return value.toUInt()
}
