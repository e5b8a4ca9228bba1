//! The column names of a schema as Python strings, shared by its rows.

use std::sync::Arc;

use kalam_live::Schema;
use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use crate::row::PyRow;

pub(crate) struct Names {
    schema: Arc<Schema>,
    names: Vec<Name>,
    keys: Py<PyTuple>,
}

struct Name {
    text: Py<PyString>,
    /// Whether `row.name` is this column, and not a method of the row that has the same name.
    is_attribute: bool,
}

impl Names {
    pub(crate) fn new(py: Python<'_>, schema: &Arc<Schema>) -> PyResult<Arc<Self>> {
        let class = py.get_type::<PyRow>();
        let make = |name: &str| {
            let text = PyString::intern(py, name);
            let is_attribute = !class.hasattr(&text)?;
            PyResult::Ok(Name { text: text.unbind(), is_attribute })
        };
        let names = schema.columns().iter().map(|c| make(&c.name)).collect::<PyResult<Vec<_>>>()?;
        let keys = PyTuple::new(py, names.iter().map(|n| n.text.bind(py)))?.unbind();
        Ok(Arc::new(Self { schema: schema.clone(), names, keys }))
    }

    /// Whether these are the names of rows of `schema`.
    pub(crate) fn are_of(&self, schema: &Arc<Schema>) -> bool {
        Arc::ptr_eq(&self.schema, schema)
    }

    /// Every name, in the order of the columns.
    pub(crate) fn keys<'py>(&self, py: Python<'py>) -> &Bound<'py, PyTuple> {
        self.keys.bind(py)
    }

    /// The position of a column.
    pub(crate) fn position(&self, name: &Bound<'_, PyString>) -> Option<usize> {
        // Names in a program's text are interned, as ours are: mostly a pointer tells.
        self.names.iter().position(|n| n.text.is(name)).or_else(|| self.schema.index_of(name.to_str().ok()?))
    }

    /// The position of a column that may be read as an attribute.
    pub(crate) fn attribute(&self, name: &Bound<'_, PyString>) -> Option<usize> {
        // Attribute names are interned but for `getattr` with a computed one, which takes the longer way.
        let position = self.names.iter().position(|n| n.text.is(name))?;
        self.names[position].is_attribute.then_some(position)
    }
}
