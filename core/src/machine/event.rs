//! What goes into a machine and what comes out of it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;

use super::Time;
use crate::checkpoint::Checkpoint;
use crate::error::Error;
use crate::protocol::{Announcement, Change, RowPlan};
use crate::repair::Repair;
use crate::row::Row;
use crate::schema::{Schema, SeqId};
use crate::sql::LiveSql;

pub use crate::protocol::OldValues;

/// One attempt to connect, and the connection that comes of it. Numbers are never reused, so that what arrives late
/// from an old link is known as such.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub(super) u64);

/// A subscription of this machine. Never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriptionKey(pub(super) u64);

/// A call for credentials, to be named in the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId(pub(super) u64);

/// An access token. It shows in no debug output.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(Arc<str>);

impl Token {
    /// Wraps the token's text.
    pub fn new(token: impl Into<Arc<str>>) -> Self {
        Self(token.into())
    }

    /// The text, for the `Authorization` header.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// What the driver is to do next.
#[derive(Clone, PartialEq)]
pub enum Action {
    /// Find an access token and answer with [`Machine::handle_credentials`](super::Machine::handle_credentials). A new
    /// call replaces one that is not answered yet.
    FetchCredentials {
        /// To be given back with the answer.
        attempt: AttemptId,
        /// The server refused what it got last time: do not answer from a cache.
        refresh: bool,
    },
    /// Open a WebSocket. Its fate is told by `handle_opened` or `handle_closed`.
    OpenLink {
        /// Name of the link from now on.
        link: LinkId,
        /// Where to.
        url: String,
        /// For the `Authorization: Bearer` header, when there is one to send.
        token: Option<Token>,
    },
    /// Send a text message.
    Send {
        /// On which link.
        link: LinkId,
        /// The JSON text. It may hold a token: do not log it.
        text: String,
    },
    /// Send a WebSocket ping.
    Ping {
        /// On which link.
        link: LinkId,
    },
    /// Close the link, also while it is opening. The machine has already forgotten it; `handle_closed` is not needed.
    CloseLink {
        /// Which link.
        link: LinkId,
        /// Close code: 1000 by request, 1001 given up as lost, 1002 for a violation of the protocol.
        code: u16,
    },
}

/// Without the text of messages: one of them holds the token.
impl fmt::Debug for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FetchCredentials { attempt, refresh } => f
                .debug_struct("FetchCredentials")
                .field("attempt", attempt)
                .field("refresh", refresh)
                .finish(),
            Self::OpenLink { link, url, token } => f
                .debug_struct("OpenLink")
                .field("link", link)
                .field("url", url)
                .field("token", token)
                .finish(),
            Self::Send { link, text } => {
                f.debug_struct("Send").field("link", link).field("bytes", &text.len()).finish()
            }
            Self::Ping { link } => f.debug_struct("Ping").field("link", link).finish(),
            Self::CloseLink { link, code } => {
                f.debug_struct("CloseLink").field("link", link).field("code", code).finish()
            }
        }
    }
}

/// How a link ended that the machine did not close.
#[derive(Clone, Debug, PartialEq)]
pub enum LinkEnd {
    /// The upgrade request got another HTTP status than 101.
    Rejected {
        /// The status.
        status: u16,
        /// What the body said, if it was short text.
        message: String,
    },
    /// The server sent a close frame.
    Closed {
        /// Close code, if there was one.
        code: Option<u16>,
        /// Close reason, perhaps empty.
        reason: String,
    },
    /// Anything else: refused, reset, TLS, end of stream. An error that is not [`retryable`](Error::retryable) is not
    /// tried again at the same URL.
    Failed(Error),
}

/// The state of the connection.
#[derive(Clone, Debug, PartialEq)]
pub enum ConnectionState {
    /// Not connected and not trying: before `connect`, after `disconnect`.
    Idle,
    /// Not connected since `connect` was called.
    Connecting {
        /// Number of the attempt, from 1.
        attempt: u32,
    },
    /// Authenticated.
    Connected,
    /// The connection was lost.
    Reconnecting {
        /// Number of the attempt, from 1.
        attempt: u32,
        /// When the attempt begins; `None` while it is under way.
        retry_at: Option<Time>,
    },
    /// Over. With an error: given up, and `connect` may be called again. Without: closed for good.
    Closed {
        /// Why it was given up.
        error: Option<Error>,
    },
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// To one subscription.
    Subscription {
        /// Which one.
        key: SubscriptionKey,
        /// What happened.
        event: SubscriptionEvent,
    },
    /// To the connection.
    Lifecycle(Lifecycle),
}

