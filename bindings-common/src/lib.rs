//! What the language bindings have in common: everything between the core and a language that needs no word of it.
//!
//! Whatever waits has three functions. `poll_ready` waits and carries no data, so a wait that is given up loses
//! nothing; `take` drains what is there and never blocks; `close` may be called often. A binding wraps them in the
//! idiom of its language and turns what was taken into the values of that language, on the thread of the caller.
//!
//! Where values cross a border of bytes, [`Client`] gives each call as a [`Source`] of [`Packet`]s.

#![deny(unsafe_code)]
#![warn(missing_docs)]

mod address;
mod camel_case;
mod client;
mod consumer;
mod embedded;
mod files;
mod inbox;
mod logs;
mod mailbox;
mod operation;
mod options;
mod packet;
mod params;
mod process;
#[cfg_attr(feature = "embedded", path = "server.rs")]
#[cfg_attr(not(feature = "embedded"), path = "no_server.rs")]
mod server;
mod source;
mod stream;
mod subscriptions;

use std::time::Duration;

pub use address::{AddressHasher, AddressMap};
pub use camel_case::camel_case_message;
pub use client::Client;
pub use consumer::{
    Consumer, ConsumerOptions, SharedConsumer, Work, WorkItem, WorkStream, WorkerOptions, offset_reset,
    read_row,
};
pub use embedded::EmbeddedServer;
pub use files::Sent;
pub use inbox::{Connection, Inbox, Tidings, TokenRequest};
pub use logs::{Level, Line, Log};
pub use operation::Operation;
pub use options::{ConnectOptions, LiveOptions, Start, duration, event_bounds};
pub use packet::{Cells, Packet, pack};
pub use process::ProcessBound;
pub use server::Server;
pub use source::{Source, call};
pub use stream::{EventStream, Events, RowStream};

/// What a `take` found.
#[derive(Debug)]
pub enum Taken<T> {
    /// Nothing yet: wait.
    Nothing,
    /// The result, the rows or some events.
    Item(T),
    /// It has ended; there will be nothing more.
    Ended,
}

/// Stops everything that runs in the background, within about a second.
pub fn shutdown() {
    kalam_live::runtime::stop_shared(Duration::from_millis(500));
    server::stop_all();
}
