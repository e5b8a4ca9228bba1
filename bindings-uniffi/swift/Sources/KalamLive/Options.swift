import Foundation
import KalamLiveNative

/// Where a client connects to, and how. Times are in seconds.
public struct ConnectOptions: Sendable, CustomStringConvertible, CustomReflectable {
    /// The server: `http`, `https`, `ws` or `wss`. Without it an embedded server is started in this process, in memory;
    /// `embedded:PATH` keeps its data in the directory PATH. Either stops with the client, whose user is `root` unless
    /// ``user`` says otherwise.
    public var url: String?
    /// Several nodes of one cluster, in place of ``url``; attempts to connect rotate over them.
    public var urls: [String]?
    /// Logs in with ``password``.
    public var user: String?
    /// Of ``user``. For an embedded server and the user `root` it is also set there.
    public var password: String?
    /// An access token (JWT) in place of a user.
    public var token: String?
    /// Returns a token; asked again when the server no longer accepts the last one.
    public var tokenProvider: (@Sendable () async throws -> String)?
    /// Of tables that are named without one.
    public var namespace: String?
    public var timeouts = Timeouts()
    /// Whether to connect again after a loss.
    public var reconnect = true
    /// Upper bound of the first wait before that (1 s). It doubles each time.
    public var reconnectDelay: TimeInterval?
    /// Upper bound of every wait (30 s).
    public var reconnectMaxDelay: TimeInterval?
    /// Failures in a row after which to give up (never).
    public var reconnectAttempts: Int?
    /// For every request, for gateways in front of the server.
    public var headers: [String: String] = [:]
    /// Certificate authorities to trust beside those of the system, PEM.
    public var tlsCA: Data?
    /// The certificate chain to present, PEM.
    public var tlsClientCertificate: Data?
    /// The private key of ``tlsClientCertificate``, PEM.
    public var tlsClientKey: String?
    /// `http://[user:password@]host:port`.
    public var proxy: String?
    public var userAgent: String?
    /// Whether the server may compress what it sends.
    public var compression = true
    /// Greatest frame or answer that is accepted (64 MiB).
    public var maxMessageBytes: Int?
    /// Called with what happens to the connection, from the first attempt on; must not block. See ``KalamClient/events``.
    public var onEvent: (@Sendable (LifecycleEvent) -> Void)?

    public init(url: String? = nil, user: String? = nil, password: String? = nil, token: String? = nil) {
        (self.url, self.user, self.password, self.token) = (url, user, password, token)
    }

    /// Without anything secret.
    public var description: String { "ConnectOptions(url: \(url ?? "nil"), user: \(user ?? "nil"))" }

    /// The same, for `dump` and what reports crashes.
    public var customMirror: Mirror { Mirror(self, children: ["url": url as Any, "user": user as Any]) }

    /// How long things may take; `nil` is the default.
    public struct Timeouts: Sendable {
        /// Opening a connection (10 s).
        public var connect: TimeInterval?
        /// Until there is a token, and until it is accepted (10 s each).
        public var auth: TimeInterval?
        /// A query (30 s).
        public var request: TimeInterval?
        /// Opening a subscription (15 s).
        public var subscribe: TimeInterval?
        /// Silence after which the connection is tested (5 s).
        public var keepalive: TimeInterval?
        /// How long a test may take (5 s).
        public var pong: TimeInterval?

        public init() {}
    }
}

private let embedded = "embedded:"

