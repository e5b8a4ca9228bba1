//! What checking costs and what it finds.

use std::ops::AddAssign;

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
