//! What a server says on the WebSocket.

use std::fmt;
use std::sync::Arc;

use compact_str::CompactString;
use serde::Deserialize;

use super::cursor::{Cursor, CursorKind, VersionDomain};
use super::server_code;
use crate::error::Error;
use crate::row::Row;
use crate::schema::{Column, Schema, SeqId};
use crate::value::Value;

/// A WebSocket message as it arrived.
#[derive(Clone, Copy)]
pub enum RawFrame<'a> {
    /// A text message: JSON.
    Text(&'a str),
    /// A binary message: JSON under gzip (known by its first bytes), or MessagePack.
    Binary(&'a [u8]),
}

impl RawFrame<'_> {
    /// Size on the wire, in bytes.
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether the message has no content.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Its size only: a frame may hold what is nobody's business in a log.
impl fmt::Debug for RawFrame<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if matches!(self, Self::Text(_)) { "Text" } else { "Binary" };
        write!(f, "{kind}({} bytes)", self.len())
    }
}

/// One decoded server frame.
#[derive(Clone, Debug, PartialEq)]
pub enum ServerFrame {
    /// The connection is authenticated.
    AuthSuccess(AuthSuccess),
    /// The token was refused; the server closes with 1008.
    AuthError {
        /// The server's sentence.
        message: String,
    },
    /// A subscription exists; its rows follow, if a snapshot was asked for.
    Ack(Ack),
    /// A page of a snapshot.
    Batch(Batch),
    /// Rows were written.
    Change(Change),
    /// Something was refused.
    Error(ServerError),
    /// A message of a type that this version does not know. Nothing to do.
    Unknown {
        /// Its `type`.
        message_type: CompactString,
    },
}

/// `auth_success`.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AuthSuccess {
    /// User id.
    pub user: CompactString,
    /// `user`, `service`, `dba` or `system`.
    pub role: CompactString,
    /// The encoding that the server agreed to.
    pub protocol: WireProtocol,
    /// What the server announces about itself. KalamDB announces nothing; the embedded server does.
    pub server: Option<Announcement>,
}

/// How frames are encoded, as in `authenticate` and `auth_success`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct WireProtocol {
    /// JSON, or MessagePack (0.4 and 0.5 only).
    pub serialization: Serialization,
    /// Whether large frames are compressed.
    pub compression: Compression,
}

/// Encoding of server frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Serialization {
    /// `json`.
    #[default]
    Json,
    /// `msgpack`.
    MessagePack,
}

/// Compression of server frames.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// `gzip`: from 512 bytes on.
    #[default]
    Gzip,
    /// `none`.
    None,
}

/// The `server` object of `auth_success`: what a server promises and how much it takes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Announcement {
    /// Server name, such as `kalam-embedded`.
    pub name: CompactString,
    /// Server version.
    pub version: CompactString,
    /// Whether its live queries leave nothing out: no repair queries are needed, and a resume brings deletions too.
    pub complete: bool,
    /// Names the data: numbers of versions mean nothing at a server that names others. Empty: not told.
    pub epoch: CompactString,
    /// Its limits, where it tells them.
    pub limits: AnnouncedLimits,
}

/// Limits that a server announced. `None`: not told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct AnnouncedLimits {
    /// Client messages a second, per connection.
    pub messages_per_second: Option<u32>,
    /// Size of one client message, in bytes.
    pub message_bytes: Option<u64>,
    /// Rows in one page of a snapshot.
    pub batch_rows: Option<u32>,
    /// Subscriptions of one connection.
    pub subscriptions_per_connection: Option<u32>,
    /// Subscriptions of one user, over all connections.
    pub subscriptions_per_user: Option<u32>,
}

/// `subscription_ack`.
#[derive(Clone, Debug, PartialEq)]
pub struct Ack {
    /// Subscription id.
    pub subscription: CompactString,
    /// The columns, system columns included, as the server orders them.
    pub columns: Vec<Column>,
    /// Where the snapshot stands.
    pub control: BatchControl,
}

/// `initial_data_batch`.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Subscription id.
    pub subscription: CompactString,
    /// The rows of this page. Empty, whatever the server sent, when there is no plan for the subscription.
    pub rows: Vec<Row>,
    /// Where the snapshot stands.
    pub control: BatchControl,
}

