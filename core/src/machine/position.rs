//! Where a subscription would resume, and what of a replay was handed out before.

use std::collections::BTreeSet;

use super::sabotage::Sabotage;
use crate::checkpoint::{Checkpoint, Epoch};
use crate::protocol::{BatchControl, Change};
use crate::row::Row;
use crate::schema::SeqId;

/// Versions of a replayed batch that are remembered; beyond, a row may be handed out twice.
const REMEMBERED: usize = 65_536;

/// The position of one subscription.
///
/// It moves only with rows that were handed out. While a snapshot loads it does not move at all: pages are in the order
/// of the key, so the greatest version seen says nothing about what is still to come.
#[derive(Debug, Default)]
pub(super) struct Position {
    kept: Option<Checkpoint>,
    /// Whose versions come now.
    here: Option<Epoch>,
    /// Greatest version handed out while loading.
    loading: Option<SeqId>,
    replay: Replay,
    /// How this server spells cursors.
    spelling: BatchControl,
    sabotage: Sabotage,
}

/// How rows that were handed out before are known.
#[derive(Debug, Default)]
enum Replay {
    /// Nothing is replayed.
    #[default]
    Off,
    /// A complete server sends everything in the order of versions: up to here it was handed out.
    UpTo(SeqId),
    /// Elsewhere a smaller version may be news: another node has another clock, and what is written while a batch is read
    /// comes after it. Only these very versions were handed out.
    Exactly(BTreeSet<SeqId>),
}

impl Position {
    pub(super) fn new(sabotage: Sabotage) -> Self {
        Self { sabotage, ..Self::default() }
    }

    /// Where it is, once something was handed out.
    pub(super) fn checkpoint(&self) -> Option<&Checkpoint> {
        self.kept.as_ref()
    }

    /// A version of this server, as a place to go on from.
    pub(super) fn at(&self, seq: SeqId) -> Checkpoint {
        Checkpoint::new(self.spelling.cursor_at(seq), self.here.clone())
    }

    /// Moves to a position that the caller knows, or forgets it.
    pub(super) fn set(&mut self, to: Option<Checkpoint>) {
        self.kept = to;
        self.replay = Replay::Off;
    }

    /// A subscribe message was sent that takes a snapshot.
    pub(super) fn begin_fresh(&mut self) {
        self.kept = None;
        self.loading = None;
        self.replay = Replay::Off;
    }

    /// A subscribe message was sent that resumes from there.
    pub(super) fn begin_resumed(&mut self, from: Checkpoint, complete: bool) {
        self.loading = None;
        let seq = from.seq();
        if self.kept.as_ref() != Some(&from) {
            self.set(Some(from));
        }
        match &self.replay {
            _ if complete => self.replay(Replay::UpTo(seq)),
            // An earlier replay from the same position was cut short: its rows must not come twice.
            Replay::Exactly(_) => {}
            Replay::Off | Replay::UpTo(_) => self.replay(Replay::Exactly(BTreeSet::new())),
        }
    }

    /// The server, whose numbers are `here`, has said how it spells cursors.
    pub(super) fn acked(&mut self, control: &BatchControl, here: &Epoch) {
        self.here = Some(here.clone());
        self.spelled(control);
        // It has accepted a number that did not say whose it was.
        if let Some(kept) = &mut self.kept {
            *kept = Checkpoint::new(kept.cursor().clone(), Some(here.clone()));
        }
    }

    fn spelled(&mut self, control: &BatchControl) {
        if control.last_seq.is_some() || control.domain.is_some() {
            let domain = control.domain.clone().or_else(|| self.spelling.domain.take());
            self.spelling =
                BatchControl { last_seq: control.last_seq.clone(), domain, ..BatchControl::default() };
        }
    }

