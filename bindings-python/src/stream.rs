//! Live queries and event streams as handles. Opening one asks the server, so it is a task that the handle waits for
//! like for everything else.

use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use kalam_live::{ChangeEvent, Error, ErrorCode, LiveEvents, LiveRows, Reached, Result, runtime};
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{PyTraverseError, PyVisit};
use tokio::task::AbortHandle;

use crate::cache::RowCache;
use crate::error::raise;
use crate::event::PyEvent;
use crate::handle::{Handle, Source, Taken};
use crate::mailbox::{Content, Mailbox};
use crate::names::Names;
use crate::rows::PyRows;

/// Where a subscription stands while it is opened.
#[derive(Default)]
enum Opening<S> {
    #[default]
    Running,
    Done(Result<S>),
    /// It was handed over, its error was told, or it was closed before.
    Over,
}

impl<S> Content for Opening<S> {
    fn is_ready(&self) -> bool {
        !matches!(self, Self::Running)
    }
}

/// A subscription that is being opened, or is open.
struct Opened<S> {
    opening: Arc<Mailbox<Opening<S>>>,
    task: AbortHandle,
    open: OnceLock<S>,
}

impl<S: Send + Sync + 'static> Opened<S> {
    fn start(open: impl Future<Output = Result<S>> + Send + 'static) -> PyResult<Self> {
        let opening = Arc::new(Mailbox::default());
        let answer = Answer(opening.clone());
        let task = runtime::shared().map_err(raise)?.spawn(async move {
            let opened = open.await;
            answer.give(opened);
        });
        Ok(Self { opening, task: task.abort_handle(), open: OnceLock::new() })
    }

    /// The open subscription; `None` while it is opened and when it never will be.
    fn get(&self) -> Option<&S> {
        self.open.get()
    }

    /// Ready with the open subscription, or without when `take` has to tell why there is none.
    fn poll(&self, cx: &mut Context<'_>) -> Poll<Option<&S>> {
        if self.open.get().is_none() {
            ready!(self.opening.poll_ready(cx));
            self.hand_over();
        }
        Poll::Ready(self.open.get())
    }

    /// The open subscription; the error when opening failed, once; `None` before and after.
    fn take(&self) -> Result<Option<&S>> {
        if self.open.get().is_none() {
            self.hand_over();
        }
        if self.open.get().is_some() {
            return Ok(self.open.get());
        }
        self.opening.with(|opening| match std::mem::replace(opening, Opening::Over) {
            Opening::Done(Err(error)) => Err(error),
            Opening::Running => {
                *opening = Opening::Running;
                Ok(None)
            }
            Opening::Done(Ok(_)) | Opening::Over => Ok(None),
        })
    }

    fn hand_over(&self) {
        let opened = self.opening.with(|opening| match std::mem::replace(opening, Opening::Over) {
            Opening::Done(Ok(open)) => Some(open),
            other => {
                *opening = other;
                None
            }
        });
        if let Some(open) = opened {
            // Nobody else has one.
            let _ = self.open.set(open);
        }
    }

    /// Whether nothing will ever come.
    fn is_over(&self) -> bool {
        self.open.get().is_none() && self.opening.with(|opening| matches!(opening, Opening::Over))
    }

    /// Gives up while it is being opened. Returns what is open.
    fn close(&self) -> Option<&S> {
        self.task.abort();
        if self.open.get().is_none() {
            self.hand_over();
            self.opening.update(|opening| *opening = Opening::Over);
        }
        self.open.get()
    }
}

impl<S> Drop for Opened<S> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Whoever waits gets an answer, also when the task is dropped without one.
struct Answer<S>(Arc<Mailbox<Opening<S>>>);

impl<S> Answer<S> {
    fn give(&self, opened: Result<S>) {
        self.0.update(|opening| {
            if matches!(opening, Opening::Running) {
                *opening = Opening::Done(opened);
            }
        });
    }
}

impl<S> Drop for Answer<S> {
    fn drop(&mut self) {
        self.give(Err(Error::new(ErrorCode::Closed, "the runtime of this process was stopped")));
    }
}

/// Live rows.
struct Live {
    opened: Opened<LiveRows>,
    cache: Py<RowCache>,
}

