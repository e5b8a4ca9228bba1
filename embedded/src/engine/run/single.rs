//! A single write outside of a transaction: a job of a group commit.

use std::sync::{Arc, mpsc};

use serde_json::Value as Json;

use super::{
    Values,
    written::{Written, run_write},
};
use crate::engine::{
    Caller, Inner, RowChange, SqlError, Upload,
    catalog::Table,
    commits::Job,
    error::SqlResult,
    plans::{Plan, WritePlan},
    sql::context::Source,
    storage::Writer,
};

/// What became of it.
pub(crate) enum Outcome {
    Written(Written),
    /// The catalog has moved on since it was planned, and nothing was written.
    Stale,
}

pub(crate) struct SingleWrite<F: FnOnce(SqlResult<Outcome>) + Send> {
    plan: Arc<Plan>,
    caller: Caller,
    params: Vec<Json>,
    files: Vec<Upload>,
    now: i64,
    changes: Vec<RowChange>,
    outcome: Outcome,
    /// Taken when called.
    done: Option<F>,
}

impl<F: FnOnce(SqlResult<Outcome>) + Send> SingleWrite<F> {
    pub(crate) fn new(
        plan: Arc<Plan>,
        caller: Caller,
        params: Vec<Json>,
        files: Vec<Upload>,
        now: i64,
        done: F,
    ) -> Self {
        Self {
            plan,
            caller,
            params,
            files,
            now,
            changes: Vec::new(),
            outcome: Outcome::Stale,
            done: Some(done),
        }
    }
}

/// Waits for it on this thread.
pub(crate) fn write(
    engine: &Inner,
    plan: &Arc<Plan>,
    caller: &Caller,
    params: &[Json],
    files: &[Upload],
    now: i64,
) -> SqlResult<Outcome> {
    let (answer, answered) = mpsc::sync_channel(1);
    let tell = move |outcome| drop(answer.try_send(outcome));
    let job = SingleWrite::new(plan.clone(), caller.clone(), params.to_vec(), files.to_vec(), now, tell);
    engine.commits.run(engine, Box::new(job));
    answered.recv().unwrap_or_else(|_| Err(stopped()))
}

fn stopped() -> SqlError {
    SqlError::internal("The server stopped before the statement ran")
}

impl<F: FnOnce(SqlResult<Outcome>) + Send> Job for SingleWrite<F> {
    fn run(&mut self, engine: &Inner, writer: &mut Writer) -> SqlResult<()> {
        self.changes.clear();
        self.outcome = Outcome::Stale;
        let Plan::Write(plan) = &*self.plan else {
            return Err(SqlError::internal("a query among the writes"));
        };
        if is_current(engine, plan) {
            let values = Values::new(engine, &self.caller, &self.params, &self.files, self.now);
            self.outcome = Outcome::Written(run_write(engine, writer, plan, &values, &mut self.changes)?);
            engine.publish(&writer.db, &self.changes)?;
        }
        Ok(())
    }

    fn changes(&self) -> &[RowChange] {
        &self.changes
    }

    fn done(mut self: Box<Self>, result: SqlResult<()>) {
        if let Some(done) = self.done.take() {
            let outcome = std::mem::replace(&mut self.outcome, Outcome::Stale);
            done(result.map(|()| outcome));
        }
    }
}

impl<F: FnOnce(SqlResult<Outcome>) + Send> Drop for SingleWrite<F> {
    fn drop(&mut self) {
        if let Some(done) = self.done.take() {
            done(Err(stopped()));
        }
    }
}

/// Whether the plan's tables are still what it was planned for. Asked under the commit lock.
pub(super) fn is_current(engine: &Inner, plan: &WritePlan) -> bool {
    let catalog = engine.catalog();
    let is_current = |planned: &Arc<Table>| {
        catalog.table(&planned.namespace, &planned.name).is_some_and(|now| Arc::ptr_eq(now, planned))
    };
    is_current(plan.table())
        && plan.sources().iter().all(|source| match source {
            Source::Table(table) => is_current(table),
            Source::System(_) => true,
        })
}