/// What happened to a subscription, in order. After `Failed` or `Ended` there is no more.
#[derive(Clone, Debug, PartialEq)]
pub enum SubscriptionEvent {
    /// The server has taken the subscription, for the first time or again.
    Acked {
        /// Columns of the rows that follow.
        schema: Arc<Schema>,
        /// What the rows that follow mean for those that are held.
        mode: Mode,
        /// Where they begin: the position that was resumed, or number 0. Also says whose versions theirs are, and how
        /// to spell a checkpoint at one of them.
        origin: Checkpoint,
    },
    /// Rows of the snapshot, or of what was written while the connection was away.
    Batch {
        /// The rows, in the order of the server.
        rows: Vec<Row>,
        /// More pages follow.
        has_more: bool,
    },
    /// The snapshot is over; only changes follow.
    Ready,
    /// Rows were written. May also come between pages.
    Change(Change),
    /// The frame that was handled just now is a change of this subscription, for its reader to decode. Only where
    /// [`Decoding::ByReader`] was asked for; what is handled otherwise still comes as [`Change`](Self::Change).
    Deferred(Deferred),
    /// The connection was lost. `Acked` follows when it is back.
    Interrupted,
    /// Something may have been missed that the server does not tell.
    GapPossible {
        /// Why.
        reason: GapReason,
    },
    /// Over, by an error.
    Failed(Error),
    /// Over, because it or the client was closed.
    Ended,
}

/// A change that its reader decodes: the [frame](crate::protocol::decode), or
/// [the part of it that matters](crate::protocol::decode_change).
#[derive(Clone, Debug, PartialEq)]
pub struct Deferred {
    /// How its rows are read.
    pub plan: Arc<RowPlan>,
    /// Where in the frame's text it begins, with its kind.
    pub from: usize,
    /// The greatest version of its rows.
    pub version: SeqId,
}

/// What a subscription's rows mean for those that are held from before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// What follows until `Ready` is everything; it replaces what is held.
    Fresh,
    /// What follows was written after the position that the caller gave, and nothing else is known: it replaces what is
    /// held.
    Since,
    /// What follows was written after what is held.
    Resumed,
    /// Nothing follows but changes from now on. What is held stays, and its reader finds out what it missed:
    /// [`Machine::keep_rows`](super::Machine::keep_rows).
    Kept,
}

/// Why something may have been missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum GapReason {
    /// Resumed at a server that does not tell what was deleted meanwhile (recorded in `wire/resume.jsonl`), and perhaps
    /// at another node with another numbering (`wire/cluster.jsonl`).
    ResumedWithoutDeletes,
    /// The connection was away for so long that the server may have forgotten what was deleted first.
    Purged,
    /// There was nothing to resume from: what was written and removed while away is not known.
    NoCheckpoint,
    /// The server sent a change before it told the columns.
    ChangeBeforeAck,
    /// The position is of another server, or of data that were replaced: everything is sent again, and what was removed
    /// is not known.
    AnotherEpoch,
    /// The position is a bare number, which does not say whose it is.
    Unproven,
}

impl GapReason {
    /// One sentence for a person.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ResumedWithoutDeletes => {
                "the server does not tell what was deleted while the connection was away"
            }
            Self::Purged => {
                "the connection was away for longer than the server may keep what was deleted: other rows may be gone too"
            }
            Self::NoCheckpoint => "the connection was lost before there was a position to resume from",
            Self::ChangeBeforeAck => "the server sent a change before it described the columns",
            Self::AnotherEpoch => {
                "the position belongs to another server, or to data that were replaced: all rows are sent again"
            }
            Self::Unproven => {
                "the position is a bare number, and nothing shows that it is one of this server"
            }
        }
    }
}

/// What happened to the connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Lifecycle {
    /// Connected and authenticated.
    Connected {
        /// At which URL.
        url: String,
        /// As whom.
        user: CompactString,
        /// With which role.
        role: CompactString,
        /// What the server tells about itself, if it does.
        server: Option<Announcement>,
        /// Not the first time since `connect`.
        reconnected: bool,
    },
    /// An established connection ended.
    Disconnected {
        /// Why.
        error: Error,
        /// Time to the next attempt. `None`: there will be none.
        retry_in: Option<Duration>,
    },
    /// An attempt failed.
    ConnectFailed {
        /// Why.
        error: Error,
        /// Number of the attempt, from 1.
        attempt: u32,
        /// Time to the next attempt. `None`: there will be none.
        retry_in: Option<Duration>,
    },
    /// The server reported an error that belongs to no subscription.
    ServerError(Error),
    /// Rows of a live query were wrong, since the server had left something out, and were put right. Told by the client
    /// that checks them, not by the machine.
    Repaired {
        /// The live query's name.
        subscription: CompactString,
        /// What was found.
        repair: Repair,
    },
    /// The client was closed.
    Closed,
}

