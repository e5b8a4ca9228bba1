//! Errors on their way to `KalamException` and `KalamError`.

use kalam_live::{Error, ErrorCode};

/// What something has failed with.
#[derive(Clone, Debug, uniffi::Record)]
pub struct Failure {
    /// Stable: the same in every language.
    pub code: String,
    /// For a person.
    pub text: String,
    pub retryable: bool,
    pub server_code: Option<String>,
}

impl From<&Error> for Failure {
    fn from(error: &Error) -> Self {
        Self {
            code: error.code().as_str().to_owned(),
            text: kalam_bindings::camel_case_message(error),
            retryable: error.retryable(),
            server_code: error.server_code().map(str::to_owned),
        }
    }
}

/// Thrown by what can fail.
#[derive(Debug, thiserror::Error, uniffi::Error)]
pub enum NativeError {
    #[error("{}", failure.text)]
    Failed { failure: Failure },
}

impl From<Error> for NativeError {
    fn from(error: Error) -> Self {
        Self::Failed { failure: Failure::from(&error) }
    }
}

/// Every error code, so that the tests can tell whether the packages know each.
#[uniffi::export]
pub fn error_codes() -> Vec<String> {
    ErrorCode::ALL.iter().map(|code| code.as_str().to_owned()).collect()
}
