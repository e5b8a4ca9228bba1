//! A comparison of content, page by page.

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::{AskId, Key};
use crate::schema::SeqId;

/// What is swept.
#[derive(Debug)]
pub(super) enum Scope {
    /// Every row, in the order of the key.
    All {
        /// The greatest key so far.
        after: Option<Key>,
        /// Every key that the server has.
        found: HashSet<Key, RandomState>,
        /// The moment of the first query.
        clock: u64,
    },
    /// What was written since a version, in the order of versions.
    Since { from: SeqId, after: SeqId, stage: Stage },
}

/// The parts of what was written since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Rows that match.
    Rows,
    /// Rows that were deleted.
    Tombstones,
    /// Rows that do not match.
    Exits,
}

impl Stage {
    pub(super) fn next(self, has_filter: bool) -> Option<Self> {
        match self {
            Self::Rows => Some(Self::Tombstones),
            Self::Tombstones if has_filter => Some(Self::Exits),
            Self::Tombstones | Self::Exits => None,
        }
    }
}

/// A sweep under way.
#[derive(Debug)]
pub(super) struct Sweep {
    pub(super) scope: Scope,
    /// The page that is asked for, and the moment of its query.
    pub(super) asked: AskId,
    pub(super) clock: u64,
    /// Rows whose content was wrong.
    pub(super) repairs: u64,
    /// Rows whose version was another.
    pub(super) renumbered: u64,
}

impl Sweep {
    pub(super) fn new(scope: Scope, clock: u64) -> Self {
        Self { scope, asked: AskId(0), clock, repairs: 0, renumbered: 0 }
    }

    pub(super) fn all(clock: u64) -> Self {
        Self::new(Scope::All { after: None, found: HashSet::default(), clock }, clock)
    }

    pub(super) fn since(from: SeqId, clock: u64) -> Self {
        Self::new(Scope::Since { from, after: from, stage: Stage::Rows }, clock)
    }

    pub(super) fn is_all(&self) -> bool {
        matches!(self.scope, Scope::All { .. })
    }
}
