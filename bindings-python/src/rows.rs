//! Sequences of rows: the snapshots of a live query and the results of a query.

use std::sync::{Arc, OnceLock};

use kalam_live::live::{Change, Changes, Rows};
use kalam_live::{Row, Schema};
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyIndexError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt, PyIterator, PyList, PySlice, PyTuple};
use pyo3::{PyTraverseError, PyVisit};

use crate::cache::RowCache;
use crate::change::{PyInsert, PyRemove, PyReset, PyUpdate};
use crate::column::PyColumn;
use crate::html;
use crate::row::PyRow;

/// How many rows `repr` and the notebook table show.
const SHOWN_ROWS: usize = 20;

/// Where the rows are.
#[derive(Clone)]
pub(crate) enum Data {
    /// In a snapshot that shares its structure with the next one.
    Snapshot(Rows),
    /// In a list.
    List(Arc<Schema>, Vec<Row>),
}

impl Data {
    fn len(&self) -> usize {
        match self {
            Self::Snapshot(rows) => rows.len(),
            Self::List(_, rows) => rows.len(),
        }
    }

    fn schema(&self) -> &Schema {
        match self {
            Self::Snapshot(rows) => rows.schema(),
            Self::List(schema, _) => schema,
        }
    }

    fn get(&self, index: usize) -> Option<&Row> {
        match self {
            Self::Snapshot(rows) => rows.get(index),
            Self::List(_, rows) => rows.get(index),
        }
    }

    /// `f` of each row.
    fn map<T>(&self, f: impl FnMut(&Row) -> PyResult<T>) -> PyResult<Vec<T>> {
        match self {
            Self::Snapshot(rows) => rows.iter().map(f).collect(),
            Self::List(_, rows) => rows.iter().map(f).collect(),
        }
    }
}

/// An immutable sequence of rows, whose Python objects are made when they are looked at.
#[pyclass(frozen, subclass, sequence, generic, weakref, name = "RowList", module = "kalam_live")]
pub(crate) struct PyRowList {
    data: Data,
    cache: Py<RowCache>,
    epoch: u64,
    /// Every object, once somebody has read them all.
    all: OnceLock<Py<PyTuple>>,
}

impl PyRowList {
    pub(crate) fn new(data: Data, cache: Py<RowCache>, epoch: u64) -> Self {
        Self { data, cache, epoch, all: OnceLock::new() }
    }

    /// Rows that stand for themselves.
    pub(crate) fn make(py: Python<'_>, rows: Vec<Row>) -> PyResult<Py<PyAny>> {
        let schema = rows.first().map_or_else(|| Schema::new(Vec::new()), |row| row.schema().clone());
        Ok(Py::new(py, Self::new(Data::List(schema, rows), RowCache::new(py, None)?, 0))?.into_any())
    }

    fn all<'py>(&self, py: Python<'py>) -> PyResult<&Bound<'py, PyTuple>> {
        let make = || {
            let cache = self.cache.get();
            let objects = match &self.data {
                Data::Snapshot(rows) => cache.objects(py, rows.iter(), self.epoch),
                Data::List(_, rows) => cache.objects(py, rows.iter(), self.epoch),
            };
            PyTuple::new(py, objects?)
        };
        once(py, &self.all, make)
    }

    fn at<'py>(&self, py: Python<'py>, index: usize) -> PyResult<Bound<'py, PyAny>> {
        if let Some(all) = self.all.get() {
            return all.bind(py).get_item(index);
        }
        let row = self.data.get(index).ok_or_else(out_of_range)?;
        self.cache.get().object(py, row, self.epoch)
    }

    fn more_than_shown(&self) -> Option<String> {
        let more = self.data.len().saturating_sub(SHOWN_ROWS);
        (more > 0).then(|| format!("... and {more} more"))
    }

    fn shown<'py>(&self, py: Python<'py>) -> impl Iterator<Item = PyResult<Bound<'py, PyAny>>> {
        (0..self.data.len().min(SHOWN_ROWS)).map(move |i| self.at(py, i))
    }
}

#[pymethods]
impl PyRowList {
    /// The same rows, as what `model` makes of each.
    pub(crate) fn _with_model(&self, py: Python<'_>, model: Py<PyAny>) -> PyResult<Self> {
        Ok(Self::new(self.data.clone(), RowCache::new(py, Some(model))?, 0))
    }

