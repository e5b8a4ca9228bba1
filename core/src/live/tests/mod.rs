mod model;
mod random;
mod scenarios;

use std::sync::Arc;

use crate::live::{Change, Changes, Rows};
use crate::row::Row;
use crate::schema::{Column, DataType, Schema};

/// `id` and `part` are the key, `n` and `body` the content; `wide` adds a column.
fn schema(wide: bool) -> Arc<Schema> {
    let mut columns = vec![
        Column::new("id", DataType::Int).primary_key(),
        Column::new("body", DataType::Text),
        Column::new("n", DataType::Int),
        Column::new("part", DataType::Text).primary_key(),
    ];
    if wide {
        columns.push(Column::new("extra", DataType::Int));
    }
    Schema::new(columns)
}

fn row_of(schema: &Arc<Schema>, id: Option<i64>, body: &str, n: Option<i64>, version: Option<i64>) -> Row {
    let mut cells = vec![id.into(), body.into(), n.into(), "p".into()];
    cells.resize(schema.all_columns().len(), crate::Value::Null);
    Row::new(schema.clone(), cells, version.map(Into::into))
}

/// What a reader does with [`Changes`]: follows them on a list of its own, checking what they say about it.
#[derive(Default)]
struct Reader {
    list: Vec<Row>,
}

impl Reader {
    fn follow(&mut self, rows: &Rows) {
        match rows.changes() {
            Changes::Reset => self.list = rows.iter().cloned().collect(),
            Changes::List(changes) => changes.iter().for_each(|change| self.apply(change)),
        }
        assert_eq!(self.list.len(), rows.len());
        // Also the allocations agree, so every row that no change names is the same as before.
        assert!(self.list.iter().zip(rows).all(|(ours, theirs)| ours.ptr_eq(theirs)), "{:?}", rows.changes());
        assert!(rows.iter().rev().eq(self.list.iter().rev()));
        assert!(rows.clone().into_iter().eq(self.list.iter().cloned()));
    }

    fn apply(&mut self, change: &Change) {
        match change {
            Change::Insert { index, row } => self.list.insert(*index, row.clone()),
            Change::Update { index, old, row } => {
                assert!(self.list[*index].ptr_eq(old));
                assert!(!old.same_content(row), "an update that changes nothing: {row:?}");
                self.list[*index] = row.clone();
            }
            Change::Remove { index, row } => assert!(self.list.remove(*index).ptr_eq(row)),
        }
    }
}
