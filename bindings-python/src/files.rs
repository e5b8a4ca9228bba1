//! Files on their way to the server.

use kalam_bindings::Sent;
use kalam_live::FileUpload;
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;

/// `(placeholder, name, type or None, bytes)`.
#[derive(FromPyObject)]
pub(crate) struct PyUpload(String, String, Option<String>, PyBackedBytes);

impl PyUpload {
    pub(crate) fn upload(self) -> FileUpload {
        let Self(placeholder, name, mime, content) = self;
        let file = FileUpload::new(placeholder, name, &content[..]);
        match mime {
            Some(mime) => file.with_mime(mime),
            None => file,
        }
    }
}

/// Counts what was sent; Python looks at it.
#[pyclass(frozen, from_py_object, name = "UploadProgress", module = "kalam_live._native")]
#[derive(Clone, Default)]
pub(crate) struct PyUploadProgress(pub(crate) Sent);

#[pymethods]
impl PyUploadProgress {
    #[new]
    fn new() -> Self {
        Self::default()
    }

    /// Bytes that were handed to the network so far.
    #[getter]
    fn sent_bytes(&self) -> u64 {
        self.0.bytes()
    }
}
