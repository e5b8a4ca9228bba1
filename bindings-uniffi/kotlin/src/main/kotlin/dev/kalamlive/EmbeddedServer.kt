package dev.kalamlive

import dev.kalamlive.internal.NativeServer
import kotlinx.coroutines.DelicateCoroutinesApi
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.GlobalScope
import kotlinx.coroutines.launch
import java.io.Closeable
import kotlin.time.Duration

/**
 * An embedded server in this process, that other clients connect to: for tests, previews and products without a network.
 *
 * ```
 * EmbeddedServer.start(rootPassword = "secret").use { server ->
 *     KalamClient.connect(server.url, user = "root", password = "secret").use { ... }
 * }
 * ```
 */
public class EmbeddedServer private constructor(private val native: NativeServer) : Closeable {
    /** Where clients connect, such as `http://127.0.0.1:2900`. */
    public val url: String = native.url()!!

    /** The password of `root`; `null` when it was set by an earlier start on the same directory. */
    public val rootPassword: String? = native.rootPassword()

    /** Stops the server. Returns at once, and may be called often; [closeAndWait] waits for it. */
    @OptIn(DelicateCoroutinesApi::class)
    override fun close() {
        val stopping = native.stop()
        GlobalScope.launch(Dispatchers.Default) { stopping.done() }
    }

    /** [close], and waits until the server has stopped. */
    public suspend fun closeAndWait(): Unit = native.stop().done()

    public companion object {
        /**
         * Starts one, in [directory] or in memory; [port] 0 is any free one. Without [rootPassword] one is generated when
         * the data is created. A consumer may hold a record of a topic for [topicVisibility] (30 s) before it is delivered
         * again.
         *
         * @throws KalamException `config`; `not_supported` when the native library was built without it.
         */
        public suspend fun start(
            directory: String? = null,
            port: Int = 0,
            rootPassword: String? = null,
            topicVisibility: Duration? = null,
        ): EmbeddedServer {
            if (port !in 0..65535) throw KalamException("config", "option `port`: $port is no port")
            Waking.prepare()
            val native = NativeServer()
            translated { native.start(directory, rootPassword, port.toUShort(), topicVisibility?.seconds) }.done()
            return EmbeddedServer(native)
        }
    }
}
