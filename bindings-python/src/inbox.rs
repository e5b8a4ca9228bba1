//! What the client wants from its user, as a handle.

use std::task::{Context, Poll};

use kalam_bindings::{Connection, Inbox, Taken, Tidings, TokenRequest};
use kalam_live::Repair;
use pyo3::prelude::*;
use pyo3::types::{PyList, PyString};

use crate::error::exception;
use crate::handle::Source;

/// The inbox of a client, as a source of lists of `(what, argument)`.
pub(crate) struct PyInbox(pub(crate) Inbox);

impl Source for PyInbox {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(cx)
    }

    fn take(&self, py: Python<'_>, max: usize) -> PyResult<Taken<Py<PyAny>>> {
        let tidings = match self.0.take(max) {
            Taken::Item(tidings) => tidings,
            Taken::Nothing => return Ok(Taken::Nothing),
            Taken::Ended => return Ok(Taken::Ended),
        };
        let list = PyList::empty(py);
        for item in tidings {
            list.append(match item {
                Tidings::Token(request) => ("token", Bound::new(py, PyTokenRequest(request))?.into_any()),
                Tidings::Connection(Connection::Connected) => ("connect", py.None().into_bound(py)),
                Tidings::Connection(Connection::Disconnected(error)) => {
                    ("disconnect", exception(py, &error)?)
                }
                Tidings::Connection(Connection::Error(error)) => ("error", exception(py, &error)?),
                Tidings::Connection(Connection::State(state)) => {
                    ("state", PyString::new(py, state).into_any())
                }
                Tidings::Connection(Connection::Repaired { subscription, repair }) => {
                    let Repair { reason, queries, bytes, added, changed, removed } = repair;
                    let told = (subscription, reason.as_str(), queries, bytes, added, changed, removed);
                    ("repair", told.into_pyobject(py)?.into_any())
                }
            })?;
        }
        Ok(Taken::Item(list.into_any().unbind()))
    }

    fn close(&self) {
        self.0.close();
    }
}

/// A wanted token.
#[pyclass(frozen, name = "TokenRequest", module = "kalam_live._native")]
pub(crate) struct PyTokenRequest(TokenRequest);

#[pymethods]
impl PyTokenRequest {
    /// Here it is.
    fn resolve(&self, token: String) {
        self.0.resolve(token);
    }

    /// There is none; `reason` is shown to the user.
    fn fail(&self, reason: String) {
        self.0.fail(reason);
    }
}
