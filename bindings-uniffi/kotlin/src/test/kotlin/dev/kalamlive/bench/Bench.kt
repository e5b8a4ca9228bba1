package dev.kalamlive.bench

import dev.kalamlive.ConnectOptions
import dev.kalamlive.KalamClient
import dev.kalamlive.LiveOptions
import dev.kalamlive.Rows
import dev.kalamlive.live
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.Serializable
import kotlinx.serialization.json.Json
import kotlinx.serialization.json.JsonObject
import kotlinx.serialization.json.jsonPrimitive
import kotlinx.serialization.json.long
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import kotlin.time.Instant
import kotlin.time.TimeSource

/** Measures the package at the frame server of `tests/bench`: `Bench URL ROUNDS` prints one line `name value` a measurement. */
fun main(arguments: Array<String>): Unit = runBlocking {
    val (url, rounds) = arguments
    repeat(rounds.toInt()) {
        println("cells ${snapshot(url) { client, sql -> client.live(sql, options = BATCHES) }}")
        println("classes ${snapshot(url) { client, sql -> client.live<Message>(sql, options = BATCHES) }}")
        for (held in HELD) println("change_$held ${flood(url, held)}")
        for (held in HELD) println("single_$held ${single(url, held)}")
    }
    kotlin.system.exitProcess(0)
}

private val BATCHES = LiveOptions(batchSize = 1000)
private val HELD = listOf(100, 10_000, 100_000)

@Serializable
private data class Message(
    val id: Long,
    val room: String,
    val sender: String,
    val body: String,
    val n: Long,
    val at: Instant,
)

private suspend fun connect(url: String) = KalamClient.connect(ConnectOptions(url = url, token = "bench-token"))

private fun post(url: String, path: String): JsonObject? {
    val request = HttpRequest.newBuilder(URI(url + path)).POST(HttpRequest.BodyPublishers.noBody()).build()
    val body = HttpClient.newHttpClient().send(request, HttpResponse.BodyHandlers.ofString()).body()
    return if (body.isEmpty()) null else Json.parseToJsonElement(body) as? JsonObject
}

/** Of the whole process, the Rust threads and those that compile and collect garbage included. */
private fun cpuNanoseconds(): Long =
    (java.lang.management.ManagementFactory.getOperatingSystemMXBean() as com.sun.management.OperatingSystemMXBean).processCpuTime

/** Rows a second until the first list is there, all of it read; and rows a second of processor time. */
private suspend fun <T> snapshot(url: String, open: (KalamClient, String) -> Flow<Rows<T>>): String {
    val table = "update_100000_200"
    post(url, "/bench/prepare?table=$table")
    val client = connect(url)
    client.query("SELECT 1")
    val cpuBefore = cpuNanoseconds()
    val start = TimeSource.Monotonic.markNow()
    val rows = open(client, "SELECT id, room, sender, body, n, at FROM bench.$table").first()
    var seen = 0
    for (row in rows) if (row != null) seen++
    val seconds = start.elapsedNow().inWholeMicroseconds / 1e6
    val cpu = (cpuNanoseconds() - cpuBefore) / 1e9
    check(seen == 100_000) { "$seen rows" }
    client.closeAndWait()
    return "${(seen / seconds).toLong()} ${(seen / cpu).toLong()}"
}

/** Microseconds a change of many that come at once, until the last one is seen. */
private suspend fun flood(url: String, held: Int): String {
    val changes = 20_000
    val followed = follow(url, "update_${held}_$changes", held)
    return "${followed.seconds * 1e6 / changes}"
}

/** Microseconds of processor time a list, of changes that come one after the other. */
private suspend fun single(url: String, held: Int): String {
    val followed = follow(url, "update_${held}_3000_r2000", held)
    return "${followed.cpu * 1e6 / followed.lists} ${followed.lists}"
}

/** What it took from the first change to the last, and how many lists showed them. */
private class Followed(val seconds: Double, val cpu: Double, val lists: Int)

private suspend fun follow(url: String, table: String, held: Int): Followed {
    val final = post(url, "/bench/prepare?table=$table")!!.getValue("final_seq").jsonPrimitive.long
    val client = connect(url)
    var start = TimeSource.Monotonic.markNow()
    var cpuBefore = 0L
    var lists = 0
    lateinit var followed: Followed
    kotlinx.coroutines.coroutineScope {
        client.live("SELECT id, room, sender, body, n, at FROM bench.$table", options = BATCHES).first { rows ->
            if (lists++ == 0) {
                check(rows.size == held)
                start = TimeSource.Monotonic.markNow()
                cpuBefore = cpuNanoseconds()
                launch(kotlinx.coroutines.Dispatchers.IO) { post(url, "/bench/go?table=$table") }
            }
            if (rows.lastSeqId == final) {
                val seconds = start.elapsedNow().inWholeMicroseconds / 1e6
                followed = Followed(seconds, (cpuNanoseconds() - cpuBefore) / 1e9, lists - 1)
            }
            rows.lastSeqId == final
        }
    }
    client.closeAndWait()
    return followed
}
