//! What a query returns, as a Python sequence.

use kalam_live::QueryResult;
use pyo3::prelude::*;

use crate::cache::RowCache;
use crate::rows::{Data, PyRowList};

/// The rows of a query.
#[pyclass(frozen, extends = PyRowList, generic, name = "QueryResult", module = "kalam_live")]
#[derive(Clone)]
pub(crate) struct PyQueryResult {
    row_count: u64,
    message: Option<String>,
    truncated: bool,
}

impl PyQueryResult {
    pub(crate) fn make(py: Python<'_>, result: QueryResult) -> PyResult<Py<PyAny>> {
        let own = Self {
            row_count: result.row_count(),
            message: result.message().map(str::to_owned),
            truncated: result.is_truncated(),
        };
        let schema = result.schema().clone();
        let list = PyRowList::new(Data::List(schema, result.into_rows()), RowCache::new(py, None)?, 0);
        Ok(Py::new(py, PyClassInitializer::from(list).add_subclass(own))?.into_any())
    }
}

#[pymethods]
impl PyQueryResult {
    /// The same rows, as what `model` makes of each.
    fn _with_model(slf: &Bound<'_, Self>, model: Py<PyAny>) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        let list = slf.as_super().get()._with_model(py, model)?;
        let own = slf.get().clone();
        Ok(Py::new(py, PyClassInitializer::from(list).add_subclass(own))?.into_any())
    }

    /// How many rows the statement returned or changed, as the server counted.
    #[getter]
    fn row_count(&self) -> u64 {
        self.row_count
    }

    /// What the server says, such as `Inserted 1 row(s)`.
    #[getter]
    fn message(&self) -> Option<&str> {
        self.message.as_deref()
    }

    /// Whether the server probably left rows out: KalamDB returns 50 rows without a LIMIT and 1,000 with any.
    #[getter]
    fn truncated(&self) -> bool {
        self.truncated
    }
}
