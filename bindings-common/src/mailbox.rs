//! Content that background tasks put in and one reader takes out.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

/// Whether there is something to take.
pub(crate) trait Content: Default {
    fn is_ready(&self) -> bool;
}

/// Content with who waits for it. The lock is held only to look, put or take, so the thread of an interpreter may take it.
#[derive(Default)]
pub(crate) struct Mailbox<T>(Mutex<(T, Option<Waker>)>);

impl<T: Content> Mailbox<T> {
    /// Changes the content, and wakes who waits for it if there is something to take then.
    pub(crate) fn update<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        let mut inner = self.lock();
        let result = f(&mut inner.0);
        let waiter = if inner.0.is_ready() { inner.1.take() } else { None };
        drop(inner);
        if let Some(waiter) = waiter {
            waiter.wake();
        }
        result
    }

    /// Takes or looks; wakes nobody.
    pub(crate) fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        f(&mut self.lock().0)
    }

    /// Ready when there is something to take. Otherwise the waker of the latest call is woken once there is.
    pub(crate) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut inner = self.lock();
        if inner.0.is_ready() {
            return Poll::Ready(());
        }
        inner.1 = Some(cx.waker().clone());
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, (T, Option<Waker>)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
