//! The table that everything is about, and the queries on it.

use std::borrow::Cow;
use std::sync::LazyLock;

use kalam_live::Row;
use kalam_live::sql::{LiveSql, Projection, check_live};

use crate::filter;
use crate::keys::{KeyKind, text_of};

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
    /// Of a column that may come later.
    pub extra: Option<i64>,
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
            "extra" => self.extra.map(|n| n.to_string()),
            other => unreachable!("no column {other}"),
        }
    }
}

/// The cells of a row of the client, hidden ones included, in the same form.
pub fn cells_of(row: &Row) -> Vec<Option<String>> {
    row.all_values().iter().map(|value| text_of(value).map(Cow::into_owned)).collect()
}

pub use crate::filter::Filter;

/// One live query.
#[derive(Clone, Debug)]
pub struct Query {
    /// As the client has it.
    pub live: LiveSql,
    /// As the server gets it.
    pub sql: String,
    /// Every projected column, hidden ones included, without the system's.
    pub columns: Vec<&'static str>,
    /// `_seq` is projected by name, behind the others.
    pub seq: bool,
    /// `SELECT *`.
    pub star: bool,
    /// Which rows.
    pub filter: Filter,
    /// The type of the key.
    pub key: KeyKind,
}

/// The groups.
pub const GROUPS: [&str; 3] = ["a", "b", "c"];

/// The queries that clients use.
pub fn queries() -> Vec<Query> {
    let mut queries = Vec::new();
    for projection in ["*", "id, v", "n, id", "v, n"] {
        for filter in [Filter::All, filter::N_BELOW_50, filter::GROUP_A, filter::GROUP_B_N_FROM_30] {
            queries.push(Query::new(projection, filter));
        }
    }
    queries
}

/// The queries that a server with holes is asked: those of [`queries`], and filters that its live evaluator does not
/// follow, or follows in its own way. The last one is what a client watches.
pub fn queries_with_holes(key: KeyKind) -> &'static [Query] {
    static QUERIES: LazyLock<[Vec<Query>; 4]> = LazyLock::new(|| KeyKind::ALL.map(with_key));
    &QUERIES[key as usize]
}

fn with_key(key: KeyKind) -> Vec<Query> {
    let mut queries = queries();
    for projection in ["*", "id, v", "v, n"] {
        for filter in [filter::GROUP_IN, filter::V_IS_NULL, filter::V_ABOVE, filter::NOT_V, filter::V_OR_N] {
            queries.push(Query::new(projection, filter));
        }
    }
    for filter in [Filter::All, filter::GROUP_A] {
        queries.push(Query::new("id, v, _seq", filter));
    }
    queries.push(Query::new("id", Filter::All));
    queries.iter_mut().for_each(|query| query.key = key);
    queries
}

impl Query {
    /// A query on the table.
    pub fn new(projection: &str, filter: Filter) -> Self {
        let condition = filter.to_sql().map_or_else(String::new, |sql| format!(" WHERE {sql}"));
        let text = format!("SELECT {projection} FROM app.t{condition}");
        let mut live = check_live(&text, &[], None).expect("a live query");
        live.rewrite_filter().expect("a filter");
        live.with_hidden(["id"]);
        let columns = match &live.projection {
            Projection::Star => COLUMNS[..4].to_vec(),
            Projection::Columns(names) => names
                .iter()
                .chain(&live.hidden)
                .filter(|name| *name != "_seq")
                .map(|name| *COLUMNS.iter().find(|c| *c == name).expect("a column"))
                .collect(),
        };
        let sql = live.to_sql().expect("SQL");
        let (star, seq) = (projection == "*", projection.ends_with(", _seq"));
        Self { star, seq, live, sql, columns, filter, key: KeyKind::default() }
    }

    /// Its subscription tells keys of every change, and nothing else.
    pub fn is_watch(&self) -> bool {
        self.columns == ["id"] && self.filter == Filter::All
    }

    /// The cells of a record in the result, as text for comparing.
    pub fn cells(&self, record: &Record) -> Vec<Option<String>> {
        let cell = |column: &&str| match *column {
            "id" => Some(self.key.key(record.id).into_text()),
            other => record.cell(other),
        };
        self.columns.iter().map(cell).collect()
    }
}
