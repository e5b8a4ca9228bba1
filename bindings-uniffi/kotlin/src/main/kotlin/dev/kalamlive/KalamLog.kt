package dev.kalamlive

import dev.kalamlive.internal.NativeLevel
import dev.kalamlive.internal.NativeLine
import dev.kalamlive.internal.NativeLog
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.withContext

/** How important a line of the log is. */
public enum class LogLevel { TRACE, DEBUG, INFO, WARN, ERROR }

/** One line of the log. */
public data class LogLine(
    /** How important it is. */
    val level: LogLevel,
    /** The module that wrote it, such as `kalam_live::runtime::owner`. */
    val target: String,
    /** What happened, for a person. */
    val message: String,
)

/** The log of the native half. It holds no password or token. */
public object KalamLog {
    /**
     * The lines of [level] and above, as they are written. There is one log in a process: two collectors share its lines,
     * and the level is that of the latest. Lines that nobody collects are dropped in the end, which is told.
     */
    public fun lines(level: LogLevel = LogLevel.WARN): Flow<LogLine> = flow {
        Waking.prepare()
        NativeLog(NativeLevel.valueOf(level.name)).use { log ->
            while (true) {
                val lines = withContext(Dispatchers.Default) {
                    log.ready()
                    log.take()
                }
                for (line in lines) emit(line.told())
            }
        }
    }
}

private fun NativeLine.told() = LogLine(LogLevel.valueOf(level.name), target, text)
