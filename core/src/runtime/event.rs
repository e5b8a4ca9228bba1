//! What `live_events` hands out.

use std::sync::Arc;

use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorCode};
use crate::protocol::{Change, ChangeKind, PartialRow};
use crate::row::Row;
use crate::schema::{Schema, SeqId};
use crate::value::Value;
use compact_str::CompactString;

/// One thing that a subscription told, in the order in which the server told it.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChangeEvent {
    /// The server has accepted the subscription: the first event, and again when a lost one was made anew.
    Ack {
        /// The subscription.
        subscription_id: CompactString,
        /// The columns of its rows.
        schema: Arc<Schema>,
        /// Where the events that follow begin, and whose their versions are.
        origin: Checkpoint,
    },
    /// A page of the rows as they were at the start.
    InitialDataBatch {
        /// The subscription.
        subscription_id: CompactString,
        /// The rows of this page.
        rows: Vec<Row>,
        /// Whether another page follows. The page without is the end of the snapshot; it may be empty.
        has_more: bool,
    },
    /// Rows were inserted, or entered the filter.
    Insert {
        /// The subscription.
        subscription_id: CompactString,
        /// The new rows.
        rows: Vec<Row>,
    },
    /// Rows were updated. An update of a row that was not seen before has just entered the filter.
    Update {
        /// The subscription.
        subscription_id: CompactString,
        /// The rows as they are now.
        rows: Vec<Row>,
        /// What the changed columns and the key were before.
        old_rows: Vec<PartialRow>,
    },
    /// Rows were deleted, or left the filter.
    ///
    /// KalamDB does not tell what was removed while the connection was lost. The client then looks for it, and tells what
    /// it finds as deletes before the empty page that ends [`InitialDataBatch`](Self::InitialDataBatch): of a row that left
    /// the filter it knows the key only, and its other columns are NULL.
    Delete {
        /// The subscription.
        subscription_id: CompactString,
        /// The rows as they were.
        old_rows: Vec<Row>,
    },
    /// The subscription goes on after a lost connection, from where it was: nothing is missing, nothing comes twice.
    Resumed {
        /// The subscription.
        subscription_id: CompactString,
        /// Where the events that follow begin, and whose their versions are.
        origin: Checkpoint,
    },
    /// Something may be missing: for example rows deleted while the connection was lost, at a KalamDB that does not tell
    /// them, when they could not be found out either.
    GapPossible {
        /// The subscription.
        subscription_id: CompactString,
        /// What may be missing, for a person.
        reason: String,
    },
    /// The reader was too slow: the events that came after the previous one were dropped. The subscription goes on after
    /// that one, so that nothing but time is lost.
    Lagged {
        /// The subscription.
        subscription_id: CompactString,
        /// How many events were dropped.
        dropped: u64,
        /// Where it goes on: what was written after this comes again. `None`: from a new snapshot, or, in a
        /// subscription without one, from now on.
        resumes_from: Option<SeqId>,
    },
    /// The server has ended the subscription: the last event.
    Error {
        /// The subscription.
        subscription_id: CompactString,
        /// The stable code.
        code: ErrorCode,
        /// For a person.
        message: String,
        /// The server's own code, where it gave one.
        server_code: Option<String>,
    },
}

impl ChangeEvent {
    /// The subscription that told.
    pub fn subscription_id(&self) -> &str {
        match self {
            Self::Ack { subscription_id, .. }
            | Self::InitialDataBatch { subscription_id, .. }
            | Self::Insert { subscription_id, .. }
            | Self::Update { subscription_id, .. }
            | Self::Delete { subscription_id, .. }
            | Self::Resumed { subscription_id, .. }
            | Self::GapPossible { subscription_id, .. }
            | Self::Lagged { subscription_id, .. }
            | Self::Error { subscription_id, .. } => subscription_id,
        }
    }

    /// The rows of a batch, an insert or an update, and the deleted rows of a delete.
    pub fn rows(&self) -> &[Row] {
        match self {
            Self::InitialDataBatch { rows, .. } | Self::Insert { rows, .. } | Self::Update { rows, .. } => {
                rows
            }
            Self::Delete { old_rows, .. } => old_rows,
            _ => &[],
        }
    }

    /// The greatest version among its rows.
    pub fn last_seq_id(&self) -> Option<SeqId> {
        self.rows().iter().filter_map(Row::version).max()
    }

    pub(crate) fn change(subscription_id: CompactString, change: Change) -> Self {
        let Change { kind, rows, old, .. } = change;
        match kind {
            ChangeKind::Insert => Self::Insert { subscription_id, rows },
            ChangeKind::Update => Self::Update { subscription_id, rows, old_rows: old },
            ChangeKind::Delete => Self::Delete { subscription_id, old_rows: rows },
        }
    }

    /// What the server says about a subscription is an event of it. Everything else is an error of the client: a refused
    /// token, a connection that was given up.
    pub(crate) fn is_told_by_server(error: &Error) -> bool {
        error.server_code().is_some() && error.code() != ErrorCode::AuthFailed
    }

    pub(crate) fn error(subscription_id: CompactString, error: &Error) -> Self {
        Self::Error {
            subscription_id,
            code: error.code(),
            message: error.message().to_owned(),
            server_code: error.server_code().map(str::to_owned),
        }
    }

    /// About how many bytes it keeps alive.
    pub(crate) fn weight(&self) -> usize {
        let old = match self {
            Self::Update { old_rows, .. } => {
                old_rows.iter().flat_map(PartialRow::iter).map(|(_, value)| cell_weight(value)).sum()
            }
            _ => 0,
        };
        size_of::<Self>() + old + self.rows().iter().map(row_weight).sum::<usize>()
    }
}

fn row_weight(row: &Row) -> usize {
    // The allocation's header, the schema's pointer and the version.
    48 + row.all_values().iter().map(cell_weight).sum::<usize>()
}

fn cell_weight(value: &Value) -> usize {
    let heap = match value {
        Value::Text(text) if text.is_heap_allocated() => text.len(),
        Value::Json(text) => text.len(),
        Value::Decimal(digits) => digits.as_str().len(),
        Value::Bytes(bytes) => bytes.len(),
        Value::Embedding(numbers) => size_of_val(&**numbers),
        Value::File(file) => size_of_val(&**file) + file.name.len() + file.id.len() + file.sha256.len(),
        _ => 0,
    };
    size_of::<Value>() + heap
}
