package dev.kalamlive

import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.onCompletion
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.produceIn
import kotlinx.coroutines.flow.stateIn
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.takeWhile
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.plus
import kotlinx.coroutines.withContext
import kotlinx.serialization.Serializable
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNotEquals
import org.junit.jupiter.api.Assertions.assertNotSame
import org.junit.jupiter.api.Assertions.assertSame
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import java.io.File
import java.lang.management.ManagementFactory
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.minutes

private const val TABLE = "id BIGINT PRIMARY KEY, body TEXT"

@Serializable
private data class Note(val id: Long, val body: String?)

class LiveTest {
    @Test
    fun `rows that stay are the same objects, and changes say what happened`() = test {
        place(TABLE) { client, ns ->
            client.execute("INSERT INTO $ns.t VALUES (1, 'a'), (2, 'b'), (3, 'c')")
            val live = client.live("SELECT id, body FROM $ns.t").produceIn(this)
            val first = live.receive()
            assertEquals(listOf(Change.Reset), first.changes)
            assertEquals(Phase.LIVE, first.phase)
            client.execute("UPDATE $ns.t SET body = 'B' WHERE id = 2")
            val second = live.receive()
            checkReplay(first, second)
            val update = second.changes.single() as Change.Update
            assertEquals(listOf(1, "b", "B"), listOf(update.index, update.old["body"], update.row["body"]))
            assertSame(first[0], second[0])
            assertSame(first[2], second[2])
            assertNotSame(first[1], second[1])
            client.execute("DELETE FROM $ns.t WHERE id = 1")
            val third = live.receive()
            checkReplay(second, third)
            assertEquals(Change.Remove(0, first[0]), third.changes.single())
            assertEquals(3, second.size, "a snapshot stays as it was")
            assertTrue(third.lastSeqId!! > first.lastSeqId!!)
            live.cancel()
        }
    }

    @Test
    fun `rows as classes, the same object while they stay`() = test {
        place(TABLE) { client, ns ->
            client.execute("INSERT INTO $ns.t VALUES (1, 'a'), (2, NULL)")
            val live = client.live<Note>("SELECT id, body FROM $ns.t WHERE id < $1", listOf(10)).produceIn(this)
            val first = live.receive()
            assertEquals(listOf(Note(1, "a"), Note(2, null)), first)
            client.execute("UPDATE $ns.t SET body = 'b' WHERE id = 2")
            val second = live.receive()
            assertSame(first[0], second[0])
            assertEquals(Change.Update(1, Note(2, "b"), Note(2, null)), second.changes.single())
            live.cancel()
            assertEquals(2, client.liveTable<Note>("$ns.t").first().size)
            val event = client.liveEvents<Note>("SELECT id, body FROM $ns.t").first { it is KalamEvent.InitialDataBatch }
            assertEquals(2, (event as KalamEvent.InitialDataBatch).rows.size)
        }
    }

    @Test
    fun `events with old rows and checkpoints, and where they go on`() = test {
        place(TABLE) { client, ns ->
            client.execute("INSERT INTO $ns.t VALUES (1, 'a')")
            val told = ArrayList<String>()
            val options = EventOptions(onCheckpoint = { told.add(it) })
            val events = client.liveEvents("SELECT id, body FROM $ns.t", options = options).produceIn(this)
            assertTrue(events.receive() is KalamEvent.Ack)
            assertEquals(1, (events.receive() as KalamEvent.InitialDataBatch).rows.size)
            client.execute("UPDATE $ns.t SET body = 'b' WHERE id = 1")
            val update = events.receive() as KalamEvent.Update
            assertEquals("b", update.rows.single()["body"])
            assertEquals("a", update.oldRows.single()["body"])
            client.execute("DELETE FROM $ns.t WHERE id = 1")
            val delete = events.receive() as KalamEvent.Delete
            assertEquals(1L, delete.rows.single()["id"])
            events.cancel()
            client.execute("INSERT INTO $ns.t VALUES (2, 'c')")
            assertEquals(update.checkpoint, told[told.lastIndex - 1])
            val after = client.liveEvents("SELECT id, body FROM $ns.t", options = EventOptions(from = update.checkpoint))
            val inserted = after.first { event -> event is KalamEvent.Insert }
            assertEquals(2L, (inserted as KalamEvent.Insert).rows.single()["id"])
        }
    }

