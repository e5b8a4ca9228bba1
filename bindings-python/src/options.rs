//! The options of a client, from Python keywords.

use std::collections::HashMap;
use std::time::Duration;

use kalam_live::{Error, ErrorCode, KalamClient, Reconnect, Result, Timeouts, TlsOptions};
use pyo3::prelude::*;

use crate::inbox::Inbox;
use crate::server::Server;

/// What `connect` takes, but for where to connect to: a dict with every key, in which `None` means the default.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    /// Whether tokens come from the user's code.
    token_provider: bool,
    /// Whether the user's code wants to know what happens to the connection.
    pub(crate) lifecycle: bool,
    namespace: Option<String>,
    /// By name, in seconds.
    timeouts: HashMap<String, f64>,
    reconnect: bool,
    reconnect_delay: Option<f64>,
    reconnect_max_delay: Option<f64>,
    reconnect_attempts: Option<u32>,
    headers: HashMap<String, String>,
    /// PEM.
    tls_ca: Option<Vec<u8>>,
    /// The chain and its key, both PEM.
    tls_client_cert: Option<(Vec<u8>, String)>,
    proxy: Option<String>,
    user_agent: Option<String>,
    compression: bool,
    max_message_bytes: Option<usize>,
}

impl Options {
    /// The client, not connected yet. Without credentials of its own it is the `root` of `server`.
    ///
    /// # Errors
    /// `config`, naming the option that is wrong.
    pub(crate) fn build(
        self,
        urls: Vec<String>,
        server: Option<&Server>,
        inbox: &Inbox,
    ) -> Result<KalamClient> {
        let mut builder = KalamClient::builder()
            .urls(urls)
            .timeouts(self.timeouts()?)
            .reconnect(self.reconnect()?)
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
            *timeout = seconds(&format!("timeouts[{name:?}]"), *value)?;
        }
        Ok(timeouts)
    }

    fn reconnect(&self) -> Result<Reconnect> {
        let mut reconnect = Reconnect::default();
        if let Some(delay) = self.reconnect_delay {
            reconnect.initial = seconds("reconnect_delay", delay)?;
            reconnect.max = reconnect.max.max(reconnect.initial);
        }
        if let Some(delay) = self.reconnect_max_delay {
            reconnect.max = seconds("reconnect_max_delay", delay)?;
            if self.reconnect_delay.is_none() {
                reconnect.initial = reconnect.initial.min(reconnect.max);
            }
        }
        // The delays were checked all the same: a mistake shows whether it matters or not.
        reconnect.max_attempts = if self.reconnect { self.reconnect_attempts } else { Some(0) };
        Ok(reconnect)
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

pub(crate) fn seconds(option: &str, value: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(value)
        .map_err(|_| config(format!("option `{option}`: {value} is no number of seconds")))
}

fn config(message: String) -> Error {
    Error::new(ErrorCode::Config, message)
}
