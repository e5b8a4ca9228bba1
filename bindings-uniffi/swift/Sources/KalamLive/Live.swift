import KalamLiveNative

/// Ends the handle when nobody reads it any more: a loop that is left, by whatever way, ends its subscription.
private final class Held: Sendable {
    let handle: NativeHandle
    /// Kept as long as the subscription: its embedded server stops when nobody holds it.
    let client: KalamClient

    init(_ handle: NativeHandle, _ client: KalamClient) {
        (self.handle, self.client) = (handle, client)
    }

    deinit { handle.end() }
}

/// The rows of a live query: `for try await rows in client.live(sql)`.
///
/// Each loop opens a live query of its own, gets the newest complete ``Rows``, skips the states between when it is slow, and
/// ends the live query by ending, be it that its task is cancelled. It throws a ``KalamError``, and ends when the client is
/// closed.
public struct LiveRows<Element: Sendable>: AsyncSequence, Sendable {
    let client: KalamClient
    let onCheckpoint: (@Sendable (String) async throws -> Void)?
    let make: @Sendable () -> (Row) throws -> Element
    let open: @Sendable () throws -> NativeHandle

    public func makeAsyncIterator() -> Iterator { Iterator(self) }

    public struct Iterator: AsyncIteratorProtocol {
        private let rows: LiveRows
        private var held: Held?
        private var reader: RowsReader<Element>?
        private var isOver = false
        private var told: String?

        init(_ rows: LiveRows) { self.rows = rows }

        /// The subscription's id, as ``KalamClient/subscriptions()`` lists it; `nil` while it is being opened.
        public var id: String? { held?.handle.id() }

        public mutating func next() async throws -> Rows<Element>? {
            if isOver { return nil }
            do {
                if held == nil {
                    let handle = try rows.open()
                    held = Held(handle, rows.client)
                    reader = RowsReader(handle, rows.make())
                }
                if let held, let reader, let next = try await held.handle.next(0, reader.read) {
                    if let onCheckpoint = rows.onCheckpoint, let checkpoint = next.checkpoint, checkpoint != told {
                        told = checkpoint
                        try await onCheckpoint(checkpoint)
                    }
                    return next
                }
            } catch {
                close()
                throw error
            }
            close()
            return nil
        }

        /// Ends the live query.
        public mutating func close() {
            isOver = true
            held?.handle.end()
            (held, reader) = (nil, nil)
        }
    }
}

/// The events of a live query: `for try await event in client.liveEvents(sql)`.
///
/// A loop that is too slow gets one `lagged` in place of the events that were dropped; the subscription then goes on after the
/// last one that it took.
public struct LiveEvents<Element: Sendable>: AsyncSequence, Sendable {
    let client: KalamClient
    let onCheckpoint: (@Sendable (String) async throws -> Void)?
    let make: @Sendable () -> (Row) throws -> Element
    let open: @Sendable () throws -> NativeHandle

    public func makeAsyncIterator() -> Iterator { Iterator(self) }

    public struct Iterator: AsyncIteratorProtocol {
        /// Events of one packet, at most.
        private static var most: UInt32 { 1024 }

        private let events: LiveEvents
        private var held: Held?
        private var reader: EventReader<Element>?
        /// Those that the loop has not seen yet.
        private var coming = [KalamEvent<Element>]().makeIterator()
        private var isOver = false
        private var told: String?

        init(_ events: LiveEvents) { self.events = events }

        public mutating func next() async throws -> KalamEvent<Element>? {
            if isOver { return nil }
            do {
                if held == nil {
                    let handle = try events.open()
                    held = Held(handle, events.client)
                    reader = EventReader(handle, events.make())
                }
                while !Task.isCancelled, let held, let reader {
                    if let event = coming.next() {
                        if let onCheckpoint = events.onCheckpoint, let checkpoint = event.checkpoint, checkpoint != told {
                            told = checkpoint
                            try await onCheckpoint(checkpoint)
                        }
                        return event
                    }
                    guard let batch = try await held.handle.next(Self.most, reader.read) else { break }
                    coming = batch.makeIterator()
                }
            } catch {
                close()
                throw error
            }
            close()
            return nil
        }

        /// Ends the subscription.
        public mutating func close() {
            isOver = true
            held?.handle.end()
            (held, reader) = (nil, nil)
        }
    }
}
