//! An embedded server that other clients connect to.

use kalam_bindings::EmbeddedServer;
use napi_derive::napi;

use crate::handle::Handle;
use crate::options::duration;

/// What `kalam_bindings::EmbeddedServer` offers.
#[napi(js_name = "EmbeddedServer")]
#[derive(Default)]
pub struct NativeServer {
    server: EmbeddedServer,
}

#[napi]
impl NativeServer {
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    #[napi]
    pub fn start(
        &self,
        directory: Option<String>,
        root_password: Option<String>,
        port: u16,
        topic_visibility: Option<f64>,
    ) -> Handle {
        // What is no time was refused by the other half.
        let visibility = topic_visibility.and_then(|time| duration("topicVisibility", time).ok());
        Handle::new(self.server.start(directory, root_password, port, visibility))
    }

    #[napi(getter)]
    pub fn url(&self) -> Option<&str> {
        self.server.url()
    }

    #[napi(getter)]
    pub fn root_password(&self) -> Option<&str> {
        self.server.root_password()
    }

    #[napi]
    pub fn stop(&self) -> Handle {
        Handle::new(self.server.stop())
    }
}
