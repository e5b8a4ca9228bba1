//! The engine's errors: a stable code, a sentence, and the HTTP status it maps to.

use std::fmt;

/// Why a statement or a live query was refused or failed.
///
/// `code`, `message` and `details` are what goes on the wire (recorded in `wire/sql_surface.jsonl`,
/// `wire/live_errors.jsonl`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqlError {
    /// Stable, upper-case: `INVALID_SQL`, `SQL_EXECUTION_ERROR`, `PERMISSION_DENIED`, ...
    pub code: &'static str,
    /// A sentence that says what is wrong.
    pub message: String,
    /// The statement that failed, where KalamDB sends it.
    pub details: Option<String>,
    /// HTTP status for the SQL endpoint.
    pub status: u16,
}

impl SqlError {
    pub(crate) fn new(code: &'static str, status: u16, message: impl Into<String>) -> Self {
        Self { code, message: bounded(message.into()), details: None, status }
    }

    /// A request that can not be carried out, under another of KalamDB's codes.
    pub(crate) fn with_code(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(code, 400, message)
    }

    /// The statement is not SQL that we understand: nothing of the batch ran.
    pub(crate) fn invalid(message: impl Into<String>) -> Self {
        Self::new("INVALID_SQL", 400, message)
    }

    /// The statement was understood and failed.
    pub(crate) fn execution(message: impl Into<String>) -> Self {
        Self::new("SQL_EXECUTION_ERROR", 400, message)
    }

    /// Known to KalamDB, left out here.
    pub(crate) fn unsupported(what: impl fmt::Display) -> Self {
        Self::execution(format!("not supported by the embedded server: {what}"))
    }

    pub(crate) fn permission(message: impl Into<String>) -> Self {
        Self::new("PERMISSION_DENIED", 403, message)
    }

    pub(crate) fn parameter(index: usize, reason: impl fmt::Display) -> Self {
        Self::new("INVALID_PARAMETER", 400, format!("Parameter ${index} invalid: {reason}"))
    }

    /// Something in the server is broken; the caller did nothing wrong.
    pub(crate) fn internal(message: impl Into<String>) -> Self {
        Self::new("INTERNAL_ERROR", 500, message)
    }

    /// The same, where nothing more is to be told than that.
    pub(crate) fn broken() -> Self {
        Self::internal("The server failed, its log says more")
    }

    /// As KalamDB reports a statement of a batch: numbered from 1, with its text as details.
    pub(crate) fn at_statement(mut self, number: usize, text: &str) -> Self {
        let executed = matches!(self.code, "SQL_EXECUTION_ERROR" | "INTERNAL_ERROR");
        if executed || self.message.starts_with("Permission denied") {
            self.message = format!("Statement {number} failed: {}", self.message);
        }
        if executed {
            self.details = Some(bounded(text.to_owned()));
        }
        self
    }
}

/// Longest message, in bytes: it may quote what a client sent.
const MAX_MESSAGE: usize = 4000;

fn bounded(mut text: String) -> String {
    if text.len() > MAX_MESSAGE {
        let end = (0..=MAX_MESSAGE).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push_str("...");
    }
    text
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for SqlError {}

pub(crate) type SqlResult<T> = Result<T, SqlError>;

/// Why the engine could not be opened.
#[derive(Debug)]
pub enum EngineError {
    /// Another process (or another engine of this one) has the directory open.
    Locked(std::path::PathBuf),
    /// The directory was written by a version of this crate that this one does not know.
    SchemaVersion { found: i64, known: i64 },
    /// The directory or one of its files can not be used.
    Io { what: String, source: std::io::Error },
    /// SQLite refused.
    Storage(String),
    /// The stored catalog does not make sense.
    Corrupt(String),
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(path) => write!(
                f,
                "the data directory {} is in use by another server: stop it, or choose another directory",
                path.display()
            ),
            Self::SchemaVersion { found, known } => write!(
                f,
                "the data have schema version {found}, and this server has {known}: {}",
                match found > known {
                    true => "they were written by a newer one, use that",
                    false => "serve them once, which brings them to the newest version",
                }
            ),
            Self::Io { what, source } => write!(f, "{what}: {source}"),
            Self::Storage(message) => write!(f, "storage: {message}"),
            Self::Corrupt(message) => write!(f, "the data directory is damaged: {message}"),
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

impl From<rusqlite::Error> for EngineError {
    fn from(error: rusqlite::Error) -> Self {
        match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::NotADatabase | rusqlite::ErrorCode::DatabaseCorrupt) => {
                Self::Corrupt(format!("{error}: go back to a copy, `kalam-embedded backup` makes them"))
            }
            _ => Self::Storage(error.to_string()),
        }
    }
}

/// Why a password was not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CredentialError {
    /// Unknown user, dropped user or wrong password: deliberately one answer, in the same time.
    Invalid,
    /// The check itself failed.
    Internal(String),
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Invalid => f.write_str("Invalid credentials"),
            Self::Internal(message) => f.write_str(message),
        }
    }
}

impl std::error::Error for CredentialError {}
