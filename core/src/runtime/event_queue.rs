//! The events of one `live_events` handle that were not taken yet: bounded, and never silent about it.

use std::collections::VecDeque;
use std::sync::Arc;

use super::event::ChangeEvent;
use super::mailbox::Content;
use crate::error::Error;

/// How much an event handle holds for a reader that is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueueLimits {
    pub(crate) events: usize,
    pub(crate) bytes: usize,
}

/// Events of one subscription.
///
/// When it is full, further events are dropped until the reader has taken what is held and the one `Lagged` behind it:
/// only then the subscription is to be made anew, after the last event that was held. So a reader that never comes back
/// costs no more than the bound, and one that is merely slow gets on by a whole queue each time.
pub(crate) struct EventQueue {
    id: Arc<str>,
    limits: QueueLimits,
    events: VecDeque<ChangeEvent>,
    bytes: usize,
    /// Events that the reader has not finished, and their bytes: they count as held.
    lent: (usize, usize),
    /// Dropped since the queue was full; `Some` until the reader is told.
    lagged: Option<u64>,
    failure: Option<Error>,
    ended: bool,
}

/// What [`EventQueue::lend`] has for the reader.
#[derive(Debug, PartialEq)]
pub(crate) enum Lent {
    /// The events are in the reader's buffer.
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
    pub(crate) fn new(id: Arc<str>, limits: QueueLimits) -> Self {
        Self {
            id,
            limits,
            events: VecDeque::new(),
            bytes: 0,
            lent: (0, 0),
            lagged: None,
            failure: None,
            ended: false,
        }
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Puts one event in. Returns whether this one was too much.
    pub(crate) fn push(&mut self, event: ChangeEvent) -> bool {
        if self.ended {
            return false;
        }
        if let Some(dropped) = &mut self.lagged {
            *dropped += 1;
            return false;
        }
        let weight = event.weight();
        let (events, bytes) = (self.events.len() + self.lent.0, self.bytes + self.lent.1);
        // A single event is always let in, however large: otherwise it would never arrive.
        let full =
            !self.events.is_empty() && (events >= self.limits.events || bytes + weight > self.limits.bytes);
        if full {
            self.lagged = Some(1);
        } else {
            self.bytes += weight;
            self.events.push_back(event);
        }
        full
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
        self.ended && self.events.is_empty() && self.lagged.is_none() && self.failure.is_none()
    }

    /// Everything that is there goes into `buffer`, which the reader has emptied: what was lent before is finished.
    pub(crate) fn lend(&mut self, buffer: &mut VecDeque<ChangeEvent>) -> Lent {
        self.lent = (0, 0);
        if !self.events.is_empty() {
            self.lent = (self.events.len(), std::mem::take(&mut self.bytes));
            std::mem::swap(buffer, &mut self.events);
            return Lent::Events;
        }
        if let Some(dropped) = self.lagged.take() {
            return Lent::Lagged { dropped, goes_on: !self.ended && self.failure.is_none() };
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
        self.ended || !self.events.is_empty() || self.lagged.is_some() || self.failure.is_some()
    }
}
