import Foundation
import KalamLiveNative

/// SQL as one user. A task that is cancelled gives its call up and throws `CancellationError`.
public struct Queries: Sendable {
    let client: KalamClient
    let user: String?

    /// The rows that `sql` returns. `params` are the values of `$1`, `$2` and so on.
    ///
    /// ```swift
    /// let rows = try await client.query("SELECT id, body FROM app.messages WHERE room = $1", ["main"])
    /// print(try rows[0].text("body"))
    /// ```
    public func query(_ sql: String, _ params: [(any Parameter)?] = []) async throws -> QueryResult<Row> {
        try await client.native().query(sql: sql, params: encode(params), user: user).rows { $0 }
    }

    /// The rows, each made a `T`.
    public func query<T: Decodable & Sendable>(
        _ type: T.Type, _ sql: String, _ params: [(any Parameter)?] = []
    ) async throws -> QueryResult<T> {
        try await client.native().query(sql: sql, params: encode(params), user: user).rows(rowDecoder(type))
    }

    /// The first row, or `nil` when there is none.
    public func queryOne(_ sql: String, _ params: [(any Parameter)?] = []) async throws -> Row? {
        try await query(sql, params).first
    }

    /// The first row made a `T`, or `nil` when there is none.
    public func queryOne<T: Decodable & Sendable>(
        _ type: T.Type, _ sql: String, _ params: [(any Parameter)?] = []
    ) async throws -> T? {
        try await query(type, sql, params).first
    }

    /// Executes `sql` and returns how many rows it has changed.
    @discardableResult
    public func execute(_ sql: String, _ params: [(any Parameter)?] = []) async throws -> Int {
        try await client.native().execute(sql: sql, params: encode(params), user: user).answer()
    }
}

/// A connection to a server.
///
/// ```swift
/// let client = try await KalamClient.connect(url: "http://localhost:2900", user: "alice", password: "...")
/// for try await rows in client.live("SELECT id, body FROM app.messages WHERE room = $1", ["main"]) {
///     print(rows.count, rows.changes)
/// }
/// ```
///
/// A client that nobody holds any more, its live queries included, is closed.
public final class KalamClient: Sendable {
    private let client: NativeClient
    private let shut = Flag()
    private let happenings: Happenings

    private init(_ client: NativeClient, _ happenings: Happenings) {
        (self.client, self.happenings) = (client, happenings)
    }

    /// Connects to a server. Throws `config` for a wrong option, `auth_failed`, `disconnected` when it can not be reached.
    public static func connect(_ options: ConnectOptions) async throws -> KalamClient {
        let client = NativeClient(options: try options.native())
        let happenings = Happenings(options.onEvent)
        // It must not hold the client, which ends it.
        let (inbox, provider) = (client.inbox(), options.tokenProvider)
        Task.detached { await happenings.serve(inbox, provider) }
        try await client.open().done()
        return KalamClient(client, happenings)
    }

    /// Connects to a server; without a URL to an embedded one, as ``ConnectOptions`` says.
    public static func connect(
        url: String? = nil, user: String? = nil, password: String? = nil, token: String? = nil
    ) async throws -> KalamClient {
        try await connect(ConnectOptions(url: url, user: user, password: password, token: token))
    }

    func native() throws -> NativeClient {
        if shut.isSet { throw KalamError(code: "closed", message: "the client is closed") }
        return client
    }

    // MARK: Queries

    /// `query`, `queryOne` and `execute` as another user, where the rights of this one allow it.
    public func asUser(_ user: String) -> Queries { Queries(client: self, user: user) }

    private var own: Queries { Queries(client: self, user: nil) }

    /// As ``Queries/query(_:_:)``.
    public func query(_ sql: String, _ params: [(any Parameter)?] = []) async throws -> QueryResult<Row> {
        try await own.query(sql, params)
    }

    /// As ``Queries/query(_:_:_:)``.
    public func query<T: Decodable & Sendable>(
        _ type: T.Type, _ sql: String, _ params: [(any Parameter)?] = []
    ) async throws -> QueryResult<T> {
        try await own.query(type, sql, params)
    }

    /// As ``Queries/queryOne(_:_:)``.
    public func queryOne(_ sql: String, _ params: [(any Parameter)?] = []) async throws -> Row? {
        try await own.queryOne(sql, params)
    }

    /// As ``Queries/queryOne(_:_:_:)``.
    public func queryOne<T: Decodable & Sendable>(
        _ type: T.Type, _ sql: String, _ params: [(any Parameter)?] = []
    ) async throws -> T? {
        try await own.queryOne(type, sql, params)
    }

    /// As ``Queries/execute(_:_:)``.
    @discardableResult
    public func execute(_ sql: String, _ params: [(any Parameter)?] = []) async throws -> Int {
        try await own.execute(sql, params)
    }

    /// All rows of a SELECT without ORDER BY and LIMIT, fetched in pages: KalamDB returns at most 1,000 at once.
    public func queryAll(_ sql: String, _ params: [(any Parameter)?] = []) async throws -> QueryResult<Row> {
        try await native().queryAll(sql: sql, params: encode(params)).rows { $0 }
    }

    /// All rows, each made a `T`.
    public func queryAll<T: Decodable & Sendable>(
        _ type: T.Type, _ sql: String, _ params: [(any Parameter)?] = []
    ) async throws -> QueryResult<T> {
        try await native().queryAll(sql: sql, params: encode(params)).rows(rowDecoder(type))
    }

