//! When readers are woken: once for all that came in one go, and a moment later in a flood.

use std::future::Future;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use tokio::time::{Instant, Sleep};

use super::{FRAMES_PER_TURN, Owner};
use crate::runtime::subscriber::Sink;

/// So many frames in a turn, or in a [`HOLD`], are a flood: more is probably on its way, and waking a reader costs as much as
/// some ten frames.
const FLOOD: usize = 8;

/// How long changed rows wait for more of a flood. What a reader then takes is put together from more changes; events get no
/// fewer by it, and their readers had better begin.
const HOLD: Duration = Duration::from_millis(1);

/// Changed rows that wait for more.
pub(super) struct Held {
    until: Option<Instant>,
    /// When frames were begun to be counted, and how many there were.
    counted: (Instant, usize),
    /// When there were too many last.
    flood: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Held {
    /// Whether more came within a [`HOLD`] than readers should be woken for.
    fn sees_flood(&mut self, now: Instant, frames: usize) -> bool {
        let (since, count) = self.counted;
        self.counted = if now - since < HOLD { (since, count + frames) } else { (now, frames) };
        if self.counted.1 >= FLOOD {
            self.flood = Some(now);
        }
        self.flood.is_some_and(|flood| now - flood < HOLD)
    }
}

impl Default for Held {
    fn default() -> Self {
        Self {
            until: None,
            counted: (Instant::now(), 0),
            flood: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }
}

impl Owner {
    /// Whether events are to wait for more, after a turn with so many frames.
    pub(super) fn is_flooded(&mut self, frames: usize) -> bool {
        self.undelivered += frames;
        frames >= FLOOD && self.undelivered < FRAMES_PER_TURN && !self.closed
    }

    /// Whether rows are.
    pub(super) fn holds_back(&mut self, cx: &mut Context<'_>, frames: usize) -> bool {
        if self.touched.is_empty() || self.closed {
            return false;
        }
        let now = Instant::now();
        if !self.held.sees_flood(now, frames) {
            return false;
        }
        let until = *self.held.until.get_or_insert(now + HOLD);
        if now >= until {
            return false;
        }
        if self.held.timer.deadline() != until {
            self.held.timer.as_mut().reset(until);
        }
        self.held.timer.as_mut().poll(cx).is_pending()
    }

    /// Hands over to the readers that got something, and wakes each once.
    pub(super) fn deliver(&mut self, rows: bool) {
        if rows {
            self.held.until = None;
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.retain(|key| {
            let Some(subscriber) = self.subscribers.get_mut(key) else { return false };
            if !rows && matches!(subscriber.sink, Sink::Rows(_)) {
                return true;
            }
            subscriber.touched = false;
            let applied = subscriber.sink.deliver();
            self.after(*key, applied);
            false
        });
        // Delivering may have touched others.
        touched.append(&mut self.touched);
        self.touched = touched;
    }
}
