//! The native half of the Python package `kalam_live`. The other half, `python/kalam_live`, holds everything that
//! Python says better: the event loop's side of waiting, `async` and `with`, argument lists, models.
//!
//! Rules that every module keeps:
//! - a background thread never attaches to the interpreter, and owns no Python object
//! - what waits is a [`handle::Handle`]: ready, take, close
//! - what has threads behind it is [`process::ProcessBound`]

#![deny(unsafe_code)]

mod cache;
mod change;
mod error;
mod handle;
mod html;
mod names;
mod process;
mod row;
mod value;
mod wake;

use pyo3::prelude::*;

#[pymodule(gil_used = false)]
mod _native {
    #[pymodule_export]
    use crate::change::{PyInsert, PyRemove, PyReset, PyUpdate};
    #[pymodule_export]
    use crate::error::error_codes;
    #[pymodule_export]
    use crate::handle::Handle;
    #[pymodule_export]
    use crate::row::PyRow;
    #[pymodule_export]
    use crate::value::PyFileRef;
    #[pymodule_export]
    use crate::wake::Wakeups;
}
