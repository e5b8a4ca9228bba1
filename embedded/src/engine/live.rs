//! Live queries: one table, a projection, a filter.

use std::sync::Arc;

use serde::{Serialize, Serializer};

use super::{Cell, ChangeKind, Column, RowChange, SqlError, TableId, catalog::Table};

/// A checked live query, bound to the user who asked.
pub struct LiveQuery {
    table: Arc<Table>,
    user: Option<Arc<str>>,
    schema: Arc<[Column]>,
}

/// Where a subscription starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Only what is written from now on.
    Nothing,
    /// All matching rows, or the newest `last_rows` of them.
    Snapshot { last_rows: Option<u32> },
    /// What was written after this `_seq`.
    From(i64),
}

/// Named values of one row, in the order of the subscription's schema. Serialises as an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveFields(pub Vec<(Arc<str>, Cell)>);

impl Serialize for LiveFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, cell)| (&**name, cell)))
    }
}

/// A row of a snapshot. `_seq` is always among the fields.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveRow {
    pub seq: i64,
    pub fields: LiveFields,
}

/// A change as one subscription sees it: a row that enters the filter is an update for its subscribers as recorded
/// (`wire/live_filter.jsonl`), one that leaves it is a delete.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveChange {
    pub kind: ChangeKind,
    /// `_seq` of the version written.
    pub seq: i64,
    /// `rows[0]` of the frame; absent for a delete.
    pub row: Option<LiveFields>,
    /// `old_values[0]` of the frame; absent for an insert.
    pub old_values: Option<LiveFields>,
}

/// What a subscription starts with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveStart {
    /// The snapshot, by ascending `_seq`.
    pub rows: Vec<LiveRow>,
    /// With [`Start::From`]: one net change for each key written since, by ascending `_seq`.
    pub replay: Vec<LiveChange>,
    /// Newest `_seq` that this start covers, deleted and non-matching rows included; the cursor to resume from.
    pub last_seq: Option<i64>,
}

impl LiveQuery {
    #[must_use]
    pub fn table(&self) -> TableId {
        self.table.id
    }

    /// The owner whose rows it sees, for USER tables. A change of another owner never concerns it.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// Columns of the subscription, as the acknowledgement lists them.
    #[must_use]
    pub fn schema(&self) -> &Arc<[Column]> {
        &self.schema
    }

    /// What the change means to this query; `None` when it does not concern it.
    pub fn evaluate(&self, _change: &RowChange) -> Result<Option<LiveChange>, SqlError> {
        Ok(None)
    }
}
