//! What the client wants from its user: tokens, and to tell what happened. The user's code is called by Python, from
//! the event loop or a thread of its own, never from here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use kalam_live::{Error, Lifecycle, LifecycleEvents};
use pyo3::prelude::*;
use pyo3::types::PyList;
use tokio::sync::oneshot;

use crate::error::exception;
use crate::handle::{Source, Taken};
use crate::mailbox::{Content, Mailbox};

/// More untold happenings than this and the oldest are dropped: nobody is listening.
const MOST_TIDINGS: usize = 1024;

/// One thing for the user's code.
enum Tidings {
    /// A token is needed.
    Token(oneshot::Sender<Result<String, String>>),
    /// The connection stands.
    Connected,
    /// The connection is gone.
    Disconnected(Error),
    /// Something failed that no call waits for.
    Error(Error),
}

#[derive(Default)]
struct Queue {
    tidings: VecDeque<Tidings>,
    closed: bool,
}

impl Content for Queue {
    fn is_ready(&self) -> bool {
        self.closed || !self.tidings.is_empty()
    }
}

/// A bounded queue of [`Tidings`], as a handle for Python.
#[derive(Clone, Default)]
pub(crate) struct Inbox(Arc<Mailbox<Queue>>);

impl Inbox {
    fn put(&self, tidings: Tidings) {
        self.0.update(|queue| {
            if queue.closed {
                return;
            }
            if queue.tidings.len() >= MOST_TIDINGS {
                queue.tidings.pop_front();
            }
            queue.tidings.push_back(tidings);
        });
    }

    /// Asks the user's token provider.
    pub(crate) async fn token(&self) -> Result<String, String> {
        let (answer, token) = oneshot::channel();
        self.put(Tidings::Token(answer));
        token
            .await
            .unwrap_or_else(|_| Err("the token provider was not called: the client is closed".to_owned()))
    }
}

/// Puts into an inbox what happens to a connection, and closes it when nothing more can.
pub(crate) struct Teller(Inbox);

impl Teller {
    pub(crate) fn new(inbox: Inbox) -> Self {
        Self(inbox)
    }

    pub(crate) fn inbox(&self) -> &Inbox {
        &self.0
    }

    /// Tells, if that is `wanted`, until the client is gone.
    pub(crate) async fn tell(self, mut events: LifecycleEvents, wanted: bool) {
        while let Some(event) = events.next().await {
            let tidings = match event {
                Lifecycle::Connected { .. } => Tidings::Connected,
                Lifecycle::Disconnected { error, .. } => Tidings::Disconnected(error),
                Lifecycle::ConnectFailed { error, .. } | Lifecycle::ServerError(error) => {
                    Tidings::Error(error)
                }
                Lifecycle::Repaired { .. } | Lifecycle::Closed => continue,
            };
            if wanted {
                self.0.put(tidings);
            }
        }
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Source for Inbox {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(cx)
    }

    /// A list of `(what, argument)`.
    fn take(&self, py: Python<'_>, max: usize) -> PyResult<Taken> {
        let (tidings, closed) = self.0.with(|queue| {
            let count = queue.tidings.len().min(max);
            (queue.tidings.drain(..count).collect::<Vec<_>>(), queue.closed)
        });
        if tidings.is_empty() {
            return Ok(if closed { Taken::Ended } else { Taken::Nothing });
        }
        let list = PyList::empty(py);
        for item in tidings {
            list.append(match item {
                Tidings::Token(answer) => {
                    let request = TokenRequest(Mutex::new(Some(answer)));
                    ("token", Bound::new(py, request)?.into_any())
                }
                Tidings::Connected => ("connect", py.None().into_bound(py)),
                Tidings::Disconnected(error) => ("disconnect", exception(py, &error)?),
                Tidings::Error(error) => ("error", exception(py, &error)?),
            })?;
        }
        Ok(Taken::Item(list.into_any().unbind()))
    }

    fn close(&self) {
        self.0.update(|queue| queue.closed = true);
    }
}

/// A wanted token. Dropping it unanswered counts as a failure.
#[pyclass(frozen, module = "kalam_live._native")]
pub(crate) struct TokenRequest(Mutex<Option<oneshot::Sender<Result<String, String>>>>);

impl TokenRequest {
    fn answer(&self, answer: Result<String, String>) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The attempt that wanted it may have timed out.
            let _ = sender.send(answer);
        }
    }
}

#[pymethods]
impl TokenRequest {
    /// Here it is.
    fn resolve(&self, token: String) {
        self.answer(Ok(token));
    }

    /// There is none; `reason` is shown to the user.
    fn fail(&self, reason: String) {
        self.answer(Err(reason));
    }
}
