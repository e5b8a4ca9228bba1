//! The public API against servers that say what the tests tell them to, and against the embedded server.

mod support;

mod auth;
mod bad_checks;
mod bad_frames;
mod connection;
mod consumer;
mod converge;
mod embedded;
mod events;
mod files;
mod keys;
mod live;
mod missed;
mod query;
mod tls;

use std::time::Duration;

use kalam_live::{KalamClient, KalamClientBuilder, Reconnect};

/// A client of this server that does not wait long between attempts.
fn builder(url: &str) -> KalamClientBuilder {
    KalamClient::builder().url(url).reconnect(quick())
}

fn quick() -> Reconnect {
    Reconnect::default().with_delays(Duration::from_millis(1), Duration::from_millis(5))
}

fn client(url: &str) -> KalamClient {
    builder(url).token("t").build().expect("options")
}
