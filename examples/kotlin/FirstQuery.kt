import dev.kalamlive.Change
import dev.kalamlive.KalamClient
import dev.kalamlive.live
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.serialization.Serializable

@Serializable
data class Message(val id: Long, val body: String)

fun main() = runBlocking {
    // Without a URL an embedded server is started; a KalamDB is KalamClient.connect("http://localhost:2900", user = ...).
    KalamClient.connect().use { client ->
        client.execute("CREATE NAMESPACE app")
        client.execute("CREATE TABLE app.messages (id BIGINT PRIMARY KEY, room TEXT, body TEXT)")
        client.execute("INSERT INTO app.messages VALUES ($1, $2, $3)", listOf(1, "main", "hello"))

        for (row in client.query("SELECT id, body FROM app.messages")) {
            println("${row.long("id")}: ${row.string("body")}")
        }

        client.live<Message>("SELECT id, body FROM app.messages WHERE room = $1", listOf("main")).first { rows ->
            for (change in rows.changes) {
                when (change) {
                    is Change.Insert -> println("new at ${change.index}: ${change.row.body}")
                    is Change.Update -> println("changed at ${change.index}: ${change.row.body}")
                    is Change.Remove -> println("gone from ${change.index}: ${change.row.body}")
                    Change.Reset -> println("all: ${rows.map { it.body }}")
                }
            }
            if (rows.size == 1) client.execute("INSERT INTO app.messages VALUES (2, 'main', 'world')")
            rows.size == 2
        }
    }
}
