package dev.kalamlive

import kotlinx.coroutines.flow.onEach
import kotlinx.coroutines.flow.take
import kotlinx.coroutines.flow.toList
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.contentOrNull
import kotlinx.serialization.json.double
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long
import kotlinx.serialization.json.longOrNull
import org.junit.jupiter.api.Assertions.assertEquals
import java.util.concurrent.ConcurrentLinkedQueue
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.seconds

/** The steps of scenarios about consumers of topics. */
internal class TopicSteps {
    private val consumers = HashMap<String, Consumer>()

    /** What each was given, by offset. */
    private val given = HashMap<String, HashMap<Long, ConsumerRecord>>()

    fun knows(name: String) = name in consumers

    suspend fun play(what: String, of: String, step: JsonObject, client: KalamClient) {
        when (what) {
            "consumer" -> {
                consumers[of] = client.consumer(options(step))
                given[of] = HashMap()
            }
            "poll" -> {
                val expected = step["records"]?.jsonArray ?: JsonArray(emptyList())
                val timeout = step["timeout"]?.jsonPrimitive?.double?.seconds
                val records = consumers.getValue(of).poll(timeout).toMutableList()
                while (records.size < expected.size) records += consumers.getValue(of).poll(timeout)
                compare(records, expected)
                records.associateByTo(given.getValue(of)) { it.offset }
            }
            "iterate" -> {
                val expected = step.getValue("records").jsonArray
                val consumer = consumers.getValue(of)
                // It ends in the last of them, which is so not finished.
                val records = if ("closes_client" in step) {
                    var coming = expected.size
                    consumer.records().onEach { if (--coming == 0) client.closeAndWait() }
                } else {
                    consumer.records().take(expected.size)
                }
                compare(records.toList(), expected)
                consumer.closeAndWait()
            }
            "mark" -> for (offset in step.getValue("offsets").jsonArray) {
                consumers.getValue(of).markProcessed(given.getValue(of).getValue(offset.jsonPrimitive.long))
            }
            "commit" -> {
                val done = consumers.getValue(of).commit()
                among(mapOf("next_offset" to done.nextOffset, "held_back" to done.heldBack), step)
            }
            "commit_later" -> consumers.getValue(of).commitLater()
            "seek" -> consumers.getValue(of).seek(step.getValue("to").jsonPrimitive.long)
            "position" -> among(mapOf("is" to consumers.getValue(of).position), step)
            "offsets" -> {
                val (position, committed, heldBack, unfinished) = consumers.getValue(of).offsets()
                val ours = mapOf(
                    "position" to position,
                    "committed" to committed,
                    "held_back" to heldBack,
                    "unfinished" to unfinished,
                )
                assertEquals(step["are"], JsonObject(ours.mapValues { JsonPrimitive(it.value) }), "$step")
            }
            "run" -> run(consumers.getValue(of), step)
            "close" -> consumers.getValue(of).closeAndWait()
            else -> throw AssertionError("there is no step $what")
        }
    }

    private fun options(step: JsonObject): ConsumerOptions {
        val given = step["options"]?.jsonObject ?: JsonObject(emptyMap())
        val start = given["start"]?.jsonPrimitive
        return ConsumerOptions(
            topic = step.text("topic")!!,
            groupId = step.text("group")!!,
            partitionId = given["partition"]?.jsonPrimitive?.int ?: 0,
            start = when {
                start == null || start.contentOrNull == "latest" -> ConsumerStart.Latest
                start.contentOrNull == "earliest" -> ConsumerStart.Earliest
                else -> ConsumerStart.Offset(start.long)
            },
            autoCommit = given["auto_commit"]?.jsonPrimitive?.boolean ?: true,
            autoCommitInterval = given["auto_commit_interval"]?.jsonPrimitive?.double?.seconds,
            pollTimeout = given["poll_timeout"]?.jsonPrimitive?.double?.seconds,
            maxPollRecords = given["max_poll_records"]?.jsonPrimitive?.int,
        )
    }

    /** A worker loop, stopped when so many records were handled and have failed as there must be. */
    private suspend fun run(consumer: Consumer, step: JsonObject) {
        val given = step["options"]?.jsonObject ?: JsonObject(emptyMap())
        val fails = step["fails"]?.jsonArray?.map { it.jsonPrimitive.content } ?: emptyList()
        val decisions = step["on_failed"]?.jsonObject
        val whole = listOf("handled", "failed").sumOf { step[it]?.jsonPrimitive?.int ?: 0 }
        val keys = ConcurrentLinkedQueue<String>()
        val attempts = AtomicInteger()
        val over = AtomicInteger()
        val stop = Stop()
        val see = { if (over.incrementAndGet() == whole) stop.stop() }
        val options = RunOptions(
            concurrency = given["concurrency"]?.jsonPrimitive?.int ?: 1,
            maxAttempts = given["max_attempts"]?.jsonPrimitive?.int ?: 3,
            backoff = 1.milliseconds,
            maxBackoff = 5.milliseconds,
            deadLetterTopic = given.text("dead_letter_topic"),
            stop = stop,
            onFailed = { failed ->
                assertEquals("IllegalStateException: on purpose", failed.error)
                see()
                decisions?.text(failed.record.key!!)?.let { FailedAction.valueOf(it.uppercase()) }
            },
        )
        val summary = consumer.run(options) { record ->
            attempts.incrementAndGet()
            check(record.key !in fails) { "on purpose" }
            keys += record.key!!
            see()
        }
        val ours = mapOf("handled" to summary.handled, "failed" to summary.failed, "attempts" to attempts.toLong())
        among(ours, step)
        step["keys"]?.let { told -> assertEquals(told.jsonArray.map { it.jsonPrimitive.content }, keys.sorted()) }
    }
}

/** Compares those of our values that the step names. */
private fun among(ours: Map<String, Long>, step: JsonObject) {
    for ((name, value) in ours) step[name]?.let { assertEquals(it.jsonPrimitive.longOrNull, value, "$name: $step") }
}

/** Compares what is named of each record. */
private fun compare(records: List<ConsumerRecord>, expected: JsonArray) {
    assertEquals(expected.map { it.jsonObject["offset"]!!.jsonPrimitive.long }, records.map { it.offset })
    records.zip(expected.map { it.jsonObject }) { record, named ->
        val ours = mapOf(
            "topic" to JsonPrimitive(record.topic),
            "partition" to JsonPrimitive(record.partition),
            "offset" to JsonPrimitive(record.offset),
            "op" to JsonPrimitive(record.op),
            "key" to JsonPrimitive(record.key),
            "user" to JsonPrimitive(record.user),
            "row" to (record.row?.let(::plain) ?: JsonNull),
            "problem" to JsonPrimitive(record.problem != null),
        )
        named.forEach { (name, value: JsonElement) -> assertEquals(value, ours[name], "$name of ${record.offset}") }
    }
}
