package dev.kalamlive

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.ReceiveChannel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.produceIn
import kotlinx.coroutines.withTimeoutOrNull
import kotlinx.serialization.json.JsonArray
import kotlinx.serialization.json.JsonElement
import kotlinx.serialization.json.JsonNull
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.JsonPrimitive
import kotlinx.serialization.json.boolean
import kotlinx.serialization.json.booleanOrNull
import kotlinx.serialization.json.contentOrNull
import kotlinx.serialization.json.doubleOrNull
import kotlinx.serialization.json.int
import kotlinx.serialization.json.jsonArray
import kotlinx.serialization.json.jsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long
import kotlinx.serialization.json.longOrNull
import org.junit.jupiter.api.Assertions.assertArrayEquals
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertNull
import java.math.BigDecimal
import java.time.LocalDate
import java.time.LocalTime
import java.util.UUID
import kotlin.time.Duration.Companion.seconds
import kotlin.time.Instant

internal fun JsonObject.text(key: String): String? = (get(key) as? JsonPrimitive)?.contentOrNull

private fun JsonObject.number(key: String): Int? = (get(key) as? JsonPrimitive)?.int

/** The state of one scenario. Steps are described in `tests/scenarios/README.md`. */
internal class Player(private val options: ConnectOptions, client: KalamClient, private val isComplete: Boolean) {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)
    private val clients = hashMapOf<String?, KalamClient>(null to client)
    private val lives = HashMap<String, ReceiveChannel<Rows<Row>>>()

    /** Waited for when it was opened, and not looked at yet. */
    private val loaded = HashMap<String, Rows<Row>>()
    private val shown = HashMap<String, Rows<Row>>()
    private val streams = HashMap<String, ReceiveChannel<KalamEvent<Row>>>()
    private val checkpoints = HashMap<String, String>()
    private val kept = HashMap<String, String>()
    private val topics = TopicSteps()

    suspend fun leave() {
        scope.cancel()
        clients.forEach { (name, client) -> if (name != null) client.closeAndWait() }
    }

    suspend fun play(step: JsonObject) {
        try {
            play(step.keys.first(), step, clients.getValue(step.text("on")))
        } catch (failed: KalamException) {
            assertEquals(step.text("error"), failed.code, "$step: $failed")
            return
        }
        assertNull(step.text("error"), "$step should fail")
    }

    private suspend fun play(what: String, step: JsonObject, client: KalamClient) {
        val of = step.text(what) ?: ""
        when (what) {
            "execute" -> {
                val affected = client.execute(of, params(step))
                step.number("affected")?.let { assertEquals(it.toLong(), affected, "$step") }
            }
            "fill" -> fill(client, of, step.number("from")!!, step.number("to")!!)
            "query" -> query(client, of, step)
            "query_one" -> {
                val row = client.queryOne(of, params(step))
                assertEquals(step["row"], row?.let(::plain) ?: JsonNull, "$step")
            }
            "query_all" -> {
                val rows = client.queryAll(of)
                val expected = step.number("count")
                assertEquals(listOf(expected, expected), listOf(rows.size, rows.distinctBy { it[0] }.size), "$step")
            }
            "batch" -> {
                val statements = step.getValue("batch").jsonArray.map { Statement(it.jsonPrimitive.content) }
                val expected = step["affected"]?.jsonArray?.sumOf { it.jsonPrimitive.long }
                val affected = client.batch(*statements.toTypedArray())
                if (expected != null) assertEquals(expected, affected, "$step")
            }
            "execute_with_files" -> upload(client, of, step)
            "download_file" -> {
                val file = client.queryOne(of)!![0] as FileRef
                val download = client.downloadFile(file, step.text("table")!!)
                assertEquals(listOf(step.text("name"), step.text("mime")), listOf(file.name, download.mime), "$step")
                assertArrayEquals(content(step), download.content, "$step")
            }
            "live" -> live(of, client.live(step.text("sql")!!, params(step), liveOptions(of, step)))
            "live_table" -> live(of, client.liveTable(step.text("table")!!, liveOptions(of, step)))
            "live_events" -> {
                val flow = client.liveEvents(step.text("sql")!!, params(step), eventOptions(of, step))
                val events = flow.buffer(Channel.RENDEZVOUS).produceIn(scope)
                if ("error" in step) events.receive()
                streams[of] = events
            }
            "rows" -> rows(client, of, step)
            "phase" -> while (shown.getValue(of).phase.name.lowercase() != step.text("is")) show(of)
            "events" -> step.getValue("types").jsonArray.forEachIndexed { i, type ->
                val event = streams.getValue(of).receive()
                assertEquals(type.jsonPrimitive.content, name(event), "$step")
                assertEquals(step.getValue("rows").jsonArray[i], JsonArray(rowsOf(event).map(::plain)), "$step")
            }
            "checkpoint" -> kept[step.text("as")!!] = checkpoints.getValue(of)
            "close" ->
                if (topics.knows(of)) topics.play(what, of, step, client)
                else (lives[of] ?: streams.getValue(of)).cancel()
            "consumer", "poll", "iterate", "mark", "commit", "commit_later", "seek", "position", "offsets", "run" ->
                topics.play(what, of, step, client)
            "cancel" -> client.cancelSubscription(of)
            "ended" -> {
                val channel = lives[of] ?: streams.getValue(of)
                while (channel.receiveCatching().isSuccess) {
                    // What is left before the end.
                }
                val why = channel.receiveCatching().exceptionOrNull()
                if (why is KalamException) throw why
            }
            "subscriptions" -> {
                val expected = step.getValue("subscriptions").jsonArray.map { it.jsonPrimitive.content }
                until { client.subscriptions().map { it.id } == expected }
            }
            "client" -> clients[of] =
                KalamClient.connect(options.copy(user = step.text("user"), password = step.text("password")))
            "disconnect" -> client.disconnect()
            "connect" -> client.connect()
            "network_changed" -> client.network.changed()
            "health" -> assertEquals("healthy", client.health().status)
            "counters" -> {
                check(of == "connects")
                assertEquals(step.number("is")!!.toLong(), client.counters().connects)
            }
            "state" -> client.state.first { it.name.lowercase() == step.text("state") }
            else -> throw AssertionError("there is no step $what")
        }
    }

    // Statements.

    private suspend fun fill(client: KalamClient, table: String, from: Int, to: Int) {
        for (numbers in (from until to).chunked(300)) {
            client.execute("INSERT INTO $table (id, v) VALUES ${numbers.joinToString { "($it, 'v$it')" }}")
        }
    }

    private suspend fun query(client: KalamClient, sql: String, step: JsonObject) {
        val queries = step.text("as_user")?.let(client::asUser) ?: client
        val result = queries.query(sql, params(step))
        val told = { key: String -> step[key]?.jsonArray?.map { it.jsonPrimitive.content } }
        told("types")?.let { types -> assertEquals(types, result.columns.map { it.type }, "$step") }
        told("columns")?.let { names -> assertEquals(names, result.columns.map { it.name }, "$step") }
        step["rows"]?.let { assertEquals(it, JsonArray(wire(result)), "$step") }
    }

    private suspend fun upload(client: KalamClient, sql: String, step: JsonObject) {
        val files = step.getValue("files").jsonObject.mapValues { (_, value) ->
            value.jsonObject.let { FileUpload(content(it), it.text("name"), it.text("mime")) }
        }
        var last: UploadProgress? = null
        val affected = client.executeWithFiles(sql, files, params(step)) { last = it }
        assertEquals(step.number("affected")!!.toLong(), affected, "$step")
        val total = files.values.sumOf { it.content.size.toLong() }
        assertEquals(UploadProgress(total, total), last, "$step")
    }

    private fun content(file: JsonObject): ByteArray =
        file.text("text")?.encodeToByteArray() ?: ByteArray(file.number("bytes")!!) { (it * 31 % 251).toByte() }

    private fun params(step: JsonObject): List<Any?> = step["params"]?.jsonArray?.map(::param) ?: emptyList()

    private fun param(value: JsonElement): Any? = when (value) {
        is JsonNull -> null
        is JsonPrimitive ->
            if (value.isString) value.content else value.booleanOrNull ?: value.longOrNull ?: value.doubleOrNull
        is JsonObject if "bytes" in value -> ByteArray(value["bytes"]!!.jsonArray.size) { value["bytes"]!!.jsonArray[it].jsonPrimitive.int.toByte() }
        else -> value
    }

    // Subscriptions.

    private fun from(options: JsonObject): String? = when (val from = options["from"]) {
        null -> null
        is JsonObject -> kept.getValue(from.text("checkpoint")!!)
        else -> from.jsonPrimitive.content
    }

    private fun liveOptions(name: String, step: JsonObject): LiveOptions {
        val given = step["options"]?.jsonObject ?: JsonObject(emptyMap())
        val verify = given["verify"]?.jsonPrimitive
        return LiveOptions(
            id = given.text("id"),
            lastRows = given.number("last_rows"),
            batchSize = given.number("batch_size"),
            from = from(given),
            limit = given.number("limit"),
            keyColumns = given["key_columns"]?.jsonArray?.map { it.jsonPrimitive.content },
            orderBy = given.text("order_by"),
            partial = given["partial"]?.jsonPrimitive?.boolean ?: false,
            verify = when {
                verify == null || verify.booleanOrNull == true -> Verify.Auto
                verify.booleanOrNull == false -> Verify.Off
                else -> Verify.Every(verify.content.toDouble().seconds)
            },
            onCheckpoint = { checkpoints[name] = it },
        )
    }

    private fun eventOptions(name: String, step: JsonObject): EventOptions {
        val given = step["options"]?.jsonObject ?: JsonObject(emptyMap())
        return EventOptions(
            id = given.text("id"),
            lastRows = given.number("last_rows"),
            batchSize = given.number("batch_size"),
            from = from(given),
            initialData = given["initial_data"]?.jsonPrimitive?.boolean ?: true,
            onCheckpoint = { checkpoints[name] = it },
        )
    }

    private suspend fun live(name: String, flow: Flow<Rows<Row>>) {
        val channel = flow.buffer(Channel.RENDEZVOUS).produceIn(scope)
        loaded[name] = channel.receive()
        lives[name] = channel
    }

    private suspend fun show(name: String) {
        val rows = loaded.remove(name) ?: lives.getValue(name).receive()
        checkReplay(shown[name] ?: emptyList(), rows)
        shown[name] = rows
    }

    private suspend fun rows(client: KalamClient, name: String, step: JsonObject) {
        val selected = step.text("equal_select")?.let { wire(client.queryAll(it)) }
        // KalamDB, which leaves things out, does not promise every order.
        val asSet = selected != null || (step.text("order") == "complete" && !isComplete)
        val given = selected ?: step["are"]?.jsonArray?.toList() ?: emptyList()
        val expected = if (asSet) sorted(given) else given
        val seen = { shown[name]?.let { rows -> wire(rows).let { if (asSet) sorted(it) else it } } }
        val there = withTimeoutOrNull(10.seconds) {
            while (seen() != expected || shown.getValue(name).phase == Phase.LOADING) show(name)
            true
        }
        if (there == null) assertEquals(expected, seen(), "$step")
    }

    private fun sorted(rows: List<JsonElement>) = rows.sortedBy { it.toString() }
}

