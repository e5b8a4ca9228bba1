//! INSERT, UPDATE, DELETE: each written row becomes a `RowChange`.

use std::sync::Arc;

use rusqlite::{Connection, Statement};

use super::{
    Values,
    query::{bind_all, read_rows},
};
use crate::engine::{
    Cell, ChangeKind, DataType, EngineLimits, RowChange, SqlError, StoredRow,
    catalog::{DefaultValue, Table},
    convert,
    error::SqlResult,
    files,
    sql::{
        dml::{Computed, DeletePlan, InsertPlan, NewRows, Returning, Slot, UpdatePlan},
        stored::coercion_error,
    },
    storage::{Writer, sql_error, ulid},
};
use crate::holes::{Holes, scatter};

pub(super) fn insert(
    writer: &mut Writer,
    plan: &InsertPlan,
    values: &Values<'_>,
    limits: &EngineLimits,
    changes: &mut Vec<RowChange>,
) -> SqlResult<u64> {
    let table = &plan.table;
    let owner = owner(table, values);
    let Writer { db, sequence, identifiers } = writer;
    db.within(limits.statement_time, |connection| {
        let mut statement = connection.prepare_cached(&table.row_sql().insert).map_err(sql_error)?;
        let snowflake = || identifiers.snowflake.next();
        let upload =
            |id: i64, name: &str| files::store(connection, table, owner.as_deref(), id, values.upload(name)?);
        let found = match &plan.rows {
            NewRows::Values(_) => Vec::new(),
            NewRows::Query(query, _) => {
                let types: Vec<DataType> = query.columns.iter().map(|c| c.data_type).collect();
                let mut statement = connection.prepare_cached(&query.sql).map_err(sql_error)?;
                bind_all(&mut statement, &query.binds, values)?;
                read_rows(&mut statement, &types, limits)?
            }
        };
        let mut found = found.into_iter();
        let count = match &plan.rows {
            NewRows::Values(rows) => rows.len(),
            NewRows::Query(..) => found.len(),
        };
        for number in 0..count {
            let cells = match &plan.rows {
                NewRows::Values(rows) => {
                    let row = &rows[number];
                    let computed =
                        row.computed.as_ref().map(|c| compute(connection, c, values, limits)).transpose()?;
                    insert_cells(table, &row.slots, computed, values, snowflake, |name| {
                        upload(sequence.next(), name)
                    })?
                }
                NewRows::Query(_, targets) => {
                    let mut slots = vec![Slot::Default; table.columns.len()];
                    for (at, target) in targets.iter().enumerate() {
                        slots[*target] = Slot::Computed(at);
                    }
                    insert_cells(table, &slots, found.next(), values, snowflake, |name| {
                        upload(sequence.next(), name)
                    })?
                }
            };
            check_not_null(table, &cells, number + 1)?;
            let seq = sequence.next();
            let mut at = 1;
            if let Some(owner) = &owner {
                bind(&mut statement, &mut at, &Cell::Text(owner.clone()))?;
            }
            for cell in &cells {
                bind(&mut statement, &mut at, cell)?;
            }
            bind(&mut statement, &mut at, &Cell::BigInt(seq))?;
            if let Some(ttl) = table.ttl_micros() {
                bind(&mut statement, &mut at, &Cell::BigInt(values.now.saturating_add(ttl)))?;
            }
            if statement.raw_execute().map_err(sql_error)? == 0 {
                return Err(duplicate_key(table, &cells));
            }
            let new = Arc::new(StoredRow { seq, created_seq: seq, deleted: false, cells });
            changes.push(RowChange {
                table: Arc::clone(table),
                user: owner.clone(),
                kind: ChangeKind::Insert,
                old: None,
                new,
                expired: false,
            });
        }
        Ok(count as u64)
    })
}

