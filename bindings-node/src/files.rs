//! Files on their way to the server.

use kalam_bindings::Sent;
use kalam_live::FileUpload;
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
#[derive(Default)]
pub struct UploadProgress(Sent);

impl UploadProgress {
    pub(crate) fn sent(&self) -> Sent {
        self.0.clone()
    }
}

#[napi]
impl UploadProgress {
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that were handed to the network so far.
    #[napi(getter)]
    pub fn sent_bytes(&self) -> f64 {
        self.0.bytes() as f64
    }
}
