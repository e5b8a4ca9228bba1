//! What planning needs to know, and what a plan of a query is.

use std::sync::Arc;

use super::{
    names,
    typed::{Bind, ParamKind},
};
use crate::engine::{
    Column, SqlError,
    catalog::{Catalog, Table},
    error::SqlResult,
    system::SystemTable,
};
use crate::holes::Holes;

/// Where a statement reads.
#[derive(Debug, Clone)]
pub(crate) enum Source {
    Table(Arc<Table>),
    System(SystemTable),
}

/// A checked SELECT.
#[derive(Debug, Clone)]
pub(crate) struct QueryPlan {
    /// All tables that it reads, in sub-queries too.
    pub(crate) sources: Vec<Source>,
    pub(crate) sql: String,
    pub(crate) binds: Vec<Bind>,
    pub(crate) columns: Arc<[Column]>,
}

/// What planning needs to know.
pub(crate) struct Context<'a> {
    pub(crate) catalog: &'a Catalog,
    pub(crate) namespace: &'a str,
    pub(crate) params: &'a [ParamKind],
    pub(crate) holes: Holes,
}

impl Context<'_> {
    pub(crate) fn table(&self, name: &sqlparser::ast::ObjectName) -> SqlResult<Source> {
        let (namespace, table) = names::table(name, self.namespace)?;
        let source = match SystemTable::find(&namespace, &table) {
            Some(system) => Some(Source::System(system)),
            None => self.catalog.table(&namespace, &table).cloned().map(Source::Table),
        };
        if source.is_none() && SystemTable::is_left_out(&namespace, &table) {
            return Err(SqlError::unsupported(format_args!("the table {namespace}.{table}")));
        }
        // Recorded in wire/types.jsonl.
        source.ok_or_else(|| {
            SqlError::execution(format!(
                "Table not found: Error during planning: table 'kalam.{namespace}.{table}' not found"
            ))
        })
    }

    /// A table that can be written to.
    pub(crate) fn user_table(&self, name: &sqlparser::ast::ObjectName) -> SqlResult<Arc<Table>> {
        match self.table(name)? {
            Source::Table(table) => Ok(table),
            _ => Err(SqlError::execution(format!("Invalid operation: the system table {name} is read-only"))),
        }
    }
}