    fn __len__(&self) -> usize {
        self.data.len()
    }

    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let len = self.data.len();
        if key.is_instance_of::<PyInt>() {
            let index: isize = key.extract().map_err(|_| out_of_range())?;
            let index = if index < 0 { index.checked_add_unsigned(len).unwrap_or(-1) } else { index };
            return self.at(py, usize::try_from(index).unwrap_or(usize::MAX));
        }
        if let Ok(slice) = key.cast::<PySlice>() {
            let range = slice.indices(len as isize)?;
            let indices = (0..range.slicelength as isize).map(|i| range.start + i * range.step);
            let objects = indices.map(|i| self.at(py, i as usize)).collect::<PyResult<Vec<_>>>()?;
            return Ok(PyList::new(py, objects)?.into_any());
        }
        Err(PyTypeError::new_err(format!(
            "rows are indexed by position or slice, not by {}",
            key.get_type().name()?
        )))
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.all(py)?.try_iter()
    }

    fn __reversed__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let reversed = py.import("builtins")?.getattr("reversed")?;
        reversed.call1((self.all(py)?,))
    }

    fn __contains__(&self, py: Python<'_>, value: &Bound<'_, PyAny>) -> PyResult<bool> {
        self.all(py)?.contains(value)
    }

    fn __eq__(slf: &Bound<'_, Self>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let rows = slf.get().all(py)?;
        let equal =
            |other: &Bound<'_, PyAny>| rows.as_any().rich_compare(other, CompareOp::Eq).map(Bound::unbind);
        if slf.is(other) {
            Ok(PyBool::new(py, true).to_owned().into_any().unbind())
        } else if let Ok(other) = other.cast::<Self>() {
            equal(other.get().all(py)?)
        } else if let Ok(list) = other.cast::<PyList>() {
            equal(&list.to_tuple())
        } else if other.is_instance_of::<PyTuple>() {
            equal(other)
        } else {
            Ok(py.NotImplemented())
        }
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let rows =
            this.shown(slf.py()).map(|row| Ok(row?.repr()?.to_string())).collect::<PyResult<Vec<_>>>()?;
        let more = this.more_than_shown().map(|more| format!(", {more}")).unwrap_or_default();
        Ok(format!("{}([{}{more}])", slf.get_type().name()?, rows.join(", ")))
    }

    fn _repr_html_(&self, py: Python<'_>) -> PyResult<String> {
        let rows = self.shown(py).collect::<PyResult<Vec<_>>>()?;
        match rows.first().map(|row| row.cast::<PyRow>()) {
            Some(Ok(first)) => {
                let names = first.get().names(py).clone();
                html::table(&names, &rows, self.more_than_shown())
            }
            _ => Ok(html::preformatted(&PyTuple::new(py, rows)?.repr()?.to_string_lossy())),
        }
    }

    /// The columns of the rows. Empty when the server did not tell them.
    #[getter]
    fn columns<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.data.schema().columns().iter().map(PyColumn::new))
    }

    /// The first position of `value`; `ValueError` when it is not there.
    #[pyo3(signature = (value, start=0, stop=isize::MAX))]
    fn index<'py>(
        &self,
        py: Python<'py>,
        value: &Bound<'py, PyAny>,
        start: isize,
        stop: isize,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.all(py)?.call_method1("index", (value, start, stop))
    }

    /// How often `value` is there.
    fn count<'py>(&self, py: Python<'py>, value: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.all(py)?.call_method1("count", (value,))
    }

    /// The rows as new dicts.
    fn to_dicts<'py>(&self, py: Python<'py>) -> PyResult<Vec<Bound<'py, PyDict>>> {
        // From the data, not from the objects: those may be a model's, and need not be made for this.
        let mut names = None;
        self.data.map(|row| PyRow::dict(py, row, &mut names))
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        visit.call(&self.cache)?;
        visit.call(self.all.get())
    }
}

fn out_of_range() -> PyErr {
    PyIndexError::new_err("row index out of range")
}

