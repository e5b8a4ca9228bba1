/// The state of the connection.
public enum ConnectionState: String, Sendable {
    case idle, connecting, connected, reconnecting, closed
}

/// What happens to a connection.
public enum LifecycleEvent: Sendable {
    /// The connection stands, for the first time or again.
    case connected
    /// The connection is lost.
    case disconnected(KalamError)
    /// Connecting failed, or the server reported an error that belongs to no call.
    case failed(KalamError)
    /// Rows of a live query were wrong, since the server had left something out, and were put right.
    case repaired(Repair)
}

/// What it took to put rows right.
public struct Repair: Sendable, Hashable {
    public let subscription: String
    public let reason: String
    public let queries: Int
    public let bytes: Int
    public let added: Int
    public let changed: Int
    public let removed: Int
}

/// An open subscription.
public struct Subscription: Sendable, Hashable {
    public let id: String
    /// The SQL as the server gets it: parameters bound, key columns added.
    public let query: String
    /// `waiting`, `subscribing`, `loading` or `ready`.
    public let stage: String
    /// The newest write received.
    public let lastSeqID: Int64?
}

/// What the server says about its health.
public struct Health: Sendable, Hashable, Codable {
    public let status: String
    public let version: String
    public let apiVersion: String
    public let buildDate: String
}

/// What has been counted since the client was made.
public struct Counters: Sendable, Hashable, Codable {
    public let frames: Int
    public let bytes: Int
    public let sent: Int
    public let connects: Int
    public let unknownFrames: Int
    public let lateFrames: Int
    /// How often a reader of events was too slow.
    public let lagged: Int
    /// Queries that checked live rows.
    public let verifyQueries: Int
    /// Checks that put rows right.
    public let verifyRepairs: Int
}

/// SQL with the values of `$1`, `$2` and so on.
public struct Statement: Sendable, ExpressibleByStringLiteral {
    public let sql: String
    public let params: [(any Parameter)?]

    public init(_ sql: String, _ params: [(any Parameter)?] = []) {
        (self.sql, self.params) = (sql, params)
    }

    public init(stringLiteral sql: String) { self.init(sql) }
}
