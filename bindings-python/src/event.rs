//! The events of `live_events` as Python objects.

use std::sync::Arc;

use kalam_live::protocol::PartialRow;
use kalam_live::{ChangeEvent, Checkpoint};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyTuple};

use crate::names::Names;
use crate::row::PyRow;
use crate::value::to_python;

/// One thing that a subscription told, in the order in which the server told it.
///
/// What an event of its type does not have is `None`, or empty.
#[pyclass(frozen, name = "Event", module = "kalam_live")]
pub(crate) struct PyEvent {
    event: ChangeEvent,
    /// Where to go on after it.
    checkpoint: Option<Checkpoint>,
    /// Of the rows, where there are any.
    names: Option<Arc<Names>>,
    rows: PyOnceLock<Py<PyTuple>>,
}

impl PyEvent {
    /// `names` are those of the event before, to be shared.
    pub(crate) fn new(
        py: Python<'_>,
        event: ChangeEvent,
        checkpoint: Option<Checkpoint>,
        names: &mut Option<Arc<Names>>,
    ) -> PyResult<Self> {
        if let Some(row) = event.rows().first()
            && !names.as_ref().is_some_and(|names| names.are_of(row.schema()))
        {
            *names = Some(Names::new(py, row.schema())?);
        }
        let names = if event.rows().is_empty() { None } else { names.clone() };
        Ok(Self { event, checkpoint, names, rows: PyOnceLock::new() })
    }
}

#[pymethods]
impl PyEvent {
    /// `ack`, `initial_data_batch`, `insert`, `update`, `delete`, `resumed`, `gap_possible` or `lagged`.
    #[getter]
    fn r#type(&self) -> &'static str {
        match self.event {
            ChangeEvent::Ack { .. } => "ack",
            ChangeEvent::InitialDataBatch { .. } => "initial_data_batch",
            ChangeEvent::Insert { .. } => "insert",
            ChangeEvent::Update { .. } => "update",
            ChangeEvent::Delete { .. } => "delete",
            ChangeEvent::Resumed { .. } => "resumed",
            ChangeEvent::GapPossible { .. } => "gap_possible",
            ChangeEvent::Lagged { .. } => "lagged",
            // The core may learn to tell more. Its errors are raised.
            _ => "unknown",
        }
    }

    /// The subscription's id.
    #[getter]
    fn subscription_id(&self) -> &str {
        self.event.subscription_id()
    }

    /// The rows of a batch, an insert or an update; of a delete the rows as they were.
    #[getter]
    fn rows<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyTuple>> {
        let make = || {
            let Some(names) = &self.names else { return Ok(PyTuple::empty(py).unbind()) };
            let rows = self.event.rows().iter().map(|row| PyRow::new(row.clone(), names.clone()));
            let rows = rows.map(|row| Bound::new(py, row)).collect::<PyResult<Vec<_>>>()?;
            PyResult::Ok(PyTuple::new(py, rows)?.unbind())
        };
        Ok(self.rows.get_or_try_init(py, make)?.bind(py))
    }

    /// Of an update: for each row the key and the changed columns as they were, as new dicts.
    #[getter]
    fn old_rows<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let ChangeEvent::Update { old_rows, .. } = &self.event else { return Ok(PyTuple::empty(py)) };
        let dict = |old: &PartialRow| {
            let dict = PyDict::new(py);
            old.iter().try_for_each(|(name, value)| dict.set_item(name, to_python(py, value)?))?;
            PyResult::Ok(dict)
        };
        PyTuple::new(py, old_rows.iter().map(dict).collect::<PyResult<Vec<_>>>()?)
    }

    /// The newest write among the rows.
    #[getter]
    fn last_seq_id(&self) -> Option<i64> {
        self.event.last_seq_id().map(|seq| seq.get())
    }

    /// Where to go on after this event, as text.
    #[getter]
    fn checkpoint(&self) -> Option<String> {
        self.checkpoint.as_ref().map(ToString::to_string)
    }

    /// Of `initial_data_batch`: whether another page follows.
    #[getter]
    fn has_more(&self) -> Option<bool> {
        match self.event {
            ChangeEvent::InitialDataBatch { has_more, .. } => Some(has_more),
            _ => None,
        }
    }

    /// Of `lagged`: how many events were dropped since the reader was too slow.
    #[getter]
    fn dropped(&self) -> Option<u64> {
        match self.event {
            ChangeEvent::Lagged { dropped, .. } => Some(dropped),
            _ => None,
        }
    }

    /// Of `gap_possible`: what may be missing, for a person.
    #[getter]
    fn message(&self) -> Option<&str> {
        match &self.event {
            ChangeEvent::GapPossible { reason, .. } => Some(reason),
            _ => None,
        }
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let mut parts = vec![format!("type={:?}", self.r#type())];
        if !self.event.rows().is_empty() {
            parts.push(format!("rows={}", self.rows(py)?.repr()?));
        }
        if let Some(message) = self.message() {
            parts.push(format!("message={message:?}"));
        }
        if let Some(dropped) = self.dropped() {
            parts.push(format!("dropped={dropped}"));
        }
        Ok(format!("Event({})", parts.join(", ")))
    }
}
