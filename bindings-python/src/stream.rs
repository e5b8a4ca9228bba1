//! Live queries and streams of events as handles.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use kalam_bindings::{EventStream, RowStream, Taken};
use kalam_live::{LiveEvents, LiveRows, Result};
use pyo3::prelude::*;
use pyo3::types::PyList;
use pyo3::{PyTraverseError, PyVisit};

use crate::cache::RowCache;
use crate::error::raise;
use crate::event::PyEvent;
use crate::handle::{Handle, Source};
use crate::names::Names;
use crate::rows::PyRows;

/// Live rows.
struct Live {
    rows: RowStream,
    cache: Py<RowCache>,
}

/// Starts to open a live query. `model` is called with each row and makes what the caller sees.
pub(crate) fn live(
    py: Python<'_>,
    open: impl Future<Output = Result<LiveRows>> + Send + 'static,
    model: Option<Py<PyAny>>,
) -> PyResult<Handle> {
    Ok(Handle::new(Live { rows: RowStream::start(open).map_err(raise)?, cache: RowCache::new(py, model)? }))
}

impl Source for Live {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.rows.poll_ready(cx)
    }

    /// The newest rows.
    fn take(&self, py: Python<'_>, _max: usize) -> PyResult<Taken<Py<PyAny>>> {
        Ok(match self.rows.take().map_err(raise)? {
            Taken::Item(rows) => Taken::Item(PyRows::make(py, rows, &self.cache)?),
            Taken::Nothing => Taken::Nothing,
            Taken::Ended => Taken::Ended,
        })
    }

    fn close(&self) {
        self.rows.close();
    }

    fn id(&self) -> Option<String> {
        self.rows.id().map(str::to_owned)
    }

    fn traverse(&self, visit: &PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.cache)
    }
}

/// Raw events.
struct Events {
    events: EventStream,
    /// Of the rows of the last event.
    names: Mutex<Option<Arc<Names>>>,
}

/// Starts to open a stream of events.
pub(crate) fn events(open: impl Future<Output = Result<LiveEvents>> + Send + 'static) -> PyResult<Handle> {
    Ok(Handle::new(Events { events: EventStream::start(open).map_err(raise)?, names: Mutex::default() }))
}

impl Source for Events {
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.events.poll_ready(cx)
    }

    /// A list of at most `max` events. What ended the stream is raised, whoever it was.
    fn take(&self, py: Python<'_>, max: usize) -> PyResult<Taken<Py<PyAny>>> {
        let events = match self.events.take(max).map_err(raise)? {
            Taken::Item(events) => events,
            Taken::Nothing => return Ok(Taken::Nothing),
            Taken::Ended => return Ok(Taken::Ended),
        };
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let list = PyList::empty(py);
        for (event, checkpoint) in events {
            list.append(Bound::new(py, PyEvent::new(py, event, checkpoint, &mut names)?)?)?;
        }
        Ok(Taken::Item(list.into_any().unbind()))
    }

    fn close(&self) {
        self.events.close();
    }

    fn id(&self) -> Option<String> {
        self.events.id().map(str::to_owned)
    }
}
