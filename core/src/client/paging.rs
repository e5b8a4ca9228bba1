//! Queries beyond the server's cap on rows.

use super::KalamClient;
use super::statement::Statement;
use crate::error::{Error, ErrorCode, Result};
use crate::live::OrderBy;
use crate::row::Row;
use crate::schema::Schema;
use crate::sql::{LiveSql, Projection, Select, check_live};
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
        let pages = Pages::new(shape, &keys)?;
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
    /// With the key among its columns.
    shape: LiveSql,
    keys: Vec<&'a str>,
    /// By key.
    order: OrderBy,
}

impl<'a> Pages<'a> {
    fn new(mut shape: LiveSql, keys: &'a [String]) -> Result<Self> {
        let quoted: Vec<String> =
            keys.iter().map(|key| format!("\"{}\"", key.replace('"', "\"\""))).collect();
        shape.with_hidden(keys);
        Ok(Self { shape, keys: keys.iter().map(String::as_str).collect(), order: quoted.join(", ").parse()? })
    }

    /// The page after the key `last`.
    fn sql(&self, last: Option<&[Value]>) -> Result<String> {
        let mut page = Select::projection_of(&self.shape)?.matching(self.shape.filter.as_ref());
        if let Some(last) = last {
            page = page.after_key(&self.keys, last)?;
        }
        page.first(PAGE_ROWS, self.keys.iter().copied(), false)
    }

    fn key_of(&self, schema: &Schema, row: &Row) -> Result<Vec<Value>> {
        self.keys
            .iter()
            .map(|key| {
                let at = schema.index_of_any(key).ok_or_else(|| {
                    Error::new(ErrorCode::Protocol, format!("the answer lacks the key column {key}"))
                })?;
                if !schema.all_columns()[at].data_type.sorts_as_the_server() {
                    return Err(Error::new(
                        ErrorCode::NotSupported,
                        format!("rows can not be read in pages by the key column {key} of its type"),
                    ));
                }
                Ok(row.all_values()[at].clone())
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
