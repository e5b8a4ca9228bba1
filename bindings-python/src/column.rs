//! Columns as Python objects.

use kalam_live::Column;
use pyo3::prelude::*;

/// A column of rows.
#[pyclass(frozen, eq, get_all, name = "Column", module = "kalam_live")]
#[derive(Clone, PartialEq)]
pub(crate) struct PyColumn {
    name: String,
    /// As SQL spells it: `BIGINT`, `DECIMAL(18,4)`.
    r#type: String,
    primary_key: bool,
    not_null: bool,
}

impl PyColumn {
    pub(crate) fn new(column: &Column) -> Self {
        Self {
            name: column.name.to_string(),
            r#type: column.data_type.to_string(),
            primary_key: column.flags.primary_key,
            not_null: column.flags.not_null,
        }
    }
}

#[pymethods]
impl PyColumn {
    fn __repr__(&self) -> String {
        format!("Column(name={:?}, type={:?})", self.name, self.r#type)
    }
}
