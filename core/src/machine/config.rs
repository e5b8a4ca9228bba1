//! What a machine is told once.

use std::time::Duration;

use super::backoff::Backoff;
use super::sabotage::Sabotage;
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::{Limits, WireProtocol};

/// Settings of a [`Machine`](super::Machine). The defaults are those of a KalamDB server with its default settings.
#[derive(Clone, Debug)]
pub struct Config {
    /// WebSocket URLs of the server, or of the nodes of a cluster. Attempts rotate over them.
    pub urls: Vec<String>,
    /// Seed of the jitter. Take it from a random source, so that clients do not act in step.
    pub seed: u64,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How long to wait before a retry.
    pub backoff: Backoff,
    /// Failures in a row, without a stable connection in between, that are retried. `None`: any number; `Some(0)`: the first
    /// loss is final.
    pub max_retries: Option<u32>,
    /// Send the token in the upgrade request, which saves a round trip. Where that is not possible, it is sent as the
    /// first message.
    pub header_auth: bool,
    /// Encoding asked for when the token is sent as a message.
    pub protocol: WireProtocol,
    /// What is accepted from the server.
    pub limits: Limits,
    /// Client messages a second that the server accepts, unless it announces another number.
    pub messages_per_second: u32,
    /// Size of a client message in bytes that the server accepts, unless it announces another: it ends the connection
    /// without a word over a longer one (recorded in `wire/limits.jsonl`).
    pub message_bytes: u64,
    /// Rows in one page of a snapshot, unless the server announces another number. A page as large as the server's own cap
    /// would end the snapshot early (recorded in `wire/snapshots.jsonl`).
    pub batch_size: u32,
    /// A rule to break, for the simulation.
    #[cfg(feature = "sabotage")]
    pub sabotage: Sabotage,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            seed: 0,
            timeouts: Timeouts::default(),
            backoff: Backoff::default(),
            max_retries: None,
            header_auth: true,
            protocol: WireProtocol::default(),
            limits: Limits::default(),
            messages_per_second: 50,
            message_bytes: 1 << 20,
            batch_size: 400,
            #[cfg(feature = "sabotage")]
            sabotage: Sabotage::None,
        }
    }
}

impl Config {
    pub(super) fn sabotage(&self) -> Sabotage {
        #[cfg(feature = "sabotage")]
        return self.sabotage;
        #[cfg(not(feature = "sabotage"))]
        Sabotage::None
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong = |message: &str| Err(Error::new(ErrorCode::Config, message));
        if self.urls.is_empty() {
            return wrong("no server URL is given: set `url` or `urls`");
        }
        if self.batch_size == 0 {
            return wrong("`batch_size` is 0: a page of a snapshot holds at least one row");
        }
        if self.messages_per_second == 0 {
            return wrong("`messages_per_second` is 0: nothing could be sent");
        }
        if self.timeouts.all().contains(&Duration::ZERO) {
            return wrong("a timeout is 0: nothing could be answered in time");
        }
        Ok(())
    }
}

/// Deadlines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For credentials, and again for the link to open.
    pub connect: Duration,
    /// From the open link to `auth_success`.
    pub auth: Duration,
    /// From a subscribe message to its `subscription_ack`.
    pub subscribe: Duration,
    /// For each page of a snapshot.
    pub page: Duration,
    /// Between two pings. The server ends a connection on which it heard nothing for ten seconds.
    pub keepalive: Duration,
    /// From a ping to anything at all from the server. After that the link counts as lost.
    pub pong: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            auth: Duration::from_secs(5),
            subscribe: Duration::from_secs(10),
            page: Duration::from_secs(30),
            keepalive: Duration::from_secs(5),
            pong: Duration::from_secs(5),
        }
    }
}

impl Timeouts {
    fn all(&self) -> [Duration; 6] {
        [self.connect, self.auth, self.subscribe, self.page, self.keepalive, self.pong]
    }
}
