//! The check of all rows: versions first, content where they differ.

use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::frames::Frames;
use super::keeper::Keeper;
use super::newest::Newest;
use super::sweep::Sweep;
use super::watermark::Watermark;
use super::{AskId, answer};
use crate::error::{Error, ErrorCode, Result};
use crate::live::Digest;
use crate::machine::Time;
use crate::protocol::StatementResult;
use crate::repair::{Reason, Repair};
use crate::schema::SeqId;

/// Between two digests, or ten times what the last one took.
const DISTANCE: Duration = Duration::from_secs(2);
/// So long after a digest a frame may still arrive that was sent before it.
const QUIET: Duration = Duration::from_millis(150);
/// A burst is over.
const AFTER_BURST: Duration = Duration::from_millis(300);
/// A query with a filter and without a watch is checked at least so often.
const WITHOUT_WATCH: Duration = Duration::from_secs(10);
/// Live queries that wait for the next digest of a table are told apart within this time.
const TURNS: Duration = Duration::from_millis(50);
const FARTHEST: Duration = Duration::from_secs(300);
/// Failures in a row that make the rows doubtful.
const MOST_FAILURES: u32 = 3;
/// Digests in a row that prove nothing before content is compared.
const MOST_INCONCLUSIVE: u32 = 3;
/// States that are remembered while a digest is on its way.
const MOST_SEEN: usize = 4_096;
/// Checks in a row that traffic kept from proving before everything is compared once.
const MOST_UNPROVEN: u32 = 10;

