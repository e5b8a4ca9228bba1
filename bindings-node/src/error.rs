//! Errors on their way to `KalamError`.

use kalam_live::{Error, ErrorCode};
use napi_derive::napi;

/// What a handle has failed with.
#[napi(object)]
pub struct Failure {
    pub code: String,
    pub message: String,
    pub retryable: bool,
    pub server_code: Option<String>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code().as_str().to_owned(),
            message: kalam_bindings::camel_case_message(error),
            retryable: error.retryable(),
            server_code: error.server_code().map(str::to_owned),
        }
    }
}

/// Every error code, so that the tests can tell whether the types know each.
#[napi]
#[allow(dead_code, unreachable_pub, reason = "called from JavaScript only")]
pub fn error_codes() -> Vec<String> {
    ErrorCode::ALL.iter().map(|code| code.as_str().to_owned()).collect()
}
