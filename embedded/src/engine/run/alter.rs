//! ALTER TABLE.

use std::sync::{Arc, OnceLock};

use sqlparser::ast::{AlterTableOperation, ColumnDef, ColumnOption, SqlOption};

use super::{
    columns::column,
    ddl::{Changed, Outcome, not_found},
    table_options::{check_option, option_value, whole},
};
use crate::engine::{
    DataType, SqlError,
    catalog::{Access, Catalog, DefaultValue, Table, TableKind},
    convert,
    error::SqlResult,
    files,
    sql::names,
    storage::{Writer, meta, sql_error},
    time,
};

pub(super) fn alter_table(
    writer: &Writer,
    catalog: &Catalog,
    namespace: &str,
    name: &str,
    operations: &[AlterTableOperation],
) -> SqlResult<Outcome> {
    let old = catalog.table(namespace, name).ok_or_else(|| not_found(namespace, name))?;
    let mut table = Table::clone(old);
    table.row_sql = OnceLock::new();
    let [operation] = operations else {
        return Err(SqlError::unsupported("ALTER TABLE with several changes at once"));
    };
    let change = match operation {
        AlterTableOperation::AddColumn {
            if_not_exists: false, column_def, column_position: None, ..
        } => add_column(writer, &mut table, column_def)?,
        AlterTableOperation::DropColumn { column_names, if_exists: false, drop_behavior: None, .. } => {
            let [column] = &column_names[..] else {
                return Err(SqlError::unsupported("DROP COLUMN of several columns"));
            };
            drop_column(writer, &mut table, &names::ident(column))?
        }
        AlterTableOperation::ModifyColumn { col_name, data_type, options, column_position: None } => {
            modify_column(writer, &mut table, &names::ident(col_name), data_type, options)?
        }
        AlterTableOperation::SetTblProperties { table_properties } => {
            set_properties(&mut table, table_properties)?
        }
        other => return Err(SqlError::unsupported(format_args!("ALTER TABLE ... {other}"))),
    };
    table.version += 1;
    table.updated_at = time::now_micros();
    meta::update_table(&writer.db.connection, &table).map_err(sql_error)?;
    let message =
        format!("Table {namespace}.{name} altered successfully: {change} (version {})", table.version);
    let changed = vec![Changed { table: table.id, dropped: false }];
    let mut catalog = catalog.clone();
    if let Some(namespace) = catalog.namespaces.get_mut(namespace) {
        namespace.tables.insert(table.name.clone(), Arc::new(table));
    }
    Ok(Outcome { changed, ..Outcome::new(message, catalog) })
}

fn add_column(writer: &Writer, table: &mut Table, definition: &ColumnDef) -> SqlResult<String> {
    let connection = &writer.db.connection;
    let (column, key) = column(definition, table.next_column_id)?;
    if key {
        return Err(SqlError::execution("Invalid operation: a PRIMARY KEY column can not be added"));
    }
    if table.column(&column.name).is_some() {
        return Err(SqlError::execution(format!("Already exists: Column '{}' already exists", column.name)));
    }
    let default = column.literal_default();
    if column.not_null && default.is_none() && !meta::is_empty(connection, table).map_err(sql_error)? {
        return Err(SqlError::execution(format!(
            "Invalid operation: the table has rows, so a NOT NULL column needs a literal DEFAULT: '{}'",
            column.name
        )));
    }
    let (name, sqlite) = (table.sqlite_name(), column.sqlite_name());
    let add = format!("ALTER TABLE {name} ADD COLUMN {sqlite} {}", column.sqlite_type());
    connection.execute(&add, []).map_err(sql_error)?;
    if let Some(default) = default {
        let fill = format!("UPDATE {name} SET {sqlite} = ?1");
        connection.execute(&fill, [convert::to_sqlite(&default)]).map_err(sql_error)?;
    }
    let change = format!("ADD COLUMN {} {}", column.name, column.data_type);
    table.next_column_id += 1;
    table.columns.push(column);
    Ok(change)
}

fn drop_column(writer: &Writer, table: &mut Table, name: &str) -> SqlResult<String> {
    let position = table.column(name);
    let position =
        position.ok_or_else(|| SqlError::execution(format!("Not found: Column '{name}' not found")))?;
    if table.key.contains(&position) {
        return Err(SqlError::execution(format!(
            "Invalid operation: the PRIMARY KEY column '{name}' can not be dropped"
        )));
    }
    let column = table.columns.remove(position);
    for key in &mut table.key {
        *key -= usize::from(*key > position);
    }
    if column.data_type == DataType::File {
        files::release_column(&writer.db.connection, table, &column).map_err(sql_error)?;
    }
    let drop = format!("ALTER TABLE {} DROP COLUMN {}", table.sqlite_name(), column.sqlite_name());
    writer.db.connection.execute(&drop, []).map_err(sql_error)?;
    Ok(format!("DROP COLUMN {name}"))
}

