//! The embedded server, started in this process.

use std::path::PathBuf;

use kalam_bindings::{ProcessBound, Server, duration};
use pyo3::prelude::*;

use crate::error::raise;
use crate::handle::Handle;
use crate::operation::start;

/// A server that other clients connect to.
#[pyclass(frozen, weakref, name = "EmbeddedServer", module = "kalam_live._native")]
pub(crate) struct PyServer(ProcessBound<Server>);

#[pymethods]
impl PyServer {
    #[getter]
    fn url(&self) -> PyResult<&str> {
        Ok(self.0.get().map_err(raise)?.url())
    }

    #[getter]
    fn root_password(&self) -> PyResult<Option<&str>> {
        Ok(self.0.get().map_err(raise)?.root_password())
    }

    fn stop(&self) -> PyResult<Handle> {
        let server = self.0.get().map_err(raise)?.clone();
        start(
            async move {
                server.stop().await;
                Ok(())
            },
            |py, ()| Ok(py.None()),
        )
    }
}

/// Starts a server, in `directory` or in memory.
#[pyfunction]
#[pyo3(signature = (*, directory=None, root_password=None, port=0, topic_visibility=None))]
pub(crate) fn start_embedded(
    directory: Option<PathBuf>,
    root_password: Option<String>,
    port: u16,
    topic_visibility: Option<f64>,
) -> PyResult<Handle> {
    let visibility =
        topic_visibility.map(|seconds| duration("topic_visibility", seconds)).transpose().map_err(raise)?;
    start(Server::start(directory, root_password, port, visibility), |py, server| {
        Ok(Py::new(py, PyServer(ProcessBound::new(server)))?.into_any())
    })
}
