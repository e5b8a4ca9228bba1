//! Files on their way to the server and back.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kalam_live::{
    Column, DataType, Error, ErrorCode, FileDownload, FileRef, Result, Row, Schema, UploadProgress, Value,
};

/// Counts the bytes of an upload that were sent. The language looks at it: no thread of ours calls into one.
#[derive(Clone, Default)]
pub struct Sent(Arc<AtomicU64>);

impl Sent {
    /// Takes note.
    pub fn tell(&self, progress: UploadProgress) {
        self.0.store(progress.sent_bytes, Ordering::Relaxed);
    }

    /// Bytes that were handed to the network so far.
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A reference as a cell gave it, as JSON.
pub(crate) fn reference(json: &str) -> Result<FileRef> {
    serde_json::from_str(json)
        .map_err(|error| Error::new(ErrorCode::InvalidArgument, format!("this is no file of a row: {error}")))
}

/// A file as a row of `content` and `mime`, since rows are what crosses the border quickly.
pub(crate) fn row(file: FileDownload) -> Row {
    let schema =
        Schema::new(vec![Column::new("content", DataType::Bytes), Column::new("mime", DataType::Text)]);
    let mime = file.mime.as_deref().map_or(Value::Null, Value::from);
    Row::new(schema, vec![Value::Bytes(file.content.into()), mime], None)
}
