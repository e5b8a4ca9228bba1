//! What a statement reads from: a table's columns under the names that the statement may use.

use std::sync::Arc;

use sqlparser::ast::{ObjectName, TableFactor, TableWithJoins};

use super::names;
use crate::engine::{
    DataType, Flags, SqlError,
    catalog::{DELETED, SEQ, Table},
    error::SqlResult,
};

#[derive(Debug, Clone)]
pub(crate) struct RelationColumn {
    pub(crate) name: Arc<str>,
    pub(crate) data_type: DataType,
    pub(crate) flags: Flags,
    /// The name inside SQLite.
    pub(crate) sqlite: String,
}

/// The columns of a table in the order of `SELECT *`.
#[derive(Debug, Clone)]
pub(crate) struct Relation {
    pub(crate) namespace: Arc<str>,
    pub(crate) table: Arc<str>,
    pub(crate) alias: Option<String>,
    pub(crate) columns: Vec<RelationColumn>,
}

impl Relation {
    /// A user's table: its own columns, then `_seq` and `_deleted`.
    pub(crate) fn of_table(table: &Table, alias: Option<String>) -> Self {
        let own = table.columns.iter().enumerate().map(|(position, column)| RelationColumn {
            name: column.name.clone(),
            data_type: column.data_type,
            flags: table.flags(position),
            sqlite: column.sqlite_name(),
        });
        let system = [(SEQ, "s"), (DELETED, "d")].into_iter().map(|(name, sqlite)| {
            let column = Table::system_column(name, 0);
            RelationColumn {
                name: column.name,
                data_type: column.data_type,
                flags: column.flags,
                sqlite: sqlite.to_owned(),
            }
        });
        Self {
            namespace: table.namespace.clone(),
            table: table.name.clone(),
            alias,
            columns: own.chain(system).collect(),
        }
    }

    /// Position of a column named by the parts of an identifier, the last being the column.
    pub(crate) fn find(&self, parts: &[String]) -> SqlResult<usize> {
        let qualifies = match parts {
            [_] => true,
            [table, _] => match &self.alias {
                Some(alias) => alias == table,
                None => **table == *self.table,
            },
            [namespace, table, _] => {
                self.alias.is_none() && **namespace == *self.namespace && **table == *self.table
            }
            _ => false,
        };
        let name = parts.last().map(String::as_str).unwrap_or_default();
        let found = self.columns.iter().position(|c| &*c.name == name).filter(|_| qualifies);
        found.ok_or_else(|| self.no_field(&parts.join(".")))
    }

    /// The recorded wording (`wire/live_errors.jsonl`).
    pub(crate) fn no_field(&self, name: &str) -> SqlError {
        let prefix = self.prefix();
        let fields: Vec<String> = self.columns.iter().map(|c| format!("{prefix}.{}", c.name)).collect();
        SqlError::execution(format!(
            "Schema error: No field named {name}. Valid fields are {}.",
            fields.join(", ")
        ))
    }

    /// What stands before a column in names that KalamDB makes up.
    pub(crate) fn prefix(&self) -> String {
        match &self.alias {
            Some(alias) => alias.clone(),
            None => format!("{}.{}", self.namespace, self.table),
        }
    }
}

/// The one table of a FROM clause and its alias; joins and sub-queries are refused.
pub(crate) fn single(from: &[TableWithJoins]) -> SqlResult<Option<(&ObjectName, Option<String>)>> {
    match from {
        [] => Ok(None),
        [TableWithJoins { relation, joins }] if joins.is_empty() => factor(relation).map(Some),
        _ => Err(SqlError::unsupported("joins")),
    }
}

fn factor(factor: &TableFactor) -> SqlResult<(&ObjectName, Option<String>)> {
    match factor {
        TableFactor::Table {
            name,
            alias,
            args: None,
            with_hints,
            version: None,
            with_ordinality: false,
            partitions,
            json_path: None,
            sample: None,
            index_directives,
            inheritance: None,
        } if with_hints.is_empty() && partitions.is_empty() && index_directives.is_empty() => {
            let alias = match alias {
                None => None,
                Some(alias) if alias.columns.is_empty() => Some(names::ident(&alias.name)),
                Some(_) => return Err(SqlError::unsupported("column names in a table alias")),
            };
            Ok((name, alias))
        }
        TableFactor::Derived { .. } => Err(SqlError::unsupported("sub-queries")),
        other => Err(SqlError::unsupported(format_args!("FROM {other}"))),
    }
}
