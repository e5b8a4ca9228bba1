package dev.kalamlive

import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertFalse
import org.junit.jupiter.api.Assertions.assertNotNull
import org.junit.jupiter.api.Assertions.assertNull
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import org.junit.jupiter.api.io.TempDir
import java.lang.management.ManagementFactory
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.nio.file.Path
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration.Companion.milliseconds

/** A token of root, as a program of the user's would get it. */
private fun login(url: String): String {
    val body = """{"user": "root", "password": "$PASSWORD"}"""
    val request = HttpRequest.newBuilder(URI("$url/v1/api/auth/login")).header("content-type", "application/json")
        .POST(HttpRequest.BodyPublishers.ofString(body)).build()
    val answer = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body()
    return Json.parseToJsonElement(answer).jsonObject.getValue("access_token").jsonPrimitive.content
}

class ClientTest {
    @Test
    fun `no server at hand`() = test {
        val client = KalamClient.connect()
        client.execute("CREATE NAMESPACE app")
        client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY)")
        assertEquals(2, client.batch("INSERT INTO app.t VALUES (1)", "INSERT INTO app.t VALUES (2)"))
        assertEquals(1, client.batch(Statement("INSERT INTO app.t VALUES ($1)", listOf(3))))
        assertEquals(3, client.queryAll("SELECT id FROM app.t").size)
        assertNull(client.queryOne("SELECT id FROM app.t WHERE id = 9"))
        assertEquals("healthy", client.health().status)
        client.closeAndWait()
    }

    @Test
    fun `data in a directory`(@TempDir directory: Path) = test {
        val options = ConnectOptions(url = "embedded:$directory")
        val first = KalamClient.connect(options)
        first.execute("CREATE NAMESPACE app")
        first.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY)")
        first.closeAndWait()
        val second = KalamClient.connect(options)
        assertEquals(0, second.query("SELECT id FROM app.t").size)
        second.closeAndWait()
        val server = EmbeddedServer.start(directory.resolve("other").toString(), rootPassword = PASSWORD)
        assertEquals(PASSWORD, server.rootPassword)
        server.closeAndWait()
        server.closeAndWait()
    }

    @Test
    fun `options that are wrong are named`() = test {
        val wrong = listOf(
            ConnectOptions(url = "http://a", urls = listOf("http://b")) to "`url` or `urls`",
            ConnectOptions(url = "embedded:") to "names no directory",
            ConnectOptions(url = "gopher://a") to "gopher",
            ConnectOptions(url = "http://a", reconnectAttempts = -1) to "reconnectAttempts",
            ConnectOptions(url = "http://a", timeouts = Timeouts(auth = (-1).milliseconds)) to "timeouts.auth",
            ConnectOptions(url = "http://a", tlsClientKey = "k") to "tlsClientCertificate",
        )
        for ((options, expected) in wrong) {
            val failed = failure { KalamClient.connect(options) }
            assertEquals("config", failed.code, "$failed")
            assertTrue(failed.message.contains(expected), failed.message)
        }
        assertFalse("secret" in ConnectOptions(user = "a", password = "secret", token = "secret").toString())
    }

    @Test
    fun `errors have the codes of every language`() = test {
        assertEquals("auth_failed", failure { open { it.copy(password = "Wrong-Password-1") } }.code)
        assertEquals("disconnected", failure { KalamClient.connect("http://127.0.0.1:9", "a", "b") }.code)
        place("id BIGINT PRIMARY KEY") { client, ns ->
            assertEquals("not_found", failure { client.query("SELECT * FROM $ns.nothing") }.code)
            assertEquals("invalid_sql", failure { client.query("SELEC 1") }.code)
            assertEquals("invalid_sql", failure { client.live("SELECT id FROM $ns.t ORDER BY id").first() }.code)
            assertEquals("not_found", failure { client.cancelSubscription("nobody") }.code)
            val failed = failure { client.batch("INSERT INTO $ns.t VALUES (1)", "INSERT INTO $ns.nothing VALUES (1)") }
            assertEquals("not_found", failed.code)
            assertEquals(0, client.query("SELECT id FROM $ns.t").size, "all or nothing")
        }
    }

    @Test
    fun `a call that is cancelled is given up`() = test {
        place("id BIGINT PRIMARY KEY") { client, ns ->
            client.disconnect()
            repeat(50) {
                val call = launch { client.query("SELECT id FROM $ns.t") }
                call.cancelAndJoin()
            }
            client.connect()
            assertEquals(0, client.query("SELECT id FROM $ns.t").size)
        }
    }

    @Test
    fun `tokens by a provider that takes its time`() = test {
        val asked = AtomicInteger()
        val provider: suspend () -> String = {
            asked.incrementAndGet()
            delay(5.milliseconds)
            login(server.url)
        }
        KalamClient.connect(ConnectOptions(url = server.url, tokenProvider = provider)).use { client ->
            assertEquals(1L, client.query("SELECT 1 AS one")[0]["one"])
        }
        assertTrue(asked.get() > 0)
    }

    @Test
    fun `a provider that throws or never answers`() = test {
        val broken = ConnectOptions(url = server.url, tokenProvider = { throw IllegalStateException("no luck") })
        val failed = failure { KalamClient.connect(broken) }
        assertTrue(failed.message.contains("tokenProvider failed: IllegalStateException: no luck"), failed.message)
        val silent = ConnectOptions(
            url = server.url,
            tokenProvider = { awaitCancellation() },
            timeouts = Timeouts(auth = 100.milliseconds),
        )
        assertEquals("timeout", failure { KalamClient.connect(silent) }.code)
    }

    @Test
    fun `a connection that is cancelled while it is made`() = test {
        val (asked, left) = Pair(CompletableDeferred<Unit>(), CompletableDeferred<Unit>())
        val silent = ConnectOptions(
            url = server.url,
            tokenProvider = {
                asked.complete(Unit)
                try {
                    awaitCancellation()
                } finally {
                    left.complete(Unit)
                }
            },
        )
        val connecting = launch { KalamClient.connect(silent) }
        asked.await()
        connecting.cancelAndJoin()
        // The provider is not wanted any more either.
        left.await()
    }

    @Test
    fun `what happens to a connection`() = test {
        val own = EmbeddedServer.start(rootPassword = PASSWORD)
        val told = Channel<LifecycleEvent>(Channel.UNLIMITED)
        val client = KalamClient.connect(
            ConnectOptions(
                url = own.url,
                user = "root",
                password = PASSWORD,
                reconnectDelay = 20.milliseconds,
                reconnectMaxDelay = 50.milliseconds,
                onEvent = {
                    told.trySend(it)
                    throw IllegalStateException("it ends nothing")
                },
            ),
        )
        assertEquals(LifecycleEvent.Connected, told.receive())
        assertEquals(ConnectionState.CONNECTED, client.state.value)
        val next = async(start = CoroutineStart.UNDISPATCHED) { client.events.first() }
        own.closeAndWait()
        assertTrue(told.receive() is LifecycleEvent.Disconnected)
        assertTrue(next.await() is LifecycleEvent.Disconnected)
        client.state.first { it == ConnectionState.RECONNECTING }
        val again = EmbeddedServer.start(rootPassword = PASSWORD, port = URI(own.url).port)
        client.network.changed()
        while (told.receive() != LifecycleEvent.Connected) { }
        client.state.first { it == ConnectionState.CONNECTED }
        assertEquals(2, client.counters().connects)
        client.closeAndWait()
        client.state.first { it == ConnectionState.CLOSED }
        again.closeAndWait()
    }

    @Test
    fun `a wait makes no thread`() = test {
        place("id BIGINT PRIMARY KEY") { client, ns ->
            val threads = ManagementFactory.getThreadMXBean()
            val before = threads.totalStartedThreadCount
            repeat(500) { client.query("SELECT id FROM $ns.t") }
            val started = threads.totalStartedThreadCount - before
            assertTrue(started < 100, "$started threads were started")
        }
    }

    @Test
    fun `one user as another`() = test {
        place("id BIGINT PRIMARY KEY") { client, ns ->
            client.execute("CREATE USER ${ns}u WITH PASSWORD 'User-Password-1' ROLE user")
            val other = client.asUser("${ns}u")
            assertEquals(1L, other.query("SELECT 1 AS one")[0]["one"])
            assertNotNull(other.queryOne("SELECT 1 AS one"))
        }
    }

    @Test
    fun `the log`() = test {
        val lines = Channel<LogLine>(Channel.UNLIMITED)
        val job = launch { KalamLog.lines(LogLevel.TRACE).collect { lines.send(it) } }
        place("id BIGINT PRIMARY KEY") { client, ns ->
            client.liveTable("$ns.t").first()
            val line = lines.receive()
            assertTrue(line.target.startsWith("kalam_"), "$line")
            assertFalse(PASSWORD in line.message)
        }
        job.cancelAndJoin()
        // Back to warnings, for what other tests print.
        val quiet = launch { KalamLog.lines().collect {} }
        quiet.cancelAndJoin()
    }
}
