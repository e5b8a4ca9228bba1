//! The embedded server, started in this process.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use kalam_embedded::{Data, Embedded, Options, StartError};
use kalam_live::{Error, ErrorCode, Result};

use crate::process::ProcessBound;

/// How long a stopping server waits for requests that are under way.
const STOP_DEADLINE: Duration = Duration::from_millis(500);

/// A running server, that stops when nobody holds it any more.
#[derive(Clone)]
pub struct Server(Arc<Running>);

struct Running {
    url: String,
    root_password: Option<String>,
    embedded: ProcessBound<Mutex<Option<Embedded>>>,
}

/// The servers of this process, to stop them with it.
static SERVERS: Mutex<Vec<Weak<Running>>> = Mutex::new(Vec::new());

impl Server {
    /// Starts one, in `directory` or in memory. `port` 0 is any free one. A consumer may hold a record of a topic for
    /// `topic_visibility` before it is delivered again.
    ///
    /// # Errors
    /// `config` when the directory, the password or the port can not be used.
    pub async fn start(
        directory: Option<PathBuf>,
        root_password: Option<String>,
        port: u16,
        topic_visibility: Option<Duration>,
    ) -> Result<Self> {
        let data = directory.map_or(Data::Memory, Data::Directory);
        let standard = Options::default();
        let options = Options {
            data,
            root_password,
            port,
            shutdown_deadline: STOP_DEADLINE,
            topic_visibility: topic_visibility.unwrap_or(standard.topic_visibility),
            ..standard
        };
        let embedded = tokio::task::spawn_blocking(|| Embedded::start(options))
            .await
            .map_err(|_| Error::new(ErrorCode::Closed, "the embedded server was stopped while it started"))?
            .map_err(|error| start_error(&error))?;
        let running = Arc::new(Running {
            url: embedded.url(),
            root_password: embedded.root_password().map(str::to_owned),
            embedded: ProcessBound::new(Mutex::new(Some(embedded))),
        });
        let mut servers = SERVERS.lock().unwrap_or_else(PoisonError::into_inner);
        servers.retain(|server| server.strong_count() > 0);
        servers.push(Arc::downgrade(&running));
        Ok(Self(running))
    }

    /// Where clients connect.
    pub fn url(&self) -> &str {
        &self.0.url
    }

    /// The password of `root`; `None` when an earlier start on the same directory has set it.
    pub fn root_password(&self) -> Option<&str> {
        self.0.root_password.as_deref()
    }

    /// A token for its `root`, while it runs.
    pub(crate) fn root_token(&self) -> Option<String> {
        self.0.embedded.here()?.lock().unwrap_or_else(PoisonError::into_inner).as_ref()?.root_token()
    }

    /// Stops it, once.
    pub async fn stop(&self) {
        if let Some(embedded) = self.0.take() {
            embedded.shutdown().await;
        }
    }
}

impl Running {
    fn take(&self) -> Option<Embedded> {
        self.embedded.here()?.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl Drop for Running {
    /// Stopping takes a moment, which a garbage collector has not.
    fn drop(&mut self) {
        if let Some(embedded) = self.take() {
            std::thread::spawn(|| drop(embedded));
        }
    }
}

/// Stops every server of this process.
pub(crate) fn stop_all() {
    let servers = std::mem::take(&mut *SERVERS.lock().unwrap_or_else(PoisonError::into_inner));
    servers.iter().filter_map(Weak::upgrade).for_each(|server| drop(server.take()));
}

fn start_error(error: &StartError) -> Error {
    let code = match error {
        StartError::Runtime(_) => ErrorCode::Server,
        _ => ErrorCode::Config,
    };
    Error::new(code, error.to_string()).with_server_code(error.code())
}
