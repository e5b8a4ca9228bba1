//! The one error type.

use std::fmt;

/// What went wrong, with a code that is the same string in every language.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error(Box<Inner>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Inner {
    code: ErrorCode,
    message: String,
    retryable: bool,
    server_code: Option<String>,
}

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal, retryable: $retryable:literal;)*) => {
        /// Stable codes. Programs match on them; the message is for people and may change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode { $($(#[$doc])* $variant,)* }

        impl ErrorCode {
            /// Every code, for tests and tables.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The string that every language shows: `auth_failed`, `invalid_sql`, ...
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// Whether trying the same again may help, unless the server's answer says otherwise.
            pub(crate) fn retryable(self) -> bool {
                match self { $(Self::$variant => $retryable,)* }
            }
        }
    };
}

error_codes! {
    /// The server refused the user, password or token.
    AuthFailed = "auth_failed", retryable: false;
    /// The statement can not be parsed, planned or executed as written.
    InvalidSql = "invalid_sql", retryable: false;
    /// A parameter or argument of the call is not acceptable.
    InvalidArgument = "invalid_argument", retryable: false;
    /// The table, topic, file or subscription does not exist.
    NotFound = "not_found", retryable: false;
    /// A row with this primary key, or a table, namespace or user of this name, is there already.
    AlreadyExists = "already_exists", retryable: false;
    /// The user may not do this.
    PermissionDenied = "permission_denied", retryable: false;
    /// The server limits how often or how much.
    RateLimited = "rate_limited", retryable: true;
    /// No slot for another subscription.
    SubscriptionLimit = "subscription_limit", retryable: true;
    /// No answer within the time allowed.
    Timeout = "timeout", retryable: true;
    /// The connection failed or was lost.
    Disconnected = "disconnected", retryable: true;
    /// The server can not answer now: it restarts, or its cluster has no leader. Whether a write was applied is not known.
    Unavailable = "unavailable", retryable: true;
    /// The reader was too slow and events were dropped; the subscription goes on from its checkpoint.
    Lagged = "lagged", retryable: true;
    /// The client or the subscription is closed.
    Closed = "closed", retryable: false;
    /// The other side does not speak the protocol, or not this version of it.
    Protocol = "protocol", retryable: false;
    /// An option of the client is wrong.
    Config = "config", retryable: false;
    /// The server does not have this feature.
    NotSupported = "not_supported", retryable: false;
    /// The server failed while executing.
    Server = "server", retryable: false;
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Error {
    /// An error of our own. `message` says what to do; it must hold no secret.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self(Box::new(Inner {
            code,
            message: message.into(),
            retryable: code.retryable(),
            server_code: None,
        }))
    }

    /// The same error with the server's own code.
    #[must_use]
    pub fn with_server_code(mut self, server_code: impl Into<String>) -> Self {
        self.0.server_code = Some(server_code.into());
        self
    }

    /// The same error, told in other words, which must hold no secret either.
    #[must_use]
    pub fn with_message(mut self, message: impl Into<String>) -> Self {
        self.0.message = message.into();
        self
    }

    /// The same error, with another answer to "may the same call be repeated?".
    #[must_use]
    pub fn with_retryable(mut self, retryable: bool) -> Self {
        self.0.retryable = retryable;
        self
    }

    /// The stable code.
    pub fn code(&self) -> ErrorCode {
        self.0.code
    }

    /// What happened and what to do, for a person.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// Whether the same call may be repeated and may then succeed. For a write that got no answer this is `false`:
    /// it may have been applied.
    pub fn retryable(&self) -> bool {
        self.0.retryable
    }

    /// The server's own code, such as `TABLE_NOT_FOUND`, where there is one.
    pub fn server_code(&self) -> Option<&str> {
        self.0.server_code.as_deref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0.code, self.0.message)?;
        match &self.0.server_code {
            Some(code) => write!(f, " (server code {code})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_code_message_and_server_code() {
        let error =
            Error::new(ErrorCode::NotFound, "there is no table app.x").with_server_code("TABLE_NOT_FOUND");
        assert_eq!(error.to_string(), "not_found: there is no table app.x (server code TABLE_NOT_FOUND)");
        assert!(!error.retryable());
    }

    #[test]
    fn codes_are_distinct() {
        let mut texts: Vec<_> = ErrorCode::ALL.iter().map(|c| c.as_str()).collect();
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), ErrorCode::ALL.len());
    }
}
