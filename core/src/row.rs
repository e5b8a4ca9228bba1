//! A row: cells behind one shared schema.

use std::fmt;
use std::ops::Index;
use std::sync::Arc;

use triomphe::ThinArc;

use crate::schema::{Schema, SeqId};
use crate::value::Value;

/// An immutable row. Cloning shares it; an unchanged row is the same allocation in the next snapshot
/// ([`Row::ptr_eq`]), so a user interface can skip it.
///
/// Equality is by visible content: column names are the schema's, and the [`version`](Row::version) does not count.
///
/// ```
/// # use kalam_live::{Column, DataType, Row, Schema, Value};
/// let schema = Schema::new(vec![Column::new("id", DataType::BigInt), Column::new("body", DataType::Text)]);
/// let row = Row::new(schema, vec![Value::from(7_i64), Value::from("hello")], None);
/// assert_eq!(row["body"].as_text(), Some("hello"));
/// assert_eq!(row.get("nothing"), None);
/// assert_eq!(row.iter().count(), 2);
/// ```
#[derive(Clone)]
pub struct Row(ThinArc<Head, Value>);

/// What stands before the cells, in the same allocation: the owner task makes rows and readers free them, and allocators
/// are at their slowest there.
struct Head {
    schema: Arc<Schema>,
    version: Option<SeqId>,
}

impl Row {
    /// A row of `schema`, hidden columns included.
    ///
    /// # Panics
    /// When there are not as many values as the schema has columns.
    pub fn new(
        schema: Arc<Schema>,
        values: impl IntoIterator<IntoIter: ExactSizeIterator<Item = Value>>,
        version: Option<SeqId>,
    ) -> Self {
        let values = values.into_iter();
        assert_eq!(values.len(), schema.all_columns().len(), "a row has one value a column");
        Self(ThinArc::from_header_and_iter(Head { schema, version }, values))
    }

    fn head(&self) -> &Head {
        &self.0.header.header
    }

    /// The columns.
    pub fn schema(&self) -> &Arc<Schema> {
        &self.head().schema
    }

    /// The write that this content came with, where the server told it. Not a column, and outside equality.
    pub fn version(&self) -> Option<SeqId> {
        self.head().version
    }

    /// The cell of a visible column. `None` when there is no such column; SQL NULL is `Some(Value::Null)`.
    pub fn get(&self, column: &str) -> Option<&Value> {
        self.schema().index_of(column).map(|i| &self.all_values()[i])
    }

    /// The visible cells, in the order of the schema.
    pub fn values(&self) -> &[Value] {
        &self.all_values()[..self.schema().columns().len()]
    }

    /// Every cell, hidden ones last, as [`Schema::all_columns`].
    pub fn all_values(&self) -> &[Value] {
        &self.0.slice
    }

    /// Column names with their cells.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Value)> + DoubleEndedIterator {
        self.schema().columns().iter().map(|c| &*c.name).zip(self.values())
    }

    /// Whether both are the same allocation, and so surely equal.
    pub fn ptr_eq(&self, other: &Self) -> bool {
        self.address() == other.address()
    }

    /// Where the allocation is: distinct among all rows that are alive. For maps from a row to what was made of it.
    pub fn address(&self) -> usize {
        self.0.heap_ptr().addr()
    }

    /// Whether every cell, hidden ones included, is equal.
    pub(crate) fn same_content(&self, other: &Self) -> bool {
        self.ptr_eq(other) || self.all_values() == other.all_values()
    }
}

impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        self.ptr_eq(other)
            || (self.values() == other.values()
                && (Arc::ptr_eq(self.schema(), other.schema())
                    || self.iter().map(|(n, _)| n).eq(other.iter().map(|(n, _)| n))))
    }
}

impl Eq for Row {}

/// By column name.
///
/// # Panics
/// When the row has no such visible column; [`Row::get`] does not.
impl Index<&str> for Row {
    type Output = Value;

    fn index(&self, column: &str) -> &Value {
        self.get(column).unwrap_or_else(|| panic!("the row has no column {column:?}"))
    }
}

/// By position.
///
/// # Panics
/// When the row has fewer visible columns.
impl Index<usize> for Row {
    type Output = Value;

    fn index(&self, column: usize) -> &Value {
        &self.values()[column]
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, DataType};

    fn schema() -> Arc<Schema> {
        Schema::with_hidden(
            vec![Column::new("body", DataType::Text), Column::new("id", DataType::BigInt).primary_key()],
            1,
        )
    }

    #[test]
    fn equality_is_visible_content() {
        let row = |body: &str, id: i64, version: i64| {
            Row::new(schema(), vec![Value::from(body), Value::from(id)], Some(version.into()))
        };
        assert_eq!(row("a", 1, 5), row("a", 2, 6));
        assert_ne!(row("a", 1, 5), row("b", 1, 5));
        assert!(!row("a", 1, 5).same_content(&row("a", 2, 5)));
        let other = Schema::new(vec![Column::new("text", DataType::Text)]);
        assert_ne!(row("a", 1, 5), Row::new(other, vec![Value::from("a")], None));
    }

    #[test]
    fn hidden_cells_do_not_show() {
        let row = Row::new(schema(), vec![Value::from("a"), Value::from(1_i64)], None);
        assert_eq!(row.get("id"), None);
        assert_eq!(row.values().len(), 1);
        assert_eq!(row.all_values().len(), 2);
        assert_eq!(format!("{row:?}"), r#"{"body": Text("a")}"#);
    }
}
