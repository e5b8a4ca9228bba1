//! The two kinds of subscribers, each with what it must have seen.

use std::collections::{BTreeMap, BTreeSet};

use kalam_live::live::{Begin, LiveOptions, LiveView, Phase};
use kalam_live::machine::{Mode, SubscriptionEvent};
use kalam_live::protocol::ChangeKind;
use kalam_live::{Error, Row};

use super::taken::Taken;
use crate::data::{Query, Record, cells_of};
use crate::server::Promise;

/// What a check has found wrong.
pub type Check<T = ()> = Result<T, String>;

/// A reader of materialised rows.
#[derive(Debug)]
pub struct LiveReader {
    view: LiveView,
    taken: Taken,
    fresh: bool,
    /// Looks at the rows as soon as a snapshot is complete.
    pub eager: bool,
}

impl LiveReader {
    /// A reader that has seen nothing.
    pub fn new(eager: bool) -> Self {
        let view = LiveView::new(LiveOptions::default()).expect("default options");
        Self { view, taken: Taken::default(), fresh: false, eager }
    }

    /// Feeds an event into the view.
    pub fn feed(&mut self, event: SubscriptionEvent, query: &Query, promise: Option<&Promise>) -> Check {
        let said = |error: Error| format!("the view does not accept a frame: {error}");
        match event {
            SubscriptionEvent::Acked { schema, mode, .. } => {
                self.fresh = mode == Mode::Fresh;
                let begin = if self.fresh { Begin::Fresh } else { Begin::Resumed };
                self.view.begin(schema, begin).map_err(said)?;
            }
            SubscriptionEvent::Batch { rows, .. } => self.view.batch(rows).map_err(said)?,
            SubscriptionEvent::Ready => {
                self.view.ready().map_err(said)?;
                if self.eager && self.fresh {
                    self.take()?;
                    let promise = promise.ok_or("a snapshot that the server did not promise")?;
                    same_rows(query, &promise.rows, &self.taken.rows, false)
                        .map_err(|e| format!("a complete snapshot is not what there was: {e}"))?;
                }
            }
            SubscriptionEvent::Change(change) => {
                for row in change.rows {
                    match change.kind {
                        ChangeKind::Insert => self.view.insert(row),
                        ChangeKind::Update => self.view.update(row),
                        ChangeKind::Delete => self.view.delete(row),
                    }
                    .map_err(said)?;
                }
            }
            SubscriptionEvent::Deferred(_) => return Err("a change that nobody decoded".into()),
            SubscriptionEvent::Interrupted => self.view.interrupted(),
            SubscriptionEvent::GapPossible { reason } => {
                return Err(format!("a gap in live rows: {reason:?}"));
            }
            SubscriptionEvent::Failed(error) => self.view.fail(error),
            SubscriptionEvent::Ended => self.view.closed(),
        }
        Ok(())
    }

    /// Takes what is new. The changes must lead from the list that was taken before to this one.
    pub fn take(&mut self) -> Check {
        while self.view.is_ready() && !self.view.is_ended() {
            match self.view.take() {
                Some(Ok(rows)) => self.taken.compare(&rows)?,
                Some(Err(_)) => {}
                None => return Err("ready, but there is nothing to take".into()),
            }
        }
        Ok(())
    }

    /// The end of the run: everything was told, so the rows are the result.
    pub fn check_final(&mut self, query: &Query, result: &[Record]) -> Check {
        self.take()?;
        if self.taken.phase != Some(Phase::Live) {
            return Err(format!("the phase is {:?} when all is quiet", self.taken.phase));
        }
        same_rows(query, result, &self.taken.rows, false)
    }

    /// Whether the rows are live and equal to the result, without taking them for granted.
    pub fn is_right(&mut self, query: &Query, result: &[Record]) -> Check<bool> {
        self.take()?;
        Ok(self.taken.phase == Some(Phase::Live) && same_rows(query, result, &self.taken.rows, false).is_ok())
    }

    /// After the end nothing is left to take.
    pub fn check_ended(&mut self) -> Check {
        self.take()?;
        if self.view.is_ended() { Ok(()) } else { Err("a closed view goes on".into()) }
    }
}