/// Starts to open a live query. `model` is called with each row and makes what the caller sees.
pub(crate) fn live(
    py: Python<'_>,
    open: impl Future<Output = Result<LiveRows>> + Send + 'static,
    model: Option<Py<PyAny>>,
) -> PyResult<Handle> {
    Ok(Handle::new(Live { opened: Opened::start(open)?, cache: RowCache::new(py, model)? }))
}

impl Source for Live {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        match ready!(self.opened.poll(cx)) {
            Some(live) => live.poll_ready(cx),
            None => Poll::Ready(()),
        }
    }

    /// The newest rows.
    fn take(&self, py: Python<'_>, _max: usize) -> PyResult<Taken> {
        let Some(live) = self.opened.take().map_err(raise)? else {
            return Ok(if self.opened.is_over() { Taken::Ended } else { Taken::Nothing });
        };
        match live.take_rows() {
            Some(Ok(rows)) => Ok(Taken::Item(PyRows::make(py, rows, &self.cache)?)),
            Some(Err(error)) => Err(raise(error)),
            None if live.is_over() => Ok(Taken::Ended),
            None => Ok(Taken::Nothing),
        }
    }

    fn close(&self) {
        if let Some(live) = self.opened.close() {
            at_once(live.close());
        }
    }

    fn id(&self) -> Option<String> {
        self.opened.get().map(|live| live.id().to_string())
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.cache)
    }
}

/// Raw events.
struct Events {
    opened: Opened<LiveEvents>,
    state: Mutex<EventsState>,
}

struct EventsState {
    names: Option<Arc<Names>>,
    reached: Reached,
    /// Ended the stream; told after the events before it.
    failure: Option<Error>,
}

/// Starts to open a stream of events.
pub(crate) fn events(open: impl Future<Output = Result<LiveEvents>> + Send + 'static) -> PyResult<Handle> {
    let state = EventsState { names: None, reached: Reached::new(None), failure: None };
    Ok(Handle::new(Events { opened: Opened::start(open)?, state: Mutex::new(state) }))
}

impl Source for Events {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.state().failure.is_some() {
            return Poll::Ready(());
        }
        match ready!(self.opened.poll(cx)) {
            Some(events) => events.poll_ready(cx),
            None => Poll::Ready(()),
        }
    }

    /// A list of at most `max` events. What ended the stream is raised, whoever it was.
    fn take(&self, py: Python<'_>, max: usize) -> PyResult<Taken> {
        let Some(events) = self.opened.take().map_err(raise)? else {
            return Ok(if self.opened.is_over() { Taken::Ended } else { Taken::Nothing });
        };
        let mut state = self.state();
        let state = &mut *state;
        if let Some(failure) = state.failure.take() {
            return Err(raise(failure));
        }
        let list = PyList::empty(py);
        for event in events.take(max) {
            match event.and_then(unless_error) {
                Ok(event) => {
                    state.reached.pass(&event);
                    let checkpoint = state.reached.checkpoint();
                    list.append(Bound::new(py, PyEvent::new(py, event, checkpoint, &mut state.names)?)?)?;
                }
                Err(failure) => state.failure = Some(failure),
            }
        }
        if !list.is_empty() {
            return Ok(Taken::Item(list.into_any().unbind()));
        }
        match state.failure.take() {
            Some(failure) => Err(raise(failure)),
            None if events.is_over() => Ok(Taken::Ended),
            None => Ok(Taken::Nothing),
        }
    }

    fn close(&self) {
        if let Some(events) = self.opened.close() {
            at_once(events.close());
        }
    }

    fn id(&self) -> Option<String> {
        self.opened.get().map(|events| events.id().to_string())
    }
}

impl Events {
    fn state(&self) -> MutexGuard<'_, EventsState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// In Python an exception says that it is over, not one event more.
fn unless_error(event: ChangeEvent) -> Result<ChangeEvent> {
    let ChangeEvent::Error { code, message, server_code, .. } = event else { return Ok(event) };
    let error = Error::new(code, message);
    Err(match server_code {
        Some(server_code) => error.with_server_code(server_code),
        None => error,
    })
}

/// Closing does its work in the first step, and has nothing to wait for.
fn at_once(close: impl Future<Output = Result<()>>) {
    let _ = pin!(close).poll(&mut Context::from_waker(Waker::noop()));
}
