// A RecyclerView that animates by what has changed, rather than by comparing two lists as DiffUtil does.

import android.view.ViewGroup
import android.widget.TextView
import androidx.lifecycle.Lifecycle
import androidx.lifecycle.LifecycleOwner
import androidx.lifecycle.lifecycleScope
import androidx.lifecycle.repeatOnLifecycle
import androidx.recyclerview.widget.RecyclerView
import dev.kalamlive.Change
import dev.kalamlive.KalamClient
import dev.kalamlive.Rows
import dev.kalamlive.live
import kotlinx.coroutines.launch

class TaskAdapter : RecyclerView.Adapter<TaskAdapter.Holder>() {
    class Holder(val title: TextView) : RecyclerView.ViewHolder(title)

    private var tasks: List<Task> = emptyList()

    /** The changes are in the order in which the adapter has to tell them: removals from the end, insertions from the start. */
    fun show(rows: Rows<Task>) {
        tasks = rows
        for (change in rows.changes) {
            when (change) {
                is Change.Remove -> notifyItemRemoved(change.index)
                is Change.Insert -> notifyItemInserted(change.index)
                is Change.Update -> notifyItemChanged(change.index)
                Change.Reset -> notifyDataSetChanged()
            }
        }
    }

    override fun getItemCount(): Int = tasks.size

    override fun onCreateViewHolder(parent: ViewGroup, viewType: Int): Holder = Holder(TextView(parent.context))

    override fun onBindViewHolder(holder: Holder, position: Int) {
        holder.title.text = tasks[position].title
    }
}

/** In a fragment or activity: shows the tasks while it is visible. */
fun LifecycleOwner.showTasks(client: KalamClient, adapter: TaskAdapter) = lifecycleScope.launch {
    repeatOnLifecycle(Lifecycle.State.STARTED) {
        client.live<Task>("SELECT id, title, done FROM app.tasks").collect(adapter::show)
    }
}
