//! The SQL of every question.

use crate::error::Result;
use crate::live::Digest;
use crate::schema::{Schema, SeqId};
use crate::sql::{Filter, LiveSql, Projection, Select, TableName};
use crate::value::Value;

use super::sweep::Stage;

/// Rows in a page: well below the server's cap of 1,000.
pub(super) const PAGE: usize = 500;

/// What a query asks of the server, made from its SQL and the columns that were announced for it.
#[derive(Debug)]
pub(super) struct Questions {
    table: TableName,
    filter: Option<Filter>,
    /// The column with the version: `_seq`, or from 0.8 on `_version`.
    version: &'static str,
    /// What is selected, with the version behind it.
    columns: Vec<String>,
    keys: Vec<String>,
    sortable: bool,
    /// Only rows written since then belong to the query.
    pub(super) horizon: Option<SeqId>,
    /// Quotes within a text are doubled.
    pub(super) literals: bool,
}

impl Questions {
    pub(super) fn new(live: &LiveSql, schema: &Schema, keys: &[usize], version: &'static str) -> Self {
        let mut columns: Vec<String> = schema.all_columns().iter().map(|c| c.name.to_string()).collect();
        if !columns.iter().any(|name| name == version) {
            columns.push(version.to_owned());
        }
        let key_columns = keys.iter().map(|&at| &schema.all_columns()[at]);
        let sortable = key_columns.clone().all(|column| column.data_type.sorts_as_the_server());
        let keys = key_columns.map(|column| column.name.to_string()).collect();
        let (table, filter) = (live.table.clone(), live.filter.clone());
        Self { table, filter, version, columns, keys, sortable, horizon: None, literals: true }
    }

    /// Whether pages can follow the order of the key: the greatest key of a page must be the same here and there.
    pub(super) fn can_page(&self) -> bool {
        self.sortable
    }

    pub(super) fn has_filter(&self) -> bool {
        self.filter.is_some()
    }

    /// A subscription to every change of the table: its keys only.
    pub(super) fn watch(&self) -> LiveSql {
        LiveSql {
            table: self.table.clone(),
            projection: Projection::Columns(self.keys.clone()),
            filter: None,
            hidden: Vec::new(),
        }
    }

    /// Versions and columns, as two statements of one request.
    pub(super) fn digest(&self) -> Result<String> {
        let digest = self
            .within(Select::expressions(&Digest::SQL.replace("_seq", self.version), &self.table)?)
            .into_sql();
        let columns = Select::expressions("*", &self.table)?.into_sql();
        Ok(format!("{digest}; {columns} LIMIT 1"))
    }

    /// The rows of these keys that match, of which there are at most [`PAGE`]. Without a LIMIT the server would cut the
    /// answer to 50 rows (recorded in `wire/snapshots.jsonl`), and the others would seem to be gone.
    ///
    /// The horizon does not matter: keys in doubt are held or were written since, and after the loss of a leader versions
    /// are another node's.
    pub(super) fn keys<'k>(&self, keys: impl IntoIterator<Item = &'k [Value]>) -> Result<String> {
        let select = Select::columns(self.columns(), &self.table)?.matching(self.filter.as_ref());
        let select = select.with_keys(&self.key_columns(), keys)?.into_sql();
        Ok(self.with_literals(format!("{select} LIMIT {PAGE}")))
    }

    /// The newest rows, below a version.
    pub(super) fn newest(&self, rows: usize, below: Option<SeqId>) -> Result<String> {
        let mut select = Select::columns(self.columns(), &self.table)?.matching(self.filter.as_ref());
        if let Some(below) = below {
            select = select.and(&format!("{} < {below}", self.version));
        }
        select.first(rows, [self.version], true)
    }

    /// A page of all rows that match.
    pub(super) fn page(&self, after: Option<&[Value]>) -> Result<String> {
        let mut select = self.within(Select::columns(self.columns(), &self.table)?);
        if let Some(key) = after {
            select = select.after_key(&self.key_columns(), key)?;
        }
        Ok(self.with_literals(select.first(PAGE, self.key_columns(), false)?))
    }

    fn with_literals(&self, sql: String) -> String {
        if self.literals { sql } else { sql.replace("''", "'") }
    }

    /// A page of what was written since a version.
    pub(super) fn since(&self, stage: Stage, after: SeqId) -> Result<String> {
        let keys = || self.key_columns().into_iter().chain([self.version]);
        let select = match (stage, &self.filter) {
            (Stage::Tombstones, _) => Select::columns(keys(), &self.table)?.and("_deleted = true"),
            (Stage::Exits, Some(filter)) => Select::columns(keys(), &self.table)?.not_matching(filter),
            (Stage::Exits, None) => Select::columns(keys(), &self.table)?.and("FALSE"),
            (Stage::Rows, _) => self.within(Select::columns(self.columns(), &self.table)?),
        };
        select.and(&format!("{} > {after}", self.version)).first(PAGE, [self.version], false)
    }

    fn within(&self, select: Select) -> Select {
        let select = select.matching(self.filter.as_ref());
        match self.horizon {
            Some(horizon) => select.and(&format!("{} >= {horizon}", self.version)),
            None => select,
        }
    }

    fn columns(&self) -> impl Iterator<Item = &str> {
        self.columns.iter().map(String::as_str)
    }

    fn key_columns(&self) -> Vec<&str> {
        self.keys.iter().map(String::as_str).collect()
    }
}
