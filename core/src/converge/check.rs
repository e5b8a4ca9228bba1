//! The check of all rows: versions first, content where they differ.

use std::cmp::Ordering;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::frames::Frames;
use super::keeper::Keeper;
use super::questions::PAGE;
use super::sweep::{Scope, Sweep};
use super::{AskId, Key, answer};
use crate::error::{Error, ErrorCode, Result};
use crate::live::compare::compare_values;
use crate::live::{Correction, Digest};
use crate::machine::Time;
use crate::protocol::StatementResult;
use crate::repair::{Reason, Repair};
use crate::row::Row;
use crate::schema::SeqId;
use crate::value::Value;

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
/// Digests in a row that prove nothing before content is compared.
const MOST_INCONCLUSIVE: u32 = 3;
/// States that are remembered while a digest is on its way.
const MOST_SEEN: usize = 4_096;
/// Ten seconds, as versions count them: milliseconds above 22 bits.
const SLACK: i64 = 10_000 << 22;
/// The newest rows in one answer.
const NEWEST_PAGE: usize = 900;
/// Keys that came up during a sweep and are looked up one by one; with more, the next check decides.
const MOST_STRAYS: usize = 300;

/// How far the check is, and what it knows.
#[derive(Debug)]
pub(super) struct Check {
    pub(super) step: Step,
    /// When the next one begins.
    due: Option<Time>,
    not_before: Time,
    /// The same for the digests of all live queries on the table.
    table_not_before: Time,
    /// Between the digest that was asked for since somebody looked, and the next.
    pub(super) asked: Option<Duration>,
    /// What the latest answer took.
    took: Duration,
    pub(super) report: Repair,
    /// States since the digest was asked for.
    seen: HashSet<Digest, RandomState>,
    /// What was written up to here was compared.
    since: Option<SeqId>,
    /// The greatest version that the latest digest told.
    greatest: Option<SeqId>,
    swept: Swept,
    rounds: u32,
    inconclusive: u32,
    failures: u32,
    /// The table was not found.
    missing: bool,
    /// The reader was told that the rows are doubtful.
    pub(super) doubtful: bool,
    /// Versions of this connection are not those of answers.
    foreign: bool,
    newest: bool,
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

/// The newest rows that were found so far.
#[derive(Debug)]
pub(super) struct Newest {
    /// Rows that are still to be asked for.
    left: usize,
    least: Option<SeqId>,
    found: HashSet<Key, RandomState>,
    /// The moment of the first query.
    clock: u64,
}

/// The latest sweep since the rows were proven.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Swept {
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
            took: Duration::ZERO,
            report: Repair::new(Reason::Mismatch),
            seen: HashSet::default(),
            since: None,
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
    /// Forgets all but the pace.
    pub(super) fn stop(&mut self) {
        let Self { not_before, table_not_before, asked, took, failures, missing, .. } = *self;
        *self = Self { not_before, table_not_before, asked, took, failures, missing, ..Self::default() };
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
        let asks_digest = !self.newest && !self.everything;
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
        let rules = self.options.rules;
        self.check.newest = rules.ask_newest && self.options.last_rows.is_some();
        let wait = if self.check.newest || !rules.check_snapshots {
            Duration::ZERO
        } else if self.wants_watch().is_some() && !self.watched {
            // What changes until the watch stands is found by the same check.
            Duration::from_millis(500)
        } else {
            self.random.up_to(Duration::from_millis(50))
        };
        if self.check.newest || rules.check_snapshots {
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
            Step::Settle { until, clock, .. } if *until <= now => {
                let quiet = self.frames.clock() == *clock && !self.doubt.is_open();
                if quiet || !self.options.rules.quiet_digest { self.differs(now) } else { self.unclear(now) }
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
            return self.ask_newest(now, Newest { left, least: None, found: HashSet::default(), clock });
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
        self.check.took = took;
        self.pace(now, took);
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

    fn failed(&mut self, now: Time, error: Error) {
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
        if self.check.failures >= 3 {
            self.view.set_unverified(true);
            self.check.doubtful = true;
        }
    }

    fn digest_answered(&mut self, now: Time, clock: u64, results: &[StatementResult]) -> Result<()> {
        let (digest, greatest) = answer::digest(first(results)?)?;
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
        check.since = check.greatest;
        check.failures = 0;
        check.factor = 1;
        self.finish(now, false);
    }

    /// The check is over, until the next one.
    fn finish(&mut self, now: Time, doubtful: bool) {
        let check = &mut self.check;
        (check.swept, check.rounds, check.inconclusive) = (Swept::Nothing, 0, 0);
        check.doubtful = doubtful;
        self.view.set_unverified(doubtful);
        let report = std::mem::replace(&mut self.check.report, Repair::new(Reason::Mismatch));
        if report.repaired() {
            self.report(report);
        }
        let next = now + self.interval() * self.check.factor;
        self.check.due = Some(next);
    }

    /// Changes came meanwhile.
    fn unclear(&mut self, now: Time) {
        self.check.step = Step::Idle;
        self.counters.inconclusive += 1;
        self.check.inconclusive += 1;
        if self.check.inconclusive < MOST_INCONCLUSIVE {
            return self.verify_by(now + DISTANCE);
        }
        self.check.report.reason = Reason::Traffic;
        self.sweep_recent(now);
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

    fn is_foreign(&mut self) {
        if !self.check.foreign {
            self.check.foreign = true;
            self.counters.foreign_numbering += 1;
        }
    }

    fn sweep_recent(&mut self, now: Time) {
        let clock = self.frames.clock();
        let sweep = match self.check.since {
            Some(since) => Sweep::since(SeqId::from(since.get().saturating_sub(SLACK)), clock),
            None => Sweep::all(clock),
        };
        self.begin_sweep(now, sweep);
    }

    fn begin_sweep(&mut self, now: Time, sweep: Sweep) {
        if sweep.is_all() && self.questions.as_ref().is_some_and(|q| !q.can_page()) {
            // There is no order to page by.
            let reason = self.check.report.reason;
            return self.restart(now, reason);
        }
        if let Err(error) = self.ask_page(sweep) {
            self.failed(now, error);
        }
    }

    fn ask_page(&mut self, mut sweep: Sweep) -> Result<()> {
        let questions = self.questions.as_ref().ok_or_else(no_rows)?;
        let sql = match &sweep.scope {
            Scope::All { after, .. } => questions.page(after.as_deref())?,
            Scope::Since { after, stage, .. } => questions.since(*stage, *after)?,
        };
        sweep.asked = self.ask(sql);
        sweep.clock = self.frames.clock();
        self.check.report.queries += 1;
        self.check.step = Step::Sweep(sweep);
        Ok(())
    }

    fn sweep_answered(&mut self, now: Time, mut sweep: Sweep, results: &[StatementResult]) -> Result<()> {
        let result = first(results)?;
        let schema = self.view.schema().ok_or_else(no_rows)?.clone();
        let mut report = self.check.report;
        let mut done = false;
        match &mut sweep.scope {
            Scope::All { after, found, clock } => {
                let rows = self.keyed(answer::rows(result, &schema)?)?;
                let greatest = rows.iter().map(|(key, _)| key).max_by(|a, b| compare_keys(a, b)).cloned();
                if let (Some(greatest), Some(after)) = (&greatest, &after)
                    && compare_keys(greatest, after).is_le()
                {
                    return Err(out_of_order());
                }
                for (key, row) in rows {
                    found.insert(key.clone());
                    count(
                        self.found(key, row, sweep.clock, &mut report),
                        &mut sweep.repairs,
                        &mut sweep.renumbered,
                    );
                }
                // A server may return fewer rows than it was asked for: only an empty page is the last.
                match greatest {
                    Some(greatest) => *after = Some(greatest),
                    None => {
                        let before = report.removed;
                        self.withdraw_others(now, found, *clock, &mut report);
                        sweep.repairs += report.removed - before;
                        done = true;
                    }
                }
            }
            Scope::Since { from, after, stage } => {
                let versions: Vec<SeqId> = if *stage == super::sweep::Stage::Rows {
                    let rows = self.keyed(answer::rows(result, &schema)?)?;
                    let versions = rows.iter().filter_map(|(_, row)| row.version()).collect();
                    for (key, row) in rows {
                        let correction = self.found(key, row, sweep.clock, &mut report);
                        count(correction, &mut sweep.repairs, &mut sweep.renumbered);
                    }
                    versions
                } else {
                    let keys = answer::keys(result, &schema, self.view.key_positions())?;
                    let versions = keys.iter().map(|(_, version)| *version).collect();
                    let before = report.removed;
                    for (key, _) in keys {
                        self.missing(now, key, None, sweep.clock, &mut report);
                    }
                    sweep.repairs += report.removed - before;
                    versions
                };
                let more = versions.len() >= PAGE;
                if let Some(greatest) = versions.into_iter().max() {
                    if greatest <= *after {
                        return Err(out_of_order());
                    }
                    *after = greatest;
                }
                if !more {
                    let has_filter = self.questions.as_ref().is_some_and(|q| q.has_filter());
                    match stage.next(has_filter) {
                        Some(next) => (*stage, *after) = (next, *from),
                        None => done = true,
                    }
                }
            }
        }
        self.check.report = report;
        if done {
            self.swept(now, &sweep)
        } else {
            self.ask_page(sweep)?
        }
        Ok(())
    }

    /// Rows that no page had are gone, unless a frame told of them since.
    fn withdraw_others(
        &mut self,
        now: Time,
        found: &HashSet<Key, RandomState>,
        clock: u64,
        report: &mut Repair,
    ) {
        if !self.options.rules.sweep_removes {
            return;
        }
        let mut others: Vec<Key> = self.view.held_keys().filter(|key| !found.contains(key)).collect();
        others.sort_unstable_by(|a, b| compare_keys(a, b));
        let mut strays = 0;
        for key in others {
            if self.horizon.flatten().is_some() {
                // The horizon may be of a leader that was lost: only the key itself tells.
                self.doubt.open(key, None);
                continue;
            }
            if self.frames.touched_since(&key, clock) {
                strays += 1;
                if strays > MOST_STRAYS {
                    continue;
                }
            }
            self.missing(now, key, None, clock, report);
        }
    }

    fn swept(&mut self, now: Time, sweep: &Sweep) {
        let repaired = sweep.repairs > 0;
        self.check.swept = if sweep.is_all() { Swept::All { repaired } } else { Swept::Recent };
        self.check.since = self.check.greatest.or(self.check.since);
        self.check.failures = 0;
        if !repaired && sweep.renumbered > 0 {
            self.is_foreign();
        }
        if self.check.report.reason == Reason::Traffic {
            self.finish(now, false);
        } else {
            self.verify_by(now);
        }
    }

    fn ask_newest(&mut self, now: Time, newest: Newest) {
        let page = newest.left.min(NEWEST_PAGE);
        let Some(sql) = self.questions.as_ref().and_then(|q| q.newest(page, newest.least).ok()) else {
            return;
        };
        let id = self.ask(sql);
        self.check.report.queries += 1;
        self.check.step = Step::Newest { id, clock: self.frames.clock(), newest };
        self.check_passing_state(now);
    }

    fn newest_answered(
        &mut self,
        now: Time,
        clock: u64,
        mut newest: Newest,
        results: &[StatementResult],
    ) -> Result<()> {
        let schema = self.view.schema().ok_or_else(no_rows)?.clone();
        let mut rows = self.keyed(answer::rows(first(results)?, &schema)?)?;
        // Those that are missing arrive in the order in which they were written.
        rows.sort_by_key(|(_, row)| row.version());
        let mut report = Repair { reason: Reason::NewestRows, ..self.check.report };
        let lowest = rows.iter().filter_map(|(_, row)| row.version()).min();
        if let (Some(lowest), Some(least)) = (lowest, newest.least)
            && lowest >= least
        {
            return Err(out_of_order());
        }
        // A server may return fewer rows than it was asked for: only an empty answer is the last.
        let more = !rows.is_empty();
        newest.left = newest.left.saturating_sub(rows.len());
        newest.least = lowest.or(newest.least);
        for (key, row) in rows {
            newest.found.insert(key.clone());
            self.found(key, row, clock, &mut report);
        }
        if more && newest.left > 0 {
            self.check.report = report;
            self.ask_newest(now, newest);
            return Ok(());
        }
        self.check.newest = false;
        if self.horizon.is_none() {
            // The snapshot had older rows in the place of the newest.
            self.withdraw_others(now, &newest.found, newest.clock, &mut report);
            // Fewer than were asked for are all that there are.
            self.horizon = Some(newest.least.filter(|_| newest.left == 0));
        }
        self.check.report = report;
        if let Some(questions) = &mut self.questions {
            questions.horizon = self.horizon.flatten();
        }
        self.check.not_before = now;
        self.verify_by(now);
        Ok(())
    }

    fn keyed(&self, rows: Vec<Row>) -> Result<Vec<(Key, Row)>> {
        let keyed = |row: Row| {
            let key = self.view.key_of(&row);
            let key =
                key.ok_or_else(|| Error::new(ErrorCode::Protocol, "a check brought a row without its key"))?;
            Ok((key, row))
        };
        rows.into_iter().map(keyed).collect()
    }

    /// Time to the next check, where nothing calls for one before.
    fn interval(&mut self) -> Duration {
        let interval = self.options.verify.interval();
        let blind = self.wants_watch().is_some() && !self.watched;
        let interval = if blind { interval.min(WITHOUT_WATCH) } else { interval };
        interval - interval / 10 + self.random.up_to(interval / 10)
    }
}

fn count(correction: Option<Correction>, repairs: &mut u64, renumbered: &mut u64) {
    match correction {
        Some(Correction::Added | Correction::Changed) => *repairs += 1,
        Some(Correction::Renumbered) => *renumbered += 1,
        Some(Correction::Right) | None => {}
    }
}

fn compare_keys(a: &[Value], b: &[Value]) -> Ordering {
    a.iter().zip(b).map(|(a, b)| compare_values(a, b)).find(|o| o.is_ne()).unwrap_or(Ordering::Equal)
}

fn first(results: &[StatementResult]) -> Result<&StatementResult> {
    results.first().ok_or_else(|| Error::new(ErrorCode::Protocol, "a check was answered without a result"))
}

fn out_of_order() -> Error {
    Error::new(ErrorCode::Protocol, "a page of a check does not go on behind the one before it")
}

fn no_rows() -> Error {
    Error::new(ErrorCode::Closed, "there are no rows to check")
}
