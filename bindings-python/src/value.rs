//! Cells as Python values, and Python values as parameters.

/// An object of the standard library, imported once.
macro_rules! library {
    ($py:expr, $module:literal, $name:literal) => {{
        static OBJECT: pyo3::sync::PyOnceLock<pyo3::Py<pyo3::PyAny>> = pyo3::sync::PyOnceLock::new();
        OBJECT.import($py, $module, $name)?
    }};
}

mod from_python;
mod to_python;

pub(crate) use from_python::parameters;
pub(crate) use to_python::to_python;

use kalam_live::FileRef;
use pyo3::prelude::*;

/// Where the bytes of a FILE column are.
#[pyclass(frozen, eq, name = "FileRef", module = "kalam_live")]
#[derive(Clone, PartialEq)]
pub(crate) struct PyFileRef(pub(crate) FileRef);

#[pymethods]
impl PyFileRef {
    #[getter]
    fn id(&self) -> &str {
        &self.0.id
    }

    #[getter]
    fn sub(&self) -> &str {
        &self.0.sub
    }

    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Size in bytes.
    #[getter]
    fn size(&self) -> u64 {
        self.0.size
    }

    /// MIME type.
    #[getter]
    fn mime(&self) -> &str {
        &self.0.mime
    }

    /// SHA-256 of the bytes, in hexadecimal.
    #[getter]
    fn sha256(&self) -> &str {
        &self.0.sha256
    }

    fn __repr__(&self) -> String {
        format!("FileRef(name={:?}, size={}, mime={:?})", self.0.name, self.0.size, self.0.mime)
    }
}