/// A subscription to be.
#[derive(Clone, Debug)]
pub struct SubscribeRequest {
    /// Name for people and for [`Machine::subscriptions`](super::Machine::subscriptions), unique among those that are
    /// open. `None`: one is made up.
    pub id: Option<CompactString>,
    /// The query.
    pub sql: LiveSql,
    /// What to begin with.
    pub options: SubscribeOptions,
    /// Whether the old values of updates are wanted.
    pub old: OldValues,
    /// What to do after a reconnect.
    pub resume: Resume,
    /// Who decodes changes.
    pub decoding: Decoding,
}

impl SubscribeRequest {
    /// A [watch](crate::converge): what is changed from now on, without the rows that are there.
    pub fn watch(sql: LiveSql) -> Self {
        Self {
            id: None,
            sql,
            options: SubscribeOptions { snapshot: false, ..SubscribeOptions::default() },
            old: OldValues::Skip,
            resume: Resume::Live,
            decoding: Decoding::ByConnection,
        }
    }
}

/// Who decodes the changes that a subscription gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Decoding {
    /// The task of the connection, as they arrive: for readers that should do nothing else but read, such as the one
    /// thread of an interpreter.
    #[default]
    ByConnection,
    /// Who takes them: the connection does less for each, and several readers share the work.
    ByReader,
}

/// What a subscription begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscribeOptions {
    /// Whether to send the rows that there are, or only changes.
    pub snapshot: bool,
    /// Only this many of the newest rows.
    pub last_rows: Option<u32>,
    /// Rows in a page.
    pub batch_size: Option<u32>,
    /// Only what was written after this.
    pub from: Option<Checkpoint>,
}

impl Default for SubscribeOptions {
    fn default() -> Self {
        Self { snapshot: true, last_rows: None, batch_size: None, from: None }
    }
}

/// What a subscription does after a reconnect to a server that does not announce itself complete. At one that does, both
/// resume from the checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// Resumes from the checkpoint and says what can not be known with [`SubscriptionEvent::GapPossible`].
    Cursor,
    /// Takes a fresh snapshot: without it, rows deleted meanwhile would stay. Or none, if the reader
    /// [checks what it holds](super::Machine::keep_rows).
    Live,
}

/// How to begin a subscription anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Restart {
    /// With a fresh snapshot.
    Fresh,
    /// From a position: what was written after it is sent again.
    From(Checkpoint),
}

impl Restart {
    pub(super) fn into_checkpoint(self) -> Option<Checkpoint> {
        match self {
            Self::Fresh => None,
            Self::From(checkpoint) => Some(checkpoint),
        }
    }
}

/// One open subscription, for inspection.
#[derive(Clone, Debug, PartialEq)]
pub struct SubscriptionInfo {
    /// Its key.
    pub key: SubscriptionKey,
    /// Its name.
    pub id: CompactString,
    /// The SQL that the server gets.
    pub sql: String,
    /// How far it is.
    pub stage: SubscriptionStage,
    /// Where it would resume.
    pub checkpoint: Option<Checkpoint>,
}

/// How far a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SubscriptionStage {
    /// Not at the server: there is no connection, or it waits for its turn.
    Waiting,
    /// Sent, not acknowledged.
    Subscribing,
    /// The snapshot is arriving.
    Loading,
    /// Live.
    Ready,
}

/// What a machine has counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Frames received.
    pub frames: u64,
    /// Bytes received, as they were on the wire.
    pub bytes: u64,
    /// Messages sent, pings aside.
    pub sent: u64,
    /// Connections established.
    pub connects: u64,
    /// Frames of a type that this version does not know.
    pub unknown_frames: u64,
    /// Frames for subscriptions that are not open, such as those that were under way at an unsubscribe.
    pub late_frames: u64,
    /// Rows that had been handed out before the connection was lost, and were dropped.
    pub replayed_rows: u64,
    /// Frames that could not be decoded.
    pub bad_frames: u64,
    /// Bursts of messages that the server refused for being too many.
    pub rate_limited: u64,
    /// Subscriptions that were begun anew on a connection that held: no answer in time, a bad frame, a refusal.
    pub restarts: u64,
}
