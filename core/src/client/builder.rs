//! Options of a client.

use std::fmt;
use std::sync::Arc;

use tokio::runtime::Handle;

use super::KalamClient;
use super::event_handlers::EventHandlers;
use super::reconnect::Reconnect;
use crate::error::{Error, ErrorCode, Result};
use crate::runtime::auth::{Auth, Credentials, TokenProvider};
use crate::runtime::endpoint::Endpoint;
use crate::runtime::http::Http;
use crate::runtime::network::{Headers, Network};
use crate::runtime::proxy::Proxy;
use crate::runtime::secret::Secret;
use crate::runtime::timeouts::Timeouts;
use crate::runtime::tls::TlsOptions;

/// The options of a [`KalamClient`]. Nothing is checked before [`build`](Self::build), and nothing is sent by it.
///
/// ```
/// # use kalam_live::{KalamClient, Reconnect};
/// let client = KalamClient::builder()
///     .url("http://localhost:2900")
///     .user("alice")
///     .password("AliceSecret123!")
///     .namespace("app")
///     .reconnect(Reconnect::default().with_max_attempts(20))
///     .build()?;
/// # Ok::<(), kalam_live::Error>(())
/// ```
#[derive(Clone)]
#[must_use]
pub struct KalamClientBuilder {
    urls: Vec<String>,
    user: Option<String>,
    password: Option<Secret>,
    token: Option<Secret>,
    provider: Option<Arc<dyn TokenProvider>>,
    namespace: Option<String>,
    timeouts: Timeouts,
    reconnect: Reconnect,
    headers: Vec<(String, String)>,
    tls: TlsOptions,
    proxy: Option<String>,
    user_agent: String,
    handlers: EventHandlers,
    compression: bool,
    max_message_bytes: usize,
    runtime: Option<Handle>,
}

impl KalamClientBuilder {
    pub(super) fn new() -> Self {
        Self {
            urls: Vec::new(),
            user: None,
            password: None,
            token: None,
            provider: None,
            namespace: None,
            timeouts: Timeouts::default(),
            reconnect: Reconnect::default(),
            headers: Vec::new(),
            tls: TlsOptions::default(),
            proxy: None,
            user_agent: concat!("kalam-live/", env!("CARGO_PKG_VERSION")).to_owned(),
            handlers: EventHandlers::default(),
            compression: true,
            max_message_bytes: 64 << 20,
            runtime: None,
        }
    }

    /// The server: `http://localhost:2900`, or `https`, `ws`, `wss`. May be called several times.
    pub fn url(mut self, url: impl Into<String>) -> Self {
        self.urls.push(url.into());
        self
    }

    /// Several nodes of one cluster: attempts to connect rotate over them.
    pub fn urls<S: Into<String>>(mut self, urls: impl IntoIterator<Item = S>) -> Self {
        self.urls.extend(urls.into_iter().map(Into::into));
        self
    }

    /// Logs in as this user, with [`password`](Self::password).
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// The password of [`user`](Self::user).
    pub fn password(mut self, password: impl Into<String>) -> Self {
        self.password = Some(Secret::from(password.into()));
        self
    }

