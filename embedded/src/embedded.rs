//! A running server: how it is started and stopped.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime};

use tokio::sync::watch;

use crate::engine::{Engine, EngineError, EngineLimits, EngineOptions};
use crate::options::Options;
use crate::server::token::{TokenKey, TokenKind};
use crate::server::{self, tls};
use crate::wire::Wire;

/// The numbers of row versions have ten bits for it.
const MOST_NODE: u16 = 1023;

/// A server that runs in this process, on a thread and a runtime of its own.
///
/// Its own runtime, so that it can be started from anywhere (a test, a Python module, inside or outside of an
/// async runtime) and neither starves nor is starved by the caller's tasks.
///
/// Dropping the handle stops the server like [`Embedded::shutdown`] and waits for it.
///
/// ```
/// use kalam_embedded::{Embedded, Options};
///
/// let server = Embedded::start(Options::default())?;
/// assert!(server.url().starts_with("http://127.0.0.1:"));
/// # Ok::<(), kalam_embedded::StartError>(())
/// ```
pub struct Embedded {
    address: SocketAddr,
    has_tls: bool,
    root_password: Option<String>,
    /// For [`Embedded::root_token`]; gone once stopping, since the data is closed with the last clone.
    engine: Option<Engine>,
    token_lifetime: Duration,
    stop: watch::Sender<bool>,
    stopped: watch::Receiver<bool>,
    thread: Option<JoinHandle<()>>,
    process: u32,
}

impl Embedded {
    /// Opens the data and serves it. Returns when connections are accepted.
    ///
    /// Blocks while the data is opened and, the first time, while the root password is hashed (tens of
    /// milliseconds).
    ///
    /// # Errors
    /// The address is not a loopback address (and [`Options::allow_remote`] is not set) or is taken; the data
    /// can not be opened or another server has it open; the node is out of range.
    pub fn start(mut options: Options) -> Result<Self, StartError> {
        if options.node > MOST_NODE {
            return Err(StartError::Node(options.node));
        }
        if options.emulate.is_some() && options.wire != Wire::V0_4 {
            return Err(StartError::Wire);
        }
        let holes = options.emulate.unwrap_or_default();
        options.limits = holes.limited(options.limits);
        if !options.host.is_loopback() && !options.allow_remote {
            return Err(StartError::Remote(options.host));
        }
        let tls = options.tls.as_ref().map(tls::acceptor).transpose().map_err(StartError::Tls)?;
        let has_tls = tls.is_some();
        let wished = SocketAddr::new(options.host, options.port);
        let bind_error = |source| StartError::Bind { address: wished, source };
        let listener = std::net::TcpListener::bind(wished).map_err(bind_error)?;
        listener.set_nonblocking(true).map_err(bind_error)?;
        let address = listener.local_addr().map_err(bind_error)?;

        let given = options.root_password.clone();
        let engine = Engine::open(EngineOptions {
            root_password: given.clone(),
            holes,
            wire: options.wire,
            node: options.node,
            topic_visibility: options.topic_visibility,
            tombstone_hours: options.tombstone_hours,
            limits: EngineLimits {
                statement_time: options.limits.statement_time,
                result_rows: options.limits.result_rows,
                result_bytes: options.limits.result_bytes,
                sql_bytes: options.limits.sql_bytes,
                statements: options.limits.sql_statements,
                heap_bytes: options.limits.heap_bytes,
            },
            ..EngineOptions::new(options.data.clone())
        })
        .map_err(StartError::Data)?;
        engine.set_ws_url(format!("{}://{address}/v1/ws", if has_tls { "wss" } else { "ws" }));
        let root_password = given.or_else(|| engine.generated_root_password().map(str::to_owned));

        let (own_engine, token_lifetime) = (engine.clone(), options.access_token_lifetime);

        let (stop, stop_wished) = watch::channel(false);
        let (has_stopped, stopped) = watch::channel(false);
        let (started, wait_for_start) = mpsc::channel();
        let thread = std::thread::Builder::new()
            .name("kalam-embedded".to_owned())
            .spawn(move || {
                server::run(engine, listener, tls, options, stop_wished, started);
                has_stopped.send_replace(true);
            })
            .map_err(StartError::Runtime)?;
        let mut server = Self {
            address,
            has_tls,
            root_password,
            engine: Some(own_engine),
            token_lifetime,
            stop,
            stopped,
            thread: Some(thread),
            process: std::process::id(),
        };
        match wait_for_start.recv() {
            Ok(Ok(())) => Ok(server),
            Ok(Err(error)) => {
                server.join();
                Err(StartError::Runtime(error))
            }
            Err(mpsc::RecvError) => {
                server.join();
                Err(StartError::Runtime(std::io::Error::other("the server's thread ended")))
            }
        }
    }

