//! HTTP bodies.

mod auth;
mod error;
mod sql;
#[cfg(feature = "consumer")]
mod topics;

pub use auth::{Health, Login, decode_health, decode_login, encode_login};
pub use error::decode_error;
pub use sql::{SqlRequest, StatementResult, decode_sql_response, encode_params, encode_sql_request};

#[cfg(feature = "consumer")]
pub use topics::{
    ConsumeRequest, Consumed, ConsumerRecord, RecordOp, TopicStart, decode_ack, decode_consumed, encode_ack,
    encode_consume,
};
#[cfg(all(feature = "consumer", feature = "runtime"))]
pub(crate) use topics::{fits_table, table_of};

#[cfg(test)]
mod http_tests;