    /// Executes statements in one transaction: all of them, or on an error none. Returns how many rows they have changed.
    @discardableResult
    public func batch(_ statements: [Statement]) async throws -> Int {
        let list = try statements.map { KalamLiveNative.Statement(sql: $0.sql, params: try encode($0.params)) }
        return try await native().batch(statements: list).answer()
    }

    // MARK: Live queries

    /// The rows of `SELECT columns FROM namespace.table [WHERE ...]`, again whenever they have changed. The SQL is without
    /// ORDER BY and LIMIT: see ``LiveOptions``.
    public func live(
        _ sql: String, _ params: [(any Parameter)?] = [], options: LiveOptions = LiveOptions()
    ) -> LiveRows<Row> {
        rows(sql, params, false, options) { { $0 } }
    }

    /// As ``live(_:_:options:)``, with each row made a `T`.
    public func live<T: Decodable & Sendable>(
        _ type: T.Type, _ sql: String, _ params: [(any Parameter)?] = [], options: LiveOptions = LiveOptions()
    ) -> LiveRows<T> {
        rows(sql, params, false, options) { rowDecoder(type) }
    }

    /// All rows and columns of a table, as ``live(_:_:options:)``.
    public func liveTable(_ table: String, options: LiveOptions = LiveOptions()) -> LiveRows<Row> {
        rows(table, [], true, options) { { $0 } }
    }

    /// As ``liveTable(_:options:)``, with each row made a `T`.
    public func liveTable<T: Decodable & Sendable>(
        _ type: T.Type, _ table: String, options: LiveOptions = LiveOptions()
    ) -> LiveRows<T> {
        rows(table, [], true, options) { rowDecoder(type) }
    }

    /// What the server tells about a query, event by event, for programs that keep their own state.
    public func liveEvents(
        _ sql: String, _ params: [(any Parameter)?] = [], options: EventOptions = EventOptions()
    ) -> LiveEvents<Row> {
        events(sql, params, options) { { $0 } }
    }

    /// As ``liveEvents(_:_:options:)``, with each row made a `T`.
    public func liveEvents<T: Decodable & Sendable>(
        _ type: T.Type, _ sql: String, _ params: [(any Parameter)?] = [], options: EventOptions = EventOptions()
    ) -> LiveEvents<T> {
        events(sql, params, options) { rowDecoder(type) }
    }

    /// `make` gives each loop a maker of its own.
    private func rows<T>(
        _ sql: String, _ params: [(any Parameter)?], _ table: Bool, _ options: LiveOptions,
        _ make: @escaping @Sendable () -> (Row) throws -> T
    ) -> LiveRows<T> {
        LiveRows(client: self, onCheckpoint: options.onCheckpoint, make: make) { [self] in
            try native().live(sql: sql, params: encode(params), table: table, options: options.native())
        }
    }

    private func events<T>(
        _ sql: String, _ params: [(any Parameter)?], _ options: EventOptions,
        _ make: @escaping @Sendable () -> (Row) throws -> T
    ) -> LiveEvents<T> {
        LiveEvents(client: self, onCheckpoint: options.onCheckpoint, make: make) { [self] in
            try native().liveEvents(sql: sql, params: encode(params), options: options.native())
        }
    }

    /// The open live queries, oldest first.
    public func subscriptions() async throws -> [Subscription] {
        struct Told: Decodable {
            let id: String
            let query: String
            let stage: String
            let lastSeqId: String?
        }
        return try await native().subscriptions().answer([Told].self).map {
            Subscription(id: $0.id, query: $0.query, stage: $0.stage, lastSeqID: $0.lastSeqId.flatMap { Int64($0) })
        }
    }

    /// Ends a live query by its id; a loop over it ends. Throws `not_found` when there is none of that id.
    public func cancelSubscription(_ id: String) async throws { try await native().cancelSubscription(id: id).done() }

    // MARK: The connection

    /// The state of the connection.
    public var state: ConnectionState { shut.isSet ? .closed : ConnectionState(rawValue: client.state()) ?? .closed }

    /// The state of the connection now, and whenever it changes; a loop that is slow sees the newest sixteen.
    public var states: AsyncStream<ConnectionState> { happenings.states.stream() }

    /// What happens to the connection from now on. A loop that is slow sees the newest 64; from the first attempt on events come
    /// to ``ConnectOptions/onEvent``.
    public var events: AsyncStream<LifecycleEvent> { happenings.events.stream() }

    /// Tells that the network has changed: the client tries at once instead of waiting, or tests its connection.
    public func networkChanged() { client.networkChanged() }

    /// What has been counted since the client was made.
    public func counters() throws -> Counters {
        try JSONDecoder().decode(Counters.self, from: Data(client.counters().utf8))
    }

    /// What the server says about its health. KalamDB answers only to callers on its own machine.
    public func health() async throws -> Health { try await native().health().answer() }

    /// Closes the connection. Live queries stay, with their rows, and go on after ``connect()``.
    public func disconnect() async throws { try await native().disconnect().done() }

    /// Connects again after ``disconnect()``.
    public func connect() async throws { try await native().connect().done() }

    /// Ends every live query, closes the connection, and stops the embedded server if there is one. May be called often.
    public func close() async {
        shut.set()
        // It can not fail but by being cancelled.
        try? await client.shut().done()
    }
}

/// Something that happens once.
final class Flag: @unchecked Sendable {
    private let lock = NSLock()
    private var value = false

    var isSet: Bool { lock.withLock { value } }

    func set() { lock.withLock { value = true } }
}