    @Test
    fun `a cancelled collector has closed its subscription`() = test {
        place(TABLE) { client, ns ->
            for (dispatcher in listOf(Dispatchers.Default, Dispatchers.Unconfined)) {
                val seen = CompletableDeferred<Unit>()
                val job = launch(dispatcher) { client.liveTable("$ns.t").collect { seen.complete(Unit) } }
                seen.await()
                assertEquals(1, client.subscriptions().size)
                job.cancelAndJoin()
                assertEquals(emptyList<Subscription>(), client.subscriptions())
            }
        }
    }

    @Test
    fun `a collector that leaves has closed its subscription`() = test {
        place(TABLE) { client, ns ->
            client.liveTable("$ns.t").first()
            client.liveEvents("SELECT id FROM $ns.t").take(1).toList()
            val thrown = runCatching { client.liveTable("$ns.t").collect { throw ArithmeticException() } }
            assertTrue(thrown.exceptionOrNull() is ArithmeticException)
            assertEquals(emptyList<Subscription>(), client.subscriptions())
        }
    }

    @Test
    fun `a flow on an unconfined dispatcher, and close from inside it`() = test {
        place(TABLE) { client, ns ->
            withContext(Dispatchers.Unconfined) {
                client.liveTable("$ns.t", LiveOptions(id = "it")).collect { client.cancelSubscription("it") }
            }
            assertEquals(emptyList<Subscription>(), client.subscriptions())
        }
    }

    @Test
    fun `close in every state ends what is open`() = test {
        place(TABLE) { other, ns ->
            other.execute("INSERT INTO $ns.t VALUES (1, 'a')")
            // Before the flow has begun, while it is opened, between rows, while it waits, and with the connection lost.
            val states: List<suspend (KalamClient, suspend () -> Unit) -> Unit> = listOf(
                { client, _ -> client.close() },
                { client, _ -> client.closeAndWait() },
                { client, loaded -> loaded(); client.close() },
                { client, loaded -> loaded(); client.closeAndWait(); client.closeAndWait() },
                { client, loaded -> loaded(); client.disconnect(); client.close() },
            )
            for ((i, close) in states.withIndex()) {
                val client = open()
                val loaded = CompletableDeferred<Unit>()
                val over = async(start = CoroutineStart.UNDISPATCHED) {
                    runCatching { client.liveTable("$ns.t").collect { loaded.complete(Unit) } }
                }
                close(client) { loaded.await() }
                val failed = over.await().exceptionOrNull()
                assertTrue(failed == null || (failed as KalamException).code == "closed", "$i: $failed")
                assertEquals("closed", failure { client.query("SELECT 1") }.code)
                client.state.first { it == ConnectionState.CLOSED }
            }
        }
    }

    @Test
    fun `a lost connection is told though the rows are the same, and can be closed`() = test {
        val own = EmbeddedServer.start(rootPassword = PASSWORD)
        val client = KalamClient.connect(own.url, "root", PASSWORD)
        client.execute("CREATE NAMESPACE app")
        client.execute("CREATE TABLE app.t ($TABLE)")
        client.execute("INSERT INTO app.t VALUES (1, 'a')")
        val over = CompletableDeferred<Unit>()
        val showing = Job()
        // A StateFlow drops what equals the value before.
        val rows = client.liveTable("app.t").onCompletion { over.complete(Unit) }
            .stateIn(this + showing, SharingStarted.Eagerly, null)
        val live = rows.first { it?.phase == Phase.LIVE }!!
        own.closeAndWait()
        val last = rows.first { it?.phase == Phase.RECONNECTING }!!
        assertEquals(live.toList(), last)
        assertNotEquals(live, last)
        client.close()
        over.await()
        client.state.first { it == ConnectionState.CLOSED }
        showing.cancel()
    }

    @Test
    fun `two clients do not share their end`() = test {
        place(TABLE) { one, ns ->
            val two = open()
            val rows = Channel<Int>(Channel.UNLIMITED)
            val job = launch { one.liveTable("$ns.t").collect { rows.send(it.size) } }
            assertEquals(0, rows.receive())
            two.execute("INSERT INTO $ns.t VALUES (1, 'a')")
            while (rows.receive() != 1) { }
            two.closeAndWait()
            one.execute("INSERT INTO $ns.t VALUES (2, 'b')")
            while (rows.receive() != 2) { }
            job.cancelAndJoin()
        }
    }

