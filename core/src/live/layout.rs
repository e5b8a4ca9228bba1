//! What a schema and the options make of a row: which cells are its key, and how it sorts.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::error::{Error, ErrorCode, Result};
use crate::live::options::LiveOptions;
use crate::live::sort::Sort;
use crate::row::Row;
use crate::schema::Schema;
use crate::value::Value;

#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) schema: Arc<Schema>,
    pub(crate) keys: Keys,
    pub(crate) sort: Sort,
    pub(crate) counts_versions: bool,
}

impl Layout {
    pub(crate) fn new(schema: Arc<Schema>, options: &LiveOptions) -> Result<Self> {
        let keys = Keys::new(&options.key_columns, &schema)?;
        let sort = Sort::new(options.order_by.as_ref(), &schema)?;
        Ok(Self { schema, keys, sort, counts_versions: false })
    }

    /// Whether a reader sees no difference.
    pub(crate) fn same_for_readers(&self, a: &Row, b: &Row) -> bool {
        a.same_content(b) && (!self.counts_versions || a.version() == b.version())
    }

    /// Whether `row` can be held: it has these columns, and none of its key cells is NULL.
    pub(crate) fn check(&self, row: &Row) -> Result<()> {
        if !Arc::ptr_eq(row.schema(), &self.schema) && **row.schema() != *self.schema {
            return Err(protocol("a row has other columns than its subscription announced"));
        }
        match self.keys.0.iter().find(|&&column| row.all_values()[column].is_null()) {
            None => Ok(()),
            Some(&column) => {
                let name = &self.schema.all_columns()[column].name;
                Err(protocol(format!("a row has NULL in its key column {name:?}")))
            }
        }
    }
}

/// Positions of the cells that identify a row.
#[derive(Clone, Debug)]
pub(crate) struct Keys(Box<[usize]>);

impl Keys {
    fn new(names: &[String], schema: &Schema) -> Result<Self> {
        if names.is_empty() {
            let keys = schema.key_columns();
            return if keys.is_empty() {
                Err(invalid(
                    "the query has no primary-key column; pass key_columns with the columns that identify a row",
                ))
            } else {
                Ok(Self(keys.into()))
            };
        }
        let position = |name: &String| {
            schema
                .index_of_any(name)
                .ok_or_else(|| invalid(format!("key_columns: there is no column {name:?} in the query")))
        };
        names.iter().map(position).collect::<Result<_>>().map(Self)
    }

    /// Feeds the key cells of a row that passed [`Layout::check`].
    pub(crate) fn hash(&self, row: &Row, state: &mut impl Hasher) {
        let cells = row.all_values();
        self.0.iter().for_each(|&column| cells[column].hash(state));
    }

    /// The key cells of a row of this schema, in the order of the key columns.
    pub(crate) fn of<'r>(&self, row: &'r Row) -> impl Iterator<Item = &'r Value> {
        self.0.iter().map(|&column| &row.all_values()[column])
    }

    /// Positions of the key columns among all columns.
    pub(crate) fn positions(&self) -> &[usize] {
        &self.0
    }

    /// Whether both rows, which passed [`Layout::check`], have the same key.
    pub(crate) fn same(&self, a: &Row, b: &Row) -> bool {
        let (a, b) = (a.all_values(), b.all_values());
        self.0.iter().all(|&column| a[column] == b[column])
    }
}

pub(crate) fn protocol(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::Protocol, message)
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorCode::InvalidArgument, message)
}
