//! The options of a client, from Python keywords.

use std::collections::HashMap;
use std::time::Duration;

use kalam_bindings::{ConnectOptions, duration};
use kalam_live::Result;
use pyo3::prelude::*;

/// What `connect` takes, but for where to connect to: a dict with every key, in which `None` means the default.
#[derive(FromPyObject)]
#[pyo3(from_item_all)]
pub(crate) struct Options {
    user: Option<String>,
    password: Option<String>,
    token: Option<String>,
    token_provider: bool,
    lifecycle: bool,
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
    /// # Errors
    /// `config` for a time that is none.
    pub(crate) fn checked(self) -> Result<ConnectOptions> {
        let timeouts = self.timeouts.into_iter().map(|(name, value)| {
            let value = duration(&format!("timeouts[{name:?}]"), value)?;
            Ok((name, value))
        });
        let optional = |option: &str, value: Option<f64>| -> Result<Option<Duration>> {
            value.map(|seconds| duration(option, seconds)).transpose()
        };
        Ok(ConnectOptions {
            user: self.user,
            password: self.password,
            token: self.token,
            token_provider: self.token_provider,
            lifecycle: self.lifecycle,
            namespace: self.namespace,
            timeouts: timeouts.collect::<Result<_>>()?,
            reconnect: self.reconnect,
            reconnect_delay: optional("reconnect_delay", self.reconnect_delay)?,
            reconnect_max_delay: optional("reconnect_max_delay", self.reconnect_max_delay)?,
            reconnect_attempts: self.reconnect_attempts,
            headers: self.headers,
            tls_ca: self.tls_ca,
            tls_client_cert: self.tls_client_cert,
            proxy: self.proxy,
            user_agent: self.user_agent,
            compression: self.compression,
            max_message_bytes: self.max_message_bytes,
        })
    }
}
