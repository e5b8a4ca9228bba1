//! The primary keys of tables, asked once.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::KalamClient;
use crate::error::{Error, ErrorCode, Result};
use crate::sql::TableName;
use crate::sql::literal::write_identifier;

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
        let mut sql = String::from("SELECT * FROM ");
        write_identifier(&mut sql, &table.namespace)?;
        sql.push('.');
        write_identifier(&mut sql, &table.name)?;
        sql.push_str(" LIMIT 1");
        let result = self.query(&sql, &[]).await?;
        let schema = result.schema();
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
}
