//! One-shot calls: a future of the core that runs by itself and is asked for its result.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use kalam_live::{Error, ErrorCode, Result, runtime};
use tokio::task::AbortHandle;

use crate::Taken;
use crate::mailbox::{Content, Mailbox};

#[derive(Default)]
enum State<T> {
    #[default]
    Running,
    Done(Result<T>),
    /// It was taken, or closed before it was done.
    Over,
}

impl<T> Content for State<T> {
    fn is_ready(&self) -> bool {
        !matches!(self, Self::Running)
    }
}

/// A running call. Dropping it gives the call up.
pub struct Operation<T> {
    state: Arc<Mailbox<State<T>>>,
    task: AbortHandle,
}

impl<T: Send + 'static> Operation<T> {
    /// Starts `future` on the shared runtime.
    ///
    /// # Errors
    /// `config` when the system gives no threads.
    pub fn start(future: impl Future<Output = Result<T>> + Send + 'static) -> Result<Self> {
        let state = Arc::new(Mailbox::default());
        let mut answer = Answer(Some(state.clone()));
        let task = runtime::shared()?.spawn(async move {
            let done = future.await;
            answer.give(done);
        });
        Ok(Self { state, task: task.abort_handle() })
    }

    /// Ready when there is a result, or none will come.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.state.poll_ready(cx)
    }

    /// The result, once.
    ///
    /// # Errors
    /// What the call has failed with, once; `closed` when it was cancelled.
    pub fn take(&self) -> Result<Taken<T>> {
        let state = self.state.with(|state| match state {
            State::Running => State::Running,
            _ => std::mem::replace(state, State::Over),
        });
        match state {
            State::Running => Ok(Taken::Nothing),
            State::Done(result) => result.map(Taken::Item),
            State::Over => Ok(Taken::Ended),
        }
    }

    /// Gives the result of a call that succeeded to `f`, if it is there; leaves an error for [`take`](Self::take).
    pub(crate) fn with_result(&self, f: impl FnOnce(T)) {
        let done = self.state.with(|state| match std::mem::replace(state, State::Over) {
            State::Done(Ok(result)) => Some(result),
            other => {
                *state = other;
                None
            }
        });
        if let Some(result) = done {
            f(result);
        }
    }

    /// Gives the call up; who waits gets the error `closed`.
    pub fn close(&self) {
        self.task.abort();
    }

    /// Gives the call up; who waits gets the end.
    pub(crate) fn end(&self) {
        self.state.update(|state| *state = State::Over);
        self.task.abort();
    }
}

impl<T> Drop for Operation<T> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whoever waits gets an answer, also when the task is dropped without one.
struct Answer<T>(Option<Arc<Mailbox<State<T>>>>);

impl<T> Answer<T> {
    fn give(&mut self, result: Result<T>) {
        if let Some(state) = self.0.take() {
            state.update(|state| {
                if matches!(state, State::Running) {
                    *state = State::Done(result);
                }
            });
        }
    }
}

impl<T> Drop for Answer<T> {
    fn drop(&mut self) {
        let what = if std::thread::panicking() {
            Error::new(ErrorCode::Server, "the call failed inside the client: please report it, with the log")
        } else {
            Error::new(ErrorCode::Closed, "the call was cancelled")
        };
        self.give(Err(what));
    }
}
