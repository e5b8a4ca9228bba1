//! HTTP bodies.

mod auth;
mod error;
mod sql;

pub use auth::{Health, Login, decode_health, decode_login, encode_login};
pub use error::decode_error;
pub use sql::{SqlRequest, StatementResult, decode_sql_response, encode_params, encode_sql_request};

#[cfg(test)]
mod http_tests;
