import Foundation
import Testing

@testable import KalamLive

private let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .appendingPathComponent("../../../../tests/scenarios").standardizedFileURL

private let files = ((try? FileManager.default.contentsOfDirectory(atPath: directory.path)) ?? [])
    .filter { $0.hasSuffix(".json") }.sorted()

/// Plays `tests/scenarios` through the public API, against the embedded server or the one at `KALAM_TEST_URL`.
@Suite(.serialized) struct ScenarioTests {
    @Test func thereAreScenarios() { #expect(files.count > 20) }

    @Test(arguments: files) func play(_ file: String) async throws {
        let environment = ProcessInfo.processInfo.environment
        let given = environment["KALAM_TEST_URL"].flatMap { $0.isEmpty ? nil : $0 }
        let name = file.dropLast(5).replacingOccurrences(of: "-", with: "_")
        let ns = "p\(ProcessInfo.processInfo.processIdentifier)_\(name)"
        let text = try String(contentsOf: directory.appendingPathComponent(file), encoding: .utf8)
            .replacingOccurrences(of: "{ns}", with: ns)
        let scenario = try JSONSerialization.jsonObject(with: Data(text.utf8)) as! [String: Any]
        let visibility = (scenario["topic_visibility"] as? NSNumber)?.doubleValue
        // Known of our own server only.
        if given != nil && visibility != nil { return }
        let own =
            if let visibility {
                try await EmbeddedServer.start(rootPassword: password, topicVisibility: visibility)
            } else {
                try await server()
            }
        let options = ConnectOptions(
            url: given ?? own.url,
            user: given == nil ? "root" : environment["KALAM_TEST_USER"],
            password: given == nil ? password : environment["KALAM_TEST_PASSWORD"])
        let client = try await KalamClient.connect(options)
        try await client.execute("CREATE NAMESPACE \(ns)")
        let player = Player(options, client, isComplete: given == nil)
        let here = given == nil ? "complete" : "incomplete"
        for step in scenario["steps"] as! [Step] where step["only"] as? String ?? here == here {
            try await player.play(try kind(of: step), step)
        }
        await player.leave()
        try await client.execute("DROP NAMESPACE \(ns) CASCADE")
        await client.close()
        if visibility != nil { await own.close() }
    }

    /// What the step does: the key of a kind of step that it has. `on`, `error` and the like are not kinds, and where two kinds
    /// meet (`live` with `table`) the others are values of it.
    private func kind(of step: Step) throws -> String {
        let kinds = [
            "execute", "execute_with_files", "download_file", "fill", "query", "query_one", "query_all", "batch", "live",
            "live_table", "live_events", "events", "phase", "checkpoint", "close", "cancel", "ended", "subscriptions",
            "client", "disconnect", "connect", "network_changed", "health", "counters", "state",
        ]
        // `offsets` are values of `mark`.
        if let kind = TopicSteps.kinds.first(where: { step[$0] is String }) { return kind }
        if let kind = kinds.first(where: { step[$0] != nil }) { return kind }
        if step["rows"] is String { return "rows" }
        throw Failure("no runner for \(step)")
    }
}