/// What is in `slot`, made at the first call. Nothing is locked while it is made, since that may run the caller's code;
/// of two threads that make it at once one wins.
fn once<'a, 'py>(
    py: Python<'py>,
    slot: &'a OnceLock<Py<PyTuple>>,
    make: impl FnOnce() -> PyResult<Bound<'py, PyTuple>>,
) -> PyResult<&'a Bound<'py, PyTuple>> {
    let made = match slot.get() {
        Some(made) => made,
        None => {
            let made = make()?.unbind();
            slot.get_or_init(|| made)
        }
    };
    Ok(made.bind(py))
}

/// One snapshot of a live query, with what changed since the snapshot before.
#[pyclass(frozen, extends = PyRowList, generic, name = "Rows", module = "kalam_live")]
pub(crate) struct PyRows {
    snapshot: Rows,
    /// The objects of rows that were replaced or removed, for those of the changes that have one.
    retired: Vec<Option<Py<PyAny>>>,
    changes: OnceLock<Py<PyTuple>>,
}

impl PyRows {
    /// Hands out a snapshot; `cache` belongs to its live query.
    pub(crate) fn make(py: Python<'_>, snapshot: Rows, cache: &Py<RowCache>) -> PyResult<Py<PyAny>> {
        let (epoch, retired) = match snapshot.changes() {
            Changes::Reset => (cache.get().reset(py, snapshot.iter().cloned()), Vec::new()),
            Changes::List(changes) => cache.get().advance(py, changes.iter().map(left)),
        };
        let list = PyRowList::new(Data::Snapshot(snapshot.clone()), cache.clone_ref(py), epoch);
        let rows = Self { snapshot, retired, changes: OnceLock::new() };
        Ok(Py::new(py, PyClassInitializer::from(list).add_subclass(rows))?.into_any())
    }
}

/// The row that a change replaced or removed.
fn left(change: &Change) -> Option<&Row> {
    match change {
        Change::Insert { .. } => None,
        Change::Update { old, .. } => Some(old),
        Change::Remove { row, .. } => Some(row),
    }
}

#[pymethods]
impl PyRows {
    /// What turns the snapshot before into this one, when applied in order; a single `Reset` when everything may
    /// have changed.
    #[getter]
    fn changes<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        let py = slf.py();
        let this = slf.get();
        let list = slf.as_super().get();
        let object = |row: &Row| PyResult::Ok(list.cache.get().object(py, row, list.epoch)?.unbind());
        let gone = |row: &Row, i: usize| match &this.retired[i] {
            Some(object) => PyResult::Ok(object.clone_ref(py)),
            None => Ok(list.cache.get().object(py, row, u64::MAX)?.unbind()), // of no snapshot that is kept
        };
        let make = || {
            let changes = match this.snapshot.changes() {
                Changes::Reset => vec![Bound::new(py, PyReset {})?.into_any()],
                Changes::List(changes) => changes
                    .iter()
                    .enumerate()
                    .map(|(i, change)| {
                        Ok(match change {
                            Change::Insert { index, row } => {
                                Bound::new(py, PyInsert { index: *index, row: object(row)? })?.into_any()
                            }
                            Change::Update { index, old, row } => {
                                let update =
                                    PyUpdate { index: *index, row: object(row)?, old: gone(old, i)? };
                                Bound::new(py, update)?.into_any()
                            }
                            Change::Remove { index, row } => {
                                Bound::new(py, PyRemove { index: *index, row: gone(row, i)? })?.into_any()
                            }
                        })
                    })
                    .collect::<PyResult<Vec<_>>>()?,
            };
            PyTuple::new(py, changes)
        };
        Ok(once(py, &this.changes, make)?.clone())
    }

    /// The newest write that these rows have seen.
    #[getter]
    fn last_seq_id(&self) -> Option<i64> {
        self.snapshot.last_seq_id().map(|seq| seq.get())
    }

    /// Where to go on after these rows, as text.
    #[getter]
    fn checkpoint(&self) -> Option<String> {
        self.snapshot.checkpoint().map(|checkpoint| checkpoint.to_string())
    }

    /// `loading`, `live`, `reconnecting`, `unverified` or `partial`.
    #[getter]
    fn phase(&self) -> &'static str {
        self.snapshot.phase().as_str()
    }

    fn __traverse__(&self, visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
        self.retired.iter().flatten().try_for_each(|object| visit.call(object))?;
        visit.call(self.changes.get())
    }
}
