//! SQL over HTTP.

use std::borrow::Cow;
use std::time::Duration;

use super::as_user::AsUser;
use super::query_result::QueryResult;
use super::statement::{Statement, check_parameters};
use super::{ConnectionState, KalamClient};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::{
    Health, SqlRequest, StatementResult, decode_health, decode_sql_response, encode_sql_request,
};
use crate::row::Row;
use crate::runtime::command::closed;
use crate::runtime::http::{Request, SendError};
use crate::value::Value;

/// Waits before the second and third try of what may be tried again.
const RETRY_WAITS: [Duration; 2] = [Duration::from_millis(100), Duration::from_millis(400)];

/// A statement with its parameters, for [`KalamClient::batch`]: made from a `&str`, a `String`, or a pair of text and
/// values.
#[derive(Clone, Debug, PartialEq)]
pub struct BatchStatement {
    sql: String,
    params: Vec<Value>,
}

impl From<&str> for BatchStatement {
    fn from(sql: &str) -> Self {
        Self { sql: sql.to_owned(), params: Vec::new() }
    }
}

impl From<String> for BatchStatement {
    fn from(sql: String) -> Self {
        Self { sql, params: Vec::new() }
    }
}

impl<S: Into<String>, P: Into<Vec<Value>>> From<(S, P)> for BatchStatement {
    fn from((sql, params): (S, P)) -> Self {
        Self { sql: sql.into(), params: params.into() }
    }
}

impl KalamClient {
    /// Executes SQL and returns its rows. `params` are the values of `$1`, `$2` and so on; several statements with `;`
    /// between them can not have any.
    ///
    /// A statement that only reads is tried again when the connection is lost on the way; anything else only if nothing
    /// has reached the server.
    ///
    /// # Errors
    /// The server's by its code (`invalid_sql`, `not_found`, `permission_denied`, `unavailable`, ...); `invalid_argument`
    /// for parameters that can not be sent or are not used; `auth_failed`; `timeout` and `disconnected` when no answer came. An error of a
    /// write that got no answer says so and is not [`retryable`](Error::retryable): it may have been applied.
    pub async fn query(&self, sql: &str, params: &[Value]) -> Result<QueryResult> {
        self.run(sql, params, &Statement::read(sql, params)).await
    }

