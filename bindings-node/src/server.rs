//! An embedded server that other clients connect to.

use std::sync::{Arc, OnceLock};

use kalam_bindings::Server;
use napi_derive::napi;

use crate::call;
use crate::handle::Handle;

/// A server that is started by `start`.
#[napi]
#[derive(Default)]
pub struct EmbeddedServer {
    running: Arc<OnceLock<Server>>,
}

#[napi]
impl EmbeddedServer {
    #[napi(constructor)]
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts it, in `directory` or in memory; `port` 0 is any free one.
    #[napi]
    pub fn start(&self, directory: Option<String>, root_password: Option<String>, port: u16) -> Handle {
        let running = self.running.clone();
        call::start(async move {
            let server = Server::start(directory.map(Into::into), root_password, port).await?;
            // Nobody else starts it.
            let _ = running.set(server);
            Ok(())
        })
    }

    #[napi(getter)]
    pub fn url(&self) -> Option<&str> {
        self.running.get().map(Server::url)
    }

    #[napi(getter)]
    pub fn root_password(&self) -> Option<&str> {
        self.running.get().and_then(Server::root_password)
    }

    #[napi]
    pub fn stop(&self) -> Handle {
        let running = self.running.clone();
        call::start(async move {
            if let Some(server) = running.get() {
                server.stop().await;
            }
            Ok(())
        })
    }
}
