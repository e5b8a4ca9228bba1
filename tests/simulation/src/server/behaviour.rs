//! What kind of server the model is. Every field is a switch of its own, so that a hole can be opened alone.

use std::time::Duration;

/// How the model server behaves. The facts are those of the recordings in `tests/data/wire/`; what they leave open is
/// drawn from the seed.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Announces itself, its completeness and its limits in `auth_success`.
    pub announces: bool,
    /// What a resume brings.
    pub resume: ResumeKind,
    /// Tells the newest version with the ack of a subscription without snapshot, the last page of a snapshot and the empty
    /// batch of a replay; otherwise the version of the last row, or the cursor.
    pub tells_newest: bool,
    /// Order of a snapshot's pages.
    pub page_order: PageOrder,
    /// At a resume of change frames, the last so many frames before the cursor come again.
    pub repeats: usize,
    /// Refuses a bad token in the upgrade request with HTTP 401; otherwise by `auth_error` and 1008.
    pub rejects_upgrade: bool,
    /// Reads the token in the upgrade request. A proxy between may strip it.
    pub sees_header: bool,
    /// Ends connections whose token has expired.
    pub ends_expired: bool,
    /// Client messages a second for each connection.
    pub messages_per_second: usize,
    /// How messages are counted.
    pub rate_window: RateWindow,
    /// Subscriptions for all connections together.
    pub subscriptions: usize,
    /// Rows in a page at most.
    pub batch_rows: usize,
    /// Ends a connection that was silent for so long.
    pub heartbeat: Duration,
    /// Close code when it stops; `None`: it just goes away.
    pub stop_code: Option<u16>,
}

/// What a subscription with `from` brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResumeKind {
    /// An empty batch, then a change frame for each key written since, deletes included, in the order of versions.
    Replay,
    /// The rows that there are and are newer, as a batch (recorded in `wire/resume.jsonl`).
    NewerRows,
}

/// Order of the rows of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageOrder {
    /// By version.
    Version,
    /// By key (`wire/snapshots.jsonl`).
    Key,
}

/// How the messages of a second are counted. The recording (`wire/limits.jsonl`) fits both.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateWindow {
    /// In seconds that begin with the first message.
    Fixed,
    /// In the second before each message.
    Sliding,
}
