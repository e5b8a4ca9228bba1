//! Which Python object stands for which row: an unchanged row is the same object in the next snapshot.

use std::sync::{Arc, Mutex, PoisonError};

use kalam_bindings::AddressMap;
use kalam_live::Row;
use pyo3::prelude::*;
use pyo3::sync::MutexExt;
use pyo3::{PyTraverseError, PyVisit};

use crate::names::Names;
use crate::row::PyRow;

/// The objects of one live query or result: rows, or what the caller's `model` made of them.
///
/// It owns them until their row changes or leaves, so a loop that reads every row of every snapshot makes each object
/// once. An object owns its row's allocation, so an address can not come to mean another row.
#[pyclass(frozen, module = "kalam_live._native")]
pub(crate) struct RowCache {
    model: Option<Py<PyAny>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    objects: AddressMap<Py<PyAny>>,
    names: Option<Arc<Names>>,
    /// Counts snapshots; only rows of the newest are kept, those of an older one may have left already.
    epoch: u64,
}

impl State {
    /// The plain row that stands for `row`. Runs nobody's code.
    fn row<'py>(&mut self, py: Python<'py>, row: &Row, epoch: u64) -> PyResult<Bound<'py, PyAny>> {
        if let Some(object) = self.objects.get(&row.address()) {
            return Ok(object.bind(py).clone());
        }
        let object = self.make(py, row)?;
        Ok(self.keep(py, row, object, epoch))
    }

    fn make<'py>(&mut self, py: Python<'py>, row: &Row) -> PyResult<Bound<'py, PyAny>> {
        let names = match &self.names {
            Some(names) if names.are_of(row.schema()) => names.clone(),
            _ => self.names.insert(Names::new(py, row.schema())?).clone(),
        };
        Ok(Bound::new(py, PyRow::new(row.clone(), names))?.into_any())
    }

    /// Keeps the object of a row that is still there; of two that were made at once the first.
    fn keep<'py>(
        &mut self,
        py: Python<'py>,
        row: &Row,
        object: Bound<'py, PyAny>,
        epoch: u64,
    ) -> Bound<'py, PyAny> {
        if epoch != self.epoch {
            return object;
        }
        self.objects.entry(row.address()).or_insert_with(|| object.unbind()).bind(py).clone()
    }
}

impl RowCache {
    /// An empty cache; `model` is called with each row and makes what the caller sees.
    pub(crate) fn new(py: Python<'_>, model: Option<Py<PyAny>>) -> PyResult<Py<Self>> {
        Py::new(py, Self { model, state: Mutex::default() })
    }

    /// Starts the next snapshot: forgets the rows that left, and returns their objects in the same order, `None` for
    /// those that were never looked at. `changed` holds a row for each change that replaced or removed one.
    pub(crate) fn advance<'a>(
        &self,
        py: Python<'_>,
        left: impl Iterator<Item = Option<&'a Row>>,
    ) -> (u64, Vec<Option<Py<PyAny>>>) {
        let mut state = self.lock(py);
        state.epoch += 1;
        let retired = left.map(|row| row.and_then(|row| state.objects.remove(&row.address()))).collect();
        (state.epoch, retired)
    }

    /// Starts the next snapshot after a reset: keeps only the objects of `rows`.
    pub(crate) fn reset(&self, py: Python<'_>, rows: impl Iterator<Item = Row>) -> u64 {
        let mut state = self.lock(py);
        state.epoch += 1;
        let mut before = std::mem::take(&mut state.objects);
        if !before.is_empty() {
            for row in rows {
                if let Some(object) = before.remove(&row.address()) {
                    state.objects.insert(row.address(), object);
                }
            }
        }
        let epoch = state.epoch;
        // Without the lock: dropping a model's object may run anything.
        drop(state);
        drop(before);
        epoch
    }

    /// The object of `row`, which is part of the snapshot `epoch`.
    pub(crate) fn object<'py>(&self, py: Python<'py>, row: &Row, epoch: u64) -> PyResult<Bound<'py, PyAny>> {
        let Some(model) = &self.model else { return self.lock(py).row(py, row, epoch) };
        let mut state = self.lock(py);
        if let Some(object) = state.objects.get(&row.address()) {
            return Ok(object.bind(py).clone());
        }
        let object = state.make(py, row)?;
        // The model is the caller's code and may come back here.
        drop(state);
        let object = model.bind(py).call1((object,))?;
        // Ours lives until the lock is gone: what drops it may be the caller's code, too.
        Ok(self.lock(py).keep(py, row, object.clone(), epoch))
    }

    /// The objects of all `rows` of the snapshot `epoch`.
    pub(crate) fn objects<'py, 'a>(
        &self,
        py: Python<'py>,
        rows: impl ExactSizeIterator<Item = &'a Row>,
        epoch: u64,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        if self.model.is_some() {
            return rows.map(|row| self.object(py, row, epoch)).collect();
        }
        let mut state = self.lock(py);
        if epoch == state.epoch {
            let more = rows.len().saturating_sub(state.objects.len());
            state.objects.reserve(more);
        }
        rows.map(|row| state.row(py, row, epoch)).collect()
    }

    fn lock(&self, py: Python<'_>) -> std::sync::MutexGuard<'_, State> {
        self.state.lock_py_attached(py).unwrap_or_else(PoisonError::into_inner)
    }
}

#[pymethods]
impl RowCache {
    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.model)?;
        // Locked means in use, and so alive.
        let Ok(state) = self.state.try_lock() else { return Ok(()) };
        // Plain rows own nothing that could lead back here.
        if self.model.is_some() {
            state.objects.values().try_for_each(|object| visit.call(object))?;
        }
        Ok(())
    }

    fn __clear__(&self) {
        if let Ok(mut state) = self.state.try_lock() {
            let objects = std::mem::take(&mut state.objects);
            drop(state);
            drop(objects);
        }
    }
}
