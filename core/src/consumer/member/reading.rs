//! Records come from the server and go to the reader.

use super::{Action, Begin, Consumer, Fetching, Sabotage, Time, closed};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::{Consumed, ConsumerRecord};

impl Consumer {
    /// Somebody waits for records, at most until `deadline`.
    ///
    /// # Errors
    /// `invalid_argument` when somebody does already; `closed`.
    pub fn poll(&mut self, now: Time, deadline: Time) -> Result<()> {
        if self.is_closed() {
            return Err(closed());
        }
        if self.polling.is_some() {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                "the consumer is being polled already: one poll at a time, or a consumer for each",
            ));
        }
        self.pace.polled(now);
        self.polling = Some(deadline);
        // What has failed may work now; a poll that is over before the next attempt still tells why there is nothing.
        if now >= self.retry.at {
            self.trouble = None;
        }
        Ok(())
    }

    /// Whether [`take`](Self::take) has something to tell.
    pub fn is_ready(&self, now: Time) -> bool {
        self.ledger.waiting() > 0
            || self.failure.is_some()
            || self.is_closed()
            || self.polling.is_some_and(|deadline| now >= deadline)
    }

    /// Ends the poll: records, none when its time is over, or why there can be none. A poll that is given up without
    /// calling this must call [`give_up`](Self::give_up).
    ///
    /// # Errors
    /// The server's; what it was on the way, when no request got through in time; `closed`.
    pub fn take(&mut self, now: Time, most: usize) -> Result<Vec<ConsumerRecord>> {
        self.polling = None;
        if self.is_closed() {
            // What was fetched is not begun any more: its commit would come too late.
            return Err(closed());
        }
        if self.ledger.waiting() == 0 {
            let failed = self.failure.take().or_else(|| self.trouble.clone());
            return failed.map_or_else(|| Ok(Vec::new()), Err);
        }
        let records = self.ledger.hand_out(most.max(1));
        if self.sabotage == Some(Sabotage::FinishEarly) {
            for record in &records {
                self.mark(record.offset);
            }
        }
        self.pace.handed_out(now, records.len());
        Ok(records)
    }

    /// Nobody waits any longer. What is on its way is there for the next poll.
    pub fn give_up(&mut self) {
        self.polling = None;
    }

    /// The offset of the next record that will be handed out, as far as is known.
    pub fn position(&self) -> u64 {
        self.ledger.position()
    }

    /// Records that were handed out and are not finished.
    pub fn unfinished(&self) -> u64 {
        self.ledger.held()
    }

    /// Whether an answer to a request for records is wanted: one on its way, and one that is being read. What is not may be
    /// given up.
    pub fn is_fetching(&self) -> (bool, bool) {
        (self.fetching.is_some(), self.reading.is_some())
    }

    /// What to ask for, for the reader to have records.
    pub(super) fn read_action(&mut self, now: Time) -> Option<Action> {
        let nothing = self.ledger.waiting() == 0 && self.reading.is_none();
        let wanted = self.polling.is_some_and(|deadline| now < deadline) && nothing;
        if self.moving.is_some() || self.failure.is_some() || now < self.retry.at || now < self.idle.until {
            return None;
        }
        if self.begin != Begin::Done {
            return if wanted { self.begin_action() } else { None };
        }
        if self.fetching.is_some() || !(wanted || self.pace.wants_ahead(self.ledger.waiting())) {
            return None;
        }
        let left = self.polling.map_or(Time::ZERO, |deadline| deadline.saturating_sub(now));
        let wait = if wanted { left.min(self.config.longest_wait) } else { Time::ZERO };
        let limit = u32::try_from(self.pace.limit()).unwrap_or(u32::MAX);
        self.fetching = Some(Fetching { sent: now, wait, limit });
        Some(Action::Fetch { start: self.start(), limit, wait })
    }

    /// When [`read_action`](Self::read_action) will ask for something by itself.
    pub(super) fn next_read(&self, now: Time) -> Option<Time> {
        if self.moving.is_some() || self.failure.is_some() || self.looking.is_some() {
            return None;
        }
        let begins = self.begin != Begin::Done && self.acking.is_some();
        let nothing = self.ledger.waiting() == 0 && self.fetching.is_none() && self.reading.is_none();
        let asks = self.polling.is_some_and(|deadline| deadline > now) && nothing && !begins;
        asks.then(|| self.retry.at.max(self.idle.until))
    }

    /// The answer to a [`Fetch`](Action::Fetch) is there and is being read: more may be asked for meanwhile. Answers are read
    /// one after the other. A driver that reads at once need not call this.
    pub fn handle_arrived(&mut self) {
        self.reading = self.fetching.take();
    }

    /// The answer to a [`Fetch`](Action::Fetch), read.
    pub fn handle_fetched(&mut self, now: Time, answer: Result<Consumed>) {
        let Some(fetching) = self.reading.take().or_else(|| self.fetching.take()) else { return };
        if self.is_closed() {
            return;
        }
        match answer {
            Ok(consumed) => {
                self.works_again();
                self.received(now, &fetching, consumed);
            }
            Err(error) => self.failed(now, error),
        }
    }

    fn received(&mut self, now: Time, fetching: &Fetching, consumed: Consumed) {
        self.pace.received(consumed.records.len(), fetching.limit);
        let Some(first) = consumed.records.first().map(|record| record.offset) else {
            self.advance(consumed.next_offset);
            let waited = now.saturating_sub(fetching.sent);
            self.idle.nothing(now, waited, fetching.wait, &mut self.random);
            return;
        };
        self.idle.end(now);
        if self.sabotage == Some(Sabotage::OwnStart) && !self.ledger.has_handed_out() {
            self.ledger.begin_at(first);
        }
        let base = self.ledger.base();
        match &mut self.doubtful {
            // In their order.
            Some(doubtful) => doubtful.extend(consumed.records),
            None if consumed.records.iter().any(|record| record.offset < base) => {
                self.doubtful = Some(consumed.records);
            }
            None => self.ledger.enqueue(consumed.records),
        }
    }

    /// A request that records depend on got through.
    pub(super) fn works_again(&mut self) {
        self.retry = Default::default();
        self.trouble = None;
    }

    /// A request that records depend on has failed.
    pub(super) fn failed(&mut self, now: Time, error: Error) {
        if error.retryable() {
            self.retry.failed(now, &error, &self.config.backoff, &mut self.random);
            self.trouble = Some(error);
        } else {
            self.failure = Some(error);
        }
    }
}
