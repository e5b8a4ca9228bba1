//! Carrying out a write, and what it did.

use std::sync::Arc;

use super::{Values, write};
use crate::engine::{
    Cell, Column, Inner, RowChange, StatementResult, catalog::Table, error::SqlResult, plans::WritePlan,
    storage::Writer, sweep,
};

/// What a write did.
pub(crate) struct Written {
    verb: &'static str,
    count: u64,
    /// The rows of RETURNING.
    returned: Option<Returned>,
}

type Returned = (Arc<[Column]>, Vec<Vec<Cell>>);

impl Written {
    pub(super) fn result(self, as_user: Arc<str>) -> StatementResult {
        let (columns, rows) = self.returned.map_or((None, Vec::new()), |(c, rows)| (Some(c), rows));
        let message = columns.is_none().then(|| format!("{} {} row(s)", self.verb, self.count));
        StatementResult { columns, rows, row_count: self.count, message, as_user }
    }
}

fn expire_all(
    engine: &Inner,
    writer: &mut Writer,
    table: &Arc<Table>,
    now: i64,
    changes: &mut Vec<RowChange>,
) -> SqlResult<()> {
    let mut expired = Vec::new();
    while write::expire(writer, table, now, sweep::MOST_AT_ONCE, &engine.limits, &mut expired)? {}
    if !engine.holes.expiry {
        changes.append(&mut expired);
    }
    Ok(())
}

/// Carries out a plan that is current.
pub(super) fn run_write(
    engine: &Inner,
    writer: &mut Writer,
    plan: &WritePlan,
    values: &Values<'_>,
    changes: &mut Vec<RowChange>,
) -> SqlResult<Written> {
    let limits = &engine.limits;
    if plan.table().ttl_seconds.is_some() {
        // What is over does not stand in the way of a new row with its key, and is not written to.
        expire_all(engine, writer, plan.table(), values.now, changes)?;
    }
    let before = changes.len();
    let (verb, count) = match plan {
        WritePlan::Insert(plan) => ("Inserted", write::insert(writer, plan, values, limits, changes)?),
        WritePlan::Update(plan) => {
            ("Updated", write::update(writer, plan, values, limits, engine.holes, changes)?)
        }
        WritePlan::Delete(plan) => {
            ("Deleted", write::delete(writer, plan, values, limits, engine.holes, changes)?)
        }
    };
    let returned = match plan.returning() {
        Some(returning) => {
            let rows = write::returned(writer, returning, values, limits, &changes[before..])?;
            Some((Arc::clone(&returning.columns), rows))
        }
        None => None,
    };
    Ok(Written { verb, count, returned })
}
