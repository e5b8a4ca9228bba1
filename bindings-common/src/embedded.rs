//! An embedded server that other clients connect to, for a language that takes packets.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use crate::Server;
use crate::source::{Source, call};

/// A server that is started by `start`.
#[derive(Default)]
pub struct EmbeddedServer {
    running: Arc<OnceLock<Server>>,
}

impl EmbeddedServer {
    /// Starts it, in `directory` or in memory; `port` 0 is any free one. A consumer may hold a record of a topic for
    /// `topic_visibility` before it is delivered again.
    pub fn start(
        &self,
        directory: Option<String>,
        root_password: Option<String>,
        port: u16,
        topic_visibility: Option<Duration>,
    ) -> Box<dyn Source> {
        let running = self.running.clone();
        call(async move {
            let server =
                Server::start(directory.map(Into::into), root_password, port, topic_visibility).await?;
            // Nobody else starts it.
            let _ = running.set(server);
            Ok(())
        })
    }

    /// Where clients connect, once it runs.
    pub fn url(&self) -> Option<&str> {
        self.running.get().map(Server::url)
    }

    /// The password of `root`, where it is known.
    pub fn root_password(&self) -> Option<&str> {
        self.running.get().and_then(Server::root_password)
    }

    /// Stops it, once.
    pub fn stop(&self) -> Box<dyn Source> {
        let running = self.running.clone();
        call(async move {
            if let Some(server) = running.get() {
                server.stop().await;
            }
            Ok(())
        })
    }
}
