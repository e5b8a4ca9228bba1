//! Files on their way to the server.

use kalam_bindings::Sent;
use kalam_live::FileUpload;

/// A file to send.
#[derive(uniffi::Record)]
pub struct Upload {
    pub placeholder: String,
    pub name: String,
    pub mime: Option<String>,
    pub content: Vec<u8>,
}

impl From<Upload> for FileUpload {
    fn from(upload: Upload) -> Self {
        let file = Self::new(upload.placeholder, upload.name, upload.content);
        match upload.mime {
            Some(mime) => file.with_mime(mime),
            None => file,
        }
    }
}

/// Counts what was sent; the language looks at it.
#[derive(Default, uniffi::Object)]
pub struct NativeSent {
    sent: Sent,
}

impl NativeSent {
    pub(crate) fn counter(&self) -> Sent {
        self.sent.clone()
    }
}

#[uniffi::export]
impl NativeSent {
    #[uniffi::constructor]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes that were handed to the network so far.
    pub fn bytes(&self) -> u64 {
        self.sent.bytes()
    }
}
