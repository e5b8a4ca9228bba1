import KalamLive
import Observation

/// The rows of a live query for a view: `@State private var tasks = LiveList<Todo>()`, and
/// `.task { await tasks.follow(client.live(Todo.self, "SELECT ...")) }`, which ends with the view.
@MainActor @Observable
final class LiveList<Element: Sendable> {
    /// The newest rows; `nil` until the first are there.
    private(set) var rows: Rows<Element>?
    /// Why there are no more.
    private(set) var failure: KalamError?

    var isStale: Bool { rows?.phase == .reconnecting }

    /// Shows the rows until the task is cancelled or the query fails.
    func follow(_ live: LiveRows<Element>) async {
        failure = nil
        do {
            for try await rows in live { self.rows = rows }
        } catch {
            failure = error as? KalamError ?? KalamError(code: "server", message: "\(error)")
        }
    }
}
