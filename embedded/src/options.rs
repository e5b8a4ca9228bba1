//! What can be set when a server is started.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::time::Duration;

use crate::engine::{Data, EngineLimits};
use crate::holes::Holes;
use crate::wire::Wire;

/// How to start a server. [`Options::default`] is an in-memory server on a free loopback port.
///
/// ```
/// use kalam_embedded::{Data, Options};
///
/// let options = Options { data: Data::Directory("data".into()), port: 2900, ..Options::default() };
/// assert!(options.host.is_loopback());
/// ```
#[derive(Clone)]
pub struct Options {
    /// Where the rows are kept.
    pub data: Data,
    /// The address to listen on. Anything but a loopback address needs [`Options::allow_remote`].
    pub host: IpAddr,
    /// The port to listen on; 0 takes a free one, see [`Embedded::port`](crate::Embedded::port).
    pub port: u16,
    /// Allows a `host` that other machines can reach. Without [`Options::tls`] all can be read on the way.
    pub allow_remote: bool,
    /// Serves TLS (`https`, `wss`) instead of plain text.
    pub tls: Option<TlsFiles>,
    /// The password of `root`, set each time the server starts. Without one a random password is generated
    /// when the data is created, see [`Embedded::root_password`](crate::Embedded::root_password).
    pub root_password: Option<String>,
    /// How long an access token is valid (24 hours).
    pub access_token_lifetime: Duration,
    /// How long a refresh token is valid (7 days).
    pub refresh_token_lifetime: Duration,
    /// How long a WebSocket may stay without authenticating (3 seconds, `wire/auth.jsonl`).
    pub auth_timeout: Duration,
    /// A WebSocket that is silent for so long is closed (10 seconds, `wire/limits.jsonl`).
    pub heartbeat_timeout: Duration,
    /// How long a stop waits for requests and sockets to finish (5 seconds).
    pub shutdown_deadline: Duration,
    /// How long a consumer may hold a record of a topic before it is delivered again (30 seconds).
    pub topic_visibility: Duration,
    /// Serve the inspector, a page at `/` that asks for a login (yes).
    pub ui: bool,
    /// Hours for which a deleted row is kept as a tombstone, so that clients that were away hear of it (168); a table's own
    /// `DELETED_RETENTION_HOURS` wins.
    pub tombstone_hours: u64,
    /// What a client may ask for.
    pub limits: Limits,
    /// Behave like KalamDB 0.4 where it leaves something out, for tests of clients: no announcement in
    /// `auth_success` then, and the holes that are given.
    pub emulate: Option<Holes>,
    /// The generation of the protocol, for clients that do not show theirs (0.4). Not 0.8 together with `emulate`.
    pub wire: Wire,
    /// The node that this server is in the numbers of row versions, 0 to 1023: two servers with different nodes never
    /// give the same number, like the nodes of a cluster (`wire/cluster.jsonl`).
    pub node: u16,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            data: Data::Memory,
            host: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: 0,
            allow_remote: false,
            tls: None,
            root_password: None,
            access_token_lifetime: Duration::from_secs(24 * 60 * 60),
            refresh_token_lifetime: Duration::from_secs(7 * 24 * 60 * 60),
            auth_timeout: Duration::from_secs(3),
            heartbeat_timeout: Duration::from_secs(10),
            shutdown_deadline: Duration::from_secs(5),
            topic_visibility: Duration::from_secs(30),
            ui: true,
            tombstone_hours: 168,
            limits: Limits::default(),
            emulate: None,
            wire: Wire::default(),
            node: 0,
        }
    }
}

// By hand, so that the root password can not reach a log.
impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("data", &self.data)
            .field("host", &self.host)
            .field("port", &self.port)
            .field("allow_remote", &self.allow_remote)
            .field("tls", &self.tls)
            .field("root_password", &self.root_password.as_ref().map(|_| "<hidden>"))
            .field("access_token_lifetime", &self.access_token_lifetime)
            .field("refresh_token_lifetime", &self.refresh_token_lifetime)
            .field("auth_timeout", &self.auth_timeout)
            .field("heartbeat_timeout", &self.heartbeat_timeout)
            .field("shutdown_deadline", &self.shutdown_deadline)
            .field("topic_visibility", &self.topic_visibility)
            .field("ui", &self.ui)
            .field("tombstone_hours", &self.tombstone_hours)
            .field("limits", &self.limits)
            .field("emulate", &self.emulate)
            .field("wire", &self.wire)
            .field("node", &self.node)
            .finish()
    }
}

