//! What changed between two snapshots, as Python objects.

use pyo3::prelude::*;
use pyo3::types::PyTuple;
use pyo3::{PyTraverseError, PyVisit};

/// A class whose fields are compared, shown and matched in order. `objects` are those that the garbage collector has
/// to see.
macro_rules! change_class {
    ($(#[$meta:meta])* $class:ident, $name:literal, {$($field:ident: $type:ty),*}, objects: [$($object:ident),*]) => {
        $(#[$meta])*
        pub(crate) struct $class { $(pub(crate) $field: $type),* }

        impl $class {
            const FIELDS: &'static [&'static str] = &[$(stringify!($field)),*];

            fn fields<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
                let fields: Vec<Bound<'py, PyAny>> = vec![$((&self.$field).into_pyobject(py)?.to_owned().into_any()),*];
                PyTuple::new(py, fields)
            }
        }

        #[pymethods]
        impl $class {
            #[new]
            fn new($($field: $type),*) -> Self {
                Self { $($field),* }
            }

            #[classattr]
            fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
                PyTuple::new(py, Self::FIELDS)
            }

            fn __eq__(&self, py: Python<'_>, other: &Bound<'_, PyAny>) -> PyResult<Py<PyAny>> {
                match other.cast::<Self>() {
                    Ok(other) => {
                        let equal = self.fields(py)?.eq(other.get().fields(py)?)?;
                        Ok(equal.into_pyobject(py)?.to_owned().into_any().unbind())
                    }
                    Err(_) => Ok(py.NotImplemented()),
                }
            }

            fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
                let fields = self.fields(py)?;
                let named = Self::FIELDS.iter().zip(fields).map(|(name, value)| Ok(format!("{name}={}", value.repr()?)));
                Ok(format!("{}({})", $name, named.collect::<PyResult<Vec<_>>>()?.join(", ")))
            }

            fn __traverse__(&self, _visit: PyVisit<'_>) -> Result<(), PyTraverseError> {
                $(_visit.call(&self.$object)?;)*
                Ok(())
            }
        }
    };
}

change_class! {
    /// `row` came in at `index`.
    #[pyclass(frozen, get_all, generic, name = "Insert", module = "kalam_live")]
    PyInsert, "Insert", {index: usize, row: Py<PyAny>}, objects: [row]
}
change_class! {
    /// `old` became `row`, which is at `index`.
    #[pyclass(frozen, get_all, generic, name = "Update", module = "kalam_live")]
    PyUpdate, "Update", {index: usize, row: Py<PyAny>, old: Py<PyAny>}, objects: [row, old]
}
change_class! {
    /// `row` left; it was at `index`.
    #[pyclass(frozen, get_all, generic, name = "Remove", module = "kalam_live")]
    PyRemove, "Remove", {index: usize, row: Py<PyAny>}, objects: [row]
}
change_class! {
    /// Everything may have changed: the first rows, or more changes than rows. Read the rows anew.
    #[pyclass(frozen, name = "Reset", module = "kalam_live")]
    PyReset, "Reset", {}, objects: []
}
