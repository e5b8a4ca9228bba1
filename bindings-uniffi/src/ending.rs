//! Waits that can be given up from outside: Swift can not tell a Rust future that it is not wanted any more.

use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

/// Whether the wait is to end, whatever it waits for.
#[derive(Default)]
pub(crate) struct Ending(Mutex<State>);

#[derive(Default)]
struct State {
    has_come: bool,
    waiting: Option<Waker>,
}

impl Ending {
    /// Ready when it has come; otherwise the waker of the latest call is woken once it does.
    pub(crate) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if state.has_come {
            return Poll::Ready(());
        }
        state.waiting = Some(cx.waker().clone());
        Poll::Pending
    }

    /// It comes, for now and later.
    pub(crate) fn come(&self) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.has_come = true;
        let waiting = state.waiting.take();
        drop(state);
        if let Some(waiting) = waiting {
            waiting.wake();
        }
    }
}