/// How far the check is, and what it knows.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) step: Step,
    /// When the next one begins.
    due: Option<Time>,
    pub(super) not_before: Time,
    /// The same for the digests of all live queries on the table.
    table_not_before: Time,
    /// Between the digest that was asked for since somebody looked, and the next.
    pub(super) asked: Option<Duration>,
    /// What the latest answer took, and what answers usually do: the less of the last two. One may have been held up on its
    /// way.
    latest: Duration,
    took: Duration,
    pub(super) report: Repair,
    /// States since the digest was asked for.
    seen: HashSet<Digest, RandomState>,
    /// The least number of rows since then, and the keys that were in doubt at first.
    counted: (u64, usize),
    /// Digests in a row that proved nothing and told fewer rows than there ever were.
    miscounted: u32,
    /// Checks in a row that traffic kept from proving.
    unproven: u32,
    /// What is new can not be all: rows are gone without a trace.
    gone: bool,
    /// That was so before, too, and rows were removed.
    again: bool,
    /// The rows are those of an earlier connection, and not proven on this one.
    pub(super) kept: bool,
    /// From where to look for what was missed since the rows were proven. Outlives a connection.
    pub(super) watermark: Option<Watermark>,
    /// The greatest version that the latest digest told.
    pub(super) greatest: Option<SeqId>,
    pub(super) swept: Swept,
    rounds: u32,
    inconclusive: u32,
    pub(super) failures: u32,
    /// The table was not found.
    missing: bool,
    /// The reader was told that the rows are doubtful.
    pub(super) doubtful: bool,
    /// Versions of this connection are not those of answers.
    foreign: bool,
    pub(super) newest: bool,
    everything: bool,
    factor: u32,
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

    fn start_at(&self, frames: &Frames) -> Option<Time> {
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
    fn pace(&mut self, now: Time, took: Duration) {
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

    pub(super) fn check_answered(
        &mut self,
        now: Time,
        took: Duration,
        bytes: u64,
        result: Result<Vec<StatementResult>>,
    ) {
        self.check.report.bytes += bytes;
        self.check.took = took.min(std::mem::replace(&mut self.check.latest, took));
        self.pace(now, self.check.took);
        let step = std::mem::replace(&mut self.check.step, Step::Idle);
        let result = result.and_then(|results| match step {
            Step::Digest { clock, .. } => self.digest_answered(now, clock, &results),
            Step::Newest { clock, newest, .. } => self.newest_answered(now, clock, newest, &results),
            Step::Sweep(sweep) => self.sweep_answered(now, sweep, &results),
            Step::Idle | Step::Settle { .. } => Ok(()),
        });
        match result {
            Ok(()) => {
                self.check.missing = false;
            }
            Err(error) => self.failed(now, error),
        }
    }

    pub(super) fn failed(&mut self, now: Time, error: Error) {
        self.check.step = Step::Idle;
        self.check.failures += 1;
        if error.code() == ErrorCode::NotFound {
            if self.check.missing {
                return self.end(error);
            }
            // Once may be a node that is behind.
            self.check.missing = true;
            return self.verify_by(now + Duration::from_secs(1));
        }
        if error.code() == ErrorCode::InvalidSql {
            match self.check.failures {
                // A server that calls versions by the other name.
                1 => {
                    self.rename_version();
                    return self.verify_by(now);
                }
                // A column that is selected is gone.
                2 => {
                    self.rename_version();
                    return self.restart(now, Reason::Schema);
                }
                _ => {}
            }
        }
        let wait = (DISTANCE * 2u32.saturating_pow(self.check.failures.min(8))).min(FARTHEST);
        let wait = wait + self.random.up_to(wait / 4);
        self.check.due = Some(now + wait);
        if self.check.failures >= MOST_FAILURES {
            if self.check.kept {
                // Nobody tells what was missed.
                return self.restart(now, Reason::Reconnect);
            }
            self.view.set_unverified(true);
            self.check.doubtful = true;
        }
    }

    fn digest_answered(&mut self, now: Time, clock: u64, results: &[StatementResult]) -> Result<()> {
        let (digest, greatest) = answer::digest(answer::first(results)?)?;
        if self.options.rules.check_schema
            && let (Some(table), Some(rows)) = (results.get(1), self.view.schema())
            && !table.schema.columns().is_empty()
            && !answer::fits(&table.schema, &self.live, rows)
        {
            self.restart(now, Reason::Schema);
            return Ok(());
        }
        if let (Some(table), Some(rows)) = (results.get(1), self.view.schema().cloned()) {
            // The types of columns that are not selected are known from here on.
            self.classify(&table.schema, &rows);
        }
        self.check.greatest = greatest;
        self.check.failures = 0;
        if self.check.seen.contains(&digest) {
            self.proven(now);
        } else if self.check.kept && self.check.swept == Swept::Nothing {
            // As is to be expected: something was written while nobody listened.
            self.check.report.reason = Reason::Reconnect;
            self.sweep_recent(now);
        } else {
            self.check.step = Step::Settle { answer: digest, clock, until: now + QUIET };
        }
        Ok(())
    }

    /// The rows were those of the server.
    fn proven(&mut self, now: Time) {
        self.counters.proven += 1;
        self.removed.clear();
        self.restarts_helped();
        let check = &mut self.check;
        check.step = Step::Idle;
        check.watermark = check.greatest.map(|greatest| Watermark::proven(check.watermark, now, greatest));
        check.failures = 0;
        check.factor = 1;
        check.unproven = 0;
        self.finish(now, false);
    }

    /// The check is over, until the next one.
    pub(super) fn finish(&mut self, now: Time, doubtful: bool) {
        let check = &mut self.check;
        (check.swept, check.rounds, check.inconclusive, check.miscounted) = (Swept::Nothing, 0, 0, 0);
        check.doubtful = doubtful;
        (check.kept, check.again) = (false, false);
        self.view.set_unverified(doubtful);
        let report = std::mem::replace(&mut self.check.report, Repair::new(Reason::Mismatch));
        if report.repaired() {
            self.report(report);
        }
        // Another may have been asked for since this one began.
        let next = now + self.interval() * self.check.factor;
        self.verify_by(next);
    }

    /// Changes came meanwhile. The server has so many `rows`.
    fn unclear(&mut self, now: Time, rows: u64) {
        let (least, doubts) = self.check.counted;
        let doubts = (doubts + self.doubt.len()) as u64;
        // More rows than that were written, and are found so.
        self.check.miscounted += u32::from(rows.saturating_add(doubts) < least);
        self.check.step = Step::Idle;
        self.counters.inconclusive += 1;
        self.check.inconclusive += 1;
        if self.check.inconclusive < MOST_INCONCLUSIVE {
            return self.verify_by(now + DISTANCE);
        }
        self.check.report.reason = Reason::Traffic;
        self.check.unproven += 1;
        // What has expired was never written again: what is new does not show it, on no node, and the number of rows does.
        let gone = self.check.miscounted == self.check.inconclusive || self.check.unproven >= MOST_UNPROVEN;
        self.check.gone = gone && self.options.rules.count_rows;
        self.sweep_recent(now);
    }

    /// What is new was swept, while changes came.
    pub(super) fn swept_under_traffic(&mut self, now: Time, is_all: bool) {
        if is_all {
            self.check.unproven = 0;
            return self.finish(now, false);
        }
        let gone = std::mem::take(&mut self.check.gone);
        let removed = self.check.report.removed > 0;
        if self.check.kept || (gone && (!removed || self.check.again)) {
            // What was missed may have left no trace, and versions do not show it.
            return self.begin_sweep(now, Sweep::all(self.frames.clock()));
        }
        self.finish(now, false);
        if gone {
            // These may be all that are gone.
            self.check.again = true;
            self.verify_by(now + DISTANCE);
        }
    }

    /// The versions of the server are others.
    fn differs(&mut self, now: Time) {
        self.check.step = Step::Idle;
        self.counters.mismatches += 1;
        if !self.options.rules.sweep {
            return self.finish(now, true);
        }
        if !self.check.foreign {
            self.view.set_unverified(true);
        }
        match self.check.swept {
            Swept::Nothing => self.sweep_recent(now),
            Swept::Recent => self.begin_sweep(now, Sweep::all(self.frames.clock())),
            Swept::All { repaired: true } if self.check.rounds < 4 => {
                self.check.rounds += 1;
                self.check.swept = Swept::Recent;
                self.verify_by(now + DISTANCE * 2u32.pow(self.check.rounds));
            }
            // The content agrees: there is nothing left to repair. Checked again, less and less often.
            Swept::All { repaired } => {
                self.check.factor = (self.check.factor * 2).min(16);
                self.is_foreign();
                self.finish(now, repaired);
            }
        }
    }

    pub(super) fn is_foreign(&mut self) {
        if !self.check.foreign {
            self.check.foreign = true;
            self.counters.foreign_numbering += 1;
        }
    }

    /// Time to the next check, where nothing calls for one before.
    fn interval(&mut self) -> Duration {
        let interval = self.options.verify.interval();
        let blind = self.wants_watch().is_some() && !self.watched;
        let interval = if blind { interval.min(WITHOUT_WATCH) } else { interval };
        interval - interval / 10 + self.random.up_to(interval / 10)
    }
}
