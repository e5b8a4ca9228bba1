//! Records are finished, and the server is told how far the group is.

use super::{Action, Begin, Committed, Consumer, Moving, Sabotage, Time};
use crate::error::Result;

impl Consumer {
    /// A record is finished. Marking what another member has finished, or marking twice, changes nothing. Returns whether
    /// [`poll_action`](Self::poll_action) must be asked, for the time until the next automatic commit to begin.
    pub fn mark(&mut self, offset: u64) -> bool {
        self.ledger.finish(offset) && self.commits.mark()
    }

    /// Asks for a commit of all that is finished now, and returns its number for [`poll_committed`](Self::poll_committed).
    pub fn commit(&mut self) -> u64 {
        self.commits.ask(self.ledger.end_of_done().unwrap_or(0))
    }

    /// The next commit that was answered: all up to this number, that were not answered before.
    pub fn poll_committed(&mut self) -> Option<(u64, Result<Committed>)> {
        self.commits.next_answer()
    }

    /// What is committed and what is not.
    pub fn committed(&self) -> Committed {
        Committed { next_offset: self.ledger.base(), held_back: self.ledger.done() }
    }

    /// The last offset of what may be committed.
    pub(super) fn committable(&self) -> Option<u64> {
        if self.begin != Begin::Done {
            return None;
        }
        let end = if self.sabotage == Some(Sabotage::PassGaps) {
            self.ledger.end_of_done()
        } else {
            self.ledger.end_of_gapless()
        };
        let end = end?.min(self.commits.allowed());
        (end > self.ledger.base()).then(|| end - 1)
    }

    /// Whether something finished waits for something that is not.
    pub(super) fn is_held_back(&self) -> bool {
        self.ledger.done() > 0 && self.committable().is_none() && self.commits.allowed() > self.ledger.base()
    }

    /// What to tell the server, or to ask it first.
    pub(super) fn commit_action(&mut self, now: Time) -> Option<Action> {
        self.commits.plan_marked(now);
        if self.moving == Some(Moving::Still) || self.acking.is_some() || now < self.commits.retry.at {
            return None;
        }
        let by_time = self.commits.take_due(now);
        let asked = self.commits.are_wanted();
        let retrying = self.commits.retry.failures > 0;
        let after_gap = self.gap.is_due(now);
        if !(by_time || asked || retrying || after_gap) {
            return None;
        }
        if let Some(upto) = self.committable() {
            if !(by_time || asked || retrying) {
                self.gap.at = None;
            }
            self.acking = Some(upto);
            return Some(Action::Ack { upto });
        }
        self.commits.retry.failures = 0;
        if self.looking.is_some() {
            return None;
        }
        // Something was marked before anything was read.
        if self.begin != Begin::Done && self.ledger.done() > 0 && self.failure.is_none() {
            self.commits.retry.at = self.retry.at;
            return if now < self.retry.at { None } else { self.begin_action() };
        }
        if !self.is_held_back() {
            self.gap.stop();
        } else if self.begin == Begin::Done {
            // Another member may have closed the gap. Asked once for each commit, and then now and then.
            let new = asked && self.gap.is_new(self.commits.asked()) && !self.ledger.holds_first();
            if after_gap || new {
                self.gap.looks(self.commits.asked());
                return Some(self.look(self.start()));
            }
            if self.gap.at.is_none() {
                self.look_later(now);
            }
        }
        if asked {
            self.commits.answer(Ok(self.committed()));
        }
        None
    }

    /// When [`commit_action`](Self::commit_action) will ask for something by itself.
    pub(super) fn next_commit(&self) -> Option<Time> {
        if self.moving == Some(Moving::Still) || self.acking.is_some() || self.looking.is_some() {
            None
        } else if self.commits.retry.failures > 0 || self.commits.are_wanted() {
            Some(self.commits.retry.at)
        } else {
            let due = [self.commits.due, self.gap.at].into_iter().flatten().min();
            due.map(|at| at.max(self.commits.retry.at))
        }
    }

    /// The answer to an [`Ack`](Action::Ack).
    pub fn handle_acked(&mut self, now: Time, answer: Result<()>) {
        let Some(upto) = self.acking.take() else { return };
        if self.is_over() {
            return;
        }
        if let Begin::Establish(end) = self.begin {
            match answer {
                Ok(()) => self.known_at(end),
                Err(error) => self.failed(now, error),
            }
            return;
        }
        let trusts = self.sabotage == Some(Sabotage::TrustLostAcks);
        match answer {
            Err(error) if !(trusts && error.retryable()) => {
                let random = &mut self.random;
                self.commits.retry.failed(now, &error, &self.config.backoff, random);
                if !error.retryable() || self.commits.retry.failures >= self.config.commit_attempts {
                    self.commits.retry.failures = 0;
                    self.commits.answer(Err(error));
                    // Tried again by time.
                    self.commits.plan(now);
                }
            }
            _ => {
                self.advance(upto + 1);
                self.commits.retry = Default::default();
                if self.is_held_back() {
                    self.look_later(now);
                } else if self.committable().is_none() {
                    self.gap.at = None;
                    self.commits.answer(Ok(self.committed()));
                } else {
                    self.commits.plan(now);
                }
            }
        }
    }

    /// The group has committed everything before `base`.
    pub(super) fn advance(&mut self, base: u64) {
        if self.ledger.advance(base) {
            self.gap.progress();
        }
    }
}
