import KalamLiveNative

/// How important a line of the log is.
public enum LogLevel: Sendable, Hashable {
    case trace, debug, info, warn, error
}

/// One line of the log of the native half, which holds no password or token.
public struct LogLine: Sendable, Hashable {
    /// How important it is.
    public let level: LogLevel
    /// The module that wrote it, such as `kalam_live::runtime::owner`.
    public let target: String
    /// What happened, for a person.
    public let message: String
}

/// The lines of `level` and above, as they are written: `for await line in KalamLog(.debug)`; give them to `os.Logger`.
///
/// There is one log in a process: two loops share its lines, and the level is that of the latest. Lines that nobody reads are
/// dropped in the end, which is told.
public struct KalamLog: AsyncSequence, Sendable {
    let level: LogLevel

    public init(_ level: LogLevel = .warn) { self.level = level }

    public func makeAsyncIterator() -> Iterator { Iterator(level) }

    public struct Iterator: AsyncIteratorProtocol {
        private let log: NativeLog
        private var coming = [NativeLine]().makeIterator()

        init(_ level: LogLevel) {
            let least: NativeLevel =
                switch level {
                case .trace: .trace
                case .debug: .debug
                case .info: .info
                case .warn: .warn
                case .error: .error
                }
            log = NativeLog(least: least)
        }

        public mutating func next() async -> LogLine? {
            while !Task.isCancelled {
                if let line = coming.next() { return told(line) }
                let log = log
                await withTaskCancellationHandler {
                    await log.ready()
                } onCancel: {
                    log.end()
                }
                coming = log.take().makeIterator()
            }
            return nil
        }

        private func told(_ line: NativeLine) -> LogLine {
            let level: LogLevel =
                switch line.level {
                case .trace: .trace
                case .debug: .debug
                case .info: .info
                case .warn: .warn
                case .error: .error
                }
            return LogLine(level: level, target: line.target, message: line.text)
        }
    }
}
