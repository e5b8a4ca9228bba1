//! Live rows from KalamDB, kept right.
//!
//! Layers, each importing only those above it:
//!
//! - [`value`], [`schema`], [`row`]: data, no protocol
//! - [`sql`]: the SQL of live queries
//! - [`protocol`]: the wire, without state
//! - [`machine`]: connection and subscriptions as a state machine without I/O
//! - [`live`]: rows materialised from changes

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod error;
pub mod live;
pub mod machine;
pub mod protocol;
pub mod row;
pub mod schema;
pub mod sql;
pub mod time;
pub mod value;

pub use error::{Error, ErrorCode, Result};
pub use row::Row;
pub use schema::{Column, ColumnFlags, DataType, Schema, SeqId};
pub use value::{Decimal, FileRef, Uuid, Value};