    /// The first row, if there is one.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn query_one(&self, sql: &str, params: &[Value]) -> Result<Option<Row>> {
        Ok(self.query(sql, params).await?.into_iter().next())
    }

    /// Executes SQL and returns how many rows it has changed, all statements together.
    ///
    /// # Errors
    /// As [`query`](Self::query).
    pub async fn execute(&self, sql: &str, params: &[Value]) -> Result<u64> {
        let result = self.query(sql, params).await?;
        Ok(changed_rows(&result))
    }

    /// Executes statements in one transaction: all of them, or on an error none. Returns how many rows they have changed.
    /// Parameters are bound by the client, since the server takes none here.
    ///
    /// ```no_run
    /// # async fn f(client: kalam_live::KalamClient) -> kalam_live::Result<()> {
    /// let changed = client
    ///     .batch([
    ///         ("UPDATE app.accounts SET balance = balance - $1 WHERE id = 1", [5_i64.into()]),
    ///         ("UPDATE app.accounts SET balance = balance + $1 WHERE id = 2", [5_i64.into()]),
    ///     ])
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// As [`query`](Self::query); `invalid_sql` for an element that is not one statement.
    pub async fn batch<S: Into<BatchStatement>>(
        &self,
        statements: impl IntoIterator<Item = S>,
    ) -> Result<u64> {
        let mut sql = String::from("BEGIN; ");
        let mut any = false;
        for statement in statements {
            let BatchStatement { sql: text, params } = statement.into();
            let bound = crate::sql::bind::bind(&text, &params)?;
            let bound = bound.trim_end_matches([';', ' ']);
            if bound.is_empty() || crate::sql::token::tokenize(bound)?.iter().any(|t| t.is_symbol(bound, ";"))
            {
                return Err(Error::new(
                    ErrorCode::InvalidSql,
                    "each element of a batch is exactly one statement; BEGIN and COMMIT are added by the client",
                ));
            }
            sql.push_str(bound);
            sql.push_str("; ");
            any = true;
        }
        if !any {
            return Ok(0);
        }
        sql.push_str("COMMIT");
        self.execute(&sql, &[]).await.map_err(without_begin)
    }

    /// Executes as another user, where the rights of this one allow it (`EXECUTE AS USER`).
    ///
    /// ```no_run
    /// # async fn f(client: kalam_live::KalamClient) -> kalam_live::Result<()> {
    /// let rows = client.as_user("alice").query("SELECT * FROM app.notes", &[]).await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn as_user(&self, user: impl Into<String>) -> AsUser {
        AsUser::new(self.clone(), user.into())
    }

    /// What the server says about its health. KalamDB answers only to callers on its own machine.
    ///
    /// # Errors
    /// `permission_denied` from elsewhere; `unavailable`, `timeout` or `disconnected` when it is not well.
    pub async fn health(&self) -> Result<Health> {
        self.check_open()?;
        let http = &self.inner.http;
        let request = Request::get("v1/api/healthcheck", http.network().timeouts.request);
        let reply = http.send(request).await.map_err(SendError::into_error)?;
        decode_health(reply.status, &reply.body)
    }

    pub(super) async fn run(
        &self,
        sql: &str,
        params: &[Value],
        statement: &Statement,
    ) -> Result<QueryResult> {
        let mut results = self.send_sql(sql, params, statement.read_only).await?;
        if let (Some(order_by), Some(last)) = (statement.order_to_restore(), results.last_mut()) {
            // Where a sort column was not selected the server's order is all there is.
            let _ = order_by.sort_rows(&last.schema, &mut last.rows);
        }
        let suspect = results.last().is_some_and(|last| statement.looks_truncated(last.rows.len() as u64));
        let truncated = suspect && !self.is_complete().await;
        if truncated {
            tracing::warn!(
                rows = results.last().map_or(0, |last| last.rows.len()),
                "the server has probably left rows out of this answer: use query_all, or a LIMIT"
            );
        }
        Ok(QueryResult::new(results, truncated))
    }

    /// Whether the server says that it leaves nothing out: when a WebSocket was opened, or else, once, by its health.
    async fn is_complete(&self) -> bool {
        if let Some(server) = self.inner.status.server() {
            return server.complete;
        }
        if let Some(complete) = self.inner.complete.get() {
            return *complete;
        }
        match self.health().await {
            Ok(health) => *self.inner.complete.get_or_init(|| health.complete),
            // KalamDB tells its health only to its own machine.
            Err(_) => false,
        }
    }

    /// Whether requests may be sent: not after `close` and `disconnect`.
    pub(super) fn check_connected(&self) -> Result<()> {
        self.check_open()?;
        match self.state() {
            ConnectionState::Closed { error: None } => Err(closed()),
            _ => Ok(()),
        }
    }

    async fn send_sql(&self, sql: &str, params: &[Value], read_only: bool) -> Result<Vec<StatementResult>> {
        self.check_connected()?;
        let (sql, params) = with_bytes_bound(sql, params)?;
        let request = SqlRequest { sql: &sql, params, namespace: self.inner.namespace.as_deref() };
        let body = encode_sql_request(&request)?;
        let mut waits = RETRY_WAITS.iter();
        loop {
            let (error, again) = match self.inner.asker.post("v1/api/sql", &body).await {
                Ok(reply) => match decode_sql_response(reply.status, &reply.body, &request) {
                    Ok(results) => return Ok(results),
                    Err(error) => {
                        let unclear =
                            matches!(error.code(), ErrorCode::Unavailable | ErrorCode::Disconnected);
                        (error, unclear && read_only)
                    }
                },
                Err(SendError::NotSent(error)) => {
                    let again = error.retryable();
                    (error, again)
                }
                Err(SendError::NoAnswer(error)) => {
                    let again = read_only && error.code() == ErrorCode::Disconnected;
                    (unless_read_only(error, read_only), again)
                }
            };
            match waits.next() {
                Some(wait) if again => tokio::time::sleep(*wait).await,
                _ if error.code() == ErrorCode::Unavailable => {
                    return Err(unless_read_only(error, read_only));
                }
                _ => return Err(error),
            }
        }
    }
}

/// The statement with its parameters, all of which it uses, as the server takes them: where one is BYTES, which JSON does not have, all are
/// written into the text.
pub(super) fn with_bytes_bound<'a>(sql: &'a str, params: &'a [Value]) -> Result<(Cow<'a, str>, &'a [Value])> {
    if params.iter().any(|value| matches!(value, Value::Bytes(_))) {
        Ok((crate::sql::bind::bind(sql, params)?.into(), &[]))
    } else {
        check_parameters(sql, params.len())?;
        Ok((sql.into(), params))
    }
}

/// Rows changed by the statements that return none.
pub(super) fn changed_rows(result: &QueryResult) -> u64 {
    result.statements().iter().filter(|s| s.schema.columns().is_empty()).map(|s| s.row_count).sum()
}

/// The error of a batch with the number that the failed statement has for the caller: the server counts the BEGIN.
fn without_begin(error: Error) -> Error {
    let renumbered = error.message().strip_prefix("Statement ").and_then(|rest| {
        let (number, rest) = rest.split_once(' ')?;
        let number = number.parse::<usize>().ok()?.checked_sub(1).filter(|number| *number > 0)?;
        Some(format!("Statement {number} {rest}"))
    });
    renumbered.map_or(error.clone(), |message| error.with_message(message))
}

/// A write that got no clear answer must not be repeated without looking.
fn unless_read_only(error: Error, read_only: bool) -> Error {
    if read_only { error } else { may_be_applied(error) }
}

pub(super) fn may_be_applied(error: Error) -> Error {
    let message =
        format!("{}; the statement may have been applied: look before sending it again", error.message());
    error.with_message(message).with_retryable(false)
}
