//! A row in Python: a mapping whose cells are converted when they are read.

use std::sync::{Arc, Mutex};

use kalam_live::{Row, Value};
use pyo3::exceptions::{PyAttributeError, PyIndexError, PyKeyError, PyTypeError};
use pyo3::ffi;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyInt, PyIterator, PyList, PyMapping, PyString, PyTuple};

use crate::html;
use crate::names::Names;
use crate::value::to_python;

/// One immutable row. Cells are read by name (`row["body"]`, `row.body`) or position (`row[0]`).
#[pyclass(frozen, mapping, weakref, name = "Row", module = "kalam_live")]
pub(crate) struct PyRow {
    row: Row,
    names: Arc<Names>,
    /// What was made of the cells that are worth keeping, once one was read.
    made: Mutex<Option<Made>>,
}

/// One place a column.
type Made = Box<[Option<Py<PyAny>>]>;

impl PyRow {
    pub(crate) fn new(row: Row, names: Arc<Names>) -> Self {
        Self { row, names, made: Mutex::new(None) }
    }

    pub(crate) fn names<'py>(&self, py: Python<'py>) -> &Bound<'py, PyTuple> {
        self.names.keys(py)
    }

    /// A row as a dict, without its object; `names` holds the names from one row to the next.
    pub(crate) fn dict<'py>(
        py: Python<'py>,
        row: &Row,
        names: &mut Option<Arc<Names>>,
    ) -> PyResult<Bound<'py, PyDict>> {
        let known = match names.take() {
            Some(known) if known.are_of(row.schema()) => known,
            _ => Names::new(py, row.schema())?,
        };
        let dict = PyDict::new(py);
        for (name, value) in known.keys(py).iter().zip(row.values()) {
            dict.set_item(name, to_python(py, value)?)?;
        }
        *names = Some(known);
        Ok(dict)
    }

    fn cell<'py>(&self, py: Python<'py>, position: usize) -> PyResult<Bound<'py, PyAny>> {
        let value = &self.row.values()[position];
        if !is_worth_keeping(value) {
            return to_python(py, value);
        }
        // Never waits: making a value anew is cheaper than a thread that sleeps.
        if let Some(object) =
            self.made.try_lock().ok().and_then(|m| Some(m.as_ref()?[position].as_ref()?.clone_ref(py)))
        {
            return Ok(object.into_bound(py));
        }
        let object = to_python(py, value)?;
        if let Ok(mut made) = self.made.try_lock() {
            let columns = self.row.values().len();
            made.get_or_insert_with(|| (0..columns).map(|_| None).collect())[position] =
                Some(object.clone().unbind());
        }
        Ok(object)
    }

    fn position(&self, key: &Bound<'_, PyAny>) -> PyResult<usize> {
        if let Ok(name) = key.cast::<PyString>() {
            return self.names.position(name).ok_or_else(|| PyKeyError::new_err(self.no_such_column(name)));
        }
        if key.is_instance_of::<PyInt>() {
            let len = self.row.values().len();
            let index: isize =
                key.extract().map_err(|_| PyIndexError::new_err("column index out of range"))?;
            let from_start = if index < 0 { index.checked_add_unsigned(len) } else { Some(index) };
            return from_start
                .and_then(|i| usize::try_from(i).ok())
                .filter(|i| *i < len)
                .ok_or_else(|| PyIndexError::new_err(format!("column {index} of a row with {len} columns")));
        }
        Err(PyTypeError::new_err(format!(
            "a row is indexed by column name or position, not by {}",
            key.get_type().name()?
        )))
    }

    fn no_such_column(&self, name: &Bound<'_, PyString>) -> String {
        let columns: Vec<&str> = self.row.iter().map(|(column, _)| column).collect();
        format!("no column {name:?}; the row has {}", columns.join(", "))
    }

    fn cells<'py>(
        &self,
        py: Python<'py>,
    ) -> impl Iterator<Item = PyResult<(Bound<'py, PyAny>, Bound<'py, PyAny>)>> {
        let keys = self.names.keys(py).clone();
        (0..self.row.values().len()).map(move |i| Ok((keys.get_item(i)?, self.cell(py, i)?)))
    }
}

/// Whether the Python value takes longer to make than to find, and can not be changed by who has it.
fn is_worth_keeping(value: &Value) -> bool {
    match value {
        Value::Text(_) | Value::Decimal(_) | Value::Timestamp(_) | Value::Date(_) | Value::Time(_) => true,
        Value::Uuid(_) | Value::Bytes(_) | Value::File(_) => true,
        Value::Null | Value::Boolean(_) | Value::Int(_) | Value::Float(_) => false,
        Value::Json(_) | Value::Embedding(_) => false,
    }
}

