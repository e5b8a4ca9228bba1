//! One SQLite connection with our functions, a statement deadline and the doors shut.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rusqlite::{Connection, OpenFlags, config::DbConfig, limits::Limit};

use super::{
    aggregates,
    functions::{self, Identifiers},
};
use crate::engine::error::SqlError;

/// How many virtual machine steps SQLite makes between two looks at the clock.
const STEPS_PER_CHECK: i32 = 10_000;
const STATEMENT_CACHE: usize = 256;

pub(crate) struct Db {
    pub(crate) connection: Connection,
    deadline: Arc<Deadline>,
}

/// Milliseconds since `start` at which running statements are interrupted; 0 = never.
struct Deadline {
    start: Instant,
    at_ms: AtomicU64,
}

impl Deadline {
    fn passed(&self) -> bool {
        let at = self.at_ms.load(Ordering::Relaxed);
        at != 0 && self.start.elapsed().as_millis() >= u128::from(at)
    }
}

impl Db {
    /// A private database in memory.
    pub(crate) fn memory(identifiers: &Arc<Identifiers>) -> rusqlite::Result<Self> {
        Self::set_up(Connection::open_in_memory()?, identifiers)
    }

    pub(crate) fn file(
        path: &Path,
        read_only: bool,
        identifiers: &Arc<Identifiers>,
    ) -> rusqlite::Result<Self> {
        let access = if read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        };
        // One thread at a time by our own locks; no URI, so that no name can smuggle options in.
        let connection = Connection::open_with_flags(path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        Self::set_up(connection, identifiers)
    }

    fn set_up(mut connection: Connection, identifiers: &Arc<Identifiers>) -> rusqlite::Result<Self> {
        let deadline = Arc::new(Deadline { start: Instant::now(), at_ms: AtomicU64::new(0) });
        let checked = Arc::clone(&deadline);
        connection.progress_handler(STEPS_PER_CHECK, Some(move || checked.passed()))?;
        connection.set_prepared_statement_cache_capacity(STATEMENT_CACHE);
        // The translation writes every statement, so these are second locks on doors that nobody can reach.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.set_limit(Limit::SQLITE_LIMIT_ATTACHED, 0)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        functions::register(&connection, identifiers)?;
        aggregates::register(&connection)?;
        Ok(Self { connection, deadline })
    }

    /// Bounds what SQLite allocates in this process.
    pub(crate) fn limit_heap(&self, bytes: u64) -> rusqlite::Result<()> {
        let bytes = i64::try_from(bytes).unwrap_or(i64::MAX);
        self.connection.query_row(&format!("PRAGMA hard_heap_limit = {bytes}"), [], |_| Ok(()))
    }

    /// Runs `work`; SQLite statements in it are interrupted after `limit`.
    pub(crate) fn within<T>(&self, limit: Duration, work: impl FnOnce(&Connection) -> T) -> T {
        let at = (self.deadline.start.elapsed() + limit).as_millis();
        self.deadline.at_ms.store(u64::try_from(at).unwrap_or(u64::MAX).max(1), Ordering::Relaxed);
        let result = work(&self.connection);
        self.deadline.at_ms.store(0, Ordering::Relaxed);
        result
    }
}

/// What SQLite reports, for the caller of a statement.
pub(crate) fn sql_error(error: rusqlite::Error) -> SqlError {
    use rusqlite::ErrorCode;
    match &error {
        rusqlite::Error::SqliteFailure(failure, message) => match failure.code {
            ErrorCode::OperationInterrupted => {
                SqlError::execution("Execution error: the statement exceeded the time limit and was stopped")
            }
            ErrorCode::DiskFull => SqlError::internal("the disk is full"),
            ErrorCode::TooBig => SqlError::execution("Execution error: a value or the statement is too big"),
            ErrorCode::OutOfMemory => SqlError::execution(
                "Execution error: the statement needs more memory than the server may use: narrow it down",
            ),
            // Our functions' errors and "integer overflow" of sum().
            ErrorCode::Unknown => {
                SqlError::execution(format!("Execution error: {}", message.as_deref().unwrap_or("unknown")))
            }
            _ => SqlError::internal(format!("storage: {error}")),
        },
        rusqlite::Error::SqlInputError { msg, .. } if msg.contains("variable number") => SqlError::execution(
            "Execution error: the statement is too large: it has more than 32,766 values, send it in parts",
        ),
        // SQLite's limits on arguments, columns, variables and depth. Its statement is ours and not shown.
        rusqlite::Error::SqlInputError { msg, .. } if is_limit(msg) => {
            SqlError::execution(format!("Execution error: the statement is too large: {msg}"))
        }
        rusqlite::Error::SqlInputError { msg, .. } if msg.contains("recursive") => {
            SqlError::unsupported(format_args!("this recursive query: {msg}"))
        }
        rusqlite::Error::SqlInputError { msg, .. } => SqlError::internal(format!("storage: {msg}")),
        _ => SqlError::internal(format!("storage: {error}")),
    }
}

fn is_limit(message: &str) -> bool {
    ["too many", "too large", "too big", "at most", "stack overflow"]
        .iter()
        .any(|part| message.contains(part))
}
