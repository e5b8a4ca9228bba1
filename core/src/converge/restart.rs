//! When only a fresh snapshot helps, or nothing.

use std::time::Duration;

use super::Ask;
use super::keeper::Keeper;
use crate::error::Error;
use crate::machine::Time;
use crate::repair::{Reason, Repair};

const RESTART_DISTANCE: Duration = Duration::from_secs(5);
const RESTART_FARTHEST: Duration = Duration::from_secs(300);

impl Keeper {
    /// Asks for a fresh snapshot, not too often.
    pub(super) fn restart(&mut self, now: Time, reason: Reason) {
        if self.restart_due.is_some() {
            return;
        }
        let mut report = Repair::new(reason);
        std::mem::swap(&mut report.queries, &mut self.check.report.queries);
        self.report(report);
        if self.options.rules.pace && now < self.restart_not_before {
            self.restart_due = Some(self.restart_not_before);
        } else {
            self.restart_now(now);
        }
    }

    pub(super) fn restart_now(&mut self, now: Time) {
        let wait = RESTART_DISTANCE * 2u32.saturating_pow(self.restarts.min(8));
        self.restarts += 1;
        self.restart_not_before = now + wait.min(RESTART_FARTHEST);
        self.counters.restarts += 1;
        self.stop();
        self.check.watermark = None;
        self.view.set_unverified(true);
        self.asks.push_back(Ask::Restart);
    }

    pub(super) fn restarts_helped(&mut self) {
        self.restarts = 0;
    }

    /// The table is gone.
    pub(super) fn end(&mut self, error: Error) {
        self.stop();
        self.view.fail(error);
        self.asks.push_back(Ask::End);
    }
}
