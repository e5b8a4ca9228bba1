//! What a check of live rows has put right.

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
    /// Rows changed while the connection was lost.
    Reconnect,
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
            Self::Reconnect => "reconnect",
            Self::Traffic => "traffic",
        }
    }
}

/// A look-up of a live query's rows, and the rows that were put right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repair {
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

impl Repair {
    pub(crate) fn new(reason: Reason) -> Self {
        Self { reason, queries: 0, bytes: 0, added: 0, changed: 0, removed: 0 }
    }

    pub(crate) fn repaired(&self) -> bool {
        self.added + self.changed + self.removed > 0
    }
}