/// Compares rows by key. `ghosts`: rows that are held and not in the result are no fault.
pub fn same_rows<'a>(
    query: &Query,
    result: &[Record],
    held: impl IntoIterator<Item = &'a Row>,
    ghosts: bool,
) -> Check {
    let expected: BTreeSet<_> = result.iter().map(|record| query.cells(record)).collect();
    let held: BTreeSet<_> = held.into_iter().map(cells_of).collect();
    let missing: Vec<_> = expected.difference(&held).collect();
    let too_many: Vec<_> = held.difference(&expected).collect();
    if missing.is_empty() && (ghosts || too_many.is_empty()) {
        return Ok(());
    }
    Err(format!("{}: missing {missing:?}, too many {too_many:?}", query.sql))
}

/// A reader of events, and a reference that says which of the frames that arrived must be among them.
#[derive(Debug, Default)]
pub struct EventReader {
    /// The rows that the events add up to, by key.
    rows: BTreeMap<Option<String>, Row>,
    /// Versions handed out since the last fresh beginning.
    versions: Vec<i64>,
    expected: Vec<i64>,
    checked: usize,
    seen: BTreeSet<i64>,
    /// What is not newer than this is no news, unless it is part of a snapshot.
    since: i64,
    /// Where the server said that the snapshot ends.
    told: i64,
    /// Reported gaps.
    pub gaps: u64,
    /// Resumed since the last fresh beginning, at a server that does not tell deletes.
    may_hold_ghosts: bool,
}

impl EventReader {
    /// The ack of the present incarnation has arrived. `ordered`: the server tells everything in the order of versions, so
    /// that what it repeats at a resume is not news, even if it was skipped the first time.
    pub fn arrived_ack(&mut self, fresh: bool, ordered: bool, promise: Option<&Promise>) {
        if fresh {
            *self = Self { gaps: self.gaps, since: promise.map_or(0, |p| p.version), ..Self::default() };
        } else if ordered {
            self.since = self.seen.last().copied().unwrap_or(0).max(self.told);
        }
    }

    /// The last page of a fresh snapshot has arrived.
    pub fn arrived_position(&mut self, told: Option<i64>) {
        self.told = told.unwrap_or(0);
    }

    /// The program wants everything after this version again.
    pub fn rewound(&mut self, to: i64) {
        self.seen.retain(|version| *version <= to);
    }

    /// Rows of a frame of the present incarnation have arrived.
    pub fn arrived_rows(&mut self, versions: &[i64], snapshot: bool) {
        for version in versions {
            let news = self.seen.insert(*version);
            if news && (snapshot || *version > self.since) {
                self.expected.push(*version);
            }
        }
    }

    /// Takes an event.
    pub fn feed(&mut self, event: SubscriptionEvent, query: &Query) -> Check {
        let key = query.columns.iter().position(|c| *c == "id").expect("a key column");
        match event {
            SubscriptionEvent::Batch { rows, .. } => {
                for row in rows {
                    self.versions.extend(row.version().map(|v| v.get()));
                    self.rows.insert(cells_of(&row)[key].clone(), row);
                }
            }
            SubscriptionEvent::Change(change) => {
                for row in change.rows {
                    self.versions.extend(row.version().map(|v| v.get()));
                    let id = cells_of(&row)[key].clone();
                    match change.kind {
                        ChangeKind::Insert | ChangeKind::Update => self.rows.insert(id, row),
                        ChangeKind::Delete => self.rows.remove(&id),
                    };
                }
            }
            SubscriptionEvent::GapPossible { .. } => {
                self.gaps += 1;
                self.may_hold_ghosts = true;
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether what was handed out is what arrived, each once.
    pub fn check_handed_out(&mut self) -> Check {
        let (got, expected) = (&self.versions[self.checked..], &self.expected[self.checked..]);
        if got != expected {
            return Err(format!("events {got:?} instead of {expected:?}"));
        }
        self.checked = self.versions.len();
        Ok(())
    }

    /// The end of the run: the events add up to the result.
    pub fn check_final(&self, query: &Query, result: &[Record]) -> Check {
        same_rows(query, result, self.rows.values(), self.may_hold_ghosts)
    }
}
