// A list in Jetpack Compose. Needs androidx.compose, androidx.lifecycle (viewmodel and runtime-compose) and this package.

import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.items
import androidx.compose.material3.ListItem
import androidx.compose.material3.Text
import androidx.compose.runtime.Composable
import androidx.compose.runtime.getValue
import androidx.compose.ui.Modifier
import androidx.lifecycle.ViewModel
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import androidx.lifecycle.viewModelScope
import dev.kalamlive.KalamClient
import dev.kalamlive.LiveOptions
import dev.kalamlive.Phase
import dev.kalamlive.Rows
import dev.kalamlive.live
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.stateIn
import kotlinx.serialization.Serializable

@Serializable
data class Task(val id: Long, val title: String, val done: Boolean)

class TaskListModel(client: KalamClient, project: String) : ViewModel() {
    // The live query ends five seconds after nobody looks, and begins anew when somebody does: in the background nothing is
    // received, and a turn of the phone interrupts nothing.
    val tasks: StateFlow<Rows<Task>?> = client
        .live<Task>(
            "SELECT id, title, done FROM app.tasks WHERE project = $1",
            listOf(project),
            LiveOptions(orderBy = "done, title"),
        )
        .stateIn(viewModelScope, SharingStarted.WhileSubscribed(5_000), null)
}

@Composable
fun TaskList(model: TaskListModel) {
    val tasks by model.tasks.collectAsStateWithLifecycle()
    val rows = tasks ?: return Text("Loading")
    LazyColumn {
        if (rows.phase == Phase.RECONNECTING) item { Text("No connection: these are the last ones known") }
        // A task that has not changed is the same object, so Compose skips it. By its key it is animated to its new place.
        items(rows, key = { it.id }) { task ->
            ListItem(headlineContent = { Text(task.title) }, modifier = Modifier.animateItem())
        }
    }
}
