//! What the tables are made of, asked once each.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::KalamClient;
use crate::error::{Error, ErrorCode, Result};
use crate::live::OrderBy;
use crate::schema::Schema;
use crate::sql::{LiveSql, Projection, Select, TableName};

/// Every column of a table, by table.
#[derive(Default)]
pub(super) struct SchemaCache(Mutex<HashMap<TableName, Arc<Schema>>>);

impl KalamClient {
    /// The primary key of a table: rows can not be told apart without it, and the acknowledgement of a subscription
    /// describes only the columns that were selected.
    ///
    /// # Errors
    /// Those of a query; `invalid_argument` when the table has no primary key.
    pub(super) async fn key_columns(&self, table: &TableName) -> Result<Vec<String>> {
        let schema = self.known_schema(table).await?;
        let columns: Vec<String> =
            schema.key_columns().into_iter().map(|i| schema.all_columns()[i].name.to_string()).collect();
        if columns.is_empty() {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                format!(
                    "{}.{} has no primary key: name the columns that tell its rows apart in `key_columns`",
                    table.namespace, table.name
                ),
            ));
        }
        Ok(columns)
    }

    /// # Errors
    /// `invalid_argument` when a column of `order_by` is neither selected nor in the table.
    pub(super) async fn check_order_by(&self, order_by: &OrderBy, sql: &LiveSql) -> Result<()> {
        let Projection::Columns(selected) = &sql.projection else { return Ok(()) };
        let hidden: Vec<&str> =
            order_by.columns().filter(|name| !selected.iter().any(|s| s == name)).collect();
        let missing = |schema: &Schema| hidden.iter().copied().find(|name| schema.index_of(name).is_none());
        if hidden.is_empty() || missing(&*self.known_schema(&sql.table).await?).is_none() {
            return Ok(());
        }
        // It may have been added since the table was asked for.
        let Some(name) = missing(&*self.ask_schema(&sql.table).await?) else { return Ok(()) };
        Err(Error::new(
            ErrorCode::InvalidArgument,
            format!(
                "`order_by` names {name:?}, which {}.{} does not have",
                sql.table.namespace, sql.table.name
            ),
        ))
    }

    async fn known_schema(&self, table: &TableName) -> Result<Arc<Schema>> {
        let known = self.inner.schemas.0.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned();
        match known {
            Some(schema) => Ok(schema),
            None => self.ask_schema(table).await,
        }
    }

    async fn ask_schema(&self, table: &TableName) -> Result<Arc<Schema>> {
        let sql = format!("{} LIMIT 1", Select::expressions("*", table)?.into_sql());
        let result = self.query(&sql, &[]).await?;
        let schema = result.schema().clone();
        let mut schemas = self.inner.schemas.0.lock().unwrap_or_else(PoisonError::into_inner);
        schemas.insert(table.clone(), schema.clone());
        Ok(schema)
    }
}
