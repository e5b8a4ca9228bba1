//! Answers applied to rows.

use std::time::Duration;

use super::doubt::Asked;
use super::keeper::Keeper;
use super::{Key, answer};
use crate::error::{Error, ErrorCode, Result};
use crate::live::Correction;
use crate::machine::Time;
use crate::protocol::StatementResult;
use crate::repair::{Reason, Repair};
use crate::row::Row;
use crate::schema::SeqId;
use crate::sql::literal;

/// Look-ups that fail so often in a row make the rows doubtful to the reader too.
const PATIENCE: u32 = 3;

impl Keeper {
    /// The answer, unless it is another user's.
    pub(super) fn believable(
        &mut self,
        result: Result<Vec<StatementResult>>,
    ) -> Result<Vec<StatementResult>> {
        let user = self.server.as_ref().map(|server| server.user.as_str());
        let user = user.filter(|_| self.options.rules.check_user);
        let result = result.and_then(|results| match user {
            Some(user) => answer::of_user(results, user),
            None => Ok(results),
        });
        if result.is_err() {
            self.counters.errors += 1;
        }
        result
    }

    /// Asks for the keys in doubt, if it is time.
    pub(super) fn look_up(&mut self, now: Time) {
        let Some(questions) = &self.questions else { return };
        let Some(mut keys) = self.doubt.next(now, self.options.rules.pace, &self.frames) else { return };
        // What can not be written can only be compared as a whole.
        let writable = |key: &Key| key.iter().all(|value| literal::literal(value).is_ok());
        let before = keys.len();
        keys.retain(|(key, _)| writable(key));
        let lost = before - keys.len();
        let sql = questions.keys(keys.iter().map(|(key, _)| &**key));
        if lost > 0 {
            self.sweep_soon(now);
        }
        let Ok(sql) = sql else { return };
        if keys.is_empty() {
            return;
        }
        self.counters.doubts += keys.len() as u64;
        let id = self.ask(sql);
        self.doubt.asked = Some(Asked { id, clock: self.frames.clock(), keys });
    }

    pub(super) fn doubt_answered(
        &mut self,
        now: Time,
        took: Duration,
        bytes: u64,
        result: Result<Vec<StatementResult>>,
    ) {
        let Some(Asked { clock, keys, .. }) = self.doubt.asked.take() else { return };
        let mut report = Repair { queries: 1, bytes, ..Repair::new(Reason::Unconfirmed) };
        let rows = result.and_then(|results| {
            let schema = self.view.schema().ok_or_else(|| Error::new(ErrorCode::Closed, "no rows"))?;
            let first = results.first();
            answer::rows(first.ok_or_else(|| Error::new(ErrorCode::Protocol, "no answer"))?, schema)
        });
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                if matches!(error.code(), ErrorCode::NotFound | ErrorCode::InvalidSql) {
                    // The table or a column is gone: the check finds out.
                    self.verify_by(now);
                }
                if self.doubt.failed(now, keys) >= PATIENCE {
                    self.view.set_unverified(true);
                    self.check.doubtful = true;
                }
                return;
            }
        };
        self.doubt.answered(now, took);
        let mut found = hashbrown::HashMap::<Key, Row, foldhash::fast::RandomState>::default();
        for row in rows {
            if let Some(key) = self.view.key_of(&row) {
                found.insert(key, row);
            }
        }
        for (key, version) in keys {
            match found.remove(&key) {
                Some(row) => {
                    self.belongs(row.version());
                    self.found(key, row, clock, &mut report);
                }
                None => self.missing(now, key, version, clock, &mut report),
            }
        }
        if report.repaired() {
            self.report(report);
        }
        self.check_passing_state(now);
    }

    /// A row of this version belongs to the query, which began with its newest rows: so do those that are newer. It may be
    /// one that a snapshot after a reconnect brought, or of a leader with other numbers.
    fn belongs(&mut self, version: Option<SeqId>) {
        if let (Some(horizon), Some(version)) = (self.horizon.flatten(), version)
            && version < horizon
        {
            self.horizon = Some(Some(version));
            if let Some(questions) = &mut self.questions {
                questions.horizon = Some(version);
            }
        }
    }

    /// The server has this row. Returns what came of it.
    pub(super) fn found(
        &mut self,
        key: Key,
        row: Row,
        clock: u64,
        report: &mut Repair,
    ) -> Option<Correction> {
        if self.is_overtaken(&key, clock) {
            // The frame is newer, or it is not: that can only be asked again.
            if self.view.held(&key).is_none_or(|held| !held.row.same_content(&row)) {
                self.doubt.open(key, None);
            }
            return None;
        }
        // Rows of this view were made for this view.
        let correction = self.view.correct(row).ok()?;
        match correction {
            Correction::Added => {
                report.added += 1;
                self.counters.rows_added += 1;
            }
            Correction::Changed => {
                report.changed += 1;
                self.counters.rows_changed += 1;
            }
            Correction::Renumbered | Correction::Right => {}
        }
        Some(correction)
    }

    /// The server has no row of this key. `version` is the write that took it, as this connection numbers it.
    pub(super) fn missing(
        &mut self,
        now: Time,
        key: Key,
        version: Option<SeqId>,
        clock: u64,
        report: &mut Repair,
    ) {
        if self.view.held(&key).is_none() {
            return;
        }
        if self.is_overtaken(&key, clock) {
            self.doubt.open(key, version);
            return;
        }
        if self.view.withdraw(&key) {
            report.removed += 1;
            self.counters.rows_removed += 1;
            if let Some(version) = version {
                self.remember(now, key, version);
            }
        }
    }

    fn is_overtaken(&self, key: &Key, clock: u64) -> bool {
        self.options.rules.frames_beat_answers && self.frames.touched_since(key, clock)
    }
}
