package dev.kalamlive

import dev.kalamlive.internal.NativeInbox
import dev.kalamlive.internal.Tiding
import dev.kalamlive.internal.TokenRequest
import kotlinx.coroutines.CancellationException
import kotlinx.coroutines.cancelChildren
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.launch

/** Answers and tells until the client is gone. What the program's own code throws ends nothing. */
internal suspend fun serve(
    inbox: NativeInbox,
    provider: (suspend () -> String)?,
    states: MutableStateFlow<ConnectionState>,
    happenings: MutableSharedFlow<LifecycleEvent>,
    onEvent: ((LifecycleEvent) -> Unit)?,
): Unit = coroutineScope {
    inbox.use {
        while (true) {
            inbox.ready()
            for (tiding in inbox.take() ?: break) {
                val event = when (tiding) {
                    // A provider that never answers must not hold up what comes after.
                    is Tiding.Token -> {
                        launch { answer(tiding.request, provider) }
                        continue
                    }
                    is Tiding.State -> {
                        states.value = ConnectionState.valueOf(tiding.name.uppercase())
                        continue
                    }
                    is Tiding.Connected -> LifecycleEvent.Connected
                    is Tiding.Disconnected -> LifecycleEvent.Disconnected(tiding.failure.exception())
                    is Tiding.Failed -> LifecycleEvent.Failed(tiding.failure.exception())
                    is Tiding.Repaired -> with(tiding.repair) {
                        LifecycleEvent.Repaired(
                            subscription, reason, queries.toLong(), bytes.toLong(), added.toLong(), changed.toLong(),
                            removed.toLong(),
                        )
                    }
                }
                happenings.tryEmit(event) // with a buffer that drops the oldest it never fails
                try {
                    onEvent?.invoke(event)
                } catch (thrown: Exception) {
                    report("onEvent", thrown)
                }
            }
        }
    }
    states.value = ConnectionState.CLOSED
    // A provider that is still being asked is not wanted any more.
    coroutineContext.cancelChildren()
}

private suspend fun answer(request: TokenRequest, provider: (suspend () -> String)?) = request.use {
    try {
        request.resolve(provider!!())
    } catch (cancelled: CancellationException) {
        request.fail("tokenProvider was cancelled")
        throw cancelled
    } catch (thrown: Exception) {
        // The text of the program's own exception; it is shown in the error of the call that needed the token.
        request.fail("tokenProvider failed: ${thrown::class.simpleName}: ${thrown.message}")
    }
}

/** What a callback has thrown goes where the platform puts what nobody catches, and ends nothing. */
internal fun report(callback: String, thrown: Exception) {
    val error = IllegalStateException("$callback, given to kalam-live, failed", thrown)
    val thread = Thread.currentThread()
    Thread.getDefaultUncaughtExceptionHandler()?.uncaughtException(thread, error) ?: error.printStackTrace()
}
