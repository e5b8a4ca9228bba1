//! The events of one `live_events` handle that were not taken yet: bounded, and never silent about it.

use std::collections::VecDeque;

use super::event::ChangeEvent;
use super::mailbox::Content;
use crate::error::Error;

/// How much an event handle holds for a reader that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// Events and about how many bytes they keep alive.
#[derive(Default)]
pub(crate) struct Batch {
    events: VecDeque<ChangeEvent>,
    bytes: usize,
}

impl Batch {
    pub(crate) fn push(&mut self, event: ChangeEvent) {
        self.bytes += event.weight();
        self.events.push_back(event);
    }

    pub(crate) fn pop(&mut self) -> Option<ChangeEvent> {
        let event = self.events.pop_front()?;
        self.bytes = if self.events.is_empty() { 0 } else { self.bytes };
        Some(event)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Moves everything behind what is here.
    fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            // No event is moved, and both keep their space.
            std::mem::swap(self, other);
        } else {
            self.events.append(&mut other.events);
            self.bytes += std::mem::take(&mut other.bytes);
        }
    }
}

/// Events of one subscription.
///
/// When it is full, further events are dropped until the reader has taken what is held and the one `Lagged` behind it:
/// only then the subscription is to be made anew, after the last event that was held. So a reader that never comes back
/// costs no more than the bound, and one that is merely slow gets on by a whole queue each time.
pub(crate) struct EventQueue {
    limits: QueueLimits,
    held: Batch,
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
    /// The events are in the reader's batch.
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
            held: Batch::default(),
            lent: (0, 0),
            lagged: None,
            stale: false,
            failure: None,
            ended: false,
        }
    }

    /// Takes the events of a batch, or as many as there is room for. Returns whether these were too many.
    pub(crate) fn append(&mut self, batch: &mut Batch) -> bool {
        if self.ended || self.stale {
            *batch = Batch::default();
            return false;
        }
        if let Some(dropped) = &mut self.lagged {
            *dropped += batch.events.len() as u64;
            *batch = Batch::default();
            return false;
        }
        let room_for =
            |events: usize, bytes: usize| events <= self.limits.events && bytes <= self.limits.bytes;
        let (events, bytes) = (self.held.events.len() + self.lent.0, self.held.bytes + self.lent.1);
        if room_for(events + batch.events.len(), bytes + batch.bytes) {
            self.held.append(batch);
            return false;
        }
        while let Some(event) = batch.events.front() {
            let (events, bytes) = (self.held.events.len() + self.lent.0, self.held.bytes + self.lent.1);
            // A single event is always let in, however large: otherwise it would never arrive.
            if !self.held.is_empty() && !room_for(events + 1, bytes + event.weight()) {
                break;
            }
            self.held.bytes += event.weight();
            self.held.events.extend(batch.events.pop_front());
        }
        let dropped = std::mem::take(batch).events.len() as u64;
        self.lagged = (dropped > 0).then_some(dropped);
        self.lagged.is_some()
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

    /// Everything that is there goes into `batch`, which the reader has emptied: what was lent before is finished.
    pub(crate) fn lend(&mut self, batch: &mut Batch) -> Lent {
        self.lent = (0, 0);
        if !self.held.is_empty() {
            self.lent = (self.held.events.len(), self.held.bytes);
            batch.append(&mut self.held);
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
