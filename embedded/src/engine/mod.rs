//! The database inside the embedded server: catalog, SQL, users and live queries on SQLite.
//!
//! The engine knows no HTTP, WebSocket or JSON frame. All calls block; none needs an async runtime.

mod catalog;
mod cell;
mod data_type;
mod decimal;
mod error;
mod live;
mod options;
mod row;
mod statement;
mod time;
mod user;

use std::sync::Arc;

pub use cell::Cell;
pub use data_type::{Column, DataType, Flags};
pub use decimal::Decimal;
pub use error::{CredentialError, EngineError, SqlError};
pub use live::{LiveChange, LiveFields, LiveQuery, LiveRow, LiveStart, Start};
pub use options::{Data, EngineLimits, EngineOptions};
pub use row::{ChangeKind, CommitObserver, RowChange, StoredRow, TableId};
pub use statement::{SqlRequest, StatementResult};
pub use user::{Caller, Role, UserInfo};

/// A database, in memory or in a directory. Cheap to clone; closed when the last clone is dropped.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    secret: [u8; 32],
}

impl Engine {
    /// Opens or creates the database.
    pub fn open(options: EngineOptions) -> Result<Self, EngineError> {
        drop(options);
        Err(EngineError::Storage("this build has no storage yet".into()))
    }

    /// The password made for `root`, when the data was created by this call without one.
    #[must_use]
    pub fn generated_root_password(&self) -> Option<&str> {
        None
    }

    /// Random bytes that live and die with the data; the key for tokens.
    #[must_use]
    pub fn secret(&self) -> &[u8; 32] {
        &self.inner.secret
    }

    /// Checks a password. Costs tens of milliseconds of CPU, as much for an unknown user.
    pub fn verify_password(&self, _user: &str, _password: &str) -> Result<UserInfo, CredentialError> {
        Err(CredentialError::Invalid)
    }

    /// The account, unless it does not exist or was dropped.
    #[must_use]
    pub fn user(&self, _user: &str) -> Option<UserInfo> {
        None
    }

    /// Runs a batch.
    pub fn execute(&self, _caller: &Caller, _request: &SqlRequest) -> Result<Vec<StatementResult>, SqlError> {
        Err(SqlError::unsupported("this statement"))
    }

    /// Checks a live query: shape, permission, names and types; compiles its filter.
    pub fn prepare_live(&self, _caller: &Caller, _sql: &str) -> Result<Arc<LiveQuery>, SqlError> {
        Err(SqlError::unsupported("this live query"))
    }

    /// Reads what a new subscription starts with, and runs `register` at that very point of the commit order.
    pub fn start_live<T>(
        &self,
        _query: &LiveQuery,
        _start: Start,
        register: impl FnOnce() -> T,
    ) -> Result<(LiveStart, T), SqlError> {
        Ok((LiveStart::default(), register()))
    }

    /// Replaces the observer of commits.
    pub fn set_observer(&self, observer: Arc<dyn CommitObserver>) {
        drop(observer);
    }
}
