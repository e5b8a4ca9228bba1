import Foundation

/// Tells values to every stream that was asked for, each of which keeps the newest few.
final class Broadcast<T: Sendable>: @unchecked Sendable {
    private let lock = NSLock()
    private let newest: Int
    /// What a new stream begins with, where there is such a thing.
    private var latest: T?
    private var isOver = false
    private var listeners: [Int: AsyncStream<T>.Continuation] = [:]
    private var lastListener = 0

    init(newest: Int, latest: T? = nil) {
        (self.newest, self.latest) = (newest, latest)
    }

    func tell(_ value: T, keep: Bool = false) {
        let all = lock.withLock {
            if keep { latest = value }
            return Array(listeners.values)
        }
        for listener in all { listener.yield(value) }
    }

    func finish() {
        let all = lock.withLock {
            isOver = true
            defer { listeners = [:] }
            return Array(listeners.values)
        }
        for listener in all { listener.finish() }
    }

    func stream() -> AsyncStream<T> {
        let (stream, listener) = AsyncStream.makeStream(of: T.self, bufferingPolicy: .bufferingNewest(newest))
        lock.withLock {
            if let latest { listener.yield(latest) }
            if isOver {
                listener.finish()
                return
            }
            lastListener += 1
            let id = lastListener
            listeners[id] = listener
            listener.onTermination = { [weak self] _ in
                guard let self else { return }
                _ = self.lock.withLock { self.listeners.removeValue(forKey: id) }
            }
        }
        return stream
    }
}