/// Gives a column another type or rule. Its values are converted; one that can not be stops it all.
fn modify_column(
    writer: &Writer,
    table: &mut Table,
    name: &str,
    data_type: &sqlparser::ast::DataType,
    options: &[ColumnOption],
) -> SqlResult<String> {
    let position = table.column(name);
    let position =
        position.ok_or_else(|| SqlError::execution(format!("Not found: Column '{name}' not found")))?;
    if table.key.contains(&position) {
        return Err(SqlError::execution(format!(
            "Invalid operation: the PRIMARY KEY column '{name}' can not be modified"
        )));
    }
    let connection = &writer.db.connection;
    let old = table.columns[position].clone();
    let definition = ColumnDef {
        name: sqlparser::ast::Ident::with_quote('"', name),
        data_type: data_type.clone(),
        options: options
            .iter()
            .map(|option| sqlparser::ast::ColumnOptionDef { name: None, option: option.clone() })
            .collect(),
    };
    let (mut column, key) = column(&definition, table.next_column_id)?;
    if key || [old.data_type, column.data_type].contains(&DataType::File) && old.data_type != column.data_type
    {
        return Err(SqlError::unsupported("MODIFY COLUMN into or out of a key or a FILE"));
    }
    if !options.iter().any(|option| matches!(option, ColumnOption::Default(_))) {
        column.default = match &old.default {
            Some(DefaultValue::Literal(text)) => {
                convert::from_text(text, column.data_type).ok().and(old.default.clone())
            }
            default => default.clone(),
        };
    }
    let (table_name, from) = (table.sqlite_name(), old.sqlite_name());
    if column.not_null {
        let sql = format!("SELECT EXISTS (SELECT 1 FROM {table_name} WHERE d = 0 AND {from} IS NULL)");
        if connection.query_row(&sql, [], |row| row.get::<_, bool>(0)).map_err(sql_error)? {
            return Err(SqlError::execution(format!(
                "Constraint violation: the column '{name}' has NULLs: give them a value before NOT NULL"
            )));
        }
    }
    let change = format!("MODIFY COLUMN {name} {}", column.data_type);
    if column.data_type == old.data_type {
        column.id = old.id;
        table.columns[position] = column;
        return Ok(change);
    }
    let to = column.sqlite_name();
    let run = |sql: String| connection.execute(&sql, []).map(drop).map_err(sql_error);
    run(format!("ALTER TABLE {table_name} ADD COLUMN {to} {}", column.sqlite_type()))?;
    run(format!(
        "UPDATE {table_name} SET {to} = k_cast({from}, {}, {})",
        convert::type_code(old.data_type),
        convert::type_code(column.data_type)
    ))?;
    run(format!("ALTER TABLE {table_name} DROP COLUMN {from}"))?;
    table.next_column_id += 1;
    table.columns[position] = column;
    Ok(change)
}

/// What WITH (...) of CREATE TABLE says, changed later. The kind of a table stays.
fn set_properties(table: &mut Table, properties: &[SqlOption]) -> SqlResult<String> {
    let mut names = Vec::new();
    for property in properties {
        let SqlOption::KeyValue { key, value } = property else {
            return Err(SqlError::invalid(format!("{property} is not a property")));
        };
        let (key, value) = (key.to_string().trim_matches(['\'', '"']).to_uppercase(), option_value(value)?);
        match key.as_str() {
            "TYPE" => return Err(SqlError::unsupported("changing the TYPE of a table")),
            "ACCESS_LEVEL" if table.kind == TableKind::Shared => {
                table.access = Access::parse(&value)
                    .ok_or_else(|| SqlError::invalid("ACCESS_LEVEL is PUBLIC, PRIVATE, RESTRICTED or DBA"))?;
            }
            "ACCESS_LEVEL" => {
                return Err(SqlError::invalid("ACCESS_LEVEL is an option of SHARED tables only"));
            }
            // Rows that are there keep the time they were given.
            "TTL_SECONDS" if table.kind == TableKind::Stream => {
                table.ttl_seconds = Some(whole(&key, &value, 1)?);
            }
            "TTL_SECONDS" => return Err(SqlError::invalid("TTL_SECONDS is an option of STREAM tables only")),
            "DELETED_RETENTION_HOURS" => table.retention_hours = Some(whole(&key, &value, 0)?),
            _ => {
                check_option(&key, &value)?;
                table.options.insert(key.clone(), value);
            }
        }
        names.push(key);
    }
    Ok(format!("SET TBLPROPERTIES {}", names.join(", ")))
}
