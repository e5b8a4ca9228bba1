//! What a language waits for and takes as packets.

mod call;
mod events;
mod query;
mod records;
mod rows;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use kalam_live::{Error, Result};

use crate::Taken;
use crate::packet::Packet;

pub use call::start as call;
pub(crate) use events::start as events;
pub(crate) use query::start as query;
pub(crate) use records::{jobs, poll};
pub(crate) use rows::start as rows;

/// A running call, a live query, a stream of events.
pub trait Source: Send + Sync {
    /// Ready when `take` has something to give: a result, rows, events, an error or the end. Carries no data, so a wait
    /// that is given up loses nothing.
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()>;

    /// Puts what is there now into the packet. Never blocks. Of events at most `max`.
    ///
    /// # Errors
    /// What it has failed with, once.
    fn take(&self, packet: &mut Packet, max: usize) -> Result<Taken<()>>;

    /// Puts the next of the rows that did not fit into the packet of `take`.
    fn more(&self, _packet: &mut Packet) {}

    /// Ends it and wakes whoever waits. May be called often, and at the same time as anything else.
    fn close(&self);

    /// The subscription's id, where it has one.
    fn id(&self) -> Option<&str> {
        None
    }
}

/// Something that is waited for, whether or not it could be started.
pub(crate) fn boxed(source: Result<impl Source + 'static>) -> Box<dyn Source> {
    match source {
        Ok(source) => Box::new(source),
        Err(error) => Box::new(Failed(Mutex::new(Some(error)))),
    }
}

/// What could not even be started.
struct Failed(Mutex<Option<Error>>);

impl Source for Failed {
    fn poll_ready(&self, _cx: &mut Context<'_>) -> Poll<()> {
        Poll::Ready(())
    }

    fn take(&self, _packet: &mut Packet, _max: usize) -> Result<Taken<()>> {
        locked(&self.0).take().map_or(Ok(Taken::Ended), Err)
    }

    fn close(&self) {}
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