    @Test
    fun `a slow collector gets the newest rows and harms nobody`() = test {
        place(TABLE) { client, ns ->
            val go = CompletableDeferred<Unit>()
            val sizes = ArrayList<Int>()
            val slow = async {
                var before: List<Row> = emptyList()
                client.liveTable("$ns.t").onEach { rows ->
                    checkReplay(before, rows)
                    before = rows
                    sizes.add(rows.size)
                    go.await()
                }.takeWhile { it.size < 500 }.collect {}
            }
            until { sizes.isNotEmpty() }
            // The other sees every state on the way while the first one sleeps.
            val quick = async { client.liveTable("$ns.t").first { it.size == 500 } }
            for (id in 1..500) client.execute("INSERT INTO $ns.t VALUES ($1, 'x')", listOf(id))
            assertEquals(500, quick.await().size)
            go.complete(Unit)
            slow.await()
            assertTrue(sizes.size <= 4, "states were queued: $sizes")
            assertEquals(500, sizes.last())
        }
    }

    @Test
    fun `a collector of events that is slow is told that it lagged, and goes on`() = test {
        place(TABLE) { client, ns ->
            val flow = client.liveEvents("SELECT id FROM $ns.t", options = EventOptions(initialData = false))
            val events = flow.buffer(Channel.RENDEZVOUS).produceIn(this)
            assertTrue(events.receive() is KalamEvent.Ack)
            for (start in 0 until 40_000 step 500) {
                client.execute("INSERT INTO $ns.t (id) VALUES ${(start until start + 500).joinToString { "($it)" }}")
            }
            val seen = HashSet<Long>()
            var lagged = 0L
            while (seen.size < 40_000) {
                when (val event = events.receive()) {
                    is KalamEvent.Insert -> event.rows.forEach { seen.add(it.long("id")) }
                    is KalamEvent.InitialDataBatch -> event.rows.forEach { seen.add(it.long("id")) }
                    is KalamEvent.Lagged -> lagged += event.dropped
                    else -> Unit
                }
            }
            assertEquals(client.counters().lagged > 0, lagged > 0)
            events.cancel()
        }
    }

    @Test
    fun `many rows come in pieces`() = test {
        place(TABLE) { client, ns ->
            for (start in 0 until 20_000 step 1000) {
                client.execute("INSERT INTO $ns.t VALUES ${(start until start + 1000).joinToString { "($it, 'v$it')" }}")
            }
            val rows = client.liveTable("$ns.t").first()
            assertEquals((0L until 20_000).toList(), rows.map { it.long("id") }.sorted())
        }
    }

    /** Memory of the process, whose heap is all there from the start, and what is used of the heap, in MiB. */
    private suspend fun memory(): Pair<Long, Long> {
        // What is collected JNA frees on a thread of its own: until that has done with it.
        var used = Long.MAX_VALUE
        do {
            val before = used
            System.gc()
            delay(200.milliseconds)
            used = ManagementFactory.getMemoryMXBean().heapMemoryUsage.used
        } while (used < before - 100_000)
        val resident = File("/proc/self/statm").readText().split(" ")[1].toLong() * 4096
        return Pair(resident shr 20, used shr 20)
    }

    @Test
    fun `ten thousand subscriptions leave nothing behind`() = test(3.minutes) {
        place(TABLE) { client, ns ->
            client.execute("INSERT INTO $ns.t VALUES (1, 'a')")
            suspend fun cycles(count: Int) = coroutineScope {
                repeat(8) {
                    launch(Dispatchers.Default) { repeat(count / 8) { client.liveTable("$ns.t").first() } }
                }
            }
            cycles(4_000) // what allocators keep, and compiled code
            val threads = Thread.activeCount()
            val (resident, heap) = memory()
            cycles(10_000)
            assertEquals(emptyList<Subscription>(), client.subscriptions())
            val (residentAfter, heapAfter) = memory()
            assertTrue(residentAfter - resident < 40, "resident: $resident, $residentAfter MiB")
            assertTrue(heapAfter - heap < 8, "heap: $heap, $heapAfter MiB")
            assertTrue(Thread.activeCount() <= threads + 8, "threads: $threads, ${Thread.activeCount()}")
        }
    }
}
