//! How long to wait for what.

use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};

/// How long the client waits for each step. Every wait has an end.
///
/// ```
/// # use {kalam_live::Timeouts, std::time::Duration};
/// let patient = Timeouts { request: Duration::from_secs(120), ..Timeouts::default() };
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To open a connection: name look-up, TCP, TLS, WebSocket upgrade. 10 s.
    pub connect: Duration,
    /// For the answer to the authentication, a login, or the user's own token provider. 10 s.
    pub auth: Duration,
    /// For the whole answer to a query. 30 s.
    pub request: Duration,
    /// For the acknowledgement of a subscription, and for each page of its snapshot. 15 s.
    pub subscribe: Duration,
    /// Between two WebSocket pings. 5 s; the server closes a connection that is silent for 10 s.
    pub keepalive: Duration,
    /// For the answer to a ping, after which the connection is given up. 5 s.
    pub pong: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            auth: Duration::from_secs(10),
            request: Duration::from_secs(30),
            subscribe: Duration::from_secs(15),
            keepalive: Duration::from_secs(5),
            pong: Duration::from_secs(5),
        }
    }
}

impl Timeouts {
    /// # Errors
    /// `config`, naming the one that is zero or absurdly long.
    pub(crate) fn check(&self) -> Result<()> {
        const LONGEST: Duration = Duration::from_secs(24 * 3600);
        for (name, value) in [
            ("connect", self.connect),
            ("auth", self.auth),
            ("request", self.request),
            ("subscribe", self.subscribe),
            ("keepalive", self.keepalive),
            ("pong", self.pong),
        ] {
            if value.is_zero() || value > LONGEST {
                return Err(Error::new(
                    ErrorCode::Config,
                    format!("option `timeouts.{name}`: {value:?} is not between 1 ns and 24 hours"),
                ));
            }
        }
        Ok(())
    }
}