pub(super) fn update(
    writer: &mut Writer,
    plan: &UpdatePlan,
    values: &Values<'_>,
    limits: &EngineLimits,
    holes: Holes,
    changes: &mut Vec<RowChange>,
) -> SqlResult<u64> {
    let table = &plan.table;
    let owner = owner(table, values);
    let Writer { db, sequence, .. } = writer;
    db.within(limits.statement_time, |connection| {
        let found = find(connection, table, &plan.find, values, limits, holes)?;
        let mut statement = connection.prepare_cached(&table.row_sql().update).map_err(sql_error)?;
        let count = found.len() as u64;
        for (number, (old, new_values)) in found.into_iter().enumerate() {
            let mut cells = old.cells.clone();
            for (position, value) in plan.targets.iter().zip(new_values) {
                let column = &table.columns[*position];
                cells[*position] = convert::assign(&value, column.data_type)
                    .map_err(|e| coercion_error(column, "of the expression", &e))?;
            }
            for (position, name) in &plan.files {
                if count > 1 && !name.is_empty() {
                    return Err(SqlError::unsupported(
                        "an UPDATE that gives one file to several rows: a file belongs to one row",
                    ));
                }
                cells[*position] = match name.is_empty() {
                    true => Cell::Null,
                    false => {
                        let (id, owner) = (sequence.next(), owner.as_deref());
                        files::store(connection, table, owner, id, values.upload(name)?)?
                    }
                };
            }
            files::release(connection, table, &old.cells, Some(&cells))?;
            check_not_null(table, &cells, number + 1)?;
            let seq = sequence.next();
            let mut at = 1;
            for cell in &cells {
                bind(&mut statement, &mut at, cell)?;
            }
            bind(&mut statement, &mut at, &Cell::BigInt(seq))?;
            bind_row(&mut statement, at, old.seq, owner.as_ref())?;
            write_one(&mut statement)?;
            let new = Arc::new(StoredRow { seq, created_seq: old.created_seq, deleted: false, cells });
            changes.push(change(table, &owner, ChangeKind::Update, old, new));
        }
        Ok(count)
    })
}

pub(super) fn delete(
    writer: &mut Writer,
    plan: &DeletePlan,
    values: &Values<'_>,
    limits: &EngineLimits,
    holes: Holes,
    changes: &mut Vec<RowChange>,
) -> SqlResult<u64> {
    let table = &plan.table;
    let owner = owner(table, values);
    let Writer { db, sequence, .. } = writer;
    db.within(limits.statement_time, |connection| {
        let found = find(connection, table, &plan.find, values, limits, holes)?;
        let mut statement = connection.prepare_cached(&table.row_sql().delete).map_err(sql_error)?;
        let count = found.len() as u64;
        for (old, _) in found {
            files::release(connection, table, &old.cells, None)?;
            let seq = sequence.next();
            let mut at = 1;
            bind(&mut statement, &mut at, &Cell::BigInt(seq))?;
            bind_row(&mut statement, at, old.seq, owner.as_ref())?;
            write_one(&mut statement)?;
            let tombstone =
                StoredRow { seq, created_seq: old.created_seq, deleted: true, cells: old.cells.clone() };
            changes.push(change(table, &owner, ChangeKind::Delete, old, Arc::new(tombstone)));
        }
        Ok(count)
    })
}

/// What RETURNING makes of the rows that were written.
pub(super) fn returned(
    writer: &Writer,
    returning: &Returning,
    values: &Values<'_>,
    limits: &EngineLimits,
    changes: &[RowChange],
) -> SqlResult<Vec<Vec<Cell>>> {
    writer.db.within(limits.statement_time, |connection| {
        let Computed { sql, binds, types } = &returning.find;
        let mut statement = connection.prepare_cached(sql).map_err(sql_error)?;
        let mut rows = Vec::with_capacity(changes.len());
        for change in changes {
            bind_all(&mut statement, binds, values)?;
            statement.raw_bind_parameter(binds.len() + 1, change.new.seq).map_err(sql_error)?;
            rows.append(&mut read_rows(&mut statement, types, limits)?);
        }
        Ok(rows)
    })
}