private fun name(event: KalamEvent<Row>) = when (event) {
    is KalamEvent.Ack -> "ack"
    is KalamEvent.InitialDataBatch -> "initial_data_batch"
    is KalamEvent.Insert -> "insert"
    is KalamEvent.Update -> "update"
    is KalamEvent.Delete -> "delete"
    is KalamEvent.Resumed -> "resumed"
    is KalamEvent.GapPossible -> "gap_possible"
    is KalamEvent.Lagged -> "lagged"
    is KalamEvent.Unknown -> "unknown"
}

private fun rowsOf(event: KalamEvent<Row>): List<Row> = when (event) {
    is KalamEvent.InitialDataBatch -> event.rows
    is KalamEvent.Insert -> event.rows
    is KalamEvent.Update -> event.rows
    is KalamEvent.Delete -> event.rows
    else -> emptyList()
}

private fun wire(rows: List<Row>): List<JsonElement> = rows.map { row ->
    JsonArray(row.columns.indices.map { toWire(row[it], row.columns[it].type) })
}

/** Cells without a scheme of columns: those of events and single rows. */
internal fun plain(row: Row): JsonElement = JsonArray(row.map { if (it is Long) JsonPrimitive(it) else bare(it) })

private fun bare(cell: Any?): JsonElement = when (cell) {
    null -> JsonNull
    is Boolean -> JsonPrimitive(cell)
    is Double -> JsonPrimitive(cell)
    is JsonElement -> cell
    else -> JsonPrimitive(cell.toString())
}

