//! What the answer to a check means.

use std::time::Duration;

use super::answer;
use super::check::{DISTANCE, MOST_FAILURES, Step, Swept};
use super::keeper::Keeper;
use super::sweep::Sweep;
use super::watermark::Watermark;
use crate::error::{Error, ErrorCode, Result};
use crate::machine::Time;
use crate::protocol::StatementResult;
use crate::repair::{Reason, Repair};

/// So long after a digest a frame may still arrive that was sent before it.
const QUIET: Duration = Duration::from_millis(150);
const FARTHEST: Duration = Duration::from_secs(300);
/// Digests in a row that prove nothing before content is compared.
const MOST_INCONCLUSIVE: u32 = 3;
/// Checks in a row that traffic kept from proving before everything is compared once.
const MOST_UNPROVEN: u32 = 10;

impl Keeper {
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
    pub(super) fn proven(&mut self, now: Time) {
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
    pub(super) fn unclear(&mut self, now: Time, rows: u64) {
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
    pub(super) fn differs(&mut self, now: Time) {
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
}
