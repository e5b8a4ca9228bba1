//! An embedded server that other clients connect to. Without the feature `embedded` starting it fails with `not_supported`.

use kalam_bindings::{EmbeddedServer, duration};

use crate::error::NativeError;
use crate::handle::NativeHandle;

/// What `kalam_bindings::EmbeddedServer` offers.
#[derive(Default, uniffi::Object)]
pub struct NativeServer {
    server: EmbeddedServer,
}

#[uniffi::export]
impl NativeServer {
    #[uniffi::constructor]
    pub fn new() -> Self {
        Self::default()
    }

    /// Times are in seconds.
    pub fn start(
        &self,
        directory: Option<String>,
        root_password: Option<String>,
        port: u16,
        topic_visibility: Option<f64>,
    ) -> Result<NativeHandle, NativeError> {
        let visibility = topic_visibility.map(|time| duration("topicVisibility", time)).transpose()?;
        Ok(NativeHandle::new(self.server.start(directory, root_password, port, visibility)))
    }

    pub fn url(&self) -> Option<String> {
        self.server.url().map(str::to_owned)
    }

    pub fn root_password(&self) -> Option<String> {
        self.server.root_password().map(str::to_owned)
    }

    pub fn stop(&self) -> NativeHandle {
        NativeHandle::new(self.server.stop())
    }
}
