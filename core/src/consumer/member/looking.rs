//! Asking where the group is, by a request that takes no records.

use super::{Action, Begin, Consumer, Life, Looking, Moving, Time};
use crate::error::Result;
use crate::protocol::{Consumed, TopicStart};

impl Consumer {
    /// The next step towards knowing where the group is.
    pub(super) fn begin_action(&mut self) -> Option<Action> {
        if self.looking.is_some() || self.acking.is_some() {
            return None;
        }
        if let Begin::Establish(end) = self.begin {
            self.acking = Some(end - 1);
            return Some(Action::Ack { upto: end - 1 });
        }
        let start = self.begin.start(self.config.reset)?;
        Some(self.look(start))
    }

    /// Where the server should begin if it knows nothing of the group. For one that has committed nothing that is always the
    /// same: the server then counts from there for every member. One that has committed something is known (recorded: what
    /// is asked for then is ignored), or the topic was made anew: then all that is in it is new.
    pub(super) fn start(&self) -> TopicStart {
        if self.ledger.has_committed() {
            TopicStart::Earliest
        } else {
            TopicStart::Offset(self.ledger.base())
        }
    }

    /// Asks what doubtful records are, for the reader or a commit to go on.
    pub(super) fn doubt_action(&mut self, now: Time) -> Option<Action> {
        let due = self.next_doubt().is_some_and(|at| now >= at);
        due.then(|| self.look(self.start()))
    }

    /// When [`doubt_action`](Self::doubt_action) will ask.
    pub(super) fn next_doubt(&self) -> Option<Time> {
        let reads = self.life == Life::Open && self.moving.is_none() && self.failure.is_none();
        let commits = self.commits.are_wanted() && self.moving != Some(Moving::Still);
        let asks = self.doubtful.is_some() && self.looking.is_none() && (reads || commits);
        asks.then_some(self.retry.at)
    }

    pub(super) fn look(&mut self, start: TopicStart) -> Action {
        self.looking = Some(Looking { from: self.ledger.base(), for_doubtful: self.doubtful.is_some() });
        Action::Look { start }
    }

    /// Another member may close the gap before what is held back.
    pub(super) fn look_later(&mut self, now: Time) {
        self.gap.later(now, self.is_closed());
    }

    /// The group is at `base`, and the server knows it.
    pub(super) fn known_at(&mut self, base: u64) {
        self.begin = Begin::Done;
        self.ledger.begin_at(base);
    }

    /// The answer to a [`Look`](Action::Look). Returns whether it tells that another has moved the group back.
    pub fn handle_looked(&mut self, now: Time, answer: Result<Consumed>) -> bool {
        let Some(looking) = self.looking.take() else { return false };
        if self.is_over() {
            return false;
        }
        match answer {
            Ok(consumed) if self.begin == Begin::Done => {
                return self.learn_base(now, looking, consumed.next_offset);
            }
            Ok(consumed) => {
                self.works_again();
                self.begin = self.begin.looked(consumed.next_offset, self.config.reset);
                self.ledger.begin_at(consumed.next_offset);
            }
            // Only what is held back waits for it.
            Err(_) if self.begin == Begin::Done && self.doubtful.is_none() => self.look_later(now),
            Err(error) => {
                self.failed(now, error.clone());
                if self.failure.is_some() || self.retry.failures >= self.config.commit_attempts {
                    self.commits.answer(Err(error));
                }
            }
        }
        false
    }

    /// The first offset that the group has not committed was `next` when the server was asked. Whether another has moved
    /// the group back is told by what `base` was when that was asked: a commit of our own may have overtaken the answer.
    fn learn_base(&mut self, now: Time, looking: Looking, next: u64) -> bool {
        let was_moved = next < looking.from;
        if was_moved {
            self.follow_back(now, next);
        }
        if looking.for_doubtful
            && let Some(doubtful) = self.doubtful.take()
        {
            self.ledger.enqueue(doubtful);
        }
        let before = self.ledger.base();
        self.advance(next);
        if self.ledger.base() == before {
            self.gap.in_vain();
            self.look_later(now);
        } else if self.committable().is_some() {
            self.gap.at = Some(now);
        }
        was_moved
    }
}
