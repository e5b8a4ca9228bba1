//! The options of a client and of a live query, as a binding has checked their types.

use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Duration;

use kalam_live::{
    Checkpoint, Decoding, Error, ErrorCode, KalamClient, LiveEventsConfig, LiveRowsConfig, Reconnect, Result,
    SubscriptionConfig, SubscriptionOptions, Timeouts, TlsOptions, Value, Verify,
};

use crate::inbox::{ClosesInbox, Inbox};
use crate::server::Server;

/// Where a client connects to.
#[derive(Debug)]
pub enum Start {
    /// To a server: the nodes of one cluster.
    Urls(Vec<String>),
    /// To a server that is started here for it.
    Embedded {
        /// Where its data are; `None`: in memory.
        directory: Option<PathBuf>,
        /// Set for `root` if given.
        root_password: Option<String>,
    },
}

/// What `connect` takes. What is empty or `None` is as the core has it.
#[expect(missing_docs, reason = "each is an option of `KalamClientBuilder`")]
pub struct ConnectOptions {
    pub user: Option<String>,
    pub password: Option<String>,
    pub token: Option<String>,
    /// Whether tokens come from the user's code.
    pub token_provider: bool,
    /// Whether the user's code wants to know what happens to the connection.
    pub lifecycle: bool,
    pub namespace: Option<String>,
    /// By name.
    pub timeouts: HashMap<String, Duration>,
    pub reconnect: bool,
    pub reconnect_delay: Option<Duration>,
    pub reconnect_max_delay: Option<Duration>,
    pub reconnect_attempts: Option<u32>,
    pub headers: HashMap<String, String>,
    /// PEM.
    pub tls_ca: Option<Vec<u8>>,
    /// The chain and its key, both PEM.
    pub tls_client_cert: Option<(Vec<u8>, String)>,
    pub proxy: Option<String>,
    pub user_agent: Option<String>,
    pub compression: bool,
    pub max_message_bytes: Option<usize>,
}

impl ConnectOptions {
    /// Starts a server if there is to be one, and connects. `inbox` gets what the user's code is wanted for from now on,
    /// and is closed when that is over, also if connecting fails.
    ///
    /// # Errors
    /// `config`, naming the option that is wrong; why the first attempt to connect failed.
    pub async fn open(self, start: Start, inbox: Inbox) -> Result<(KalamClient, Option<Server>)> {
        let closing = ClosesInbox(inbox);
        let (urls, server) = match start {
            Start::Urls(urls) => (urls, None),
            Start::Embedded { directory, root_password } => {
                let server = Server::start(directory, root_password, 0, None).await?;
                (vec![server.url().to_owned()], Some(server))
            }
        };
        let wanted = self.lifecycle;
        let client = self.build(urls, server.as_ref(), &closing.0)?;
        tokio::spawn(closing.tell(&client, wanted));
        if let Err(error) = client.connect().await {
            // Not only dropped: what failed is told before nothing more is.
            client.close().await;
            return Err(error);
        }
        Ok((client, server))
    }

    /// The client, not connected yet. Without credentials of its own it is the `root` of `server`.
    fn build(self, urls: Vec<String>, server: Option<&Server>, inbox: &Inbox) -> Result<KalamClient> {
        let mut builder = KalamClient::builder()
            .urls(urls)
            .timeouts(self.timeouts()?)
            .reconnect(self.reconnect())
            .tls(self.tls())
            .compression(self.compression)
            .runtime(kalam_live::runtime::shared()?);
        let own = [&self.user, &self.password, &self.token].into_iter().any(Option::is_some);
        if let (false, false, Some(server)) = (own, self.token_provider, server) {
            let server = server.clone();
            builder = builder.token_provider(move || {
                let token = server.root_token().ok_or("the embedded server has been stopped");
                async move { token }
            });
        }
        if let Some(user) = self.user {
            builder = builder.user(user);
        }
        if let Some(password) = self.password {
            builder = builder.password(password);
        }
        if let Some(token) = self.token {
            builder = builder.token(token);
        }
        if self.token_provider {
            let inbox = inbox.clone();
            builder = builder.token_provider(move || {
                let inbox = inbox.clone();
                async move { inbox.token().await }
            });
        }
        if let Some(namespace) = self.namespace {
            builder = builder.namespace(namespace);
        }
        for (name, value) in self.headers {
            builder = builder.header(name, value);
        }
        if let Some(proxy) = self.proxy {
            builder = builder.proxy(proxy);
        }
        if let Some(user_agent) = self.user_agent {
            builder = builder.user_agent(user_agent);
        }
        if let Some(bytes) = self.max_message_bytes {
            builder = builder.max_message_bytes(bytes);
        }
        builder.build()
    }