/// `batch_control`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct BatchControl {
    /// Number of the page, from 0.
    #[serde(default)]
    pub batch_num: u64,
    /// Whether `next_batch` brings another page.
    pub has_more: bool,
    /// State of the snapshot.
    pub status: BatchStatus,
    /// Position of the page's **last** row, which is not always its greatest (`wire/snapshots.jsonl`). `None`: no rows.
    #[serde(rename = "last_seq_id", default)]
    pub last_seq: Option<Cursor>,
    /// The history that the versions belong to, from 0.8 on.
    #[serde(rename = "version_domain", default)]
    pub domain: Option<VersionDomain>,
}

impl BatchControl {
    /// A cursor at `seq` in the spelling and the history of this server.
    pub fn cursor_at(&self, seq: SeqId) -> Cursor {
        let kind = match (&self.last_seq, &self.domain) {
            (Some(last), _) => last.kind(),
            (None, Some(_)) => CursorKind::Text,
            (None, None) => CursorKind::Integer,
        };
        Cursor::new(seq, kind, self.domain.clone())
    }
}

/// `batch_control.status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BatchStatus {
    /// `loading`: the first page follows.
    Loading,
    /// `loading_batch`: another page follows.
    LoadingBatch,
    /// `ready`: the snapshot is over.
    #[default]
    Ready,
}

/// `change`. KalamDB sends one row a frame; more are legal.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// Subscription id.
    pub subscription: CompactString,
    /// What happened.
    pub kind: ChangeKind,
    /// Whole rows: after an insert or update the new content (a projected column that the update left out is NULL), after
    /// a delete the last content, with the version of the tombstone.
    pub rows: Vec<Row>,
    /// After an update, what changed, where the plan keeps it; as many as `rows`, in the same order.
    pub old: Vec<PartialRow>,
    /// The frame does not fit the columns of the ack: one is unknown, or an insert lacks one. The table was altered, or
    /// dropped and created again (recorded in `wire/alter.jsonl`).
    pub unknown_columns: bool,
}

/// What happened to the rows of a [`Change`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// Rows appeared.
    Insert,
    /// Rows have new content. One that is not held yet just entered the filter.
    Update,
    /// Rows are gone.
    Delete,
}

/// The columns that `old_values` of an update named: the changed ones and the key, as they were before.
#[derive(Clone, PartialEq)]
pub struct PartialRow {
    schema: Arc<Schema>,
    cells: Box<[(u32, Value)]>,
    version: Option<SeqId>,
}

impl PartialRow {
    /// `cells` are positions among [`Schema::all_columns`] with their values.
    pub(crate) fn new(
        schema: Arc<Schema>,
        cells: impl Into<Box<[(u32, Value)]>>,
        version: Option<SeqId>,
    ) -> Self {
        Self { schema, cells: cells.into(), version }
    }

    /// The version that these values had.
    pub fn version(&self) -> Option<SeqId> {
        self.version
    }

    /// The old value of a visible column, if it was named.
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.iter().find_map(|(name, value)| (name == column).then_some(value))
    }

    /// The visible columns that were named, with their old values.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        let columns = self.schema.columns();
        self.cells().map(|(at, value)| (&*columns[at].name, value))
    }

    /// The same by position among [`Schema::columns`].
    pub fn cells(&self) -> impl Iterator<Item = (usize, &Value)> {
        let visible = self.schema.columns().len();
        self.cells.iter().map(|(at, value)| (*at as usize, value)).filter(move |(at, _)| *at < visible)
    }
}

impl fmt::Debug for PartialRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

/// `error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerError {
    /// Subscription id, or one of the names that the server uses for the connection: `protocol`, `rate_limit`,
    /// `subscribe`, `invalid_subscription`.
    pub subscription: CompactString,
    /// The server's code, such as `INVALID_SQL`.
    pub code: CompactString,
    /// The server's sentence.
    pub message: String,
}

impl ServerError {
    /// The error that a caller sees.
    pub fn to_error(&self) -> Error {
        server_code::error(&self.code, &self.message)
    }
}
