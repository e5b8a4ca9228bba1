import dev.kalamlive.ConsumerRecord
import dev.kalamlive.EmbeddedServer
import dev.kalamlive.KalamClient
import dev.kalamlive.PASSWORD
import dev.kalamlive.RunOptions
import dev.kalamlive.RunSummary
import dev.kalamlive.test
import dev.kalamlive.until
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Test
import kotlin.time.Duration.Companion.seconds

private suspend fun at(url: String, use: suspend (KalamClient) -> Unit) =
    KalamClient.connect(url, user = "root", password = PASSWORD).use { use(it) }

/** The process that is interrupted while it is at the records 1 to 4. */
object InterruptedWorker {
    @JvmStatic
    fun main(arguments: Array<String>) = runBlocking {
        val options = RunOptions(concurrency = 4)
        at(arguments.single()) { client ->
            billOrders(client, options) { record ->
                println("begun ${record.offset}")
                if (record.offset > 0) until { options.stop.isStopped }
                println("finished ${record.offset}")
            }
        }
    }
}

/** `examples/kotlin/BillingWorker.kt`, at a real signal. */
class BillingWorkerTest {
    @Test
    fun `Ctrl-C ends a worker when what it is at is finished`() = test {
        val server = EmbeddedServer.start(rootPassword = PASSWORD, topicVisibility = 1.seconds)
        at(server.url) { client ->
            client.execute("CREATE NAMESPACE app")
            client.execute("CREATE TABLE app.orders (id BIGINT PRIMARY KEY)")
            client.execute("CREATE TOPIC app.order_events")
            client.execute("ALTER TOPIC app.order_events ADD SOURCE app.orders ON INSERT WITH (payload = 'full')")
            client.execute("INSERT INTO app.orders VALUES (0), (1), (2), (3), (4), (5), (6)")
            val java = ProcessHandle.current().info().command().orElse("java")
            val path = System.getProperty("java.class.path")
            val worker = ProcessBuilder(java, "-Xmx64m", "-cp", path, "InterruptedWorker", server.url)
                .redirectError(ProcessBuilder.Redirect.INHERIT)
                .start()
            val givingUp = launch(Dispatchers.Default) {
                delay(30.seconds)
                worker.destroyForcibly()
            }
            val lines = worker.inputReader().lineSequence().onEach { line ->
                if (line == "begun 4") ProcessBuilder("kill", "-INT", "${worker.pid()}").start().waitFor()
            }.toList()
            assertEquals(128 + 2, worker.waitFor(), "as of every program that Ctrl-C has ended: $lines")
            givingUp.cancel()
            assertEquals((0..4).map { "begun $it" }, lines.filter { it.startsWith("begun") })
            assertEquals((0..4).map { "finished $it" }, lines.filter { it.startsWith("finished") }.sorted())
            val acked = "SELECT last_acked_offset AS n FROM system.topic_offsets WHERE topic_id = 'app.order_events'"
            assertEquals(4L, client.queryOne(acked)!!.long("n"))

            // The next worker gets what was not begun, and nothing else.
            val options = RunOptions()
            val left = ArrayList<Long>()
            val summary = billOrders(client, options) { record: ConsumerRecord ->
                left += record.offset
                if (record.offset == 6L) options.stop.stop()
            }
            assertEquals(RunSummary(2, 0), summary)
            assertEquals(listOf(5L, 6L), left)
        }
        server.closeAndWait()
    }
}
