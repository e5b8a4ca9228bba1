import dev.kalamlive.ConsumerOptions
import dev.kalamlive.ConsumerRecord
import dev.kalamlive.ConsumerStart
import dev.kalamlive.KalamClient
import dev.kalamlive.RunOptions
import dev.kalamlive.RunSummary
import kotlinx.coroutines.async
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.runBlocking
import kotlin.concurrent.thread

/**
 * Bills the orders of a topic until the process is told to end, by Ctrl-C or SIGTERM: what it is at is then finished and
 * committed, and the next worker gets the rest.
 */
suspend fun billOrders(
    client: KalamClient,
    options: RunOptions = RunOptions(concurrency = 4, deadLetterTopic = "app.dead_orders"),
    bill: suspend (ConsumerRecord) -> Unit,
): RunSummary = coroutineScope {
    val consumer = client.consumer(ConsumerOptions("app.order_events", groupId = "billing", start = ConsumerStart.Earliest))
    val working = async { consumer.run(options, bill).also { consumer.closeAndWait() } }
    // The JVM ends when its hooks have.
    val hook = thread(start = false) {
        options.stop.stop()
        runBlocking { working.join() }
    }
    Runtime.getRuntime().addShutdownHook(hook)
    working.await()
}