    fn timeouts(&self) -> Result<Timeouts> {
        let mut timeouts = Timeouts::default();
        for (name, value) in &self.timeouts {
            let timeout = match name.as_str() {
                "connect" => &mut timeouts.connect,
                "auth" => &mut timeouts.auth,
                "request" => &mut timeouts.request,
                "subscribe" => &mut timeouts.subscribe,
                "keepalive" => &mut timeouts.keepalive,
                "pong" => &mut timeouts.pong,
                _ => {
                    let known = "connect, auth, request, subscribe, keepalive and pong";
                    return Err(config(format!("option `timeouts` has {name:?}; there are {known}")));
                }
            };
            *timeout = *value;
        }
        Ok(timeouts)
    }

    fn reconnect(&self) -> Reconnect {
        let mut reconnect = Reconnect::default();
        if let Some(delay) = self.reconnect_delay {
            reconnect.initial = delay;
            reconnect.max = reconnect.max.max(delay);
        }
        if let Some(delay) = self.reconnect_max_delay {
            reconnect.max = delay;
            if self.reconnect_delay.is_none() {
                reconnect.initial = reconnect.initial.min(delay);
            }
        }
        reconnect.max_attempts = if self.reconnect { self.reconnect_attempts } else { Some(0) };
        reconnect
    }

    fn tls(&self) -> TlsOptions {
        let mut tls = TlsOptions::new();
        if let Some(ca) = &self.tls_ca {
            tls = tls.with_ca(ca.clone());
        }
        if let Some((chain, key)) = &self.tls_client_cert {
            tls = tls.with_client_certificate(chain.clone(), key.clone());
        }
        tls
    }
}

/// What a live query begins with, and how its rows are shown.
#[derive(Default)]
#[expect(missing_docs, reason = "each is an option of `SubscriptionOptions` or `LiveRowsConfig`")]
pub struct LiveOptions {
    pub id: Option<String>,
    pub last_rows: Option<u32>,
    pub batch_size: Option<u32>,
    pub from: Option<Checkpoint>,
    /// For events; `None` is true.
    pub initial_data: Option<bool>,
    pub limit: Option<usize>,
    pub key_columns: Option<Vec<String>>,
    pub order_by: Option<String>,
    pub partial: bool,
    pub verify: Verify,
}

impl LiveOptions {
    /// The options for a query with parameters.
    pub fn query(self, sql: String, params: Vec<Value>) -> (SubscriptionConfig, LiveRowsConfig) {
        self.with(SubscriptionConfig::unnamed(sql).with_params(params))
    }

    /// The options for a whole table.
    ///
    /// # Errors
    /// `invalid_argument` when `name` is more than a name.
    pub fn table(self, name: &str) -> Result<(SubscriptionConfig, LiveRowsConfig)> {
        Ok(self.with(SubscriptionConfig::table(name)?))
    }

    fn with(self, mut config: SubscriptionConfig) -> (SubscriptionConfig, LiveRowsConfig) {
        let mut options = SubscriptionOptions::new();
        if let Some(rows) = self.last_rows {
            options = options.with_last_rows(rows);
        }
        if let Some(rows) = self.batch_size {
            options = options.with_batch_size(rows);
        }
        if let Some(from) = self.from {
            options = options.with_from(from);
        }
        config.id = self.id;
        config = config.with_options(options);
        if self.initial_data == Some(false) {
            config = config.without_initial_data();
        }
        let rows = LiveRowsConfig {
            limit: self.limit,
            key_columns: self.key_columns,
            order_by: self.order_by,
            partial: self.partial,
            verify: self.verify,
        };
        (config, rows)
    }
}

/// How events are held for a language: it has one thread to read with, and the connection another to decode on.
pub fn event_bounds() -> LiveEventsConfig {
    LiveEventsConfig { decoding: Decoding::ByConnection, ..LiveEventsConfig::default() }
}

/// The value of an option in seconds.
///
/// # Errors
/// `config` for what is negative, not finite or too large.
pub fn duration(option: &str, seconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(seconds)
        .map_err(|_| config(format!("option `{option}`: {seconds} is no number of seconds")))
}

fn config(message: String) -> Error {
    Error::new(ErrorCode::Config, message)
}
