//! Queries beyond the server's cap on rows.

use super::KalamClient;
use super::statement::Statement;
use crate::error::{Error, ErrorCode, Result};
use crate::live::OrderBy;
use crate::row::Row;
use crate::schema::{DataType, Schema};
use crate::sql::literal::{write_identifier, write_literal};
use crate::sql::{LiveSql, Projection, check_live};
use crate::value::Value;

/// Rows asked for at a time: below KalamDB's cap of 1,000 with a LIMIT.
const PAGE_ROWS: usize = 900;

impl KalamClient {
    /// All rows of `SELECT columns FROM table [WHERE ...]`, however many: read in pages by primary key, and returned in
    /// the order of the key. The pages are read one after the other, so rows written meanwhile may be in it or not.
    ///
    /// Any other statement is executed as by [`query`](Self::query), if the server does not cut its answer.
    ///
    /// # Errors
    /// As [`query`](Self::query); `not_supported` when the answer was cut and can not be read in pages.
    pub async fn query_all(&self, sql: &str, params: &[Value]) -> Result<Vec<Row>> {
        let shape = match check_live(sql, params, self.inner.namespace.as_deref()) {
            Ok(shape) => shape,
            Err(reason) => return self.query_uncut(sql, params, &reason).await,
        };
        self.read_pages(shape).await
    }

    async fn query_uncut(&self, sql: &str, params: &[Value], reason: &Error) -> Result<Vec<Row>> {
        let result = self.query(sql, params).await?;
        if result.is_truncated() {
            return Err(Error::new(
                ErrorCode::NotSupported,
                format!(
                    "the server cut the answer after {} rows, and only SELECT columns FROM table [WHERE ...] can be \
                     read in pages ({})",
                    result.len(),
                    reason.message()
                ),
            ));
        }
        Ok(result.into_rows())
    }

    async fn read_pages(&self, shape: LiveSql) -> Result<Vec<Row>> {
        let keys = self.key_columns(&shape.table).await?;
        let pages = Pages::new(&shape, &keys)?;
        let mut rows: Vec<Row> = Vec::new();
        let mut last: Option<Vec<Value>> = None;
        loop {
            let sql = pages.sql(last.as_deref())?;
            let mut page = self.run(&sql, &[], &Statement::read(&sql, &[])).await?.into_rows();
            // A short page is no sign of the end: the server may have a lower cap than expected.
            let Some(first) = page.first() else { break };
            let schema = first.schema().clone();
            pages.order.sort_rows(&schema, &mut page)?;
            let greatest = pages.key_of(&schema, &page[page.len() - 1])?;
            if last.as_ref() == Some(&greatest) {
                return Err(Error::new(
                    ErrorCode::Protocol,
                    "the server returns the same page again: it does not compare this key as expected",
                ));
            }
            last = Some(greatest);
            let visible = pages.visible(&schema);
            rows.extend(page.into_iter().map(|row| visible.project(row)));
        }
        Ok(rows)
    }
}

/// A query cut into pages.
struct Pages<'a> {
    shape: &'a LiveSql,
    keys: &'a [String],
    /// By key.
    order: OrderBy,
    select: String,
}

impl<'a> Pages<'a> {
    fn new(shape: &'a LiveSql, keys: &'a [String]) -> Result<Self> {
        let mut order = String::new();
        for (i, key) in keys.iter().enumerate() {
            order.push_str(if i == 0 { "" } else { ", " });
            order.push_str(&format!("\"{}\"", key.replace('"', "\"\"")));
        }
        let order_by = order.parse()?;
        // The filter is added with the page's own condition, in parentheses.
        let mut unfiltered = LiveSql { filter: None, ..shape.clone() };
        unfiltered.with_hidden(keys);
        Ok(Self { shape, keys, order: order_by, select: unfiltered.to_sql()? })
    }

    /// The page after the key `last`.
    fn sql(&self, last: Option<&[Value]>) -> Result<String> {
        let mut conditions = Vec::new();
        if let Some(filter) = &self.shape.filter {
            conditions.push(format!("({})", filter.as_str()));
        }
        if let Some(last) = last {
            conditions.push(self.after(last)?);
        }
        let mut sql = self.select.clone();
        if !conditions.is_empty() {
            sql.push_str(" WHERE ");
            sql.push_str(&conditions.join(" AND "));
        }
        sql.push_str(" ORDER BY ");
        for (i, key) in self.keys.iter().enumerate() {
            sql.push_str(if i == 0 { "" } else { ", " });
            write_identifier(&mut sql, key)?;
        }
        sql.push_str(&format!(" LIMIT {PAGE_ROWS}"));
        Ok(sql)
    }

    /// `(a > 1 OR (a = 1 AND b > 2))`: KalamDB's dialect compares no tuples.
    fn after(&self, last: &[Value]) -> Result<String> {
        let mut condition = String::from("(");
        for (i, value) in last.iter().enumerate() {
            if i > 0 {
                condition.push_str(" OR ");
            }
            condition.push('(');
            for (key, value) in self.keys[..i].iter().zip(last) {
                write_identifier(&mut condition, key)?;
                condition.push_str(" = ");
                write_literal(&mut condition, value)?;
                condition.push_str(" AND ");
            }
            write_identifier(&mut condition, &self.keys[i])?;
            condition.push_str(" > ");
            write_literal(&mut condition, value)?;
            condition.push(')');
        }
        condition.push(')');
        Ok(condition)
    }

    fn key_of(&self, schema: &Schema, row: &Row) -> Result<Vec<Value>> {
        self.keys
            .iter()
            .map(|key| {
                let at = schema.index_of_any(key).ok_or_else(|| {
                    Error::new(ErrorCode::Protocol, format!("the answer lacks the key column {key}"))
                })?;
                match &schema.all_columns()[at].data_type {
                    DataType::Float
                    | DataType::Double
                    | DataType::Json
                    | DataType::Bytes
                    | DataType::Other(_) => Err(Error::new(
                        ErrorCode::NotSupported,
                        format!("rows can not be read in pages by the key column {key} of its type"),
                    )),
                    _ => Ok(row.all_values()[at].clone()),
                }
            })
            .collect()
    }

    /// What of a page the caller asked for.
    fn visible(&self, schema: &std::sync::Arc<Schema>) -> Visible {
        let columns = match &self.shape.projection {
            Projection::Star => return Visible { schema: schema.clone(), count: schema.columns().len() },
            Projection::Columns(columns) => columns.len(),
        };
        // Hidden columns stand at the end of the SELECT.
        let count = columns.min(schema.columns().len());
        Visible { schema: Schema::with_hidden(schema.all_columns().to_vec(), count), count }
    }
}

struct Visible {
    schema: std::sync::Arc<Schema>,
    count: usize,
}

impl Visible {
    fn project(&self, row: Row) -> Row {
        if self.count == row.schema().columns().len() {
            return row;
        }
        Row::new(self.schema.clone(), row.all_values().to_vec(), row.version())
    }
}
