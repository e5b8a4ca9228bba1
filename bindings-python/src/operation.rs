//! One-shot calls as handles.

use std::future::Future;
use std::task::{Context, Poll};

use kalam_bindings::{Operation, Taken};
use kalam_live::Result;
use pyo3::prelude::*;

use crate::error::raise;
use crate::handle::{Handle, Source};

struct Call<T, F> {
    operation: Operation<T>,
    finish: F,
}

/// Starts `future` on the shared runtime. `finish` turns its value into the Python result when it is taken.
pub(crate) fn start<T, F>(
    future: impl Future<Output = Result<T>> + Send + 'static,
    finish: F,
) -> PyResult<Handle>
where
    T: Send + 'static,
    F: Fn(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + Sync + 'static,
{
    Ok(Handle::new(Call { operation: Operation::start(future).map_err(raise)?, finish }))
}

impl<T, F> Source for Call<T, F>
where
    T: Send + 'static,
    F: Fn(Python<'_>, T) -> PyResult<Py<PyAny>> + Send + Sync,
{
    fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.operation.poll_ready(cx)
    }

    fn take(&self, py: Python<'_>, _max: usize) -> PyResult<Taken<Py<PyAny>>> {
        Ok(match self.operation.take().map_err(raise)? {
            Taken::Item(value) => Taken::Item((self.finish)(py, value)?),
            Taken::Nothing => Taken::Nothing,
            Taken::Ended => Taken::Ended,
        })
    }

    fn close(&self) {
        self.operation.close();
    }
}
