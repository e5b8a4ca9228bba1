//! What checking costs and what it finds.

use std::ops::AddAssign;

/// Why rows were looked up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Reason {
    /// A change of the table that the live query was not told.
    Unconfirmed,
    /// The server's versions are others than the ones that are held.
    Mismatch,
    /// A snapshot of the newest rows leaves the newest out.
    NewestRows,
    /// The columns of the table changed.
    Schema,
    /// Changes keep coming, so that versions can not be compared.
    Traffic,
}

impl Reason {
    /// The word that every language shows.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unconfirmed => "unconfirmed",
            Self::Mismatch => "mismatch",
            Self::NewestRows => "newest_rows",
            Self::Schema => "schema",
            Self::Traffic => "traffic",
        }
    }
}

/// Rows of a live query were wrong, and were put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// What it was that showed.
    pub reason: Reason,
    /// HTTP queries that it took.
    pub queries: u64,
    /// Bytes of their answers.
    pub bytes: u64,
    /// Rows that were missing.
    pub added: u64,
    /// Rows with other content.
    pub changed: u64,
    /// Rows that are gone.
    pub removed: u64,
}

impl Report {
    pub(super) fn new(reason: Reason) -> Self {
        Self { reason, queries: 0, bytes: 0, added: 0, changed: 0, removed: 0 }
    }

    pub(super) fn repaired(&self) -> bool {
        self.added + self.changed + self.removed > 0
    }
}

/// What checking has cost and found so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VerifyCounters {
    /// HTTP queries.
    pub queries: u64,
    /// Bytes of their SQL and their answers.
    pub bytes: u64,
    /// Queries that failed, or whose answer could not be used.
    pub errors: u64,
    /// Checks that proved the rows.
    pub proven: u64,
    /// Checks that proved nothing, since changes came meanwhile.
    pub inconclusive: u64,
    /// Checks that found other versions.
    pub mismatches: u64,
    /// Keys that were looked up.
    pub doubts: u64,
    /// Repairs that changed rows.
    pub repairs: u64,
    /// Rows that were missing.
    pub rows_added: u64,
    /// Rows that had other content.
    pub rows_changed: u64,
    /// Rows that were gone.
    pub rows_removed: u64,
    /// Fresh snapshots that were asked for.
    pub restarts: u64,
    /// Connections whose versions are not those of HTTP answers: the server's node is a follower.
    pub foreign_numbering: u64,
}

impl AddAssign for VerifyCounters {
    fn add_assign(&mut self, other: Self) {
        self.queries += other.queries;
        self.bytes += other.bytes;
        self.errors += other.errors;
        self.proven += other.proven;
        self.inconclusive += other.inconclusive;
        self.mismatches += other.mismatches;
        self.doubts += other.doubts;
        self.repairs += other.repairs;
        self.rows_added += other.rows_added;
        self.rows_changed += other.rows_changed;
        self.rows_removed += other.rows_removed;
        self.restarts += other.restarts;
        self.foreign_numbering += other.foreign_numbering;
    }
}