/// Where the certificate of a server is: PEM files, read when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate, then those that vouch for it.
    pub certificate: PathBuf,
    /// The private key: PKCS #8, PKCS #1 or SEC 1.
    pub key: PathBuf,
}

/// Bounds on everything that a client can send or make the server hold.
///
/// The first five are announced to clients in `auth_success`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Messages a second on one WebSocket, also the size of a burst. What is over is answered with
    /// `RATE_LIMIT_EXCEEDED` and not carried out.
    pub messages_per_second: u32,
    /// Bytes of one WebSocket message. A longer one ends the connection without a close frame, as recorded in
    /// `wire/limits.jsonl`.
    pub message_bytes: usize,
    /// The greatest `batch_size` of a snapshot; a greater wish is lowered to it.
    pub batch_rows: u32,
    /// Subscriptions on one WebSocket.
    pub subscriptions_per_connection: usize,
    /// Subscriptions of one user over all of their WebSockets.
    pub subscriptions_per_user: usize,
    /// Open HTTP connections; more are closed at once.
    pub http_connections: usize,
    /// Open WebSockets; an upgrade beyond is answered with 503.
    pub websockets: usize,
    /// Bytes that wait to be sent on one WebSocket. A connection that falls behind further is closed with 1013.
    pub queue_bytes: usize,
    /// Frames that wait to be sent on one WebSocket, with the same consequence.
    pub queue_frames: usize,
    /// Snapshot rows that one WebSocket may leave unfetched, over all of its subscriptions.
    pub unfetched_rows: usize,
    /// Bytes of one HTTP request body.
    pub request_bytes: usize,
    /// Bytes of one HTTP request body with files (a form).
    pub upload_bytes: usize,
    /// Bytes of one uploaded file.
    pub file_bytes: usize,
    /// Bytes of the SQL text of one request or subscription.
    pub sql_bytes: usize,
    /// Statements of one request.
    pub sql_statements: usize,
    /// How long one statement may run.
    pub statement_time: Duration,
    /// Rows of one result, and rows that one statement may write.
    pub result_rows: usize,
    /// Bytes of one result, as held in memory.
    pub result_bytes: usize,
    /// Bytes that SQLite may hold in all: rows in memory, sorts, recursion. Half of the machine's memory; it is one bound for
    /// all servers of the process, and can only be lowered.
    pub heap_bytes: u64,
    /// Statements that run at the same time.
    pub concurrent_requests: usize,
    /// Requests that may wait for their turn; more are answered with 429.
    pub waiting_requests: usize,
    /// HTTP SQL requests a second and user, also the size of a burst.
    pub requests_per_second: u32,
    /// Logins whose password may wait to be verified; more are answered with 429.
    pub waiting_logins: usize,
    /// Failed logins a second and client address, also the size of a burst.
    pub login_failures_per_second: u32,
    /// Failed logins in a row after which a user is locked out.
    pub login_failures: u32,
    /// How long the lockout lasts.
    pub lockout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            messages_per_second: 1000,
            message_bytes: 1 << 20,
            batch_rows: 5000,
            subscriptions_per_connection: 1000,
            subscriptions_per_user: 10_000,
            http_connections: 1024,
            websockets: 4096,
            queue_bytes: 32 << 20,
            queue_frames: 131_072,
            unfetched_rows: 1_000_000,
            request_bytes: 10 << 20,
            upload_bytes: 64 << 20,
            file_bytes: 25 << 20,
            sql_bytes: 1 << 20,
            sql_statements: 1_000,
            statement_time: Duration::from_secs(30),
            result_rows: 1_000_000,
            result_bytes: 256 << 20,
            heap_bytes: EngineLimits::default().heap_bytes,
            concurrent_requests: 16,
            waiting_requests: 1024,
            requests_per_second: 50_000,
            waiting_logins: 256,
            login_failures_per_second: 20,
            login_failures: 10,
            lockout: Duration::from_secs(60),
        }
    }
}