/// Deletes the rows of a STREAM table whose time is over, of all users, at most so many. True when more may be left.
pub(in crate::engine) fn expire(
    writer: &mut Writer,
    table: &Arc<Table>,
    now: i64,
    most: u32,
    limits: &EngineLimits,
    changes: &mut Vec<RowChange>,
) -> SqlResult<bool> {
    let mut types: Vec<DataType> = vec![DataType::Text];
    types.extend(table.columns.iter().map(|c| c.data_type));
    types.extend([DataType::BigInt, DataType::BigInt]);
    let own: String = table.columns.iter().map(|c| format!("{}, ", c.sqlite_name())).collect();
    let sql = format!(
        "SELECT o, {own}s, n FROM {} WHERE d = 0 AND e <= ?1 ORDER BY e LIMIT {most}",
        table.sqlite_name()
    );
    let Writer { db, sequence, .. } = writer;
    db.within(limits.statement_time, |connection| {
        let mut statement = connection.prepare_cached(&sql).map_err(sql_error)?;
        statement.raw_bind_parameter(1, now).map_err(sql_error)?;
        let rows = read_rows(&mut statement, &types, limits)?;
        let count = rows.len();
        let mut delete = connection.prepare_cached(&table.row_sql().delete).map_err(sql_error)?;
        for mut row in rows {
            let system = row.split_off(row.len() - 2);
            let ([Cell::BigInt(seq), Cell::BigInt(created_seq)], Cell::Text(user)) =
                (&system[..], row.remove(0))
            else {
                return Err(SqlError::internal("a row without a version"));
            };
            let old = StoredRow { seq: *seq, created_seq: *created_seq, deleted: false, cells: row.into() };
            files::release(connection, table, &old.cells, None)?;
            let seq = sequence.next();
            let mut at = 1;
            bind(&mut delete, &mut at, &Cell::BigInt(seq))?;
            bind_row(&mut delete, at, old.seq, Some(&user))?;
            write_one(&mut delete)?;
            let tombstone =
                StoredRow { seq, created_seq: old.created_seq, deleted: true, cells: old.cells.clone() };
            let expired = change(table, &Some(user), ChangeKind::Delete, old, Arc::new(tombstone));
            changes.push(RowChange { expired: true, ..expired });
        }
        Ok(count == most as usize)
    })
}

fn owner(table: &Table, values: &Values<'_>) -> Option<Arc<str>> {
    table.has_owner().then(|| values.caller.user.clone())
}

fn change(
    table: &Arc<Table>,
    owner: &Option<Arc<str>>,
    kind: ChangeKind,
    old: StoredRow,
    new: Arc<StoredRow>,
) -> RowChange {
    RowChange {
        table: Arc::clone(table),
        user: owner.clone(),
        kind,
        old: Some(Arc::new(old)),
        new,
        expired: false,
    }
}

fn bind(statement: &mut Statement<'_>, at: &mut usize, cell: &Cell) -> SqlResult<()> {
    statement.raw_bind_parameter(*at, convert::to_sqlite(cell)).map_err(sql_error)?;
    *at += 1;
    Ok(())
}

fn bind_row(
    statement: &mut Statement<'_>,
    mut at: usize,
    seq: i64,
    owner: Option<&Arc<str>>,
) -> SqlResult<()> {
    bind(statement, &mut at, &Cell::BigInt(seq))?;
    match owner {
        Some(owner) => bind(statement, &mut at, &Cell::Text(owner.clone())),
        None => Ok(()),
    }
}

/// The row was read under the same lock, so it is there.
fn write_one(statement: &mut Statement<'_>) -> SqlResult<()> {
    match statement.raw_execute().map_err(sql_error)? {
        1 => Ok(()),
        n => Err(SqlError::internal(format!("{n} rows written instead of one"))),
    }
}

