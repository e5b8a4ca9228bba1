//! That `changes` say how one snapshot became the next.

use kalam_live::{Change, Row, Rows};

use crate::Failure;

/// Applies the changes to the rows before, and compares with the rows now: the same, as the same objects.
pub(crate) fn check(before: &[Row], now: &Rows) -> Result<(), Failure> {
    let Some(changes) = now.changes().as_list() else { return Ok(()) };
    let mut rows = before.to_vec();
    for change in changes {
        match change {
            Change::Insert { index, row } if *index <= rows.len() => rows.insert(*index, row.clone()),
            Change::Update { index, old, row } if rows.get(*index).is_some_and(|here| here.ptr_eq(old)) => {
                rows[*index] = row.clone();
            }
            Change::Remove { index, row } if rows.get(*index).is_some_and(|here| here.ptr_eq(row)) => {
                rows.remove(*index);
            }
            change => return Err(format!("{change:?} can not be applied to {rows:?}").into()),
        }
    }
    if rows.len() != now.len() || !rows.iter().zip(now.iter()).all(|(replayed, row)| replayed.ptr_eq(row)) {
        return Err(format!("the changes {changes:?} over {before:?} do not give {now:?}").into());
    }
    Ok(())
}
