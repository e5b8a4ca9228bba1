//! Answers read: digests, columns, rows of the live query.

use std::sync::Arc;

use crate::error::{Error, ErrorCode, Result};
use crate::live::Digest;
use crate::protocol::StatementResult;
use crate::row::Row;
use crate::schema::{Column, Schema, SeqId};
use crate::sql::{LiveSql, Projection};
use crate::value::Value;

use super::Key;

/// The results, unless they were made with another user's rights.
pub(super) fn of_user(results: Vec<StatementResult>, user: &str) -> Result<Vec<StatementResult>> {
    match results.iter().all(|result| result.as_user.as_deref().is_none_or(|as_user| as_user == user)) {
        true => Ok(results),
        false => {
            Err(Error::new(ErrorCode::Protocol, "the answer to a check was made with another user's rights"))
        }
    }
}

/// `n`, `m` and `x`.
pub(super) fn digest(result: &StatementResult) -> Result<(Digest, Option<SeqId>)> {
    let row = result.rows.first().ok_or_else(|| unusable("a digest without a row"))?;
    let number = |name: &str| match row.get(name) {
        Some(Value::Int(n)) => Ok(Some(*n)),
        Some(Value::Null) => Ok(None),
        _ => Err(unusable("a digest without numbers")),
    };
    let rows = number("n")?.and_then(|n| u64::try_from(n).ok());
    let rows = rows.ok_or_else(|| unusable("a digest without a count"))?;
    Ok((Digest { rows, mix: number("x")?.unwrap_or(0) }, number("m")?.map(SeqId::from)))
}

/// The rows as rows of the live query, with their versions.
pub(super) fn rows(result: &StatementResult, schema: &Arc<Schema>) -> Result<Vec<Row>> {
    let from = |name: &str| {
        (result.schema.index_of(name)).ok_or_else(|| unusable("rows without the columns that were asked for"))
    };
    let columns: Vec<usize> = schema.all_columns().iter().map(|c| from(&c.name)).collect::<Result<_>>()?;
    let version = from("_seq").or_else(|_| from("_version"))?;
    let row = |row: &Row| {
        let cells: Vec<Value> = columns.iter().map(|&at| row.values()[at].clone()).collect();
        Row::new(schema.clone(), cells, seq(&row.values()[version]))
    };
    Ok(result.rows.iter().map(row).collect())
}

/// The keys and versions of rows of which no more was asked.
pub(super) fn keys(
    result: &StatementResult,
    schema: &Schema,
    positions: &[usize],
) -> Result<Vec<(Key, SeqId)>> {
    let from = |name: &str| {
        (result.schema.index_of(name)).ok_or_else(|| unusable("keys without the columns that were asked for"))
    };
    let columns: Vec<usize> =
        positions.iter().map(|&at| from(&schema.all_columns()[at].name)).collect::<Result<_>>()?;
    let version = from("_seq").or_else(|_| from("_version"))?;
    let read = |row: &Row| {
        let key = columns.iter().map(|&at| row.values()[at].clone()).collect();
        let version = seq(&row.values()[version]).ok_or_else(|| unusable("a key without a version"))?;
        Ok((key, version))
    };
    result.rows.iter().map(read).collect()
}

/// Whether a table still has the columns that the rows of a live query were announced with.
pub(super) fn fits(table: &Schema, live: &LiveSql, rows: &Schema) -> bool {
    let same = |a: &Column, b: &Column| a.name == b.name && a.data_type == b.data_type;
    let has = |column: &Column| table.columns().iter().any(|other| same(column, other));
    let known = |column: &&Column| !column.name.starts_with('_');
    rows.all_columns().iter().filter(known).all(has)
        && (live.projection != Projection::Star
            || table.columns().iter().filter(known).all(|c| rows.all_columns().iter().any(|o| same(c, o))))
}

fn seq(value: &Value) -> Option<SeqId> {
    value.as_int().map(SeqId::from)
}

fn unusable(what: &str) -> Error {
    Error::new(ErrorCode::Protocol, format!("the answer to a check holds {what}"))
}

pub(super) fn first(results: &[StatementResult]) -> Result<&StatementResult> {
    results.first().ok_or_else(|| Error::new(ErrorCode::Protocol, "a check was answered without a result"))
}

pub(super) fn out_of_order() -> Error {
    Error::new(ErrorCode::Protocol, "a page of a check does not go on behind the one before it")
}

pub(super) fn no_rows() -> Error {
    Error::new(ErrorCode::Closed, "there are no rows to check")
}
