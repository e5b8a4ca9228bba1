package androidx.lifecycle

import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob

open class ViewModel

val ViewModel.viewModelScope: CoroutineScope get() = lifecycleJob

private val lifecycleJob = CoroutineScope(SupervisorJob() + Dispatchers.Default)

class Lifecycle {
    enum class State { STARTED }
}

interface LifecycleOwner

val LifecycleOwner.lifecycleScope: CoroutineScope get() = lifecycleJob

suspend fun LifecycleOwner.repeatOnLifecycle(state: Lifecycle.State, block: suspend CoroutineScope.() -> Unit) =
    kotlinx.coroutines.coroutineScope { block() }