    /// Where clients connect, such as `http://127.0.0.1:2900`.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = if self.has_tls { "https" } else { "http" };
        format!("{scheme}://{}", self.address)
    }

    /// The port that the server listens on.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// The password of `root`, if this start knows it: the one in [`Options::root_password`], or the one that
    /// was generated just now since the data is new. `None` for data that was created by an earlier start.
    #[must_use]
    pub fn root_password(&self) -> Option<&str> {
        self.root_password.as_deref()
    }

    /// An access token for `root`, valid as long as [`Options::access_token_lifetime`] says: for a client in this
    /// process, which owns the data anyway and should not have to know or change the password.
    #[must_use]
    pub fn root_token(&self) -> Option<String> {
        let engine = self.engine.as_ref()?;
        let root = engine.user("root")?;
        let key = TokenKey::new(engine.secret());
        Some(
            key.issue(&root.id, root.generation, TokenKind::Access, self.token_lifetime, SystemTime::now()).0,
        )
    }

    /// Stops: WebSockets are closed with 1001, requests finish, within [`Options::shutdown_deadline`].
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        self.engine = None;
        // An error means that the thread is gone, which is as good.
        let _ = self.stopped.wait_for(|stopped| *stopped).await;
        self.join();
    }

    fn join(&mut self) {
        // The child of a fork has this handle but neither the thread nor, with its locks, the data.
        if std::process::id() != self.process {
            std::mem::forget(self.engine.take());
            return;
        }
        self.stop.send_replace(true);
        self.engine = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the server's thread panicked");
        }
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.join();
    }
}

// By hand, so that the root password can not reach a log.
impl fmt::Debug for Embedded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedded").field("url", &self.url()).finish_non_exhaustive()
    }
}

/// Why a server did not start.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The host can be reached by other machines, and that was not allowed.
    Remote(IpAddr),
    /// The node is greater than 1023.
    Node(u16),
    /// KalamDB 0.4 can be emulated, 0.8 can not.
    Wire,
    /// The address can not be listened on.
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        source: std::io::Error,
    },
    /// The certificate or its key can not be used.
    Tls(String),
    /// The data can not be opened.
    Data(EngineError),
    /// The thread or the runtime can not be started.
    Runtime(std::io::Error),
}

impl StartError {
    /// A stable code: `config`, `address_unavailable`, `data_unavailable` or `internal`.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Remote(_) | Self::Node(_) | Self::Wire | Self::Tls(_) => "config",
            Self::Bind { .. } => "address_unavailable",
            Self::Data(_) => "data_unavailable",
            Self::Runtime(_) => "internal",
        }
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Remote(host) => write!(
                f,
                "{host} can be reached from other machines: use a loopback address such as 127.0.0.1, or allow it \
                 explicitly (`allow_remote`, `--allow-remote`), best with TLS (`--tls-cert`, `--tls-key`)"
            ),
            Self::Wire => {
                f.write_str("what is emulated is KalamDB 0.4: leave out `emulate`, or the protocol 0.8")
            }
            Self::Node(node) => write!(f, "the node must be a number from 0 to 1023, not {node}"),
            Self::Bind { address, source } => {
                write!(f, "can not listen on {address}: {source}; choose another port, or 0 for a free one")
            }
            Self::Tls(message) => write!(f, "can not serve TLS: {message}"),
            Self::Data(error) => write!(f, "can not open the data: {error}"),
            Self::Runtime(error) => write!(f, "can not start the server's thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Remote(_) | Self::Node(_) | Self::Wire | Self::Tls(_) => None,
            Self::Bind { source, .. } | Self::Runtime(source) => Some(source),
            Self::Data(error) => Some(error),
        }
    }
}
