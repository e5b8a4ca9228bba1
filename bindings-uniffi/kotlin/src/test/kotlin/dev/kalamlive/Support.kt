package dev.kalamlive

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertSame
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds

// What the tests share: one embedded server for all, a namespace for each test.

const val PASSWORD = "Test-Password-1"

/** The server of all tests; it goes with the process. */
val server: EmbeddedServer by lazy { runBlocking { EmbeddedServer.start(rootPassword = PASSWORD) } }

private val namespaces = AtomicInteger()

/** A client at the server of all tests, as root unless the options say otherwise. */
suspend fun open(change: (ConnectOptions) -> ConnectOptions = { it }): KalamClient =
    KalamClient.connect(change(ConnectOptions(url = server.url, user = "root", password = PASSWORD)))

/** A test: nothing that is sound takes a minute. */
fun test(limit: Duration = 60.seconds, body: suspend CoroutineScope.() -> Unit) = runBlocking {
    withTimeout(limit, body)
}

/** A client with an empty namespace of its own, and if wanted a table `t` in it. */
suspend fun place(table: String? = null, use: suspend (client: KalamClient, ns: String) -> Unit) {
    open().use { client ->
        val ns = "n${ProcessHandle.current().pid()}_${namespaces.incrementAndGet()}"
        client.execute("CREATE NAMESPACE $ns")
        if (table != null) client.execute("CREATE TABLE $ns.t ($table)")
        use(client, ns)
    }
}

/** Returns when the condition holds; it is looked at again and again. */
suspend fun until(condition: suspend () -> Boolean) {
    while (!condition()) delay(2.milliseconds)
}

/** What it fails with. */
suspend fun failure(body: suspend () -> Unit): KalamException {
    try {
        body()
    } catch (expected: KalamException) {
        return expected
    }
    throw AssertionError("it should have failed")
}

/** Checks that the changes, applied in order to the rows before, give these, object by object. */
fun <T> checkReplay(before: List<T>, rows: Rows<T>) {
    var list = before.toMutableList()
    for (change in rows.changes) {
        when (change) {
            Change.Reset -> {
                assertEquals(1, rows.changes.size)
                list = rows.toMutableList()
            }
            is Change.Remove -> assertSame(change.row, list.removeAt(change.index))
            is Change.Insert -> list.add(change.index, change.row)
            is Change.Update -> assertSame(change.old, list.set(change.index, change.row))
        }
    }
    assertEquals(list.size, rows.size)
    rows.forEachIndexed { i, row ->
        assertSame(list[i], row)
        assertSame(rows[i], row)
    }
}
