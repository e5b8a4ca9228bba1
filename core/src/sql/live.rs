//! The shape of a live query.

use super::bind;
use super::condition::Condition;
use super::parse::Parser;
use super::select::Select;
use super::token::{Token, tokenize};
use super::volatile::refuse_volatile;
use crate::error::Result;
use crate::value::Value;

/// A table, with its namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TableName {
    /// Namespace.
    pub namespace: String,
    /// Table.
    pub name: String,
}

/// What a live query selects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Projection {
    /// `*`: every column but the system's.
    Star,
    /// The named columns, in this order.
    Columns(Vec<String>),
}

/// The condition of a live query: its text, without comments and superfluous space, and the tokens of that text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    text: String,
    tokens: Vec<Token>,
}

impl Filter {
    /// Keeps a condition that is known to be one.
    pub(super) fn new(text: String) -> Result<Self> {
        let tokens = tokenize(&text)?;
        refuse_volatile(&text, &tokens)?;
        Ok(Self { tokens, text })
    }

    /// The text behind WHERE.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The tokens of [`as_str`](Self::as_str).
    pub fn tokens(&self) -> &[Token] {
        &self.tokens
    }
}

/// A checked live query.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveSql {
    /// The one table.
    pub table: TableName,
    /// What the caller sees.
    pub projection: Projection,
    /// Which rows.
    pub filter: Option<Filter>,
    /// Columns that the client needs and the caller does not see. Empty with [`Projection::Star`].
    pub hidden: Vec<String>,
}

impl LiveSql {
    /// All rows of a table.
    pub fn table(namespace: impl Into<String>, name: impl Into<String>) -> Self {
        Self {
            table: TableName { namespace: namespace.into(), name: name.into() },
            projection: Projection::Star,
            filter: None,
            hidden: Vec::new(),
        }
    }

    /// Adds those of `names` that are not selected yet as hidden columns.
    pub fn with_hidden<S: AsRef<str>>(&mut self, names: impl IntoIterator<Item = S>) {
        let Projection::Columns(columns) = &self.projection else { return };
        for name in names {
            let name = name.as_ref();
            if !columns.iter().chain(&self.hidden).any(|have| have == name) {
                self.hidden.push(name.to_owned());
            }
        }
    }

    /// Writes IN and BETWEEN as the comparisons that they stand for, which the server's live evaluator can follow
    /// (recorded in `wire/live_filter.jsonl`). The rows that match stay the same.
    ///
    /// # Errors
    /// None for what [`check_live`] read.
    pub fn rewrite_filter(&mut self) -> Result<()> {
        if let Some(condition) = self.filter.as_ref().and_then(Condition::read) {
            self.filter = Some(Filter::new(condition.to_sql())?);
        }
        Ok(())
    }

    /// The text that is sent to the server. Two queries that mean the same, but for the order of conditions, have the
    /// same text.
    ///
    /// # Errors
    /// `invalid_argument` for a name that can not be written; none that [`check_live`] read.
    pub fn to_sql(&self) -> Result<String> {
        let mut sql = Select::projection_of(self)?.into_sql();
        if let Some(filter) = &self.filter {
            sql.push_str(" WHERE ");
            sql.push_str(filter.as_str());
        }
        Ok(sql)
    }
}

/// Reads `SELECT columns|* FROM [namespace.]table [WHERE ...]` and binds `$1`, `$2`, ... to `params`.
///
/// `namespace` is what a table without one belongs to.
///
/// ```
/// use kalam_live::{sql::check_live, Value};
/// let live = check_live("select id, body from msgs where room = $1", &[Value::from("it's")], Some("app"))?;
/// assert_eq!(live.to_sql()?, "SELECT id, body FROM app.msgs WHERE room = 'it''s'");
/// let error = check_live("SELECT * FROM app.msgs ORDER BY id", &[], None).unwrap_err();
/// assert!(error.message().contains("order_by option"));
/// # Ok::<(), kalam_live::Error>(())
/// ```
///
/// # Errors
/// `invalid_sql` for every other shape, with what to write instead; `invalid_argument` for parameters that do not fit.
pub fn check_live(sql: &str, params: &[Value], namespace: Option<&str>) -> Result<LiveSql> {
    let text = bind::bind(sql, params)?;
    Parser::new(&text, &tokenize(&text)?, namespace).live_query()
}
