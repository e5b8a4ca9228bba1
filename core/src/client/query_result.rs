//! What a query returns.

use std::ops::Index;
use std::sync::Arc;

use crate::protocol::StatementResult;
use crate::row::Row;
use crate::schema::Schema;

/// The rows of a query, typed by their columns.
///
/// ```no_run
/// # async fn f(client: kalam_live::KalamClient) -> kalam_live::Result<()> {
/// let rows = client.query("SELECT id, body FROM app.messages WHERE room = $1", &["main".into()]).await?;
/// for row in &rows {
///     println!("{} {}", row["id"], row["body"]);
/// }
/// assert!(!rows.is_truncated());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct QueryResult {
    /// Never empty.
    statements: Vec<StatementResult>,
    truncated: bool,
}

impl QueryResult {
    pub(super) fn new(mut statements: Vec<StatementResult>, truncated: bool) -> Self {
        if statements.is_empty() {
            statements.push(StatementResult {
                schema: Schema::new(Vec::new()),
                rows: Vec::new(),
                row_count: 0,
                message: None,
                as_user: None,
            });
        }
        Self { statements, truncated }
    }

    /// The result of every statement of the text, in order.
    pub fn statements(&self) -> &[StatementResult] {
        &self.statements
    }

    /// The rows of the last statement.
    pub fn rows(&self) -> &[Row] {
        &self.last().rows
    }

    /// The same rows, owned.
    pub fn into_rows(mut self) -> Vec<Row> {
        self.statements.pop().map(|s| s.rows).unwrap_or_default()
    }

    /// The columns of the last statement. None for a statement that returns no rows.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.last().schema
    }

    /// How many rows the last statement returned or changed, as the server counted.
    pub fn row_count(&self) -> u64 {
        self.last().row_count
    }

    /// What the server says about the last statement, such as `Inserted 1 row(s)`.
    pub fn message(&self) -> Option<&str> {
        self.last().message.as_deref()
    }

    /// Whether the server probably left rows out: KalamDB returns 50 rows without a LIMIT and 1,000 with any, and does not
    /// say so. See [`query_all`](crate::KalamClient::query_all).
    pub fn is_truncated(&self) -> bool {
        self.truncated
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows().len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.rows().is_empty()
    }

    /// The rows in order.
    pub fn iter(&self) -> std::slice::Iter<'_, Row> {
        self.rows().iter()
    }

    fn last(&self) -> &StatementResult {
        self.statements.last().expect("there is at least one result")
    }
}

impl Index<usize> for QueryResult {
    type Output = Row;

    fn index(&self, index: usize) -> &Row {
        &self.rows()[index]
    }
}

impl IntoIterator for QueryResult {
    type Item = Row;
    type IntoIter = std::vec::IntoIter<Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.into_rows().into_iter()
    }
}

impl<'a> IntoIterator for &'a QueryResult {
    type Item = &'a Row;
    type IntoIter = std::slice::Iter<'a, Row>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