/** A cell as the wire writes it, which only the value of its column type becomes. */
private fun toWire(cell: Any?, type: String): JsonElement {
    if (cell == null) return JsonNull
    return when (type.substringBefore('(')) {
        "BOOLEAN" -> JsonPrimitive(cell as Boolean)
        "SMALLINT", "INT" -> JsonPrimitive(cell as Long)
        "BIGINT" -> JsonPrimitive((cell as Long).toString())
        "FLOAT", "DOUBLE" -> number(cell as Double)
        "DECIMAL" -> JsonPrimitive((cell as BigDecimal).toPlainString())
        "TEXT" -> JsonPrimitive(cell as String)
        "UUID" -> JsonPrimitive((cell as UUID).toString())
        "TIMESTAMP", "DATETIME" ->
            (cell as Instant).let { JsonPrimitive(it.epochSeconds * 1_000_000 + it.nanosecondsOfSecond / 1000) }
        "DATE" -> JsonPrimitive((cell as LocalDate).toEpochDay())
        "TIME" -> JsonPrimitive((cell as LocalTime).toNanoOfDay() / 1000)
        "JSON" -> cell as JsonElement
        "BYTES" -> JsonArray((cell as ByteArray).map { JsonPrimitive(it.toInt() and 0xff) })
        "EMBEDDING" -> JsonArray((cell as FloatArray).map { number(it.toDouble()) })
        else -> throw AssertionError("$cell is not what a $type column gives")
    }
}

/** As the files write it: `1`, not `1.0`, where it is whole and they do; equality of JSON here is that of texts. */
private fun number(x: Double): JsonElement = JsonPrimitive(x)