    /// Drops the rows of a page that were handed out before; the others are handed out now. Returns how many were dropped.
    pub(super) fn page(&mut self, rows: &mut Vec<Row>, control: &BatchControl) -> usize {
        self.spelled(control);
        let before = rows.len();
        rows.retain(|r| self.replay.is_news(r));
        self.replay.remember(rows);
        self.loading = self.loading.max(greatest(rows));
        if self.sabotage == Sabotage::CheckpointWhileLoading {
            self.advance(self.loading);
        }
        before - rows.len()
    }

    /// The snapshot or the replayed batch is over. `told` is the server's position after a snapshot: it counts even without
    /// rows. After a resume it does not, since the changes up to it are still to come.
    pub(super) fn ready(&mut self, told: Option<SeqId>) {
        let loaded = self.loading.take().max(told);
        self.advance(loaded);
    }

    /// Drops the rows of a change that were handed out before; the others are handed out now. `loading`: pages are
    /// outstanding. Returns how many were dropped.
    pub(super) fn change(&mut self, change: &mut Change, loading: bool) -> usize {
        let dropped = self.drop_known(change);
        let Some(version) = greatest(&change.rows) else { return dropped };
        // A complete server replays changes only, in the order of versions: they count even before it says so.
        if loading && !matches!(self.replay, Replay::UpTo(_)) {
            self.loading = self.loading.max(Some(version));
            // A page that is still to come may bring the row too, and so may the next attempt, if this one is cut short.
            self.replay.remember(&change.rows);
        } else {
            self.advance(Some(version));
            self.replay.passed(version);
        }
        dropped
    }

    /// A change with rows of these versions, the least and the greatest, is handed out unread: the greatest. `None` if some of
    /// them may have been handed out before.
    pub(super) fn pass_unread(&mut self, (least, greatest): (SeqId, SeqId)) -> Option<SeqId> {
        let all_news = match self.replay {
            Replay::Off => true,
            Replay::UpTo(seen) => least > seen,
            Replay::Exactly(_) => false,
        };
        all_news.then(|| {
            self.advance(Some(greatest));
            self.replay.passed(greatest);
            greatest
        })
    }

    fn drop_known(&self, change: &mut Change) -> usize {
        if change.rows.iter().all(|r| self.replay.is_news(r)) {
            return 0;
        }
        let news: Vec<bool> = change.rows.iter().map(|r| self.replay.is_news(r)).collect();
        let keep = |i: &mut usize| {
            *i += 1;
            news.get(*i - 1).copied().unwrap_or(true)
        };
        let (mut row, mut old) = (0, 0);
        change.rows.retain(|_| keep(&mut row));
        change.old.retain(|_| keep(&mut old));
        news.len() - change.rows.len()
    }

    fn replay(&mut self, replay: Replay) {
        self.replay = if self.sabotage == Sabotage::ReplayFilter { Replay::Off } else { replay };
    }

    fn advance(&mut self, to: Option<SeqId>) {
        let Some(to) = to else { return };
        if self.kept.as_ref().is_none_or(|kept| kept.seq() < to) {
            self.kept = Some(self.at(to));
        }
    }
}

impl Replay {
    fn is_news(&self, row: &Row) -> bool {
        let Some(version) = row.version() else { return true };
        match self {
            Self::Off => true,
            Self::UpTo(seen) => version > *seen,
            Self::Exactly(seen) => !seen.contains(&version),
        }
    }

    fn remember(&mut self, rows: &[Row]) {
        if let Self::Exactly(seen) = self {
            let room = REMEMBERED.saturating_sub(seen.len());
            seen.extend(rows.iter().filter_map(Row::version).take(room));
        }
    }

    /// A change of this version was handed out. Changes of one subscription come in the order of versions.
    fn passed(&mut self, version: SeqId) {
        match self {
            Self::UpTo(seq) => *seq = version,
            Self::Exactly(seen) if seen.last().is_none_or(|last| *last < version) => *self = Self::Off,
            Self::Off | Self::Exactly(_) => {}
        }
    }
}

fn greatest(rows: &[Row]) -> Option<SeqId> {
    rows.iter().filter_map(Row::version).max()
}
