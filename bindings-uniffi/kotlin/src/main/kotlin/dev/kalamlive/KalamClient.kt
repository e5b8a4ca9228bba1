package dev.kalamlive

import dev.kalamlive.internal.NativeClient
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.DelicateCoroutinesApi
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.GlobalScope
import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.SharedFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asSharedFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.launch
import kotlinx.serialization.DeserializationStrategy
import kotlinx.serialization.Serializable
import kotlinx.serialization.builtins.ListSerializer
import kotlinx.serialization.builtins.serializer
import kotlinx.serialization.json.Json
import kotlinx.serialization.serializer
import java.io.Closeable
import java.util.concurrent.atomic.AtomicBoolean

/**
 * A connection to a server.
 *
 * ```
 * KalamClient.connect("http://localhost:2900", user = "alice", password = "...").use { client ->
 *     client.live("SELECT id, body FROM app.messages WHERE room = $1", listOf("main")).collect { rows ->
 *         println("${rows.size} ${rows.changes}")
 *     }
 * }
 * ```
 */
public class KalamClient private constructor(
    private val client: NativeClient,
    private val shut: AtomicBoolean,
    states: StateFlow<ConnectionState>,
    happenings: SharedFlow<LifecycleEvent>,
) : Queries({ if (shut.get()) throw KalamException("closed", "the client is closed") else client }, null), Closeable {
    /** The state of the connection. */
    public val state: StateFlow<ConnectionState> = states

    /**
     * What happens to the connection from now on. A collector that is slow misses the oldest; from the first attempt on
     * events come to [ConnectOptions.onEvent].
     */
    public val events: SharedFlow<LifecycleEvent> = happenings

    /** What the program knows about the network. */
    public val network: Network = Network()

    public inner class Network internal constructor() {
        /** Tells that the network has changed: the client tries at once instead of waiting, or tests its connection. */
        public fun changed(): Unit = client.networkChanged()
    }

    /**
     * All rows of a SELECT without ORDER BY and LIMIT, fetched in pages: KalamDB returns at most 1,000 at once.
     *
     * @throws KalamException
     */
    public suspend fun queryAll(sql: String, params: List<Any?> = emptyList()): QueryResult<Row> =
        native().queryAll(sql, encodeParams(params)).rows { it }

    /** [queryAll] with each row made a [T]. */
    public suspend fun <T> queryAll(
        deserializer: DeserializationStrategy<T>,
        sql: String,
        params: List<Any?> = emptyList(),
    ): QueryResult<T> = native().queryAll(sql, encodeParams(params)).rows(rowFormat(deserializer))

    /**
     * Executes statements in one transaction: all of them, or on an error none. Returns how many rows they have changed.
     *
     * @throws KalamException
     */
    public suspend fun batch(vararg statements: Statement): Long {
        val list = statements.map { dev.kalamlive.internal.Statement(it.sql, encodeParams(it.params)) }
        return native().batch(list).answer(Long.serializer())
    }

    /** [batch] of statements without parameters. */
    public suspend fun batch(vararg statements: String): Long =
        batch(*statements.map { Statement(it) }.toTypedArray())

    /**
     * Executes one statement with files and returns how many rows it has changed. `FILE("name")` in it stands for the file of
     * that name in [files]. [onProgress] is called now and then while they are sent, in the context of the caller. It is sent
     * once: without an answer it may have been applied.
     *
     * ```
     * val photo = FileUpload.read(File("cat.png"))
     * client.executeWithFiles("INSERT INTO app.pets VALUES ($1, FILE(\"photo\"))", mapOf("photo" to photo), listOf(1))
     * ```
     *
     * @throws KalamException `invalid_argument` for a file that the statement does not name, or one that it names and is not
     * there
     */
    public suspend fun executeWithFiles(
        sql: String,
        files: Map<String, FileUpload>,
        params: List<Any?> = emptyList(),
        onProgress: ((UploadProgress) -> Unit)? = null,
    ): Long {
        val (client, encoded, uploads) = Triple(native(), encodeParams(params), files.native())
        return uploaded(uploads, onProgress) { sent -> client.executeWithFiles(sql, encoded, uploads, sent) }
    }

    /**
     * The bytes of the file that a cell of [table] refers to; [user] is whose table it is, for those who may read the files of
     * others.
     *
     * @throws KalamException `not_found` when there is no such file
     */
    public suspend fun downloadFile(file: FileRef, table: String, user: String? = null): FileDownload {
        val row = native().downloadFile(Json.encodeToString(file), table, user).rows { it }.single()
        return FileDownload(row.bytes("content"), row["mime"] as String?)
    }

    /** `query`, `queryOne` and `execute` as another user, where the rights of this one allow it. */
    public fun asUser(user: String): Queries = Queries(native, user)

    /**
     * The rows of `SELECT columns FROM namespace.table [WHERE ...]`, again whenever they have changed. The SQL is without
     * ORDER BY and LIMIT: see [LiveOptions].
     *
     * Each collector opens a live query of its own, gets the newest complete rows, skips the states between when it is
     * slow, and ends the live query by ending, be it that its coroutine is cancelled. The flow fails with a
     * [KalamException], and ends when the client is closed.
     */
    public fun live(
        sql: String,
        params: List<Any?> = emptyList(),
        options: LiveOptions = LiveOptions(),
    ): Flow<Rows<Row>> = rows(sql, params, false, options) { { it } }

    /** [live] with each row made a [T]: `client.live<Task>("SELECT ...")`. A row that stays is the same [T] object. */
    public fun <T> live(
        deserializer: DeserializationStrategy<T>,
        sql: String,
        params: List<Any?> = emptyList(),
        options: LiveOptions = LiveOptions(),
    ): Flow<Rows<T>> = rows(sql, params, false, options) { rowFormat(deserializer) }

    /** All rows and columns of a table, as [live]. */
    public fun liveTable(table: String, options: LiveOptions = LiveOptions()): Flow<Rows<Row>> =
        rows(table, emptyList(), true, options) { { it } }

    /** [liveTable] with each row made a [T]. */
    public fun <T> liveTable(
        deserializer: DeserializationStrategy<T>,
        table: String,
        options: LiveOptions = LiveOptions(),
    ): Flow<Rows<T>> = rows(table, emptyList(), true, options) { rowFormat(deserializer) }

    /** [maker] gives each collector a maker of its own. */
    private fun <T> rows(
        sql: String,
        params: List<Any?>,
        table: Boolean,
        options: LiveOptions,
        maker: () -> (Row) -> T,
    ): Flow<Rows<T>> {
        val encoded = encodeParams(params)
        val checked = options.native()
        return flow { emitRows(native().live(sql, encoded, table, checked), maker(), options.onCheckpoint) }
    }

    /**
     * What the server tells about a query, event by event, for programs that keep their own state. A collector that is too
     * slow gets one [KalamEvent.Lagged] in place of those that were dropped; the subscription then goes on after the last
     * one that it took.
     */
    public fun liveEvents(
        sql: String,
        params: List<Any?> = emptyList(),
        options: EventOptions = EventOptions(),
    ): Flow<KalamEvent<Row>> = events(sql, params, options) { { it } }

    /** [liveEvents] with each row made a [T]. */
    public fun <T> liveEvents(
        deserializer: DeserializationStrategy<T>,
        sql: String,
        params: List<Any?> = emptyList(),
        options: EventOptions = EventOptions(),
    ): Flow<KalamEvent<T>> = events(sql, params, options) { rowFormat(deserializer) }

    private fun <T> events(
        sql: String,
        params: List<Any?>,
        options: EventOptions,
        maker: () -> (Row) -> T,
    ): Flow<KalamEvent<T>> {
        val encoded = encodeParams(params)
        val checked = options.native()
        return flow { emitEvents(native().liveEvents(sql, encoded, checked), maker(), options.onCheckpoint) }
    }

    /**
     * A member of a group that reads a topic. It asks for nothing before it is polled.
     *
     * @throws KalamException `config`, naming the option that is wrong
     */
    public fun consumer(options: ConsumerOptions): Consumer = Consumer(translated { native().consumer(options.native()) })

    /** The open live queries, oldest first. */
    public suspend fun subscriptions(): List<Subscription> =
        native().subscriptions().answer(ListSerializer(ToldSubscription.serializer())).map {
            Subscription(it.id, it.query, it.stage, it.lastSeqId?.toLong())
        }

    /** Ends a live query by its id; its flow ends. Fails with `not_found` when there is none of that id. */
    public suspend fun cancelSubscription(id: String): Unit = native().cancelSubscription(id).done()

    /** What has been counted since the client was made. */
    public fun counters(): Counters = Json.decodeFromString(client.counters())

    /** What the server says about its health. KalamDB answers only to callers on its own machine. */
    public suspend fun health(): Health = native().health().answer(Health.serializer())

    /** Closes the connection. Live queries stay, with their rows, and go on after [connect]. */
    public suspend fun disconnect(): Unit = native().disconnect().done()

    /** Connects again after [disconnect]. */
    public suspend fun connect(): Unit = native().connect().done()

    /**
     * Ends every live query, closes the connection, and stops the embedded server if there is one. Returns at once, and
     * may be called often; [closeAndWait] waits for it.
     */
    @OptIn(DelicateCoroutinesApi::class)
    override fun close() {
        if (shut.getAndSet(true)) return
        val closing = client.shut()
        // What it closes lives as long as the process; it takes a moment, or a deadline of the core.
        GlobalScope.launch(Dispatchers.Default) { closing.done() }
    }

    /** [close], and waits until it is done. */
    public suspend fun closeAndWait() {
        shut.set(true)
        client.shut().done()
    }

    public companion object {
        /**
         * Connects to a server.
         *
         * @throws KalamException `config` for a wrong option, `auth_failed`, `disconnected` when the server can not be
         * reached.
         */
        public suspend fun connect(options: ConnectOptions): KalamClient {
            Waking.prepare()
            val client = NativeClient(options.native())
            val states = MutableStateFlow(ConnectionState.CONNECTING)
            val happenings = MutableSharedFlow<LifecycleEvent>(0, 64, BufferOverflow.DROP_OLDEST)
            // It must not hold the client, which ends it.
            CoroutineScope(Dispatchers.Default).launch {
                serve(client.inbox(), options.tokenProvider, states, happenings, options.onEvent)
            }
            var open = false
            try {
                client.open().done()
                open = true
            } finally {
                if (!open) client.destroy()
            }
            states.compareAndSet(ConnectionState.CONNECTING, ConnectionState.CONNECTED)
            return KalamClient(client, AtomicBoolean(), states.asStateFlow(), happenings.asSharedFlow())
        }

        /** Connects to a server; without a [url] to an embedded one, as [ConnectOptions] says. */
        public suspend fun connect(
            url: String? = null,
            user: String? = null,
            password: String? = null,
            token: String? = null,
        ): KalamClient = connect(ConnectOptions(url = url, user = user, password = password, token = token))
    }
}

/** [KalamClient.queryAll] with each row made a [T]. */
public suspend inline fun <reified T> KalamClient.queryAll(
    sql: String,
    params: List<Any?> = emptyList(),
): QueryResult<T> = queryAll(serializer<T>(), sql, params)

/** [KalamClient.live] with each row made a [T]. */
public inline fun <reified T> KalamClient.live(
    sql: String,
    params: List<Any?> = emptyList(),
    options: LiveOptions = LiveOptions(),
): Flow<Rows<T>> = live(serializer<T>(), sql, params, options)

/** [KalamClient.liveTable] with each row made a [T]. */
public inline fun <reified T> KalamClient.liveTable(
    table: String,
    options: LiveOptions = LiveOptions(),
): Flow<Rows<T>> = liveTable(serializer<T>(), table, options)

/** [KalamClient.liveEvents] with each row made a [T]. */
public inline fun <reified T> KalamClient.liveEvents(
    sql: String,
    params: List<Any?> = emptyList(),
    options: EventOptions = EventOptions(),
): Flow<KalamEvent<T>> = liveEvents(serializer<T>(), sql, params, options)

@Serializable
private class ToldSubscription(val id: String, val query: String, val stage: String, val lastSeqId: String?)
