//! One-shot calls: a future of the core as a handle.

use std::future::Future;
use std::sync::Arc;
use std::task::{Context, Poll};

use kalam_live::{Error, ErrorCode, Result, runtime};
use pyo3::prelude::*;
use tokio::task::AbortHandle;

use crate::error::raise;
use crate::handle::{Handle, Source, Taken};
use crate::mailbox::{Content, Mailbox};

/// Makes the Python result out of the Rust one, on the caller's thread.
type Finish = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

#[derive(Default)]
enum State {
    #[default]
    Running,
    Done(Result<Finish>),
    Taken,
}

impl Content for State {
    fn is_ready(&self) -> bool {
        !matches!(self, Self::Running)
    }
}

struct Operation {
    state: Arc<Mailbox<State>>,
    task: AbortHandle,
}

/// Starts `future` on the shared runtime. `finish` turns its value into the Python result when it is taken.
pub(crate) fn start<T, F>(
    future: F,
    finish: impl FnOnce(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + 'static,
) -> PyResult<Handle>
where
    T: Send + 'static,
    F: Future<Output = Result<T>> + Send + 'static,
{
    let state = Arc::new(Mailbox::default());
    let mut guard = Answer(Some(state.clone()));
    let task = runtime::shared().map_err(raise)?.spawn(async move {
        let done = future.await.map(|value| Box::new(move |py: Python<'_>| finish(py, value)) as Finish);
        guard.give(done);
    });
    Ok(Handle::new(Operation { state, task: task.abort_handle() }))
}

/// Whoever waits gets an answer, also when the task is dropped without one.
struct Answer(Option<Arc<Mailbox<State>>>);

impl Answer {
    fn give(&mut self, result: Result<Finish>) {
        if let Some(state) = self.0.take() {
            state.update(|state| {
                if matches!(state, State::Running) {
                    *state = State::Done(result);
                }
            });
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        let what = if std::thread::panicking() {
            Error::new(ErrorCode::Server, "the call failed inside kalam_live: please report it, with the log")
        } else {
            Error::new(ErrorCode::Closed, "the call was cancelled")
        };
        self.give(Err(what));
    }
}

impl Source for Operation {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.state.poll_ready(cx)
    }

    fn take(&self, py: Python<'_>, _max: usize) -> PyResult<Taken> {
        let state = self.state.with(|state| match state {
            State::Running => State::Running,
            _ => std::mem::replace(state, State::Taken),
        });
        match state {
            State::Running => Ok(Taken::Nothing),
            State::Done(Ok(finish)) => finish(py).map(Taken::Item),
            State::Done(Err(error)) => Err(raise(error)),
            State::Taken => Ok(Taken::Ended),
        }
    }

    fn close(&self) {
        self.task.abort();
    }
}

impl Drop for Operation {
    /// A call that nobody waits for any more is given up.
    fn drop(&mut self) {
        self.task.abort();
    }
}
