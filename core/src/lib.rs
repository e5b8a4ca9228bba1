//! Live rows from KalamDB, kept right.
//!
//! Layers, each importing only those above it:
//!
//! - [`value`], [`schema`], [`row`]: data, no protocol
//! - [`live`]: rows materialised from changes

#![forbid(unsafe_code)]
#![warn(missing_docs)]

pub mod error;
pub mod live;
pub mod row;
pub mod schema;
pub mod time;
pub mod value;

pub use error::{Error, ErrorCode, Result};
pub use row::Row;
pub use schema::{Column, ColumnFlags, DataType, Schema, SeqId};
pub use value::{Decimal, FileRef, Uuid, Value};
