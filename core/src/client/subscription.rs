//! What a subscription is to be, and what one is.

use std::time::Duration;

use crate::checkpoint::Checkpoint;
use crate::converge::Verify;
use crate::error::{Error, ErrorCode, Result};
use crate::machine::{self, Decoding, SubscriptionStage};
use crate::schema::SeqId;
use crate::sql::token::tokenize;
use crate::value::Value;
use compact_str::CompactString;

/// A live query with its options.
///
/// ```
/// # use kalam_live::{SubscriptionConfig, SubscriptionOptions};
/// let mut config = SubscriptionConfig::new("inbox", "SELECT id, body FROM app.messages WHERE room = $1");
/// config.params = vec!["main".into()];
/// config.options = Some(SubscriptionOptions::new().with_last_rows(20).with_batch_size(50));
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct SubscriptionConfig {
    /// Its name, for people and for [`cancel_subscription`](crate::KalamClient::cancel_subscription). Unique among the
    /// open ones of a client.
    pub id: Option<String>,
    /// `SELECT columns FROM namespace.table [WHERE ...]`.
    pub sql: String,
    /// The values of `$1`, `$2` and so on.
    pub params: Vec<Value>,
    /// What it begins with. `None`: with all rows that there are.
    pub options: Option<SubscriptionOptions>,
}

impl SubscriptionConfig {
    /// A live query under a name of your choice.
    pub fn new(id: impl Into<String>, sql: impl Into<String>) -> Self {
        Self { id: Some(id.into()), ..Self::unnamed(sql) }
    }

    /// A live query; the client makes up a name.
    pub fn unnamed(sql: impl Into<String>) -> Self {
        Self { id: None, sql: sql.into(), params: Vec::new(), options: None }
    }

    /// All rows and columns of `namespace.table`; without the namespace, of the client's.
    ///
    /// # Errors
    /// `invalid_argument` when `table` is more than a name.
    pub fn table(table: &str) -> Result<Self> {
        let is_name = tokenize(table).is_ok_and(|tokens| {
            let name = |i: usize| tokens.get(i).is_some_and(|t| t.name(table).is_some());
            match tokens.len() {
                1 => name(0),
                3 => name(0) && tokens[1].is_symbol(table, ".") && name(2),
                _ => false,
            }
        });
        if !is_name {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!("{table:?} is no table name: write namespace.table, or use live(sql)"),
            ));
        }
        Ok(Self::unnamed(format!("SELECT * FROM {table}")))
    }

    /// Binds `$1`, `$2` and so on.
    #[must_use]
    pub fn with_params(mut self, params: impl Into<Vec<Value>>) -> Self {
        self.params = params.into();
        self
    }

    /// Sets what it begins with.
    #[must_use]
    pub fn with_options(mut self, options: SubscriptionOptions) -> Self {
        self.options = Some(options);
        self
    }

    /// Only changes, none of the rows that there are. For events; live rows need the rows.
    #[must_use]
    pub fn without_initial_data(mut self) -> Self {
        self.options = Some(SubscriptionOptions { snapshot: false, ..self.options.unwrap_or_default() });
        self
    }
}

/// What a subscription begins with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionOptions {
    pub(crate) snapshot: bool,
    pub(crate) last_rows: Option<u32>,
    pub(crate) batch_size: Option<u32>,
    pub(crate) from: Option<Checkpoint>,
}

impl SubscriptionOptions {
    /// All rows that there are.
    pub fn new() -> Self {
        Self { snapshot: true, last_rows: None, batch_size: None, from: None }
    }

    /// Only this many of the newest rows, and everything written since.
    #[must_use]
    pub fn with_last_rows(mut self, rows: u32) -> Self {
        self.last_rows = Some(rows);
        self
    }

    /// Rows in one page of the snapshot. Without it the client takes what suits the server.
    #[must_use]
    pub fn with_batch_size(mut self, rows: u32) -> Self {
        self.batch_size = Some(rows);
        self
    }

    /// Only what was written after this: a [`Checkpoint`] that was kept, or a bare `last_seq_id`. At a server whose numbers
    /// are others than the checkpoint's, everything is loaded instead: events say so with
    /// [`GapPossible`](crate::ChangeEvent::GapPossible), and rows are then in the phase `live` rather than `partial`.
    #[must_use]
    pub fn with_from(mut self, from: impl Into<Checkpoint>) -> Self {
        self.from = Some(from.into());
        self
    }

    pub(crate) fn check(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorCode::InvalidArgument, message));
        if self.last_rows == Some(0) {
            return wrong(
                "`last_rows` is 0: leave it out for all rows, or ask for events without initial data",
            );
        }
        if self.batch_size == Some(0) {
            return wrong("`batch_size` is 0: a page holds at least one row");
        }
        if !self.snapshot && (self.last_rows.is_some() || self.from.is_some()) {
            return wrong(
                "`last_rows` and `from` ask for rows, which a stream without initial data leaves out",
            );
        }
        Ok(())
    }
}

impl Default for SubscriptionOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// How [`live`](crate::KalamClient::live) makes rows of what the server tells.
///
/// ```
/// # use kalam_live::LiveRowsConfig;
/// let newest = LiveRowsConfig { limit: Some(20), order_by: Some("created_at DESC".into()), ..LiveRowsConfig::default() };
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LiveRowsConfig {
    /// Show at most this many rows: the most recently written, or with `order_by` the first.
    pub limit: Option<usize>,
    /// The columns that tell rows apart. `None`: the primary key of the table.
    pub key_columns: Option<Vec<String>>,
    /// Sorted by the client: `"priority DESC, created_at"`. `None`: in order of arrival.
    pub order_by: Option<String>,
    /// Also show rows while they are still being loaded.
    pub partial: bool,
    /// How often the rows are checked against what the server has. By default as often as it makes that necessary.
    pub verify: Verify,
}

/// How `live_events` holds events for a reader that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LiveEventsConfig {
    /// Events held at most. 262,144: about what 64 MiB hold.
    pub max_events: usize,
    /// Bytes held at most, about. 64 MiB.
    pub max_bytes: usize,
    /// Who decodes changes. By default who takes them: several readers then share the work, and the connection reads ahead
    /// as fast as the network is.
    pub decoding: Decoding,
}

impl Default for LiveEventsConfig {
    fn default() -> Self {
        Self { max_events: 262_144, max_bytes: 64 << 20, decoding: Decoding::ByReader }
    }
}

/// An open subscription.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct SubscriptionInfo {
    /// Its name.
    pub id: CompactString,
    /// The SQL as the server gets it: parameters bound, key columns added.
    pub query: String,
    /// How far it is.
    pub stage: SubscriptionStage,
    /// The greatest version received: what it would resume from.
    pub last_seq_id: Option<SeqId>,
    /// How long it has been open.
    pub age: Duration,
}

impl SubscriptionInfo {
    pub(super) fn new(info: machine::SubscriptionInfo, age: Duration) -> Self {
        Self {
            id: info.id,
            query: info.sql,
            stage: info.stage,
            last_seq_id: info.checkpoint.map(|checkpoint| checkpoint.seq()),
            age,
        }
    }
}