/// `object.__getattribute__`, without the detour over a Python call.
#[expect(unsafe_code, reason = "there is no safe wrapper")]
fn generic_attribute<'py>(
    object: &Bound<'py, PyRow>,
    name: &Bound<'py, PyString>,
) -> PyResult<Bound<'py, PyAny>> {
    // SAFETY: both are valid objects of this interpreter; the result is a new reference, or null with an exception set.
    unsafe {
        let attribute = ffi::PyObject_GenericGetAttr(object.as_ptr(), name.as_ptr());
        Bound::from_owned_ptr_or_err(object.py(), attribute)
    }
}

#[pymethods]
impl PyRow {
    fn __getitem__<'py>(&self, py: Python<'py>, key: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        self.cell(py, self.position(key)?)
    }

    fn __getattribute__<'py>(
        slf: &Bound<'py, Self>,
        name: &Bound<'py, PyString>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        if let Some(position) = slf.get().names.attribute(name) {
            return slf.get().cell(py, position);
        }
        generic_attribute(slf, name).or_else(|error| {
            // A name that `getattr` was given at run time need not be interned.
            match slf.get().names.position(name) {
                Some(position) => slf.get().cell(py, position),
                None => Err(error),
            }
        })
    }

    /// Asked when there is no such attribute: says what there is.
    fn __getattr__(&self, name: &Bound<'_, PyString>) -> PyResult<Py<PyAny>> {
        Err(PyAttributeError::new_err(match name.to_string_lossy() {
            name if name.starts_with('_') => format!("'kalam_live.Row' object has no attribute '{name}'"),
            _ => self.no_such_column(name),
        }))
    }

    fn __copy__<'py>(slf: &Bound<'py, Self>) -> Bound<'py, Self> {
        slf.clone()
    }

    /// It can not be changed, and neither can what is read out of it: JSON is made anew each time.
    #[pyo3(signature = (memo, /))]
    fn __deepcopy__<'py>(slf: &Bound<'py, Self>, memo: &Bound<'py, PyAny>) -> Bound<'py, Self> {
        let _ = memo;
        slf.clone()
    }

    fn __reduce_ex__(&self, _protocol: i32) -> PyResult<Py<PyAny>> {
        Err(PyTypeError::new_err(
            "a row can not be pickled: pickle row.asdict(), or use a model such as a dataclass",
        ))
    }

    fn __len__(&self) -> usize {
        self.row.values().len()
    }

    fn __contains__(&self, key: &Bound<'_, PyAny>) -> bool {
        key.cast::<PyString>().is_ok_and(|name| self.names.position(name).is_some())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.names.keys(py).try_iter()
    }

    fn __eq__<'py>(&self, py: Python<'py>, other: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Ok(other) = other.cast::<Self>() {
            let equal = self.row == other.get().row;
            return Ok(equal.into_pyobject(py)?.to_owned().into_any());
        }
        if other.cast::<PyMapping>().is_ok() {
            return self.asdict(py)?.rich_compare(other, pyo3::basic::CompareOp::Eq);
        }
        Ok(py.NotImplemented().into_bound(py))
    }

    fn __dir__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyList>> {
        let py = slf.py();
        let names = py.get_type::<PyAny>().call_method1("__dir__", (slf,))?.cast_into::<PyList>()?;
        slf.get().names.keys(py).iter().try_for_each(|name| names.append(name))?;
        Ok(names)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let cells = self
            .cells(py)
            .map(|cell| cell.and_then(|(name, value)| Ok(format!("{name}={}", value.repr()?))))
            .collect::<PyResult<Vec<_>>>()?;
        Ok(format!("Row({})", cells.join(", ")))
    }

    fn _repr_html_(slf: &Bound<'_, Self>) -> PyResult<String> {
        let names = slf.get().names.keys(slf.py());
        html::table(names, &[slf.clone().into_any()], None)
    }

    /// The names of the columns.
    fn keys<'py>(&self, py: Python<'py>) -> Bound<'py, PyTuple> {
        self.names.keys(py).clone()
    }

    /// The cells, in the order of the columns.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let values = (0..self.row.values().len()).map(|i| self.cell(py, i)).collect::<PyResult<Vec<_>>>()?;
        PyTuple::new(py, values)
    }

    /// Column names with their cells.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.cells(py).collect::<PyResult<Vec<_>>>()?)
    }

    /// The cell of a column, or `default` when there is no such column. SQL NULL is `None`.
    #[pyo3(signature = (key, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        key: &Bound<'py, PyString>,
        default: Option<Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.names.position(key) {
            Some(position) => self.cell(py, position),
            None => Ok(default.unwrap_or_else(|| py.None().into_bound(py))),
        }
    }

    /// The row as a new dict.
    fn asdict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        Self::dict(py, &self.row, &mut Some(self.names.clone()))
    }

    /// The write that this content came with, where the server told it; grows with every write. Not part of equality.
    #[getter]
    fn version(&self) -> Option<i64> {
        self.row.version().map(|version| version.get())
    }
}
