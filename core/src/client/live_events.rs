//! The handle of `live_events`.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use futures_util::Stream;

use super::handle::Handle;
use crate::error::Result;
use crate::runtime::command::Command;
use crate::runtime::event::ChangeEvent;
use crate::runtime::event_queue::EventQueue;
use crate::schema::SeqId;

/// Everything that the server tells about a query, in order.
///
/// Dropping it ends the subscription. Events wait for a slow reader up to a bound; those beyond it are dropped, one
/// [`ChangeEvent::Lagged`] behind the held ones says so, and once that was taken the subscription goes on after the last
/// event before it.
///
/// It is also a [`Stream`].
pub struct LiveEvents(pub(super) Handle<EventQueue>);

impl LiveEvents {
    /// The subscription's name.
    pub fn id(&self) -> &Arc<str> {
        self.0.id()
    }

    /// Waits for the next event. `None` when the subscription is closed.
    ///
    /// # Errors
    /// Why the client ended it: `auth_failed`, `protocol`, `disconnected` when reconnecting is off or was given up. What
    /// the server says about this subscription comes as [`ChangeEvent::Error`]. Either is the last.
    pub async fn next(&mut self) -> Option<Result<ChangeEvent>> {
        loop {
            if let Some(event) = self.pop() {
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
        self.0.mailbox().ready().await;
    }

    /// The same by polling. The task of the latest call is woken, once for all events that arrived together.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.mailbox().poll_ready(cx)
    }

    /// At most `max` of the events that are there, without waiting. An error is the last.
    pub fn take(&self, max: usize) -> Vec<Result<ChangeEvent>> {
        let mut events = Vec::new();
        let mut again = None;
        self.0.mailbox().with(|queue| {
            while events.len() < max {
                let (event, restart) = queue.pop();
                again = again.or(restart);
                match event {
                    Some(event) => events.push(event),
                    None => break,
                }
            }
        });
        self.restart(again);
        events
    }

    /// The next event, if it is there.
    fn pop(&self) -> Option<Result<ChangeEvent>> {
        let (event, restart) = self.0.mailbox().with(EventQueue::pop);
        self.restart(restart);
        event
    }

    fn restart(&self, restart: Option<crate::runtime::event_queue::Restart>) {
        if let Some(restart) = restart {
            self.0.send(Command::Restart { key: self.0.key(), from: restart.from });
        }
    }

    /// The greatest version among the events that were taken: keep it, and [`with_from`] goes on after it.
    ///
    /// [`with_from`]: crate::SubscriptionOptions::with_from
    pub fn last_seq_id(&self) -> Option<SeqId> {
        self.0.mailbox().with(|queue| queue.handed_out())
    }

    /// Whether everything was taken and nothing more will come.
    pub fn is_over(&self) -> bool {
        self.0.mailbox().with(|queue| queue.is_over())
    }

    /// Ends the subscription and wakes who waits for it. Events that are there can still be taken. Closing twice is
    /// closing once.
    ///
    /// # Errors
    /// None now; a later version may tell that the server was not reached.
    pub async fn close(&self) -> Result<()> {
        self.0.close();
        Ok(())
    }
}

impl Stream for LiveEvents {
    type Item = Result<ChangeEvent>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.pop() {
                return Poll::Ready(Some(event));
            }
            if self.is_over() {
                return Poll::Ready(None);
            }
            ready!(self.poll_ready(cx));
        }
    }
}

impl fmt::Debug for LiveEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveEvents").field("id", self.id()).finish_non_exhaustive()
    }
}
