package dev.kalamlive

import dev.kalamlive.internal.NativeRun
import dev.kalamlive.internal.Running
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.cancelChildren
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeoutOrNull
import kotlin.time.Duration

/** How [Consumer.run] works. */
public data class RunOptions(
    /** Records that are handled at the same time, of different keys. */
    val concurrency: Int = 1,
    /** How often a record is handled before it has failed. */
    val maxAttempts: Int = 3,
    /** Upper bound of the first pause between attempts (250 ms). It doubles each time. */
    val backoff: Duration? = null,
    /** Upper bound of every pause (5 s, or [backoff] if that is more). */
    val maxBackoff: Duration? = null,
    /** How long one attempt may take before it counts as failed. */
    val timeout: Duration? = null,
    /**
     * Decides what becomes of a record that failed as often as it may; `null` is what happens without it. What it throws is
     * reported, and the record held.
     */
    val onFailed: (suspend (FailedRecord) -> FailedAction?)? = null,
    /** Where records go that failed, `namespace.name`. Without it they are held. */
    val deadLetterTopic: String? = null,
    /** Stops the loop gracefully. */
    val stop: Stop = Stop(),
)

/** Stops a worker loop gracefully: nothing more is begun, what runs is finished and committed. */
public class Stop {
    internal val stopped = MutableStateFlow(false)

    public fun stop() {
        stopped.value = true
    }

    /** Whether it was stopped. A handler that takes long may look. */
    public val isStopped: Boolean get() = stopped.value
}

/** A record that failed as often as it may. */
public class FailedRecord internal constructor(
    /** The record whose handler failed. */
    public val record: ConsumerRecord,
    /** What the last attempt failed with. */
    public val error: String,
    /** How often it was tried. */
    public val attempts: Int,
)

/** What becomes of a record that failed. */
public enum class FailedAction {
    /** It stays unfinished: no commit passes it, the records of its key wait, and the server delivers it again. */
    HOLD,

    /** It counts as finished. */
    SKIP,
}

/** What a worker loop did. */
public data class RunSummary(
    /** Records that were handled. */
    val handled: Long,
    /** Records that failed as often as they may. */
    val failed: Long,
)

/** See [Consumer.run]. */
internal suspend fun Consumer.work(
    options: RunOptions,
    handler: suspend (ConsumerRecord) -> Unit,
): RunSummary {
    val run = translated { native.run(options.native()) }
    try {
        return coroutineScope {
            launch {
                options.stop.stopped.first { it }
                run.stop()
            }
            while (true) {
                withContext(Dispatchers.Default) { run.ready() }
                // It may have come after the one that waits for it was last resumed.
                if (options.stop.isStopped) run.stop()
                val taken = translated { run.take() } ?: break
                taken.records.told().zip(taken.tasks) { record, task ->
                    val error = task.failedWith
                    launch {
                        if (error == null) {
                            handle(run, record, options.timeout, handler)
                        } else {
                            decide(run, FailedRecord(record, error, task.attempt.toInt()), options.onFailed)
                        }
                    }
                }
            }
            coroutineContext.cancelChildren()
            with(run.summary()) { RunSummary(handled.toLong(), failed.toLong()) }
        }
    } finally {
        run.end()
        run.destroy()
    }
}

private suspend fun handle(
    run: NativeRun,
    record: ConsumerRecord,
    timeout: Duration?,
    handler: suspend (ConsumerRecord) -> Unit,
) {
    val error = try {
        // Null is ours; a handler's own timeout throws.
        val done = if (timeout == null) handler(record) else withTimeoutOrNull(timeout) { handler(record) }
        if (done == null) "the handler took longer than $timeout" else null
    } catch (thrown: Exception) {
        // This may be cancelled, or something that the handler waited for.
        currentCoroutineContext().ensureActive()
        "${thrown::class.simpleName}: ${thrown.message}"
    }
    run.handled(record.offset.toULong(), error)
}

private suspend fun decide(run: NativeRun, failed: FailedRecord, onFailed: (suspend (FailedRecord) -> FailedAction?)?) {
    val action = try {
        onFailed?.invoke(failed)
    } catch (thrown: Exception) {
        currentCoroutineContext().ensureActive()
        report("onFailed", thrown)
        FailedAction.HOLD
    }
    run.decide(failed.record.offset.toULong(), action?.name?.lowercase())
}

private fun RunOptions.native() = Running(
    concurrency = count("concurrency", concurrency),
    maxAttempts = count("maxAttempts", maxAttempts),
    backoff = backoff?.seconds,
    maxBackoff = maxBackoff?.seconds,
    deadLetterTopic = deadLetterTopic,
    asks = onFailed != null,
)
