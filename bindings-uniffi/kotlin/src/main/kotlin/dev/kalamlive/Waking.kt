package dev.kalamlive

import com.sun.jna.CallbackThreadInitializer
import com.sun.jna.Native
import dev.kalamlive.internal.uniffiRustFutureContinuationCallbackImpl

/**
 * Lets the two threads of the native half, which wake coroutines, stay known to the virtual machine. Otherwise JNA would make a
 * `Thread` for each time that one of them calls, and throw it away after.
 */
internal object Waking {
    init {
        val stays = CallbackThreadInitializer(true, false, "kalam-live")
        Native.setCallbackThreadInitializer(uniffiRustFutureContinuationCallbackImpl, stays)
    }

    /** Whatever leads to a first wait calls this. */
    fun prepare() = Unit
}
