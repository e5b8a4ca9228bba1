//! The native half of the Python package `kalam_live`. The other half, `python/kalam_live`, holds everything that
//! Python says better: the event loop's side of waiting, `async` and `with`, argument lists, models.
//!
//! Rules that every module keeps:
//! - a background thread never attaches to the interpreter, and owns no Python object
//! - what waits is a [`handle::Handle`]: ready, take, close
//! - what has threads behind it is [`kalam_bindings::ProcessBound`]

#![deny(unsafe_code)]

mod cache;
mod change;
mod client;
mod column;
mod consumer;
mod error;
mod event;
mod files;
mod handle;
mod html;
mod inbox;
mod logs;
mod names;
mod operation;
mod options;
mod result;
mod row;
mod rows;
mod server;
mod stream;
mod value;
mod wake;

use mimalloc::MiMalloc;
use pyo3::prelude::*;

/// Rows are made on one thread and freed on another, where the C library's allocator has them wait for each other.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Stops everything that runs in the background, within about a second. With `exiting`, other threads that wait are
/// left waiting until the process ends.
#[pyfunction]
#[pyo3(signature = (*, exiting=false))]
fn shutdown(py: Python<'_>, exiting: bool) {
    if exiting {
        handle::leave_waiting();
    }
    py.detach(kalam_bindings::shutdown);
}

#[pymodule(gil_used = false)]
mod _native {
    use pyo3::prelude::*;
    use pyo3::types::{PyMapping, PySequence};

    #[pymodule_export]
    use crate::change::{PyInsert, PyRemove, PyReset, PyUpdate};
    #[pymodule_export]
    use crate::client::{Client, PySubscription, connect};
    #[pymodule_export]
    use crate::column::PyColumn;
    #[pymodule_export]
    use crate::consumer::{PyConsumer, PyRecord, PyWork};
    #[pymodule_export]
    use crate::error::error_codes;
    #[pymodule_export]
    use crate::event::PyEvent;
    #[pymodule_export]
    use crate::files::PyUploadProgress;
    #[pymodule_export]
    use crate::handle::Handle;
    #[pymodule_export]
    use crate::inbox::PyTokenRequest;
    #[pymodule_export]
    use crate::logs::log;
    #[pymodule_export]
    use crate::result::PyQueryResult;
    #[pymodule_export]
    use crate::row::PyRow;
    #[pymodule_export]
    use crate::rows::{PyRowList, PyRows};
    #[pymodule_export]
    use crate::server::{PyServer, start_embedded};
    #[pymodule_export]
    use crate::shutdown;
    #[pymodule_export]
    use crate::value::PyFileRef;
    #[pymodule_export]
    use crate::wake::Wakeups;

    /// Lets `isinstance` and `match` take rows for mappings, and lists of them for sequences.
    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        PyMapping::register::<PyRow>(module.py())?;
        PySequence::register::<PyRowList>(module.py())
    }
}
