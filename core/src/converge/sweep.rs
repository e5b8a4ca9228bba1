//! A comparison of content, page by page.

use std::cmp::Ordering;

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::answer::{first, no_rows, out_of_order};
use super::check::{Step, Swept};
use super::keeper::Keeper;
use super::questions::PAGE;
use super::watermark::Watermark;
use super::{AskId, Key, answer};
use crate::error::{Error, ErrorCode, Result};
use crate::live::Correction;
use crate::live::compare::compare_values;
use crate::machine::Time;
use crate::protocol::StatementResult;
use crate::repair::{Reason, Repair};
use crate::row::Row;
use crate::schema::SeqId;
use crate::value::Value;

/// Keys that came up during a sweep and are looked up one by one; with more, the next check decides.
const MOST_STRAYS: usize = 300;

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

impl Keeper {
    pub(super) fn sweep_recent(&mut self, now: Time) {
        let clock = self.frames.clock();
        let sweep = match self.check.watermark {
            Some(from) => Sweep::since(from.version(), clock),
            None => Sweep::all(clock),
        };
        self.begin_sweep(now, sweep);
    }

    pub(super) fn begin_sweep(&mut self, now: Time, sweep: Sweep) {
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

    pub(super) fn sweep_answered(
        &mut self,
        now: Time,
        mut sweep: Sweep,
        results: &[StatementResult],
    ) -> Result<()> {
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
                let versions: Vec<SeqId> = if *stage == Stage::Rows {
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
    pub(super) fn withdraw_others(
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
        if let Some(greatest) = self.check.greatest {
            // The numbers may be another leader's from here on.
            let before = self.check.watermark.filter(|_| !sweep.is_all());
            self.check.watermark = Some(Watermark::proven(before, now, greatest));
        }
        self.check.failures = 0;
        if !repaired && sweep.renumbered > 0 {
            self.is_foreign();
        }
        if self.check.report.reason == Reason::Traffic {
            self.swept_under_traffic(now, sweep.is_all());
        } else {
            if self.check.kept && !sweep.is_all() {
                self.check.not_before = now;
            }
            self.verify_by(now);
        }
    }

    pub(super) fn keyed(&self, rows: Vec<Row>) -> Result<Vec<(Key, Row)>> {
        let keyed = |row: Row| {
            let key = self.view.key_of(&row);
            let key =
                key.ok_or_else(|| Error::new(ErrorCode::Protocol, "a check brought a row without its key"))?;
            Ok((key, row))
        };
        rows.into_iter().map(keyed).collect()
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
