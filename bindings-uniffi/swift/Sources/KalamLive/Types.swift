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
    /// The id of the subscription.
    public let subscription: String
    /// What it was that showed: `unconfirmed`, `mismatch`, `newest_rows`, `schema`, `reconnect` or `traffic`.
    public let reason: String
    /// HTTP queries that it took.
    public let queries: Int
    /// Bytes of their answers.
    public let bytes: Int
    /// Rows that were missing.
    public let added: Int
    /// Rows with other content.
    public let changed: Int
    /// Rows that were gone.
    public let removed: Int
}

/// An open subscription.
public struct Subscription: Sendable, Hashable {
    /// Its name, for `cancelSubscription`.
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
    /// `healthy`, when it is.
    public let status: String
    /// Of the server.
    public let version: String
    /// Of its API, such as `v1`.
    public let apiVersion: String
    /// When the server was built.
    public let buildDate: String
}

/// What has been counted since the client was made.
public struct Counters: Sendable, Hashable, Codable {
    /// Frames received.
    public let frames: Int
    /// Bytes received, as they were on the wire.
    public let bytes: Int
    /// Messages sent, pings aside.
    public let sent: Int
    /// Connections established.
    public let connects: Int
    /// Frames of a type that this version does not know.
    public let unknownFrames: Int
    /// Frames for subscriptions that are not open any more.
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
    /// One statement.
    public let sql: String
    /// The values of `$1`, `$2` and so on.
    public let params: [(any Parameter)?]

    public init(_ sql: String, _ params: [(any Parameter)?] = []) {
        (self.sql, self.params) = (sql, params)
    }

    public init(stringLiteral sql: String) { self.init(sql) }
}
