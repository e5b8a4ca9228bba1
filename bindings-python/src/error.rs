//! Errors as Python exceptions.

use kalam_live::{Error, ErrorCode};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// The exception of `kalam_live._errors` for an error.
pub(crate) fn raise(error: Error) -> PyErr {
    Python::attach(|py| exception(py, &error).map_or_else(|failed| failed, PyErr::from_value))
}

/// The same as an object, for an error that is told rather than raised.
pub(crate) fn exception<'py>(py: Python<'py>, error: &Error) -> PyResult<Bound<'py, PyAny>> {
    static MAKE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    MAKE.import(py, "kalam_live._errors", "make_error")?.call1((
        error.code().as_str(),
        error.message(),
        error.retryable(),
        error.server_code(),
    ))
}

/// Every error code, so that the tests can tell whether each has an exception.
#[pyfunction]
pub(crate) fn error_codes() -> Vec<&'static str> {
    ErrorCode::ALL.iter().map(|code| code.as_str()).collect()
}
