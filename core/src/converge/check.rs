//! How far the check of all rows is: versions first, content where they differ. Its steps are in `begin`, `verdict`, `newest` and
//! `sweep`.

use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::AskId;
use super::frames::Frames;
use super::newest::Newest;
use super::sweep::Sweep;
use super::watermark::Watermark;
use crate::live::Digest;
use crate::machine::Time;
use crate::repair::{Reason, Repair};
use crate::schema::SeqId;

/// Between two digests, or ten times what the last one took.
pub(super) const DISTANCE: Duration = Duration::from_secs(2);
/// A burst is over.
const AFTER_BURST: Duration = Duration::from_millis(300);
/// Live queries that wait for the next digest of a table are told apart within this time.
const TURNS: Duration = Duration::from_millis(50);
/// Failures in a row that make the rows doubtful.
pub(super) const MOST_FAILURES: u32 = 3;

/// How far the check is, and what it knows.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) step: Step,
    /// When the next one begins.
    pub(super) due: Option<Time>,
    pub(super) not_before: Time,
    /// The same for the digests of all live queries on the table.
    pub(super) table_not_before: Time,
    /// Between the digest that was asked for since somebody looked, and the next.
    pub(super) asked: Option<Duration>,
    /// What the latest answer took, and what answers usually do: the less of the last two. One may have been held up on its
    /// way.
    pub(super) latest: Duration,
    pub(super) took: Duration,
    pub(super) report: Repair,
    /// States since the digest was asked for.
    pub(super) seen: HashSet<Digest, RandomState>,
    /// The least number of rows since then, and the keys that were in doubt at first.
    pub(super) counted: (u64, usize),
    /// Digests in a row that proved nothing and told fewer rows than there ever were.
    pub(super) miscounted: u32,
    /// Checks in a row that traffic kept from proving.
    pub(super) unproven: u32,
    /// What is new can not be all: rows are gone without a trace.
    pub(super) gone: bool,
    /// That was so before, too, and rows were removed.
    pub(super) again: bool,
    /// The rows are those of an earlier connection, and not proven on this one.
    pub(super) kept: bool,
    /// From where to look for what was missed since the rows were proven. Outlives a connection.
    pub(super) watermark: Option<Watermark>,
    /// The greatest version that the latest digest told.
    pub(super) greatest: Option<SeqId>,
    pub(super) swept: Swept,
    pub(super) rounds: u32,
    pub(super) inconclusive: u32,
    pub(super) failures: u32,
    /// The table was not found.
    pub(super) missing: bool,
    /// The reader was told that the rows are doubtful.
    pub(super) doubtful: bool,
    /// Versions of this connection are not those of answers.
    pub(super) foreign: bool,
    pub(super) newest: bool,
    pub(super) everything: bool,
    pub(super) factor: u32,
}

/// What is outstanding.
#[derive(Debug)]
pub(super) enum Step {
    Idle,
    Digest {
        id: AskId,
        clock: u64,
    },
    /// The digest differs; a frame may still explain it.
    Settle {
        answer: Digest,
        clock: u64,
        until: Time,
    },
    Newest {
        id: AskId,
        clock: u64,
        newest: Newest,
    },
    Sweep(Sweep),
}

/// The latest sweep since the rows were proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Swept {
    Nothing,
    Recent,
    All { repaired: bool },
}

impl Default for Check {
    fn default() -> Self {
        Self {
            step: Step::Idle,
            due: None,
            not_before: Time::ZERO,
            table_not_before: Time::ZERO,
            asked: None,
            latest: Duration::ZERO,
            took: Duration::ZERO,
            report: Repair::new(Reason::Mismatch),
            seen: HashSet::default(),
            counted: (u64::MAX, 0),
            miscounted: 0,
            unproven: 0,
            gone: false,
            again: false,
            kept: false,
            watermark: None,
            greatest: None,
            swept: Swept::Nothing,
            rounds: 0,
            inconclusive: 0,
            failures: 0,
            missing: false,
            doubtful: false,
            foreign: false,
            newest: false,
            everything: false,
            factor: 1,
        }
    }
}

impl Check {
    /// Forgets all but the pace and where it was.
    pub(super) fn stop(&mut self) {
        let Self { not_before, table_not_before, asked, latest, took, .. } = *self;
        let Self { failures, missing, watermark, .. } = *self;
        *self = Self {
            not_before,
            table_not_before,
            asked,
            latest,
            took,
            failures,
            missing,
            watermark,
            ..Self::default()
        };
    }

    /// Whether it is known from where to look for what was missed, and answers come.
    pub(super) fn is_able_to_catch_up(&self) -> bool {
        self.watermark.is_some() && self.failures < MOST_FAILURES
    }

    /// How many states a digest is compared with.
    pub(super) fn states(&self) -> usize {
        self.seen.len()
    }

    pub(super) fn is_asked(&self, asked: AskId) -> bool {
        match &self.step {
            Step::Digest { id, .. } | Step::Newest { id, .. } => *id == asked,
            Step::Sweep(sweep) => sweep.asked == asked,
            Step::Idle | Step::Settle { .. } => false,
        }
    }

    pub(super) fn next_timeout(&self, frames: &Frames) -> Option<Time> {
        match &self.step {
            Step::Idle => self.start_at(frames),
            Step::Settle { until, .. } => Some(*until),
            Step::Digest { .. } | Step::Newest { .. } | Step::Sweep(_) => None,
        }
    }

    pub(super) fn start_at(&self, frames: &Frames) -> Option<Time> {
        let burst = frames.last.filter(|_| frames.burst).map(|last| last + AFTER_BURST);
        let due = self.due.into_iter().chain(burst).min()?;
        // After a reconnect nobody waits for others: a digest is less work than a snapshot.
        let asks_digest = !self.newest && !self.everything && !self.kept;
        let at = due.max(self.not_before);
        if !asks_digest || at > self.table_not_before + TURNS {
            return Some(at);
        }
        // All that wait may ask from the same moment on, and one of them gets the turn: who has waited longest.
        let waited = self.table_not_before.saturating_sub(at);
        let turn = TURNS.mul_f64(DISTANCE.div_duration_f64(DISTANCE + waited));
        Some(at.max(self.table_not_before) + turn)
    }

    /// No digest before.
    pub(super) fn wait_for_table(&mut self, until: Time) {
        self.table_not_before = self.table_not_before.max(until);
    }
}
