//! The public async API: one [`KalamClient`] for queries, live rows and events.

mod as_user;
mod builder;
#[cfg(feature = "consumer")]
mod consumer;
mod event_handlers;
mod files;
mod handle;

mod lifecycle;
mod live;
mod live_events;
mod live_rows;
mod paging;
mod query;
mod query_result;
mod reconnect;
mod statement;
mod subscription;
mod table_schema;

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::mpsc;

pub use compact_str::CompactString;

pub use self::as_user::AsUser;
pub use self::builder::KalamClientBuilder;
#[cfg(feature = "consumer")]
pub use self::consumer::{
    ConsumerBuilder, ConsumerOffsets, ConsumerRun, OnFailed, Polling, RunOptions, RunSummary, Stop, Task,
    TopicConsumer,
};
pub use self::event_handlers::EventHandlers;
pub use self::files::{FileDownload, FileUpload, UploadProgress};
pub use self::lifecycle::{LifecycleEvents, StateWatch};
pub use self::live_events::LiveEvents;
pub use self::live_rows::{LiveRows, LiveRowsEvent};
pub use self::query::BatchStatement;
pub use self::query_result::QueryResult;
pub use self::reconnect::Reconnect;
pub use self::subscription::{
    LiveEventsConfig, LiveRowsConfig, SubscriptionConfig, SubscriptionInfo, SubscriptionOptions,
};
#[cfg(feature = "consumer")]
pub use crate::consumer::{AutoOffsetReset, Committed, ConsumerRecord, Failed, FailedAction, Job};
pub use crate::converge::{Verify, VerifyCounters};
pub use crate::live::{Change, Changes, OrderBy, Phase, Rows};
pub use crate::machine::{Decoding, Lifecycle, SubscriptionStage};
#[cfg(feature = "consumer")]
pub use crate::protocol::RecordOp;
pub use crate::protocol::{Announcement, Cursor, Health, PartialRow, StatementResult};
pub use crate::runtime::auth::{TokenError, TokenFuture, TokenProvider};
pub use crate::runtime::event::ChangeEvent;
pub use crate::runtime::reached::Reached;
pub use crate::runtime::status::{ConnectionState, Counters};
pub use crate::runtime::timeouts::Timeouts;
pub use crate::runtime::tls::TlsOptions;

use self::table_schema::SchemaCache;
use crate::error::{Error, ErrorCode, Result};
use crate::machine::{self, Backoff, Config, Machine};
use crate::protocol::{Compression, Limits, WireProtocol};
use crate::runtime::asker::Asker;
use crate::runtime::auth::Auth;
use crate::runtime::command::{Command, Commands};
use crate::runtime::http::Http;
use crate::runtime::owner::Owner;
use crate::runtime::status::Status;

/// A client of one server or cluster. Cheap to clone; all clones are the same client.
///
/// Queries go over HTTP; live queries share one WebSocket, which is opened when the first one is made, and opened again
/// whenever it is lost. When the last clone and the last handle are dropped, the connection is closed.
///
/// It lives on the tokio runtime that it is first used in.
///
/// ```no_run
/// use kalam_live::KalamClient;
///
/// # async fn f() -> kalam_live::Result<()> {
/// let client = KalamClient::builder().url("http://localhost:2900").user("alice").password("...").build()?;
/// let mut live = client.live("SELECT * FROM app.tasks WHERE status = 'open'").await?;
/// while let Some(rows) = live.next_rows().await {
///     println!("{} open tasks", rows?.len());
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KalamClient {
    inner: Arc<Inner>,
}

struct Inner {
    http: Arc<Http>,
    auth: Arc<Auth>,
    asker: Asker,
    namespace: Option<String>,
    status: Arc<Status>,
    commands: Commands,
    /// What the owner task is made from, until it is started.
    start: Mutex<Option<Start>>,
    runtime: Option<Handle>,
    /// What the server's health says about its being complete, once it was asked.
    complete: OnceLock<bool>,
    schemas: SchemaCache,
    next_id: AtomicU64,
    /// For good: queries, which need no connection, end with it too.
    closed: AtomicBool,
    #[cfg(feature = "consumer")]
    consumers: consumer::OpenConsumers,
}