/// The rows that a filter finds, with the values computed from them.
fn find(
    connection: &Connection,
    table: &Table,
    find: &Computed,
    values: &Values<'_>,
    limits: &EngineLimits,
    holes: Holes,
) -> SqlResult<Vec<(StoredRow, Vec<Cell>)>> {
    let mut types: Vec<DataType> = table.columns.iter().map(|c| c.data_type).collect();
    let width = types.len();
    types.extend([DataType::BigInt, DataType::BigInt]);
    types.extend(&find.types);
    let mut statement = connection.prepare_cached(&find.sql).map_err(sql_error)?;
    bind_all(&mut statement, &find.binds, values)?;
    let mut rows = read_rows(&mut statement, &types, limits)?;
    if holes.numbers {
        let seed = rows.len() as u64;
        scatter(&mut rows, seed);
    }
    rows.into_iter()
        .map(|mut row| {
            let computed = row.split_off(width + 2);
            let system = row.split_off(width);
            let [Cell::BigInt(seq), Cell::BigInt(created_seq)] = system[..] else {
                return Err(SqlError::internal("a row without a version"));
            };
            Ok((StoredRow { seq, created_seq, deleted: false, cells: row.into() }, computed))
        })
        .collect()
}

fn compute(
    connection: &Connection,
    computed: &Computed,
    values: &Values<'_>,
    limits: &EngineLimits,
) -> SqlResult<Vec<Cell>> {
    let mut statement = connection.prepare_cached(&computed.sql).map_err(sql_error)?;
    bind_all(&mut statement, &computed.binds, values)?;
    let mut rows = read_rows(&mut statement, &computed.types, limits)?;
    rows.pop().ok_or_else(|| SqlError::internal("an expression without a value"))
}

fn insert_cells(
    table: &Table,
    slots: &[Slot],
    computed: Option<Vec<Cell>>,
    values: &Values<'_>,
    snowflake: impl Fn() -> i64,
    mut upload: impl FnMut(&str) -> SqlResult<Cell>,
) -> SqlResult<Box<[Cell]>> {
    let made = |value: &DefaultValue, data_type: DataType| match value {
        DefaultValue::Now => Cell::Timestamp(values.now),
        DefaultValue::CurrentUser => Cell::Text(values.caller.user.clone()),
        DefaultValue::SnowflakeId => Cell::BigInt(snowflake()),
        DefaultValue::UuidV7 => Cell::Uuid(uuid::Uuid::now_v7().to_string().into()),
        DefaultValue::Ulid => Cell::Text(ulid().into()),
        DefaultValue::Literal(text) => convert::from_text(text, data_type).unwrap_or(Cell::Null),
    };
    let mut computed = computed.unwrap_or_default();
    let cells = table.columns.iter().zip(slots).map(|(column, slot)| {
        let assign = |cell: &Cell, from: &str| {
            convert::assign(cell, column.data_type).map_err(|e| coercion_error(column, from, &e))
        };
        match slot {
            Slot::Cell(cell) => Ok(cell.clone()),
            Slot::File(name) => upload(name),
            Slot::Param(index) => values.param(*index, column.data_type),
            Slot::Made(value) => assign(&made(value, column.data_type), "of the function"),
            Slot::Computed(at) => match computed.get_mut(*at) {
                Some(cell) => assign(&std::mem::replace(cell, Cell::Null), "of the expression"),
                None => Err(SqlError::internal("an expression without a value")),
            },
            Slot::Default => match &column.default {
                Some(value) => assign(&made(value, column.data_type), "of the default"),
                None => Ok(Cell::Null),
            },
        }
    });
    cells.collect()
}

/// Recorded in `wire/sql_surface.jsonl`.
fn check_not_null(table: &Table, cells: &[Cell], number: usize) -> SqlResult<()> {
    for (position, (column, cell)) in table.columns.iter().zip(cells).enumerate() {
        if cell.is_null() && (column.not_null || table.key.contains(&position)) {
            return Err(SqlError::execution(format!(
                "Constraint violation: Execution error: NOT NULL constraint violation: column '{}' cannot be NULL (row \
                 {number})",
                column.name
            )));
        }
    }
    Ok(())
}

/// Recorded in `wire/live_basic.jsonl`.
fn duplicate_key(table: &Table, cells: &[Cell]) -> SqlError {
    let values: Vec<String> = table.key.iter().map(|k| cells[*k].to_text().unwrap_or_default()).collect();
    let columns: Vec<&str> = table.key.iter().map(|k| &*table.columns[*k].name).collect();
    SqlError::execution(format!(
        "Already exists: Primary key violation: value '{}' already exists in column '{}'",
        values.join(", "),
        columns.join(", ")
    ))
}
