//! BEGIN, COMMIT and ROLLBACK, within one request.

use std::time::Instant;

use parking_lot::MutexGuard;

use super::Batch;
use crate::engine::{RowChange, SqlError, StatementResult, error::SqlResult, storage::Writer};

/// Holds the commit lock until it ends.
pub(super) struct Transaction<'a> {
    pub(super) writer: MutexGuard<'a, Writer>,
    id: String,
    began: Instant,
    pub(super) changes: Vec<RowChange>,
}

/// Rolls back what was neither committed nor rolled back, also when a panic unwinds.
impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        self.writer.rollback();
    }
}

impl<'a> Batch<'a> {
    pub(super) fn begin(&mut self) -> SqlResult<StatementResult> {
        if self.transaction.is_some() {
            return Err(SqlError::execution("Invalid operation: a transaction is already open"));
        }
        let writer = self.engine.storage.write();
        writer.begin()?;
        let id = uuid::Uuid::now_v7().to_string();
        let result = self.message(0, format!("Transaction started ({id})"));
        self.transaction = Some(Transaction { writer, id, began: Instant::now(), changes: Vec::new() });
        Ok(result)
    }

    pub(super) fn commit(&mut self) -> SqlResult<StatementResult> {
        let mut open = self.open_transaction()?;
        self.engine.publish(&open.writer.db, &open.changes)?;
        open.writer.commit()?;
        self.engine.tell(&open.changes);
        Ok(self.message(0, format!("Transaction committed ({})", open.id)))
    }

    pub(super) fn rollback(&mut self) -> SqlResult<StatementResult> {
        let open = self.open_transaction()?;
        Ok(self.message(0, format!("Transaction rolled back ({})", open.id)))
    }

    fn open_transaction(&mut self) -> SqlResult<Transaction<'a>> {
        self.transaction
            .take()
            .ok_or_else(|| SqlError::execution("Invalid operation: no transaction is open"))
    }

    pub(super) fn outside_transaction(&self, what: &str) -> SqlResult<()> {
        match self.transaction {
            None => Ok(()),
            Some(_) => Err(SqlError::unsupported(format_args!("{what} inside a transaction"))),
        }
    }

    /// All other writers wait for an open transaction: its statements together may take as long as one.
    pub(super) fn check_time(&self) -> SqlResult<()> {
        match &self.transaction {
            Some(open) if open.began.elapsed() > self.engine.limits.statement_time => {
                Err(SqlError::execution(
                    "the transaction exceeded the time limit of a statement and was rolled back: make it shorter",
                ))
            }
            _ => Ok(()),
        }
    }
}