struct Start {
    machine: Machine,
    commands: mpsc::UnboundedReceiver<Command>,
    handlers: EventHandlers,
}

impl KalamClient {
    /// Options for a new client.
    pub fn builder() -> KalamClientBuilder {
        KalamClientBuilder::new()
    }

    fn new(
        http: Arc<Http>,
        auth: Arc<Auth>,
        namespace: Option<String>,
        reconnect: Reconnect,
        handlers: EventHandlers,
        runtime: Option<Handle>,
    ) -> Result<Self> {
        let network = http.network();
        let compression = if network.compression { Compression::Gzip } else { Compression::None };
        let machine = Machine::new(Config {
            urls: network.endpoints.iter().map(|e| e.websocket(network.compression)).collect(),
            seed: RandomState::new().hash_one(std::process::id()),
            timeouts: machine::Timeouts {
                // The driver has a deadline of its own for each of the two steps that this covers.
                connect: network.timeouts.connect.max(network.timeouts.auth) + network.timeouts.pong,
                auth: network.timeouts.auth,
                subscribe: network.timeouts.subscribe,
                page: network.timeouts.subscribe,
                keepalive: network.timeouts.keepalive,
                pong: network.timeouts.pong,
            },
            backoff: Backoff { initial: reconnect.initial, max: reconnect.max, ..Backoff::default() },
            max_retries: reconnect.max_attempts,
            protocol: WireProtocol { compression, ..WireProtocol::default() },
            limits: Limits {
                frame_bytes: network.max_bytes,
                decompressed_bytes: network.max_bytes.saturating_mul(4),
                ..Limits::default()
            },
            ..Config::default()
        })?;
        let (commands, receiver) = Commands::channel();
        let start = Start { machine, commands: receiver, handlers };
        Ok(Self {
            inner: Arc::new(Inner {
                asker: Asker::new(http.clone(), auth.clone()),
                http,
                auth,
                namespace,
                status: Arc::new(Status::new()),
                commands,
                start: Mutex::new(Some(start)),
                runtime,
                complete: OnceLock::new(),
                schemas: SchemaCache::default(),
                next_id: AtomicU64::new(1),
                closed: AtomicBool::new(false),
                #[cfg(feature = "consumer")]
                consumers: consumer::OpenConsumers::default(),
            }),
        })
    }

    /// Connects now rather than at the first live query, and waits until the client is connected and authenticated.
    ///
    /// # Errors
    /// Why no URL could be reached, each of which is tried once: `auth_failed`, `disconnected`, `timeout`, `config` (no KalamDB
    /// there). Unless live queries wait for the connection, the client then stops trying.
    pub async fn connect(&self) -> Result<()> {
        self.owner()?.ask(|reply| Command::Connect { reply }).await?
    }

    /// Closes the connection and stops trying. Live queries stay, with their rows, and go on after the next
    /// [`connect`](Self::connect) or the next new live query.
    pub async fn disconnect(&self) {
        if self.is_started() {
            // A client that is closed is disconnected.
            let _ = self.inner.commands.ask(|reply| Command::Disconnect { reply }).await;
        }
    }

    /// Ends every live query and consumer and closes the connection for good. Every handle and clone is told, and fails with
    /// `closed` from then on. Consumers commit what is finished, within five seconds. Closing twice is closing once.
    pub async fn close(&self) {
        self.inner.closed.store(true, Ordering::Release);
        #[cfg(feature = "consumer")]
        let consumers = self.inner.consumers.close();
        if !self.abandon() {
            let _ = self.inner.commands.ask(|reply| Command::Close { reply }).await;
        }
        // A commit needs no connection, and nobody should wait for it who watches the state.
        #[cfg(feature = "consumer")]
        consumers.await;
    }

    /// The device's network has changed (woke up, other Wi-Fi): tries at once instead of waiting, tests a connection that
    /// stands, and sends the next queries over new connections.
    pub fn network_changed(&self) {
        self.inner.http.forget_connections();
        if self.is_started() {
            self.inner.commands.send(Command::NetworkChanged);
        }
    }

