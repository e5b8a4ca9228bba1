import Foundation
import Testing

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

@testable import KalamLive

private struct NoLuck: Error {}

@Suite struct ClientTests {
    @Test func noServerAtHand() async throws {
        let client = try await KalamClient.connect()
        try await client.execute("CREATE NAMESPACE app")
        try await client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY)")
        #expect(try await client.batch(["INSERT INTO app.t VALUES (1)", Statement("INSERT INTO app.t VALUES ($1)", [2])]) == 2)
        #expect(try await client.queryAll("SELECT id FROM app.t").count == 2)
        #expect(try await client.queryOne("SELECT id FROM app.t WHERE id = 9") == nil)
        #expect(try await client.health().status == "healthy")
        await client.close()
    }

    @Test func dataInADirectory() async throws {
        let directory = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
        try FileManager.default.createDirectory(at: directory, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: directory) }
        let first = try await KalamClient.connect(url: "embedded:\(directory.path)")
        try await first.execute("CREATE NAMESPACE app")
        try await first.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY)")
        await first.close()
        let second = try await KalamClient.connect(url: "embedded:\(directory.path)")
        #expect(try await second.query("SELECT id FROM app.t").isEmpty)
        await second.close()
        await second.close()
    }

    @Test func optionsThatAreWrongAreNamed() async throws {
        let wrong: [(String, (inout ConnectOptions) -> Void)] = [
            ("`url` or `urls`", { $0.urls = ["http://b"] }),
            ("names no directory", { $0.url = "embedded:" }),
            ("gopher", { $0.url = "gopher://a" }),
            ("reconnectAttempts", { $0.reconnectAttempts = -1 }),
            ("timeouts.auth", { $0.timeouts.auth = -1 }),
            ("tlsClientCertificate", { $0.tlsClientKey = "k" }),
        ]
        for (expected, change) in wrong {
            var options = ConnectOptions(url: "http://a")
            change(&options)
            let failed = try await failure { _ = try await KalamClient.connect(options) }
            #expect(failed.code == "config" && failed.message.contains(expected), "\(failed)")
        }
        let options = ConnectOptions(user: "a", password: "secret", token: "secret")
        var dumped = ""
        dump(options, to: &dumped)
        #expect(!"\(options)".contains("secret") && !dumped.contains("secret"))
    }

    @Test func errorsHaveTheCodesOfEveryLanguage() async throws {
        #expect(try await failure { _ = try await open { $0.password = "Wrong-Password-1" } }.code == "auth_failed")
        let nobody = try await failure { _ = try await KalamClient.connect(url: "http://127.0.0.1:9", user: "a", password: "b") }
        #expect(nobody.code == "disconnected" && nobody.retryable)
        let (client, ns) = try await place("id BIGINT PRIMARY KEY")
        #expect(try await failure { _ = try await client.query("SELECT * FROM \(ns).nothing") }.code == "not_found")
        #expect(try await failure { _ = try await client.query("SELEC 1") }.code == "invalid_sql")
        let sorted = try await failure { for try await _ in client.live("SELECT id FROM \(ns).t ORDER BY id") {} }
        #expect(sorted.code == "invalid_sql")
        #expect(try await failure { try await client.cancelSubscription("nobody") }.code == "not_found")
        let half: [Statement] = ["INSERT INTO \(ns).t VALUES (1)", "INSERT INTO \(ns).nothing VALUES (1)"].map { Statement($0) }
        #expect(try await failure { try await client.batch(half) }.code == "not_found")
        #expect(try await client.query("SELECT id FROM \(ns).t").isEmpty, "all or nothing")
        await client.close()
    }

    @Test func aCallThatIsCancelledIsGivenUp() async throws {
        let (client, ns) = try await place("id BIGINT PRIMARY KEY")
        for _ in 0..<50 {
            let call = Task { try await client.query("SELECT id FROM \(ns).t").count }
            call.cancel()
            do {
                #expect(try await call.value == 0)
            } catch is CancellationError {}
        }
        #expect(try await client.query("SELECT id FROM \(ns).t").isEmpty)
        await client.close()
    }

    @Test func aProviderThatThrowsOrNeverAnswers() async throws {
        let url = try await server().url
        var broken = ConnectOptions(url: url)
        broken.tokenProvider = { throw NoLuck() }
        let failed = try await failure { _ = try await KalamClient.connect(broken) }
        #expect(failed.message.contains("tokenProvider failed: NoLuck"), "\(failed)")
        var silent = ConnectOptions(url: url)
        silent.tokenProvider = {
            try await Task.sleep(nanoseconds: 3_600_000_000_000)
            return ""
        }
        silent.timeouts.auth = 0.1
        #expect(try await failure { _ = try await KalamClient.connect(silent) }.code == "timeout")
    }

    @Test func aConnectionThatIsCancelledWhileItIsMade() async throws {
        let (asked, left) = (Shared(false), Shared(false))
        var silent = ConnectOptions(url: try await server().url)
        silent.tokenProvider = {
            asked.change { $0 = true }
            defer { left.change { $0 = true } }
            try await Task.sleep(nanoseconds: 3_600_000_000_000)
            return ""
        }
        let connecting = Task { [silent] in _ = try await KalamClient.connect(silent) }
        try await soon { try await until { asked.get() } }
        connecting.cancel()
        await #expect(throws: CancellationError.self) { try await connecting.value }
        // The provider is not wanted any more either.
        try await soon { try await until { left.get() } }
    }

    @Test func tokensByAProvider() async throws {
        let url = try await server().url
        let asked = Shared(0)
        var options = ConnectOptions(url: url)
        options.tokenProvider = {
            asked.change { $0 += 1 }
            var request = URLRequest(url: URL(string: "\(url)/v1/api/auth/login")!)
            request.httpMethod = "POST"
            request.setValue("application/json", forHTTPHeaderField: "content-type")
            request.httpBody = Data("{\"user\": \"root\", \"password\": \"\(password)\"}".utf8)
            let (data, _) = try await URLSession.shared.data(for: request)
            struct Login: Decodable { let access_token: String }
            return try JSONDecoder().decode(Login.self, from: data).access_token
        }
        let client = try await KalamClient.connect(options)
        #expect(try await client.query("SELECT 1 AS one")[0]["one"] == .int(1))
        #expect(asked.get() > 0)
        await client.close()
    }

    @Test func whatHappensToAConnection() async throws {
        let own = try await EmbeddedServer.start(rootPassword: password)
        let told = Shared<[String]>([])
        var options = ConnectOptions(url: own.url, user: "root", password: password)
        (options.reconnectDelay, options.reconnectMaxDelay) = (0.02, 0.05)
        options.onEvent = { event in
            told.change { list in
                switch event {
                case .connected: list.append("connected")
                case .disconnected: list.append("disconnected")
                case .failed: list.append("failed")
                case .repaired: list.append("repaired")
                }
            }
        }
        let client = try await KalamClient.connect(options)
        try await soon { try await until { told.get() == ["connected"] } }
        let events = client.events
        let port = UInt16(URL(string: own.url)!.port!)
        await own.close()
        for await state in client.states where state == .reconnecting { break }
        for await event in events {
            if case .disconnected = event { break }
        }
        let again = try await EmbeddedServer.start(port: port, rootPassword: password)
        client.networkChanged()
        for await state in client.states where state == .connected { break }
        try await soon { try await until { told.get().last == "connected" } }
        #expect(try client.counters().connects == 2)
        await client.close()
        for await state in client.states where state == .closed { break }
        #expect(client.state == .closed)
        await again.close()
    }

    @Test func aClientThatNobodyHoldsIsClosed() async throws {
        let url = try await server().url
        var options = ConnectOptions(url: url, user: "root", password: password)
        let states = Shared<[String]>([])
        options.onEvent = { event in states.change { $0.append("\(event)") } }
        var client: KalamClient? = try await KalamClient.connect(options)
        let watched = try #require(client?.states)
        client = nil
        var last = ConnectionState.idle
        for await state in watched { last = state }
        #expect(last == .closed)
    }

    @Test func oneUserAsAnother() async throws {
        let (client, ns) = try await place("id BIGINT PRIMARY KEY")
        try await client.execute("CREATE USER \(ns)u WITH PASSWORD 'User-Password-1' ROLE user")
        let other = client.asUser("\(ns)u")
        #expect(try await other.query("SELECT 1 AS one")[0]["one"] == .int(1))
        #expect(try await other.queryOne("SELECT 1 AS one") != nil)
        await client.close()
    }

    @Test func theLog() async throws {
        let (client, ns) = try await place("id BIGINT PRIMARY KEY")
        let reading = Task { () -> LogLine? in
            for await line in KalamLog(.trace) { return line }
            return nil
        }
        for try await _ in client.liveTable("\(ns).t") { break }
        let line = try #require(await reading.value)
        #expect(line.target.hasPrefix("kalam_") && !line.message.contains(password))
        // One that waits in vain ends when it is cancelled; the level is that of warnings again.
        let vain = Task { for await _ in KalamLog(.error) {} }
        vain.cancel()
        await vain.value
        await client.close()
    }
}
