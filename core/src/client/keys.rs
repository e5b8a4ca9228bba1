//! The primary keys of tables, asked once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::KalamClient;
use crate::error::{Error, ErrorCode, Result};
use crate::live::OrderBy;
use crate::schema::Schema;
use crate::sql::literal::write_identifier;
use crate::sql::{LiveSql, Projection, TableName};

/// Key columns by table.
#[derive(Default)]
pub(super) struct KeyCache(Mutex<HashMap<TableName, Arc<[String]>>>);

impl KalamClient {
    /// The primary key of a table: rows can not be told apart without it, and the acknowledgement of a subscription
    /// describes only the columns that were selected.
    ///
    /// # Errors
    /// Those of a query; `invalid_argument` when the table has no primary key.
    pub(super) async fn key_columns(&self, table: &TableName) -> Result<Arc<[String]>> {
        let cache = || self.inner.keys.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(columns) = cache().get(table) {
            return Ok(columns.clone());
        }
        let schema = self.table_schema(table).await?;
        let columns: Arc<[String]> =
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
        cache().insert(table.clone(), columns.clone());
        Ok(columns)
    }

    /// Every column of a table, as the server has it now.
    ///
    /// # Errors
    /// Those of a query.
    pub(super) async fn table_schema(&self, table: &TableName) -> Result<Arc<Schema>> {
        let mut sql = String::from("SELECT * FROM ");
        write_identifier(&mut sql, &table.namespace)?;
        sql.push('.');
        write_identifier(&mut sql, &table.name)?;
        sql.push_str(" LIMIT 1");
        let result = self.query(&sql, &[]).await?;
        Ok(result.schema().clone())
    }

    /// # Errors
    /// `invalid_argument` when a column of `order_by` is neither selected nor in the table.
    pub(super) async fn check_order_by(&self, order_by: &OrderBy, sql: &LiveSql) -> Result<()> {
        let Projection::Columns(selected) = &sql.projection else { return Ok(()) };
        let hidden: Vec<&str> =
            order_by.columns().filter(|name| !selected.iter().any(|s| **s == **name)).collect();
        if hidden.is_empty() {
            return Ok(());
        }
        let schema = self.table_schema(&sql.table).await?;
        match hidden.iter().find(|name| schema.index_of(name).is_none()) {
            None => Ok(()),
            Some(name) => Err(Error::new(
                ErrorCode::InvalidArgument,
                format!(
                    "`order_by` names {name:?}, which {}.{} does not have",
                    sql.table.namespace, sql.table.name
                ),
            )),
        }
    }
}
