// SwiftUI. Needs LiveList.swift.

import KalamLive
import Network
import SwiftUI

struct Todo: Decodable, Identifiable, Hashable, Sendable {
    let id: Int64
    let title: String
    let done: Bool
}

struct TaskList: View {
    let client: KalamClient
    let project: String
    @State private var tasks = LiveList<Todo>()

    var body: some View {
        List {
            if tasks.isStale { Text("No connection: these are the last ones known") }
            // The rows as they are: they are a collection, and nothing is copied.
            if let rows = tasks.rows { ForEach(rows) { todo in Text(todo.title) } }
        }
        .animation(.default, value: tasks.rows?.lastSeqID)
        .overlay { if let failure = tasks.failure { Text(failure.message) } }
        .task(id: project) {
            let sql = "SELECT id, title, done FROM app.tasks WHERE project = $1"
            await tasks.follow(client.live(Todo.self, sql, [project], options: LiveOptions(orderBy: "done, title")))
        }
    }
}

/// Out of the tunnel: the system knows first. Keep what it returns.
func monitor(_ client: KalamClient) -> NWPathMonitor {
    let monitor = NWPathMonitor()
    monitor.pathUpdateHandler = { _ in client.networkChanged() }
    monitor.start(queue: .global())
    return monitor
}
