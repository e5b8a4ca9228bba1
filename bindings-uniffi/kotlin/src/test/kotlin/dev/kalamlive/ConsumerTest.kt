package dev.kalamlive

import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeout
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import java.util.concurrent.ConcurrentHashMap
import kotlin.time.Duration.Companion.milliseconds

class ConsumerTest {
    private suspend fun topic(use: suspend (KalamClient, String) -> Unit) = place("id BIGINT PRIMARY KEY, v TEXT") { client, ns ->
        client.execute("CREATE TOPIC $ns.orders")
        for (op in listOf("INSERT", "UPDATE", "DELETE")) {
            client.execute("ALTER TOPIC $ns.orders ADD SOURCE $ns.t ON $op WITH (payload = 'full')")
        }
        use(client, ns)
    }

    private fun options(ns: String, group: String = "g") =
        ConsumerOptions("$ns.orders", group, start = ConsumerStart.Earliest, autoCommit = false)

    @Test
    fun `poll, mark, commit and seek`() = test {
        topic { client, ns ->
            client.execute("INSERT INTO $ns.t VALUES (1, 'a')")
            client.execute("UPDATE $ns.t SET v = 'b' WHERE id = 1")
            val consumer = client.consumer(options(ns))
            val records = ArrayList<ConsumerRecord>()
            while (records.size < 2) records += consumer.poll()
            assertEquals(listOf("insert", "update"), records.map { it.op })
            assertEquals(listOf(0L, 1L), records.map { it.offset })
            assertEquals(1L, records[0].row!!["id"])
            assertEquals("b", records[1].row!!.string("v"))
            // What is not finished holds back what comes after it.
            consumer.markProcessed(records[1])
            assertEquals(Committed(0, 1), consumer.commit())
            consumer.markProcessed(records[0])
            assertEquals(Committed(2, 0), consumer.commit())
            assertEquals(2, consumer.position)
            consumer.seek(1)
            assertEquals(listOf(1L), consumer.poll().map { it.offset })
            val late = client.consumer(ConsumerOptions("$ns.orders", "late"))
            assertEquals(emptyList<ConsumerRecord>(), late.poll(10.milliseconds), "it begins with what comes")
            late.closeAndWait()
            consumer.closeAndWait()
            consumer.close()
            assertEquals("closed", failure { consumer.poll() }.code)
        }
    }

    @Test
    fun `a cancelled poll loses nothing, and a closed one ends`() = test {
        topic { client, ns ->
            val consumer = client.consumer(options(ns))
            repeat(20) { launch { consumer.poll() }.cancelAndJoin() }
            client.execute("INSERT INTO $ns.t VALUES (1, 'a')")
            val seen = consumer.records().take(1).toList()
            assertEquals(listOf(0L), seen.map { it.offset })
            val waiting = async { consumer.records().toList() }
            consumer.closeAndWait()
            waiting.await()
            client.execute("INSERT INTO $ns.t VALUES (2, 'b')")
            val closed = client.consumer(options(ns, "closed"))
            assertEquals(1, closed.records().onEach { closed.closeAndWait() }.toList().size, "nothing more is begun")
        }
    }

    @Test
    fun `a worker loop, with failures`() = test {
        topic { client, ns ->
            for (id in 1..20) client.execute("INSERT INTO $ns.t VALUES ($1, 'x')", listOf(id))
            val consumer = client.consumer(options(ns))
            val handled = ConcurrentHashMap.newKeySet<Long>()
            val failures = ConcurrentHashMap.newKeySet<String>()
            val stop = Stop()
            val options = RunOptions(
                concurrency = 4,
                maxAttempts = 2,
                backoff = 1.milliseconds,
                maxBackoff = 2.milliseconds,
                onFailed = {
                    failures.add("${it.attempts} ${it.error}")
                    FailedAction.SKIP
                },
                stop = stop,
            )
            val running = async {
                consumer.run(options) { record ->
                    val id = record.row!!.long("id")
                    if (id == 7L) throw ArithmeticException("seven")
                    handled.add(id)
                }
            }
            until { handled.size == 19 && failures.size == 1 }
            stop.stop()
            assertEquals(RunSummary(19, 1), running.await())
            assertEquals(setOf("2 ArithmeticException: seven"), failures)
            assertEquals(20, consumer.commit().nextOffset)
            consumer.closeAndWait()
        }
    }

    @Test
    fun `a handler that ends as if it was cancelled has failed`() = test {
        topic { client, ns ->
            for (id in 1..3) client.execute("INSERT INTO $ns.t VALUES ($1, 'x')", listOf(id))
            val consumer = client.consumer(options(ns))
            val failures = ConcurrentHashMap.newKeySet<String>()
            val stop = Stop()
            val options = RunOptions(
                maxAttempts = 1,
                onFailed = {
                    failures.add(it.error.substringBefore(':'))
                    if (failures.size == 2) throw CancellationException("the decision")
                    FailedAction.SKIP
                },
                deadLetterTopic = "$ns.dead",
                stop = stop,
            )
            val running = async {
                consumer.run(options) { record ->
                    when (record.offset) {
                        0L -> throw CancellationException("what it waited for")
                        1L -> withTimeout(1.milliseconds) { awaitCancellation() }
                        else -> stop.stop()
                    }
                }
            }
            assertEquals(RunSummary(1, 2), running.await())
            assertEquals(setOf("CancellationException", "TimeoutCancellationException"), failures)
            assertEquals(Committed(1, 1), consumer.commit(), "held, since nothing was decided about it")
            consumer.closeAndWait()
        }
    }

    @Test
    fun `what can not be consumed`() = test {
        place { client, ns ->
            val consumer = client.consumer(ConsumerOptions("$ns.nothing", "g"))
            assertEquals("not_found", failure { consumer.poll() }.code)
            assertTrue(failure { client.consumer(ConsumerOptions("", "g")) }.code in setOf("config", "invalid_argument"))
            consumer.closeAndWait()
        }
    }
}
