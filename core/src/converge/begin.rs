//! When a check begins, and what it asks.

use std::time::Duration;

use super::check::{DISTANCE, Step};
use super::keeper::Keeper;
use super::newest::Newest;
use super::sweep::Sweep;
use crate::machine::Time;

/// A query with a filter and without a watch is checked at least so often.
const WITHOUT_WATCH: Duration = Duration::from_secs(10);
/// States that are remembered while a digest is on its way.
const MOST_SEEN: usize = 4_096;

impl Keeper {
    /// The snapshot is complete.
    pub(super) fn loaded(&mut self, now: Time) {
        if self.questions.is_none() {
            return;
        }
        let (rules, kept) = (self.options.rules, self.check.kept);
        self.check.newest = rules.ask_newest && self.options.last_rows.is_some() && !kept;
        let wait = if self.check.newest || !(kept || rules.check_snapshots) {
            Duration::ZERO
        } else if self.wants_watch().is_some() && !self.watched {
            // What changes until the watch stands is found by the same check.
            Duration::from_millis(500)
        } else {
            self.random.up_to(Duration::from_millis(50))
        };
        if kept {
            self.check.not_before = now;
        }
        if self.check.newest || kept || rules.check_snapshots {
            self.verify_by(now + wait);
        } else {
            self.check.due = Some(now + self.interval());
        }
    }

    /// Checks at this time or before.
    pub(super) fn verify_by(&mut self, at: Time) {
        if self.questions.is_some() {
            self.check.due = Some(self.check.due.map_or(at, |due| due.min(at)));
        }
    }

    /// Compares everything.
    pub(super) fn sweep_soon(&mut self, now: Time) {
        self.check.everything = true;
        self.verify_by(now);
    }

    pub(super) fn check_due(&mut self, now: Time) {
        match &self.check.step {
            Step::Idle if self.check.start_at(&self.frames).is_some_and(|at| at <= now) => self.start(now),
            Step::Settle { answer, until, clock } if *until <= now => {
                let quiet = self.frames.clock() == *clock && !self.doubt.is_open();
                let rows = answer.rows;
                match quiet || !self.options.rules.quiet_digest {
                    true => self.differs(now),
                    false => self.unclear(now, rows),
                }
            }
            _ => {}
        }
        self.settle_recording();
    }

    fn start(&mut self, now: Time) {
        self.frames.burst = false;
        self.check.due = None;
        if self.check.newest {
            let left = self.options.last_rows.map_or(0, |rows| rows as usize);
            let clock = self.frames.clock();
            return self.ask_newest(now, Newest::of(left, clock));
        }
        if !self.options.rules.digest {
            return;
        }
        if std::mem::take(&mut self.check.everything) || self.view.digest().is_none() {
            return self.begin_sweep(now, Sweep::all(self.frames.clock()));
        }
        self.ask_digest(now);
    }

    fn ask_digest(&mut self, now: Time) {
        let Some(sql) = self.questions.as_ref().and_then(|q| q.digest().ok()) else { return };
        let id = self.ask(sql);
        self.check.report.queries += 1;
        self.check.seen.clear();
        self.check.counted = (u64::MAX, self.doubt.len());
        self.check.asked = Some(DISTANCE.max(self.check.took * 10));
        self.check.step = Step::Digest { id, clock: self.frames.clock() };
        self.pace(now, Duration::ZERO);
        self.check_passing_state(now);
    }

    /// Keeps the distance to what comes next.
    pub(super) fn pace(&mut self, now: Time, took: Duration) {
        if self.options.rules.pace {
            self.check.not_before =
                self.check.not_before.max(now + DISTANCE.max(took * 10).saturating_sub(took));
        }
    }

    /// The rows are in another state. A digest on its way may be of this one.
    pub(super) fn check_passing_state(&mut self, now: Time) {
        let Some(state) = self.view.digest() else { return };
        self.check.counted.0 = self.check.counted.0.min(state.rows);
        match &self.check.step {
            Step::Digest { .. } if self.check.seen.len() < MOST_SEEN => drop(self.check.seen.insert(state)),
            Step::Settle { answer, .. } if *answer == state => self.proven(now),
            _ => {}
        }
    }

    /// Time to the next check, where nothing calls for one before.
    pub(super) fn interval(&mut self) -> Duration {
        let interval = self.options.verify.interval();
        let blind = self.wants_watch().is_some() && !self.watched;
        let interval = if blind { interval.min(WITHOUT_WATCH) } else { interval };
        interval - interval / 10 + self.random.up_to(interval / 10)
    }
}