extension ConnectOptions {
    func native() throws -> Connecting {
        if url != nil, urls != nil { throw KalamError.config("give `url` or `urls`, not both") }
        if (tlsClientCertificate == nil) != (tlsClientKey == nil) {
            throw KalamError.config("give `tlsClientCertificate` and `tlsClientKey` together")
        }
        let isEmbedded = urls == nil && (url?.hasPrefix(embedded) ?? true)
        let directory = isEmbedded ? url.map { String($0.dropFirst(embedded.count)) } : nil
        if directory == "" {
            let hint = "write \(embedded)PATH, or leave the URL out for one in memory"
            throw KalamError.config("\"\(embedded)\" names no directory: \(hint)")
        }
        let named: [String: TimeInterval?] = [
            "connect": timeouts.connect, "auth": timeouts.auth, "request": timeouts.request,
            "subscribe": timeouts.subscribe, "keepalive": timeouts.keepalive, "pong": timeouts.pong,
        ]
        return Connecting(
            urls: isEmbedded ? nil : urls ?? [url!],
            directory: directory,
            rootPassword: isEmbedded && user == "root" ? password : nil,
            user: user,
            password: password,
            token: token,
            tokenProvider: tokenProvider != nil,
            namespace: namespace,
            timeouts: named.compactMapValues { $0 },
            reconnect: reconnect,
            reconnectDelay: reconnectDelay,
            reconnectMaxDelay: reconnectMaxDelay,
            reconnectAttempts: try count("reconnectAttempts", reconnectAttempts),
            headers: headers,
            tlsCa: tlsCA,
            tlsClientCertificate: tlsClientCertificate,
            tlsClientKey: tlsClientKey,
            proxy: proxy,
            userAgent: userAgent,
            compression: compression,
            maxMessageBytes: try count("maxMessageBytes", maxMessageBytes)
        )
    }
}

/// What live rows begin with, and how they are shown.
public struct LiveOptions: Sendable {
    /// A name of your choice, for ``KalamClient/cancelSubscription(_:)``; unique among the open ones of a client.
    public var id: String?
    /// Begin with so many of the newest rows, rather than all.
    public var lastRows: Int?
    /// Rows in one page of what it begins with. Without it the client takes what suits the server.
    public var batchSize: Int?
    /// Only rows written after this: a `checkpoint` of rows or of an event.
    public var from: String?
    /// Show at most so many rows: with ``orderBy`` the first of that order, without it the most recently written.
    public var limit: Int?
    /// The columns that identify a row, rather than the primary key.
    public var keyColumns: [String]?
    /// Sort, as `"priority DESC, created_at"`. Without it rows stand in the order in which they arrived.
    public var orderBy: String?
    /// Also show rows while the first snapshot is loading, in the phase ``Phase/loading``.
    public var partial = false
    public var verify = Verify.auto
    /// Called with the place to go on from before rows are handed out.
    public var onCheckpoint: (@Sendable (String) async throws -> Void)?

    public init(id: String? = nil, limit: Int? = nil, orderBy: String? = nil, from: String? = nil) {
        (self.id, self.limit, self.orderBy, self.from) = (id, limit, orderBy, from)
    }

    /// How often live rows are checked against the server.
    public enum Verify: Sendable, Hashable {
        /// As often as the server makes it necessary, which the embedded one does not.
        case auto
        case off
        /// In seconds.
        case every(TimeInterval)
    }
}

/// What a stream of events begins with.
public struct EventOptions: Sendable {
    /// As in ``LiveOptions``.
    public var id: String?
    /// As in ``LiveOptions``.
    public var lastRows: Int?
    /// As in ``LiveOptions``.
    public var batchSize: Int?
    /// As in ``LiveOptions``.
    public var from: String?
    /// `false`: begin with nothing, and see only what happens from now on.
    public var initialData = true
    /// Called with the place to go on from before an event is handed out.
    public var onCheckpoint: (@Sendable (String) async throws -> Void)?

    public init(id: String? = nil, from: String? = nil, initialData: Bool = true) {
        (self.id, self.from, self.initialData) = (id, from, initialData)
    }
}

extension LiveOptions {
    func native() throws -> Subscribing {
        let every: Double? =
            switch verify {
            case .auto: nil
            case .off: 0
            case .every(let seconds): seconds
            }
        return Subscribing(
            id: id, lastRows: try count("lastRows", lastRows), batchSize: try count("batchSize", batchSize), from: from,
            initialData: nil, limit: try count("limit", limit), keyColumns: keyColumns, orderBy: orderBy,
            partial: partial, verify: every)
    }
}

extension EventOptions {
    func native() throws -> Subscribing {
        Subscribing(
            id: id, lastRows: try count("lastRows", lastRows), batchSize: try count("batchSize", batchSize), from: from,
            initialData: initialData, limit: nil, keyColumns: nil, orderBy: nil, partial: false, verify: nil)
    }
}

func count(_ option: String, _ value: Int?) throws -> UInt32? {
    guard let value else { return nil }
    guard let count = UInt32(exactly: value) else { throw KalamError.config("option `\(option)`: \(value) is no count") }
    return count
}
