package androidx.recyclerview.widget

import android.view.View
import android.view.ViewGroup

class RecyclerView {
    abstract class ViewHolder(val itemView: View)

    /** What it is told becomes [shown]: the positions, `null` where a view must be bound anew. */
    abstract class Adapter<VH : ViewHolder> {
        val shown = ArrayList<VH?>()

        abstract fun getItemCount(): Int

        abstract fun onCreateViewHolder(parent: ViewGroup, viewType: Int): VH

        abstract fun onBindViewHolder(holder: VH, position: Int)

        fun notifyItemRemoved(position: Int) {
            shown.removeAt(position)
        }

        fun notifyItemInserted(position: Int) = shown.add(position, null)

        fun notifyItemChanged(position: Int) {
            shown[position] = null
        }

        fun notifyDataSetChanged() {
            shown.clear()
            repeat(getItemCount()) { shown.add(null) }
        }

        /** Binds what is new; how many that were. */
        fun layOut(parent: ViewGroup): Int {
            val new = shown.indices.filter { shown[it] == null }
            for (i in new) shown[i] = onCreateViewHolder(parent, 0).also { onBindViewHolder(it, i) }
            return new.size
        }
    }
}
