//! The events of one `live_events` handle that were not taken yet: bounded, and never silent about it.

use std::collections::VecDeque;

use super::event_batch::Batch;
use super::mailbox::Content;
use crate::error::Error;

/// How much an event handle holds for a reader that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// Batches up to this size are put together: a trickle should not cost an allocation an event.
const SMALL: usize = 64;

/// Events of one subscription.
///
/// When it is full, further events are dropped until the reader has taken what is held and the one `Lagged` behind it:
/// only then the subscription is to be made anew, after the last event that was held. So a reader that never comes back
/// costs no more than the bound, and one that is merely slow gets on by a whole queue each time.
pub(crate) struct EventQueue {
    limits: QueueLimits,
    held: VecDeque<Batch>,
    /// Their number and bytes.
    holds: (usize, usize),
    /// Number and bytes of the events that the reader has not finished: they count as held.
    lent: (usize, usize),
    /// Dropped since the queue was full; `Some` until the reader is told.
    lagged: Option<u64>,
    /// The reader was told, and the subscription is not begun anew yet: what still comes, comes again.
    stale: bool,
    failure: Option<Error>,
    ended: bool,
}

/// What [`EventQueue::lend`] has for the reader.
#[derive(Debug, PartialEq)]
pub(crate) enum Lent {
    /// The events are with the reader.
    Events,
    /// After what was lent before, so many were dropped. `goes_on`: the subscription can be made anew.
    Lagged { dropped: u64, goes_on: bool },
    /// The last thing.
    Failed(Error),
    /// Not now.
    Nothing,
    /// Nothing more will come.
    Over,
}

impl EventQueue {
    pub(crate) fn new(limits: QueueLimits) -> Self {
        Self {
            limits,
            held: VecDeque::new(),
            holds: (0, 0),
            lent: (0, 0),
            lagged: None,
            stale: false,
            failure: None,
            ended: false,
        }
    }

    /// Takes the events of a batch, or as many as there is room for. Returns whether these were too many.
    pub(crate) fn append(&mut self, mut batch: Batch) -> bool {
        if batch.is_empty() || self.ended || self.stale {
            return false;
        }
        if let Some(dropped) = &mut self.lagged {
            *dropped += batch.events() as u64;
            return false;
        }
        let (held, lent, limits) = (self.holds, self.lent, self.limits);
        let fits = |events: usize, bytes: usize| {
            let (events, bytes) = (held.0 + lent.0 + events, held.1 + lent.1 + bytes);
            events <= limits.events && bytes <= limits.bytes
        };
        if fits(batch.events(), batch.bytes()) {
            self.hold(batch);
            return false;
        }
        // A single event is always let in, however large: otherwise it would never arrive.
        let none_held = self.held.is_empty();
        let front = batch.split_off_front(|events, bytes| none_held && events <= 1 || fits(events, bytes));
        self.hold(front);
        self.lagged = (batch.events() > 0).then_some(batch.events() as u64);
        self.lagged.is_some()
    }

    fn hold(&mut self, batch: Batch) {
        self.holds.0 += batch.events();
        self.holds.1 += batch.bytes();
        match self.held.back_mut() {
            Some(last) if last.events() + batch.events() <= SMALL => last.append(batch),
            _ => self.held.push_back(batch),
        }
    }

    /// How many events wait for the reader, besides those that it has.
    pub(crate) fn waiting(&self) -> usize {
        self.holds.0
    }

    /// What the reader got can not be used, and the subscription is to be begun anew: what is held goes, and what still
    /// comes of it. `false` when there is none any more.
    pub(crate) fn give_up(&mut self) -> bool {
        self.held.clear();
        (self.holds, self.lent, self.lagged) = ((0, 0), (0, 0), None);
        self.stale = !self.ended && self.failure.is_none();
        self.stale
    }

    /// The subscription is begun anew: from here on everything counts.
    pub(crate) fn begin_anew(&mut self) {
        self.stale = false;
    }

    /// The subscription has failed for good.
    pub(crate) fn fail(&mut self, error: Error) {
        self.failure.get_or_insert(error);
    }

    /// Nothing more will come. What is there can still be taken.
    pub(crate) fn end(&mut self) {
        self.ended = true;
    }

    /// Whether nothing is left and nothing more will come.
    pub(crate) fn is_over(&self) -> bool {
        self.ended && self.held.is_empty() && self.lagged.is_none() && self.failure.is_none()
    }

    /// Everything that is there goes into `batches`, which the reader has emptied: what was lent before is finished.
    pub(crate) fn lend(&mut self, batches: &mut VecDeque<Batch>) -> Lent {
        self.lent = std::mem::take(&mut self.holds);
        if !self.held.is_empty() {
            std::mem::swap(batches, &mut self.held);
            return Lent::Events;
        }
        if let Some(dropped) = self.lagged.take() {
            self.stale = !self.ended && self.failure.is_none();
            return Lent::Lagged { dropped, goes_on: self.stale };
        }
        if let Some(error) = self.failure.take() {
            self.ended = true;
            return Lent::Failed(error);
        }
        if self.ended { Lent::Over } else { Lent::Nothing }
    }
}

impl Content for EventQueue {
    fn is_ready(&self) -> bool {
        self.ended || !self.held.is_empty() || self.lagged.is_some() || self.failure.is_some()
    }
}
