//! What the owner task shows of itself: state, lifecycle events, counters.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use tokio::sync::watch;

use super::mailbox::{Content, Mailbox};
use crate::converge::VerifyCounters;
use crate::error::Error;
use crate::machine;
use crate::machine::Lifecycle;
use crate::protocol::Announcement;

/// The state of a client's connection.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ConnectionState {
    /// Not connected and not trying.
    Idle,
    /// Connecting for the first time.
    Connecting {
        /// Number of the attempt, from 1.
        attempt: u32,
    },
    /// Connected and authenticated.
    Connected,
    /// The connection was lost; a new one is being made.
    Reconnecting {
        /// Number of the attempt, from 1.
        attempt: u32,
    },
    /// Over. With an error: given up; the next use of the client tries again. Without: closed for good.
    Closed {
        /// Why it was given up.
        error: Option<Error>,
    },
}

impl From<machine::ConnectionState> for ConnectionState {
    fn from(state: machine::ConnectionState) -> Self {
        match state {
            machine::ConnectionState::Idle => Self::Idle,
            machine::ConnectionState::Connecting { attempt } => Self::Connecting { attempt },
            machine::ConnectionState::Connected => Self::Connected,
            machine::ConnectionState::Reconnecting { attempt, .. } => Self::Reconnecting { attempt },
            machine::ConnectionState::Closed { error } => Self::Closed { error },
        }
    }
}

/// What a client has counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// What the connection has counted.
    pub connection: machine::Counters,
    /// How often an event reader was too slow and events were dropped.
    pub lagged: u64,
    /// What checking live rows has cost and found.
    pub verify: VerifyCounters,
}

/// Shared by the owner task, which writes, and the client, which reads.
pub(crate) struct Status {
    state: watch::Sender<ConnectionState>,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    counters: Counters,
    server: Option<Announcement>,
    listeners: Vec<Weak<Mailbox<LifecycleQueue>>>,
    over: bool,
}

impl Status {
    pub(crate) fn new() -> Self {
        Self { state: watch::Sender::new(ConnectionState::Idle), inner: Mutex::default() }
    }

    pub(crate) fn watch(&self) -> watch::Receiver<ConnectionState> {
        self.state.subscribe()
    }

    pub(crate) fn state(&self) -> ConnectionState {
        self.state.borrow().clone()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.lock().counters
    }

    /// What the server told about itself at the latest connect.
    pub(crate) fn server(&self) -> Option<Announcement> {
        self.lock().server.clone()
    }

    /// Everything from now on.
    pub(crate) fn listen(&self) -> Arc<Mailbox<LifecycleQueue>> {
        let mut inner = self.lock();
        let queue = LifecycleQueue { over: inner.over, ..LifecycleQueue::default() };
        let mailbox = Arc::new(Mailbox::new(queue));
        inner.listeners.retain(|listener| listener.strong_count() > 0);
        inner.listeners.push(Arc::downgrade(&mailbox));
        mailbox
    }

    pub(super) fn set_state(&self, state: ConnectionState) {
        self.state.send_if_modified(|current| {
            let differs = *current != state;
            *current = state;
            differs
        });
    }

    pub(super) fn set_counters(&self, counters: Counters) {
        self.lock().counters = counters;
    }

    pub(super) fn tell(&self, event: &Lifecycle) {
        let listeners: Vec<_> = {
            let mut inner = self.lock();
            if let Lifecycle::Connected { server, .. } = event {
                inner.server.clone_from(server);
            }
            inner.listeners.iter().filter_map(Weak::upgrade).collect()
        };
        for listener in listeners {
            listener.with(|queue| queue.push(event.clone()));
            listener.wake();
        }
    }

    /// Nothing more will come.
    pub(crate) fn end(&self) {
        let listeners = {
            let mut inner = self.lock();
            inner.over = true;
            std::mem::take(&mut inner.listeners)
        };
        for listener in listeners.iter().filter_map(Weak::upgrade) {
            listener.with(|queue| queue.over = true);
            listener.wake();
        }
        if !matches!(*self.state.borrow(), ConnectionState::Closed { .. }) {
            self.set_state(ConnectionState::Closed { error: None });
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Lifecycle events that a listener has not taken yet.
#[derive(Default)]
pub(crate) struct LifecycleQueue {
    events: VecDeque<Lifecycle>,
    missed: u64,
    over: bool,
}

impl LifecycleQueue {
    const MOST: usize = 1024;

    fn push(&mut self, event: Lifecycle) {
        if self.events.len() == Self::MOST {
            self.events.pop_front();
            self.missed += 1;
        }
        self.events.push_back(event);
    }

    /// The oldest event; `None` with `true` when nothing more will come.
    pub(crate) fn pop(&mut self) -> (Option<Lifecycle>, bool) {
        (self.events.pop_front(), self.over)
    }

    /// How many events were dropped because they were not taken.
    pub(crate) fn missed(&self) -> u64 {
        self.missed
    }
}

impl Content for LifecycleQueue {
    fn is_ready(&self) -> bool {
        self.over || !self.events.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_that_does_not_listen_is_bounded() {
        let status = Status::new();
        let listener = status.listen();
        drop(status.listen());
        for _ in 0..LifecycleQueue::MOST + 5 {
            status.tell(&Lifecycle::Closed);
        }
        status.end();
        assert_eq!(status.state(), ConnectionState::Closed { error: None });
        listener.with(|queue| {
            assert_eq!(queue.missed(), 5);
            let taken = std::iter::from_fn(|| queue.pop().0).count();
            assert_eq!(taken, LifecycleQueue::MOST);
            assert_eq!(queue.pop(), (None, true));
        });
        assert_eq!(status.listen().with(LifecycleQueue::pop), (None, true));
    }
}