    /// The state of the connection now.
    pub fn state(&self) -> ConnectionState {
        self.inner.status.state()
    }

    /// The state of the connection, to be watched.
    pub fn watch_state(&self) -> StateWatch {
        StateWatch(self.inner.status.watch())
    }

    /// What happens to the connection, from now on.
    pub fn lifecycle(&self) -> LifecycleEvents {
        LifecycleEvents(self.inner.status.listen())
    }

    /// What has been counted since the client was made.
    pub fn counters(&self) -> Counters {
        self.inner.status.counters()
    }

    /// What the server announced about itself when the client last connected. KalamDB announces nothing.
    pub fn server(&self) -> Option<Announcement> {
        self.inner.status.server()
    }

    /// The open live queries, oldest first.
    pub async fn subscriptions(&self) -> Vec<SubscriptionInfo> {
        if !self.is_started() {
            return Vec::new();
        }
        let open =
            self.inner.commands.ask(|reply| Command::Subscriptions { reply }).await.unwrap_or_default();
        open.into_iter().map(|(info, age)| SubscriptionInfo::new(info, age)).collect()
    }

    /// Ends a live query by its name. Its handle is told.
    ///
    /// # Errors
    /// `not_found` when there is none of that name.
    pub async fn cancel_subscription(&self, id: &str) -> Result<()> {
        let id = CompactString::from(id);
        let name = id.clone();
        let found = self.is_started()
            && self.inner.commands.ask(|reply| Command::Cancel { id, reply }).await.unwrap_or(false);
        if found {
            return Ok(());
        }
        Err(Error::new(ErrorCode::NotFound, format!("there is no open subscription {name:?}")))
    }

    fn check_open(&self) -> Result<()> {
        if self.inner.closed.load(Ordering::Acquire) {
            return Err(Error::new(ErrorCode::Closed, "the client is closed"));
        }
        Ok(())
    }

    fn is_started(&self) -> bool {
        self.start().is_none()
    }

    fn start(&self) -> std::sync::MutexGuard<'_, Option<Start>> {
        self.inner.start.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The owner task, started if it was not yet.
    fn owner(&self) -> Result<&Commands> {
        let mut slot = self.start();
        if slot.is_none() {
            return Ok(&self.inner.commands);
        }
        let runtime = match &self.inner.runtime {
            Some(runtime) => runtime.clone(),
            None => Handle::try_current().map_err(|_| {
                Error::new(
                    ErrorCode::Config,
                    "the client is used outside of a tokio runtime: give it one with the option `runtime`, for \
                     example kalam_live::runtime::shared()",
                )
            })?,
        };
        if let Some(Start { machine, commands, handlers }) = slot.take() {
            let _entered = runtime.enter();
            if !handlers.is_empty() {
                runtime.spawn(handlers.run(self.lifecycle()));
            }
            let network = self.inner.http.network().clone();
            let owner = Owner::new(
                machine,
                network,
                self.inner.auth.clone(),
                self.inner.asker.clone(),
                self.inner.status.clone(),
                commands,
            );
            runtime.spawn(owner);
        }
        Ok(&self.inner.commands)
    }

    /// Closes a client whose owner task was never started. Returns whether that was so.
    fn abandon(&self) -> bool {
        let never_started = self.start().take().is_some();
        if never_started {
            self.inner.status.end();
        }
        never_started
    }
}

impl fmt::Debug for KalamClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KalamClient")
            .field("urls", &self.inner.http.network().endpoints)
            .field("credentials", &self.inner.auth.credentials())
            .field("namespace", &self.inner.namespace)
            .field("state", &self.state())
            .finish_non_exhaustive()
    }
}

/// A slice of parameters: `params![1_i64, "text", None::<bool>]`.
///
/// ```
/// use kalam_live::{Value, params};
/// assert_eq!(params![7_i64, "a"], [Value::from(7_i64), Value::from("a")]);
/// ```
#[macro_export]
macro_rules! params {
    ($($value:expr),* $(,)?) => { [$($crate::Value::from($value)),*] as [$crate::Value; _] };
}