    /// An access token (JWT) instead of a user. When it expires the client can not go on: see
    /// [`token_provider`](Self::token_provider).
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(Secret::from(token.into()));
        self
    }

    /// Your own source of access tokens, asked again whenever the server no longer accepts the last one.
    pub fn token_provider(mut self, provider: impl TokenProvider) -> Self {
        self.provider = Some(Arc::new(provider));
        self
    }

    /// The namespace of tables that are named without one.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    /// How long to wait for what.
    pub fn timeouts(mut self, timeouts: Timeouts) -> Self {
        self.timeouts = timeouts;
        self
    }

    /// What to do when the connection is lost.
    pub fn reconnect(mut self, reconnect: Reconnect) -> Self {
        self.reconnect = reconnect;
        self
    }

    /// A header for every request, for gateways in front of the server.
    pub fn header(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Certificate authorities and client certificate.
    pub fn tls(mut self, tls: TlsOptions) -> Self {
        self.tls = tls;
        self
    }

    /// An HTTP proxy: `http://[user:password@]host:port`. Proxies of the environment are not used.
    pub fn proxy(mut self, proxy: impl Into<String>) -> Self {
        self.proxy = Some(proxy.into());
        self
    }

    /// The `User-Agent` header.
    pub fn user_agent(mut self, user_agent: impl Into<String>) -> Self {
        self.user_agent = user_agent.into();
        self
    }

    /// Called when something happens to the connection.
    pub fn event_handlers(mut self, handlers: EventHandlers) -> Self {
        self.handlers = handlers;
        self
    }

    /// Whether the server may compress WebSocket frames. On by default.
    pub fn compression(mut self, compression: bool) -> Self {
        self.compression = compression;
        self
    }

    /// Greatest frame or answer that is accepted, in bytes as sent. 64 MiB. A compressed frame may grow to four times
    /// that.
    pub fn max_message_bytes(mut self, bytes: usize) -> Self {
        self.max_message_bytes = bytes;
        self
    }

    /// The tokio runtime to live on. Without it the one that the client is first used in. See
    /// [`runtime::shared`](crate::runtime::shared).
    pub fn runtime(mut self, runtime: Handle) -> Self {
        self.runtime = Some(runtime);
        self
    }

    /// The client. It connects when it is first used, or by [`KalamClient::connect`].
    ///
    /// # Errors
    /// `config`, naming the option that is wrong.
    pub fn build(self) -> Result<KalamClient> {
        if self.urls.is_empty() {
            return Err(config("option `url` is missing: give for example http://localhost:2900"));
        }
        self.timeouts.check()?;
        if self.reconnect.initial.is_zero() || self.reconnect.max < self.reconnect.initial {
            return Err(config("option `reconnect`: `initial` must be more than zero and at most `max`"));
        }
        if self.max_message_bytes < 1024 {
            return Err(config("option `max_message_bytes`: less than 1,024 does not hold a row"));
        }
        if self.namespace.as_deref().is_some_and(str::is_empty) {
            return Err(config("option `namespace` is empty"));
        }
        let endpoints = self.urls.iter().map(|url| Endpoint::parse(url)).collect::<Result<Vec<_>>>()?;
        let mut headers = Headers::default();
        for (name, value) in &self.headers {
            headers.insert(name, value)?;
        }
        let user_agent = self
            .user_agent
            .parse()
            .map_err(|_| config("option `user_agent` holds a character that a header may not hold"))?;
        let credentials = self.credentials()?;
        let is_tls = endpoints.iter().any(Endpoint::is_tls);
        let network = Network {
            endpoints: endpoints.into(),
            tls: Arc::new(self.tls.build(is_tls)?),
            proxy: self.proxy.as_deref().map(Proxy::parse).transpose()?,
            headers,
            user_agent,
            timeouts: self.timeouts,
            compression: self.compression,
            max_bytes: self.max_message_bytes,
        };
        let http = Arc::new(Http::new(network)?);
        let auth = Arc::new(Auth::new(credentials, http.clone()));
        KalamClient::new(http, auth, self.namespace, self.reconnect, self.handlers, self.runtime)
    }

    fn credentials(&self) -> Result<Credentials> {
        let given = usize::from(self.user.is_some() || self.password.is_some())
            + usize::from(self.token.is_some())
            + usize::from(self.provider.is_some());
        if given > 1 {
            return Err(config("give one of `user` with `password`, `token`, `token_provider`, not several"));
        }
        match (&self.user, &self.password) {
            (Some(user), Some(password)) if !user.is_empty() => {
                return Ok(Credentials::Login { user: user.clone(), password: password.clone() });
            }
            (Some(_), Some(_)) => return Err(config("option `user` is empty")),
            (Some(_), None) => {
                return Err(config("option `password` is missing: `user` is given without it"));
            }
            (None, Some(_)) => {
                return Err(config("option `user` is missing: `password` is given without it"));
            }
            (None, None) => {}
        }
        if let Some(token) = &self.token {
            if token.reveal().is_empty() {
                return Err(config("option `token` is empty"));
            }
            return Ok(Credentials::Token(token.clone()));
        }
        Ok(self.provider.clone().map_or(Credentials::None, Credentials::Provider))
    }
}

impl fmt::Debug for KalamClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // URLs and the proxy may hold a password until they are checked; headers may be secret.
        f.debug_struct("KalamClientBuilder")
            .field("urls", &self.urls.len())
            .field("user", &self.user)
            .field("namespace", &self.namespace)
            .field("timeouts", &self.timeouts)
            .field("reconnect", &self.reconnect)
            .field("tls", &self.tls)
            .finish_non_exhaustive()
    }
}

fn config(message: &str) -> Error {
    Error::new(ErrorCode::Config, message)
}
