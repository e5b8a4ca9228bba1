//! The newest rows, where a query began with them: the server leaves the newest of all out.

use foldhash::fast::RandomState;
use hashbrown::HashSet;

use super::check::Step;
use super::keeper::Keeper;
use super::{Key, answer};
use crate::error::Result;
use crate::machine::Time;
use crate::protocol::StatementResult;
use crate::repair::{Reason, Repair};
use crate::schema::SeqId;

/// The newest rows in one answer.
const PAGE: usize = 900;

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

impl Newest {
    /// So many rows, asked for from this moment on.
    pub(super) fn of(rows: usize, clock: u64) -> Self {
        Self { left: rows, least: None, found: HashSet::default(), clock }
    }
}

impl Keeper {
    pub(super) fn ask_newest(&mut self, now: Time, newest: Newest) {
        let page = newest.left.min(PAGE);
        let Some(sql) = self.questions.as_ref().and_then(|q| q.newest(page, newest.least).ok()) else {
            return;
        };
        let id = self.ask(sql);
        self.check.report.queries += 1;
        self.check.step = Step::Newest { id, clock: self.frames.clock(), newest };
        self.check_passing_state(now);
    }

    pub(super) fn newest_answered(
        &mut self,
        now: Time,
        clock: u64,
        mut newest: Newest,
        results: &[StatementResult],
    ) -> Result<()> {
        let schema = self.view.schema().ok_or_else(answer::no_rows)?.clone();
        let mut rows = self.keyed(answer::rows(answer::first(results)?, &schema)?)?;
        // Those that are missing arrive in the order in which they were written.
        rows.sort_by_key(|(_, row)| row.version());
        let mut report = Repair { reason: Reason::NewestRows, ..self.check.report };
        let lowest = rows.iter().filter_map(|(_, row)| row.version()).min();
        if let (Some(lowest), Some(least)) = (lowest, newest.least)
            && lowest >= least
        {
            return Err(answer::out_of_order());
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
}
