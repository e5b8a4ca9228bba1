//! The end: what may be committed is committed first.

use super::{Consumer, Time};
use crate::error::{Error, ErrorCode};

/// How far a consumer is with closing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Life {
    Open,
    /// What is finished may still be committed, until then.
    Closing(Time),
    Over,
}

impl Consumer {
    /// Commits what may be committed, at most until `deadline`, and ends.
    pub fn close(&mut self, deadline: Time) {
        if self.life == Life::Open {
            self.life = Life::Closing(deadline);
            self.commits.ask_for_allowed();
        }
    }

    /// Whether no more records will come.
    pub fn is_closed(&self) -> bool {
        self.life != Life::Open
    }

    /// Whether nothing more is to do.
    pub fn is_over(&self) -> bool {
        self.life == Life::Over
    }

    /// Ends if there is nothing left to commit, or no time.
    pub(super) fn end_in_time(&mut self, now: Time, deadline: Time) {
        // Another member may close the gap while there is time.
        let waits = self.is_held_back() && !self.ledger.holds_first();
        let idle = self.acking.is_none() && self.looking.is_none() && !self.commits.are_wanted() && !waits;
        if idle || now >= deadline {
            self.life = Life::Over;
            let late = Error::new(ErrorCode::Timeout, "not committed before the consumer was closed");
            self.commits.answer(Err(late));
        }
    }
}
