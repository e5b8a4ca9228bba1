//! Files on their way to the server and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kalam_live::{
    Column, DataType, Error, ErrorCode, FileDownload, FileRef, FileUpload, Result, Row, Schema,
    UploadProgress, Value,
};
use napi::bindgen_prelude::Uint8Array;
use napi_derive::napi;

/// A file to send.
#[napi(object)]
pub struct Upload {
    pub placeholder: String,
    pub name: String,
    pub mime: Option<String>,
    pub content: Uint8Array,
}

impl Upload {
    pub(crate) fn file(self) -> FileUpload {
        let file = FileUpload::new(self.placeholder, self.name, &self.content[..]);
        match self.mime {
            Some(mime) => file.with_mime(mime),
            None => file,
        }
    }
}

/// Counts what was sent; JavaScript looks at it.
#[napi]
#[derive(Clone, Default)]
pub struct Progress(Arc<AtomicU64>);

impl Progress {
    pub(crate) fn tell(&self, progress: UploadProgress) {
        self.0.store(progress.sent_bytes, Ordering::Relaxed);
    }
}

#[napi]
impl Progress {
    #[napi(constructor)]
    #[allow(clippy::new_without_default, reason = "it is there, and this is JavaScript's")]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that were handed to the network so far.
    #[napi(getter)]
    pub fn sent_bytes(&self) -> f64 {
        self.0.load(Ordering::Relaxed) as f64
    }
}

/// A reference as JSON.
pub(crate) fn reference(json: &str) -> Result<FileRef> {
    serde_json::from_str(json)
        .map_err(|error| Error::new(ErrorCode::InvalidArgument, format!("this is no file of a row: {error}")))
}

/// A file as a row, since rows are what crosses the border quickly.
pub(crate) fn row(file: FileDownload) -> Row {
    let schema =
        Schema::new(vec![Column::new("content", DataType::Bytes), Column::new("mime", DataType::Text)]);
    let mime = file.mime.as_deref().map_or(Value::Null, Value::from);
    Row::new(schema, vec![Value::Bytes(file.content.into()), mime], None)
}
