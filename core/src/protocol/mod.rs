//! The wire: frames and HTTP bodies in and out. No state, no sockets.
//!
//! The recorded exchanges in `tests/data/wire/` say what a server sends; where a comment names `wire/NAME.jsonl`, that
//! is where a fact comes from.

mod cell;
mod client_frame;
mod cursor;
mod decode;
mod envelope;
mod frame;
mod glance;
mod http;
mod json_text;
mod limits;
mod plan;
mod row_reader;
mod server_code;

pub use client_frame::{ClientFrame, SnapshotOptions};
pub use cursor::{Cursor, CursorKind, VersionDomain};
pub use decode::{DecodeError, decode, decode_change};
pub use frame::{
    Ack, AnnouncedLimits, Announcement, AuthSuccess, Batch, BatchControl, BatchStatus, Change, ChangeKind,
    Compression, PartialRow, RawFrame, Serialization, ServerError, ServerFrame, WireProtocol,
};
pub use glance::CHANGE_HEAD;
pub(crate) use glance::Glance;
#[cfg(feature = "consumer")]
pub use http::{
    ConsumeRequest, Consumed, ConsumerRecord, RecordOp, TopicStart, decode_ack, decode_consumed, encode_ack,
    encode_consume,
};
pub use http::{
    Health, Login, SqlRequest, StatementResult, decode_error, decode_health, decode_login,
    decode_sql_response, encode_login, encode_params, encode_sql_request,
};
#[cfg(all(feature = "consumer", feature = "runtime"))]
pub(crate) use http::{fits_table, table_of};
pub use limits::Limits;
pub use plan::{OldValues, Plans, RowPlan};

#[cfg(test)]
mod decode_tests;
