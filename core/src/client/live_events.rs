//! The handle of `live_events`.

use std::fmt;
use std::pin::Pin;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use futures_util::Stream;

use super::handle::Handle;
use crate::checkpoint::Checkpoint;
use crate::error::Result;
use crate::runtime::command::Command;
use crate::runtime::event::ChangeEvent;
use crate::runtime::event_queue::EventQueue;
use crate::runtime::event_reader::{Anew, EventReader};
use crate::schema::SeqId;

/// Everything that the server tells about a query, in order.
///
/// Dropping it ends the subscription. Events wait for a slow reader up to a bound; those beyond it are dropped, one
/// [`ChangeEvent::Lagged`] behind the held ones says so, and once that was taken the subscription goes on after the last
/// event before it.
///
/// It is also a [`Stream`].
pub struct LiveEvents {
    handle: Handle<EventQueue>,
    /// Only readers lock it.
    reader: Mutex<EventReader>,
}

impl LiveEvents {
    pub(super) fn new(handle: Handle<EventQueue>, from: Option<Checkpoint>) -> Self {
        let reader = Mutex::new(EventReader::new(handle.id().clone(), from));
        Self { handle, reader }
    }

    /// The subscription's name.
    pub fn id(&self) -> &str {
        self.handle.id()
    }

    /// Waits for the next event. `None` when the subscription is closed.
    ///
    /// # Errors
    /// Why the client ended it: `auth_failed`, `protocol`, `disconnected` when reconnecting is off or was given up. What
    /// the server says about this subscription comes as [`ChangeEvent::Error`]. Either is the last.
    pub async fn next(&mut self) -> Option<Result<ChangeEvent>> {
        loop {
            let reader = self.reader.get_mut().unwrap_or_else(PoisonError::into_inner);
            if let Some(event) = reader.next(self.handle.mailbox(), |anew| make_anew(&self.handle, anew)) {
                return Some(event);
            }
            if self.is_over() {
                return None;
            }
            self.ready().await;
        }
    }

    /// Waits until [`take`](Self::take) has something, or nothing more will come. Carries no data; may be cancelled at
    /// any time, and awaited by several tasks.
    pub async fn ready(&self) {
        if !self.reader().is_ready() {
            self.handle.mailbox().ready().await;
        }
    }

    /// The same by polling. The task of the latest call is woken, once for all events that arrived together.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.reader().is_ready() { Poll::Ready(()) } else { self.handle.mailbox().poll_ready(cx) }
    }

    /// At most `max` of the events that are there, without waiting. An error is the last.
    pub fn take(&self, max: usize) -> Vec<Result<ChangeEvent>> {
        let mut events = Vec::new();
        let mut reader = self.reader();
        while events.len() < max {
            match reader.next(self.handle.mailbox(), |anew| make_anew(&self.handle, anew)) {
                Some(event) => events.push(event),
                None => break,
            }
        }
        events
    }

    fn reader(&self) -> MutexGuard<'_, EventReader> {
        self.reader.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Where to go on: after everything that was taken. Keep its text, and [`with_from`] goes on from there. `None` before
    /// the first event with rows, and between the pages of a snapshot.
    ///
    /// [`with_from`]: crate::SubscriptionOptions::with_from
    pub fn checkpoint(&self) -> Option<Checkpoint> {
        self.reader().reached().checkpoint()
    }

    /// The greatest version that was taken: a number alone, which does not say whose it is.
    pub fn last_seq_id(&self) -> Option<SeqId> {
        self.reader().reached().last_seq_id()
    }

    /// Whether everything was taken and nothing more will come.
    pub fn is_over(&self) -> bool {
        !self.reader().is_ready() && self.handle.mailbox().with(|queue| queue.is_over())
    }

    /// Ends the subscription and wakes who waits for it. Events that are there can still be taken. Closing twice is
    /// closing once.
    ///
    /// # Errors
    /// None now; a later version may tell that the server was not reached.
    pub async fn close(&self) -> Result<()> {
        self.handle.close();
        Ok(())
    }
}

fn make_anew(handle: &Handle<EventQueue>, Anew { from, because }: Anew) {
    handle.send(Command::Restart { key: handle.key(), from, because });
}

impl Stream for LiveEvents {
    type Item = Result<ChangeEvent>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let this = &mut *self;
            let reader = this.reader.get_mut().unwrap_or_else(PoisonError::into_inner);
            if let Some(event) = reader.next(this.handle.mailbox(), |anew| make_anew(&this.handle, anew)) {
                return Poll::Ready(Some(event));
            }
            if this.is_over() {
                return Poll::Ready(None);
            }
            ready!(this.poll_ready(cx));
        }
    }
}

impl fmt::Debug for LiveEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveEvents").field("id", &self.id()).finish_non_exhaustive()
    }
}
