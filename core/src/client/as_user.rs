//! Statements with another user's rights.

use super::KalamClient;
use super::query_result::QueryResult;
use super::statement::Statement;
use crate::error::Result;
use crate::row::Row;
use crate::sql::literal::literal;
use crate::value::Value;

/// A client that executes as another user. See [`KalamClient::as_user`].
#[derive(Clone, Debug)]
pub struct AsUser {
    client: KalamClient,
    user: String,
}

impl AsUser {
    pub(super) fn new(client: KalamClient, user: String) -> Self {
        Self { client, user }
    }

    /// As [`KalamClient::query`], for one statement.
    ///
    /// # Errors
    /// As there; `permission_denied` when this client may not act for that user.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<QueryResult> {
        let statement = Statement::read(sql, params);
        // Bound here: no recording shows that the server binds parameters inside EXECUTE AS.
        let bound = crate::sql::bind::bind(sql, params)?;
        let bound = bound.trim_end_matches([';', ' ']);
        let user = literal(&Value::from(self.user.as_str()))?;
        self.client.run(&format!("EXECUTE AS USER {user} ({bound})"), &[], &statement).await
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn query_one(&self, sql: &str, params: &[Value]) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// How many rows the statement has changed.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64> {
        Ok(super::query::changed_rows(&self.query(sql, params).await?))
    }
}
