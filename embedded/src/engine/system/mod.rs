//! The server's own tables: system.*, information_schema.tables; also what SHOW and DESCRIBE return.

mod columns;
mod describe;
mod rows;

use std::sync::Arc;

use serde_json::json;

use self::columns::{ColumnSpec, DESCRIBE};
pub(crate) use self::describe::{describe, describe_system};
use super::{
    Caller, Cell, Column, Inner, Role, SqlError,
    error::SqlResult,
    sql::relation::{Relation, RelationColumn},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SystemTable {
    Namespaces,
    Tables,
    Columns,
    Users,
    Topics,
    TopicOffsets,
    Live,
    Settings,
    Stats,
    Storages,
    Cluster,
    Jobs,
    InformationTables,
    InformationColumns,
    InformationSchemata,
}

/// System tables of KalamDB that have nothing to show here.
const LEFT_OUT: [&str; 8] =
    ["sessions", "manifest", "audit_logs", "policies", "routines", "triggers", "schedules", "schemas"];

impl SystemTable {
    /// Whether KalamDB has it and the embedded server has not.
    pub(crate) fn is_left_out(namespace: &str, name: &str) -> bool {
        namespace == "system" && LEFT_OUT.contains(&name)
    }

    pub(crate) fn find(namespace: &str, name: &str) -> Option<Self> {
        Some(match (namespace, name) {
            ("system", "namespaces") => Self::Namespaces,
            ("system", "tables") => Self::Tables,
            ("system", "columns") => Self::Columns,
            ("system", "users") => Self::Users,
            ("system", "topics") => Self::Topics,
            ("system", "topic_offsets") => Self::TopicOffsets,
            ("system", "live") => Self::Live,
            ("system", "settings") => Self::Settings,
            ("system", "stats") => Self::Stats,
            ("system", "storages") => Self::Storages,
            ("system", "cluster") => Self::Cluster,
            ("system", "jobs") => Self::Jobs,
            ("information_schema", "tables") => Self::InformationTables,
            ("information_schema", "columns") => Self::InformationColumns,
            ("information_schema", "schemata") => Self::InformationSchemata,
            _ => return None,
        })
    }

    pub(crate) fn qualified(self) -> String {
        let (namespace, name) = self.name();
        format!("{namespace}.{name}")
    }

    fn name(self) -> (&'static str, &'static str) {
        match self {
            Self::Namespaces => ("system", "namespaces"),
            Self::Tables => ("system", "tables"),
            Self::Columns => ("system", "columns"),
            Self::Users => ("system", "users"),
            Self::Topics => ("system", "topics"),
            Self::TopicOffsets => ("system", "topic_offsets"),
            Self::Live => ("system", "live"),
            Self::Settings => ("system", "settings"),
            Self::Stats => ("system", "stats"),
            Self::Storages => ("system", "storages"),
            Self::Cluster => ("system", "cluster"),
            Self::Jobs => ("system", "jobs"),
            Self::InformationTables => ("information_schema", "tables"),
            Self::InformationColumns => ("information_schema", "columns"),
            Self::InformationSchemata => ("information_schema", "schemata"),
        }
    }

    pub(crate) fn relation(self, alias: Option<String>) -> Relation {
        let (namespace, table) = self.name();
        let columns = self.specs().iter().enumerate().map(|(at, (name, data_type, flags))| {
            RelationColumn::new((*name).into(), *data_type, *flags, format!("c{at}"))
        });
        Relation { namespace: Some(namespace.into()), table: table.into(), alias, columns: columns.collect() }
    }

    pub(crate) fn columns(self) -> Arc<[Column]> {
        columns(self.specs())
    }
}

/// The rows of a system table as a JSON list of lists, which SQLite reads as a table.
pub(crate) fn as_json(table: SystemTable, engine: &Inner, caller: &Caller) -> String {
    let rows = table.rows(engine, caller);
    let value = |cell: &Cell| match cell {
        Cell::Null => serde_json::Value::Null,
        Cell::Bool(value) => json!(value),
        Cell::Int(value) | Cell::BigInt(value) | Cell::Timestamp(value) => json!(value),
        Cell::Double(value) => json!(value),
        other => json!(other.to_text()),
    };
    let rows: Vec<Vec<serde_json::Value>> = rows.iter().map(|row| row.iter().map(value).collect()).collect();
    serde_json::Value::from(rows).to_string()
}

fn columns(specs: &[ColumnSpec]) -> Arc<[Column]> {
    let column = |(index, (name, data_type, flags)): (usize, &ColumnSpec)| Column {
        name: (*name).into(),
        data_type: *data_type,
        index: u32::try_from(index).unwrap_or(u32::MAX),
        flags: *flags,
    };
    specs.iter().enumerate().map(column).collect()
}

pub(crate) fn describe_columns() -> Arc<[Column]> {
    columns(&DESCRIBE)
}

/// Refuses system tables to users and services, as recorded (`wire/sql_surface.jsonl`).
pub(crate) fn check_role(table: SystemTable, role: Role) -> SqlResult<()> {
    // What information_schema shows is what the caller may use.
    if role.is_admin() || table.name().0 == "information_schema" {
        return Ok(());
    }
    Err(SqlError::permission(format!(
        "Permission denied: Error during planning: Access denied: Role '{role:?}' cannot access table '{}'. System \
         tables require 'dba' or 'system' role.",
        table.qualified()
    )))
}
