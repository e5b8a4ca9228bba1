//! Stored rows and what a commit did to them.

use std::sync::Arc;

use super::{Cell, catalog::Table};

/// Identifies a table for ever: a table created again under an old name has another id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TableId(pub(crate) i64);

/// One version of a row: the cells of the table's own columns, in the table's order, and the system columns.
#[derive(Debug, Clone, PartialEq)]
pub struct StoredRow {
    pub seq: i64,
    /// `_seq` of the insert that brought this row (the newest one, when it was deleted in between).
    pub created_seq: i64,
    pub deleted: bool,
    pub cells: Box<[Cell]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    Insert,
    Update,
    Delete,
}

/// One row version written by a commit.
#[derive(Debug, Clone)]
pub struct RowChange {
    pub(crate) table: Arc<Table>,
    /// Owner of the row, for USER tables.
    pub user: Option<Arc<str>>,
    pub kind: ChangeKind,
    /// `None` for an insert.
    pub old: Option<Arc<StoredRow>>,
    /// The row as stored now; for a delete the tombstone, which keeps the last values.
    pub new: Arc<StoredRow>,
    /// A delete because the row's time was over, which nobody asked for.
    pub expired: bool,
}

impl RowChange {
    #[must_use]
    pub fn table(&self) -> TableId {
        self.table.id
    }

    /// Its table by name.
    #[must_use]
    pub fn table_name(&self) -> String {
        self.table.qualified()
    }

    #[must_use]
    pub fn seq(&self) -> i64 {
        self.new.seq
    }
}

/// Is told of every commit, in commit order, before the statement that made it returns.
///
/// Called under the commit lock: be quick, never call back into the engine.
pub trait CommitObserver: Send + Sync {
    fn committed(&self, changes: &[RowChange]);

    /// The commit that was just told may have put records into these topics.
    fn published(&self, topics: &[Arc<str>]) {
        let _ = topics;
    }

    /// The table was altered (`dropped == false`) or dropped: live queries on it are over, and
    /// [`LiveQuery::evaluate`](super::LiveQuery::evaluate) would fail for what comes next.
    fn table_changed(&self, table: TableId, dropped: bool) {
        let _ = (table, dropped);
    }
}
