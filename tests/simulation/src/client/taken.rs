//! What a reader took of live rows, held against the changes that it was told.

use kalam_live::Row;
use kalam_live::live::{Change, Changes, Phase, Rows};

use super::Check;

/// The list that was taken last.
#[derive(Debug, Default)]
pub struct Taken {
    /// Its rows.
    pub rows: Vec<Row>,
    /// Its phase. `None`: nothing was taken yet.
    pub phase: Option<Phase>,
    columns: Option<usize>,
}

impl Taken {
    /// The changes must lead from the list that was taken before to this one.
    pub fn compare(&mut self, rows: &Rows) -> Check {
        if let Phase::Loading { .. } = rows.phase() {
            return Err("rows of a snapshot that is not complete".into());
        }
        let new: Vec<Row> = rows.iter().cloned().collect();
        if let Changes::List(changes) = rows.changes() {
            if changes.is_empty() && self.phase == Some(rows.phase()) {
                return Err("a take without anything new".into());
            }
            let mut list = std::mem::take(&mut self.rows);
            for change in &**changes {
                apply(&mut list, change)?;
            }
            if list.len() != new.len() || !list.iter().zip(&new).all(|(a, b)| a.ptr_eq(b)) {
                return Err(format!("changes lead to {list:?} instead of {new:?}"));
            }
        } else if self.rows.is_empty()
            && new.is_empty()
            && self.columns == Some(rows.schema().all_columns().len())
        {
            return Err("a reset from nothing to nothing".into());
        }
        self.rows = new;
        self.phase = Some(rows.phase());
        self.columns = Some(rows.schema().all_columns().len());
        Ok(())
    }
}

fn apply(list: &mut Vec<Row>, change: &Change) -> Check {
    let fits = match change {
        Change::Insert { index, row } if *index <= list.len() => {
            list.insert(*index, row.clone());
            true
        }
        Change::Update { old, row, .. } if old == row => {
            return Err(format!("an update that changes nothing: {row:?}"));
        }
        Change::Update { index, old, row } => list.get_mut(*index).is_some_and(|held| {
            let same = held.ptr_eq(old);
            *held = row.clone();
            same
        }),
        Change::Remove { index, row } if *index < list.len() => list.remove(*index).ptr_eq(row),
        Change::Insert { .. } | Change::Remove { .. } => false,
    };
    if fits { Ok(()) } else { Err(format!("a change does not fit the list: {change:?}")) }
}
