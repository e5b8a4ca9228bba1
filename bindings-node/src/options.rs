//! Options from JavaScript objects, which `ts/options.ts` has checked.

use std::collections::HashMap;
use std::time::Duration;

use kalam_bindings::{ConnectOptions, LiveOptions, Start};
use kalam_live::{Error, ErrorCode, Result, Verify};
use napi::bindgen_prelude::{Buffer, Either};
use napi_derive::napi;

/// What `connect` takes. Times are in milliseconds.
#[napi(object)]
pub struct Connecting {
    /// Without them a server is started here.
    pub urls: Option<Vec<String>>,
    /// Where the data of that server are; without it in memory.
    pub directory: Option<String>,
    pub root_password: Option<String>,
    pub user: Option<String>,
    pub password: Option<String>,
    pub token: Option<String>,
    pub token_provider: bool,
    pub namespace: Option<String>,
    pub timeouts: HashMap<String, f64>,
    pub reconnect: bool,
    pub reconnect_delay: Option<f64>,
    pub reconnect_max_delay: Option<f64>,
    pub reconnect_attempts: Option<u32>,
    pub headers: HashMap<String, String>,
    pub tls_ca: Option<Buffer>,
    pub tls_client_cert: Option<Buffer>,
    pub tls_client_key: Option<String>,
    pub proxy: Option<String>,
    pub user_agent: Option<String>,
    pub compression: bool,
    pub max_message_bytes: Option<u32>,
}

impl Connecting {
    /// # Errors
    /// `config` for a time that is none.
    pub(crate) fn checked(self) -> Result<(ConnectOptions, Start)> {
        let start = match self.urls {
            Some(urls) => Start::Urls(urls),
            None => Start::Embedded {
                directory: self.directory.map(Into::into),
                root_password: self.root_password,
            },
        };
        let timeouts = self.timeouts.into_iter().map(|(name, value)| {
            let value = duration(&format!("timeouts.{name}"), value)?;
            Ok((name, value))
        });
        let optional = |option: &str, value: Option<f64>| -> Result<Option<Duration>> {
            value.map(|value| duration(option, value)).transpose()
        };
        let options = ConnectOptions {
            user: self.user,
            password: self.password,
            token: self.token,
            token_provider: self.token_provider,
            lifecycle: true,
            namespace: self.namespace,
            timeouts: timeouts.collect::<Result<_>>()?,
            reconnect: self.reconnect,
            reconnect_delay: optional("reconnectDelay", self.reconnect_delay)?,
            reconnect_max_delay: optional("reconnectMaxDelay", self.reconnect_max_delay)?,
            reconnect_attempts: self.reconnect_attempts,
            headers: self.headers,
            tls_ca: self.tls_ca.map(Into::into),
            tls_client_cert: self.tls_client_cert.map(Into::into).zip(self.tls_client_key),
            proxy: self.proxy,
            user_agent: self.user_agent,
            compression: self.compression,
            max_message_bytes: self.max_message_bytes.map(|bytes| bytes as usize),
        };
        Ok((options, start))
    }
}

/// What `live` and `liveEvents` take.
#[napi(object)]
pub struct Subscribing {
    pub id: Option<String>,
    pub last_rows: Option<u32>,
    pub batch_size: Option<u32>,
    pub from: Option<String>,
    pub initial_data: Option<bool>,
    pub limit: Option<u32>,
    pub key_columns: Option<Vec<String>>,
    pub order_by: Option<String>,
    pub partial: Option<bool>,
    pub verify: Option<Either<bool, f64>>,
}

impl Subscribing {
    /// # Errors
    /// `invalid_argument` for a checkpoint that is none, `config` for a time that is none.
    pub(crate) fn checked(self) -> Result<LiveOptions> {
        Ok(LiveOptions {
            id: self.id,
            last_rows: self.last_rows,
            batch_size: self.batch_size,
            from: self.from.map(|text| text.parse()).transpose()?,
            initial_data: self.initial_data,
            limit: self.limit.map(|rows| rows as usize),
            key_columns: self.key_columns,
            order_by: self.order_by,
            partial: self.partial.unwrap_or_default(),
            verify: match self.verify {
                None | Some(Either::A(true)) => Verify::Auto,
                Some(Either::A(false)) => Verify::Off,
                Some(Either::B(every)) => Verify::Every(duration("verify", every)?),
            },
        })
    }
}

pub(crate) fn duration(option: &str, milliseconds: f64) -> Result<Duration> {
    Duration::try_from_secs_f64(milliseconds / 1000.0).map_err(|_| {
        let message = format!("option `{option}`: {milliseconds} is no number of milliseconds");
        Error::new(ErrorCode::Config, message)
    })
}
