//! The connection, watched from outside.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_util::Stream;
use tokio::sync::watch;

use crate::machine::Lifecycle;
use crate::runtime::mailbox::Mailbox;
use crate::runtime::status::{ConnectionState, LifecycleQueue};

/// The state of the connection as a value that can be watched. A watcher that is behind sees the newest state only; see
/// [`LifecycleEvents`] for every step.
#[derive(Clone, Debug)]
pub struct StateWatch(pub(super) watch::Receiver<ConnectionState>);

impl StateWatch {
    /// The state now.
    pub fn get(&self) -> ConnectionState {
        self.0.borrow().clone()
    }

    /// Waits for a state that was not seen by this watch yet. `None` when the client is gone. May be cancelled.
    pub async fn changed(&mut self) -> Option<ConnectionState> {
        self.0.changed().await.ok()?;
        Some(self.0.borrow_and_update().clone())
    }

    /// Waits for a state. `false` when the client is gone before.
    pub async fn wait_for(&mut self, condition: impl FnMut(&ConnectionState) -> bool) -> bool {
        self.0.wait_for(condition).await.is_ok()
    }
}

/// What happens to the connection, in order, from the call on that made it. Holds the newest 1,024 events for a reader
/// that is behind.
pub struct LifecycleEvents(pub(super) Arc<Mailbox<LifecycleQueue>>);

impl LifecycleEvents {
    /// The next event; `None` when the client is closed. May be cancelled.
    pub async fn next(&mut self) -> Option<Lifecycle> {
        loop {
            match self.0.with(LifecycleQueue::pop) {
                (Some(event), _) => return Some(event),
                (None, true) => return None,
                (None, false) => self.0.ready().await,
            }
        }
    }

    /// An event that is there already.
    pub fn try_next(&mut self) -> Option<Lifecycle> {
        self.0.with(LifecycleQueue::pop).0
    }

    /// Ready when there is an event, or nothing more will come. The task of the latest call is woken.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(cx)
    }

    /// How many events were dropped because this was not read.
    pub fn missed(&self) -> u64 {
        self.0.with(|queue| queue.missed())
    }
}

impl Stream for LifecycleEvents {
    type Item = Lifecycle;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Lifecycle>> {
        loop {
            match self.0.with(LifecycleQueue::pop) {
                (None, false) => std::task::ready!(self.0.poll_ready(cx)),
                (event, _) => return Poll::Ready(event),
            }
        }
    }
}
