package dev.kalamlive

import dev.kalamlive.internal.NativeClient
import kotlinx.serialization.DeserializationStrategy
import kotlinx.serialization.builtins.serializer
import kotlinx.serialization.serializer

/** SQL as one user. A coroutine that is cancelled gives its call up. */
public open class Queries internal constructor(internal val native: () -> NativeClient, private val user: String?) {
    /**
     * The rows that [sql] returns. [params] are the values of `$1`, `$2` and so on.
     *
     * ```
     * val rows = client.query("SELECT id, body FROM app.messages WHERE room = $1", listOf("main"))
     * println(rows[0].string("body"))
     * ```
     *
     * @throws KalamException
     */
    public suspend fun query(sql: String, params: List<Any?> = emptyList()): QueryResult<Row> =
        native().query(sql, encodeParams(params), user).rows { it }

    /** [query] with each row made a [T]: `client.query<Task>("SELECT ...")`. */
    public suspend fun <T> query(
        deserializer: DeserializationStrategy<T>,
        sql: String,
        params: List<Any?> = emptyList(),
    ): QueryResult<T> = native().query(sql, encodeParams(params), user).rows(rowFormat(deserializer))

    /** The first row, or `null` when there is none. */
    public suspend fun queryOne(sql: String, params: List<Any?> = emptyList()): Row? = query(sql, params).firstOrNull()

    /** Executes [sql] and returns how many rows it has changed. */
    public suspend fun execute(sql: String, params: List<Any?> = emptyList()): Long =
        native().execute(sql, encodeParams(params), user).answer(Long.serializer())
}

/** The rows that [sql] returns, each made a [T]. */
public suspend inline fun <reified T> Queries.query(sql: String, params: List<Any?> = emptyList()): QueryResult<T> =
    query(serializer<T>(), sql, params)

/** The first row made a [T], or `null` when there is none. */
public suspend inline fun <reified T> Queries.queryOne(sql: String, params: List<Any?> = emptyList()): T? =
    query(serializer<T>(), sql, params).firstOrNull()
