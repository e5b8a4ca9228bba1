import KalamLiveNative

/// What happens to a connection, and who is told.
final class Happenings: Sendable {
    let states = Broadcast<ConnectionState>(newest: 16, latest: .connecting)
    let events = Broadcast<LifecycleEvent>(newest: 64)
    let onEvent: (@Sendable (LifecycleEvent) -> Void)?

    init(_ onEvent: (@Sendable (LifecycleEvent) -> Void)?) { self.onEvent = onEvent }

    /// Answers and tells until the client is gone.
    func serve(_ inbox: NativeInbox, _ provider: (@Sendable () async throws -> String)?) async {
        await withTaskGroup(of: Void.self) { group in
            while true {
                await inbox.ready()
                guard let tidings = inbox.take() else { break }
                for tiding in tidings {
                    // A provider that never answers must not hold up what comes after.
                    if case .token(let request) = tiding {
                        group.addTask { await answer(request, provider) }
                    } else {
                        tell(tiding)
                    }
                }
            }
            // A provider that is still being asked is not wanted any more.
            states.tell(.closed, keep: true)
            states.finish()
            events.finish()
            group.cancelAll()
        }
    }

    private func tell(_ tiding: Tiding) {
        let event: LifecycleEvent
        switch tiding {
        case .token: return
        case .state(let name):
            states.tell(ConnectionState(rawValue: name) ?? .closed, keep: true)
            return
        case .connected: event = .connected
        case .disconnected(let failure): event = .disconnected(KalamError(failure))
        case .failed(let failure): event = .failed(KalamError(failure))
        case .repaired(let repair):
            event = .repaired(
                Repair(
                    subscription: repair.subscription, reason: repair.reason, queries: Int(repair.queries),
                    bytes: Int(repair.bytes), added: Int(repair.added), changed: Int(repair.changed),
                    removed: Int(repair.removed)))
        }
        events.tell(event)
        onEvent?(event)
    }
}

private func answer(_ request: TokenRequest, _ provider: (@Sendable () async throws -> String)?) async {
    do {
        guard let provider else { return request.fail(reason: "there is no tokenProvider") }
        request.resolve(token: try await provider())
    } catch {
        // The text of the program's own error; it is shown in the error of the call that needed the token.
        request.fail(reason: "tokenProvider failed: \(type(of: error)): \(error)")
    }
}
