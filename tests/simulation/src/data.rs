//! The table that everything is about, and the queries on it.

use kalam_live::sql::{LiveSql, Projection, check_live};
use kalam_live::{Row, Value};

/// One row: `CREATE TABLE app.t (id INT PRIMARY KEY, grp TEXT, v TEXT, n INT)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Key.
    pub id: i64,
    /// A few different values.
    pub grp: &'static str,
    /// Any text, or NULL.
    pub v: Option<String>,
    /// 0 to 99, or NULL.
    pub n: Option<i64>,
}

/// The columns of the table, the system's last.
pub const COLUMNS: [&str; 6] = ["id", "grp", "v", "n", "_seq", "_deleted"];

impl Record {
    /// A cell, as text for comparing.
    pub fn cell(&self, column: &str) -> Option<String> {
        match column {
            "id" => Some(self.id.to_string()),
            "grp" => Some(self.grp.to_owned()),
            "v" => self.v.clone(),
            "n" => self.n.map(|n| n.to_string()),
            other => unreachable!("no column {other}"),
        }
    }

    /// The cells of these columns.
    pub fn cells(&self, columns: &[&str]) -> Vec<Option<String>> {
        columns.iter().map(|c| self.cell(c)).collect()
    }
}

/// The cells of a row of the client, hidden ones included, in the same form.
pub fn cells_of(row: &Row) -> Vec<Option<String>> {
    row.all_values()
        .iter()
        .map(|value| match value {
            Value::Null => None,
            other => Some(
                other.as_int().map_or_else(|| other.as_text().unwrap_or("?").to_owned(), |n| n.to_string()),
            ),
        })
        .collect()
}

/// Conditions that the server can follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Filter {
    /// No WHERE.
    All,
    /// `n < x`.
    NBelow(i64),
    /// `grp = 'x'`.
    Group(&'static str),
    /// `grp = 'x' AND n >= y`.
    Both(&'static str, i64),
}

impl Filter {
    /// Whether the row is in the result. NULL is in no comparison.
    pub fn matches(self, row: &Record) -> bool {
        match self {
            Self::All => true,
            Self::NBelow(x) => row.n.is_some_and(|n| n < x),
            Self::Group(x) => row.grp == x,
            Self::Both(x, y) => row.grp == x && row.n.is_some_and(|n| n >= y),
        }
    }

    fn to_sql(self) -> String {
        match self {
            Self::All => String::new(),
            Self::NBelow(x) => format!(" WHERE n < {x}"),
            Self::Group(x) => format!(" WHERE grp = '{x}'"),
            Self::Both(x, y) => format!(" WHERE grp = '{x}' AND n >= {y}"),
        }
    }
}

/// One live query.
#[derive(Clone, Debug)]
pub struct Query {
    /// As the client has it.
    pub live: LiveSql,
    /// As the server gets it.
    pub sql: String,
    /// Every projected column, hidden ones included, without the system's.
    pub columns: Vec<&'static str>,
    /// `SELECT *`.
    pub star: bool,
    /// Which rows.
    pub filter: Filter,
}

/// The groups.
pub const GROUPS: [&str; 3] = ["a", "b", "c"];

/// The queries that clients use.
pub fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for projection in ["*", "id, v", "n, id", "v, n"] {
        for filter in [Filter::All, Filter::NBelow(50), Filter::Group("a"), Filter::Both("b", 30)] {
            let text = format!("SELECT {projection} FROM app.t{}", filter.to_sql());
            let mut live = check_live(&text, &[], None).expect("a live query");
            live.with_hidden(["id"]);
            let columns = match &live.projection {
                Projection::Star => COLUMNS[..4].to_vec(),
                Projection::Columns(names) => names
                    .iter()
                    .chain(&live.hidden)
                    .map(|name| *COLUMNS.iter().find(|c| *c == name).expect("a column"))
                    .collect(),
            };
            let sql = live.to_sql().expect("SQL");
            queries.push(Query { star: projection == "*", live, sql, columns, filter });
        }
    }
    queries
}
