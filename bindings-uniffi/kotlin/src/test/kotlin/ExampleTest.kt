import android.net.ConnectivityManager
import android.net.Network
import android.view.Context
import android.view.ViewGroup
import androidx.compose.runtime.composed
import dev.kalamlive.KalamClient
import dev.kalamlive.live
import dev.kalamlive.test
import dev.kalamlive.until
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import org.junit.jupiter.api.Assertions.assertEquals
import org.junit.jupiter.api.Assertions.assertTrue
import org.junit.jupiter.api.Test
import java.io.ByteArrayOutputStream
import java.io.PrintStream

/** What is in `examples/kotlin`, with as much of Android as `android` beside this file has. In no package, as they are. */
class ExampleTest {
    @Test
    fun `the first program`() {
        val before = System.out
        val said = ByteArrayOutputStream()
        System.setOut(PrintStream(said, true, Charsets.UTF_8))
        try {
            main()
        } finally {
            System.setOut(before)
        }
        assertEquals(listOf("1: hello", "all: [hello]", "new at 1: world"), said.toString(Charsets.UTF_8).trim().lines())
    }

    private suspend fun tasks(use: suspend (KalamClient) -> Unit) = KalamClient.connect().use { client ->
        val columns = "id BIGINT PRIMARY KEY, project TEXT, title TEXT, done BOOLEAN"
        client.execute("CREATE NAMESPACE app")
        client.execute("CREATE TABLE app.tasks ($columns)")
        client.execute(
            "INSERT INTO app.tasks VALUES (1, 'home', 'sweep', false), (2, 'home', 'cook', false), (3, 'work', 'write', false)",
        )
        use(client)
    }

    @Test
    fun `Compose shows what the view model keeps`() = test {
        tasks { client ->
            val model = TaskListModel(client, "home")
            val looking = launch { model.tasks.collect {} }
            fun shown(): List<String> {
                composed.clear()
                TaskList(model)
                return composed.toList()
            }
            until { shown() == listOf("cook", "sweep") }
            client.execute("UPDATE app.tasks SET done = true WHERE id = 2")
            until { shown() == listOf("sweep", "cook") }
            looking.cancel()
        }
    }

    @Test
    fun `a RecyclerView is told what has changed`() = test {
        tasks { client ->
            val adapter = TaskAdapter()
            val parent = ViewGroup(Context())
            var bound = 0
            client.live<Task>("SELECT id, title, done FROM app.tasks").first { rows ->
                val isFirst = bound == 0
                adapter.show(rows)
                bound += adapter.layOut(parent)
                assertEquals(rows.map { it.title }, adapter.shown.map { it!!.title.text })
                if (isFirst) {
                    client.batch(
                        "DELETE FROM app.tasks WHERE id = 1",
                        "INSERT INTO app.tasks VALUES (4, 'work', 'rest', false)",
                        "UPDATE app.tasks SET title = 'rewrite' WHERE id = 3",
                    )
                }
                rows.map { it.title } == listOf("cook", "rewrite", "rest")
            }
            assertTrue(bound <= 3 + 2, "what has not changed is bound once: $bound")
        }
    }

    @Test
    fun `the network callback reaches the client`() = test {
        tasks { client ->
            val manager = ConnectivityManager()
            manager.tell(client)
            manager.callbacks.single().onLost(Network())
            manager.callbacks.single().onAvailable(Network())
            assertEquals(3, client.query("SELECT id FROM app.tasks").size)
        }
    }
}
