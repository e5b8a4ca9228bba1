//! Tables as DESCRIBE, `system.columns` and `information_schema.columns` show them.

use super::{
    SystemTable,
    columns::ColumnSpec,
    rows::{int, text},
};
use crate::engine::{Cell, DataType, catalog::Table};
use crate::wire::Wire;

/// One row for each column, the system columns last.
pub(crate) fn describe(table: &Table, wire: Wire) -> Vec<Vec<Cell>> {
    let version = Cell::Int(i64::from(table.version));
    let own = table.columns.iter().enumerate().map(|(at, column)| {
        let key = table.key.contains(&at);
        let default = column.default.as_ref().map_or(Cell::Null, |d| text(d.show(column.data_type)));
        (
            column.name.to_string(),
            i64::from(column.id),
            column.data_type,
            !column.not_null && !key,
            key,
            default,
            Cell::Null,
        )
    });
    let next = i64::from(table.next_column_id);
    let system = [
        (
            wire.version_column(),
            next,
            DataType::BigInt,
            Cell::Null,
            "Version ID (MVCC) with embedded timestamp",
        ),
        ("_deleted", next + 1, DataType::Boolean, text("FALSE"), "Soft delete flag"),
    ];
    let system = system.map(|(name, id, data_type, default, comment)| {
        (name.to_owned(), id, data_type, false, false, default, text(comment))
    });
    own.chain(system)
        .enumerate()
        .map(|(at, (name, id, data_type, nullable, key, default, comment))| {
            vec![
                text(name),
                int(at + 1),
                Cell::BigInt(id),
                text(data_type.to_string()),
                Cell::Bool(nullable),
                Cell::Bool(key),
                default,
                comment,
                version.clone(),
            ]
        })
        .collect()
}

/// As [`describe`], of a system table.
pub(crate) fn describe_system(table: SystemTable) -> Vec<Vec<Cell>> {
    let row = |(at, (name, data_type, flags)): (usize, &ColumnSpec)| {
        vec![
            text(name),
            int(at + 1),
            Cell::BigInt(i64::try_from(at + 1).unwrap_or(i64::MAX)),
            text(data_type.to_string()),
            Cell::Bool(!flags.not_null),
            Cell::Bool(flags.primary_key),
            Cell::Null,
            Cell::Null,
            Cell::Int(1),
        ]
    };
    table.specs().iter().enumerate().map(row).collect()
}

pub(super) fn information_columns(table: &Table, wire: Wire) -> Vec<Vec<Cell>> {
    let row = |row: Vec<Cell>| {
        let [name, position, _, data_type, nullable, _, default, ..] = &row[..] else { return Vec::new() };
        let position = match position {
            Cell::Int(position) => Cell::BigInt(*position),
            other => other.clone(),
        };
        let nullable = text(if *nullable == Cell::Bool(true) { "YES" } else { "NO" });
        let place = [text("kalam"), text(&table.namespace), text(&table.name)];
        let column = [name.clone(), position, default.clone(), nullable, data_type.clone()];
        place.into_iter().chain(column).collect()
    };
    describe(table, wire).into_iter().map(row).collect()
}
