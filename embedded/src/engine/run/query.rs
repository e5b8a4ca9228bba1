//! Reading rows.

use rusqlite::Statement;

use super::Values;
use crate::engine::{
    Cell, DataType, EngineLimits, SqlError, convert,
    error::SqlResult,
    sql::{context::QueryPlan, typed::Bind},
    storage::{Db, sql_error},
};

/// Runs a SELECT on a connection that holds its source.
pub(super) fn run(
    db: &Db,
    plan: &QueryPlan,
    values: &Values<'_>,
    limits: &EngineLimits,
) -> SqlResult<Vec<Vec<Cell>>> {
    let types: Vec<DataType> = plan.columns.iter().map(|c| c.data_type).collect();
    db.within(limits.statement_time, |connection| {
        let mut statement = connection.prepare_cached(&plan.sql).map_err(sql_error)?;
        bind_all(&mut statement, &plan.binds, values)?;
        read_rows(&mut statement, &types, limits)
    })
}

pub(crate) fn bind_all(statement: &mut Statement<'_>, binds: &[Bind], values: &Values<'_>) -> SqlResult<()> {
    // What is NULL in any case was left out of the text, and the last places with it.
    let places = statement.parameter_count();
    for (at, bind) in binds.iter().enumerate().take(places) {
        let cell = values.get(bind)?;
        statement.raw_bind_parameter(at + 1, convert::to_sqlite(&cell)).map_err(sql_error)?;
    }
    Ok(())
}

/// The rows of a bound statement, each cell typed.
pub(crate) fn read_rows(
    statement: &mut Statement<'_>,
    types: &[DataType],
    limits: &EngineLimits,
) -> SqlResult<Vec<Vec<Cell>>> {
    let (mut result, mut bytes) = (Vec::new(), 0);
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(sql_error)? {
        let mut cells = Vec::with_capacity(types.len());
        for (at, data_type) in types.iter().enumerate() {
            let value = row.get_ref(at).map_err(sql_error)?;
            let cell = convert::from_sqlite(value, *data_type).ok_or_else(|| {
                SqlError::internal(format!("column {at} of the result is not of type {data_type}"))
            })?;
            bytes += size_of::<Cell>() + cell.heap_bytes();
            cells.push(cell);
        }
        result.push(cells);
        if result.len() > limits.result_rows || bytes > limits.result_bytes {
            return Err(SqlError::execution(format!(
                "Execution error: the result is larger than {} rows or {} bytes: use LIMIT and page by key",
                limits.result_rows, limits.result_bytes
            )));
        }
    }
    Ok(result)
}
