//! The only place with tokio, sockets, HTTP, TLS and clocks: drives the [`machine`](crate::machine).
//!
//! A client lives on the tokio runtime that it is first used in. Callers without one (the language bindings) take the
//! process-wide [`shared`] runtime.

pub(crate) mod asker;
pub(crate) mod auth;
mod catch_up;
mod checks;
pub(crate) mod command;
#[cfg(feature = "consumer")]
pub(crate) mod consumer;
pub(crate) mod endpoint;
pub(crate) mod event;
pub(crate) mod event_batch;
pub(crate) mod event_queue;
pub(crate) mod event_reader;
pub(crate) mod http;
pub(crate) mod link;
pub(crate) mod live_state;
pub(crate) mod mailbox;
pub(crate) mod network;
pub(crate) mod owner;
pub(crate) mod proxy;
pub(crate) mod reached;
pub(crate) mod secret;
mod shared;
pub(crate) mod socket;
pub(crate) mod status;
pub(crate) mod subscriber;
mod tcp;
pub(crate) mod timeouts;
pub(crate) mod tls;
pub(crate) mod upload;

pub use shared::{shared, stop_shared};
