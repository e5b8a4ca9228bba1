//! Live rows from KalamDB, kept right.
//!
//! Layers, each importing only those above it:
//!
//! - [`value`], [`schema`], [`row`], [`repair`]: data, no protocol
//! - [`sql`]: the SQL of live queries
//! - [`protocol`]: the wire, without state
//! - [`machine`]: connection and subscriptions as a state machine without I/O
//! - [`live`]: rows materialised from changes
//! - [`converge`]: rows kept right where the server leaves something out
//! - `consumer` (feature `consumer`): topic consumers and workers as state machines without I/O
//! - [`runtime`]: the only place with tokio, sockets, HTTP, TLS and clocks
//! - [`client`]: the public async API

#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod checkpoint;
#[cfg(feature = "runtime")]
pub mod client;
#[cfg(feature = "consumer")]
pub mod consumer;
pub mod converge;
mod de;
pub mod error;
pub mod live;
pub mod machine;
pub mod protocol;
pub mod repair;
pub mod row;
#[cfg(feature = "runtime")]
pub mod runtime;
pub mod schema;
mod ser;
pub mod sql;
pub mod time;
pub mod value;

pub use checkpoint::{Checkpoint, Epoch};
#[cfg(feature = "runtime")]
pub use client::*;
pub use error::{Error, ErrorCode, Result};
pub use repair::{Reason, Repair};
pub use row::Row;
pub use schema::{Column, ColumnFlags, DataType, Schema, SeqId};
pub use value::{Decimal, FileRef, Uuid, Value};
