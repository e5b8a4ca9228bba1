//! Live queries with the holes of KalamDB 0.4: what they see of a change, and how their snapshots are read.

use std::sync::Arc;

use super::{
    Column, LiveChange, LiveQuery, LiveRow, RowChange, StoredRow,
    catalog::Table,
    condition::Condition,
    error::SqlResult,
    live::{Filter, Projected, failed},
    row::ChangeKind,
    sql::typed::Bind,
    storage::Db,
};
use crate::{engine::Cell, holes::Holes};

/// How a live query evaluates changes.
pub(super) struct Emulation {
    pub(super) holes: Holes,
    /// `SELECT *`: columns that are added later come too.
    pub(super) everything: bool,
    pub(super) condition: Condition,
}

/// A part of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Page {
    /// At most `rows` rows that were written after this `_seq`.
    After { seq: Option<i64>, rows: u32 },
    /// About the newest `rows` rows.
    Newest { rows: u32 },
}

impl LiveQuery {
    pub(super) fn evaluate_emulated(
        &self,
        emulation: &Emulation,
        change: &RowChange,
    ) -> SqlResult<Option<LiveChange>> {
        let Emulation { holes, condition, .. } = emulation;
        let is_same = change.table.id == self.table.id;
        let follows = holes.ddl && change.table.qualified() == self.table.qualified();
        if !(is_same || follows) || self.user().is_some_and(|user| change.user.as_deref() != Some(user)) {
            return Ok(None);
        }
        if !is_same || change.table.version != self.table.version {
            if !follows {
                let table = self.table.qualified();
                return Err(failed(format!("the table {table} was altered: subscribe again")));
            }
            let moved = self.moved(emulation, &change.table);
            return match &moved.emulation {
                Some(emulation) => moved.evaluate_emulated(emulation, change),
                None => Ok(None),
            };
        }
        let old = change.old.as_deref();
        let was_in = |row: Option<&StoredRow>| row.map_or(Ok(false), |row| condition.matches(self, row));
        // The tombstone keeps the last values.
        let is_in = condition.matches(self, &change.new)?;
        Ok(match (change.kind, is_in) {
            (ChangeKind::Insert, true) => Some(self.inserted(&change.new)),
            (ChangeKind::Update, true) => Some(self.updated(old, &change.new)),
            (ChangeKind::Delete, true) => Some(self.removed(old.unwrap_or(&change.new), change.new.seq)),
            (ChangeKind::Update, false) if !holes.exits && was_in(old)? => {
                Some(self.removed(old.unwrap_or(&change.new), change.new.seq))
            }
            _ => None,
        })
    }

    /// The same query over a later version of its table, or over another table of its name: the columns that are still
    /// there, and all of them for `*` (`wire/alter.jsonl`).
    fn moved(&self, emulation: &Emulation, table: &Arc<Table>) -> Self {
        let Emulation { holes, everything, condition } = emulation;
        let projection: Vec<Projected> = if *everything {
            let own = (0..table.columns.len()).map(Projected::Own);
            own.chain([Projected::Seq, Projected::Deleted]).collect()
        } else {
            let here = |from: &Projected| match from {
                Projected::Own(position) => {
                    table.column(&self.table.columns[*position].name).map(Projected::Own)
                }
                system => Some(*system),
            };
            self.projection.iter().filter_map(here).collect()
        };
        let schema: Arc<[Column]> = super::live_plan::schema(table, &projection, &self.version_column);
        Self {
            table: Arc::clone(table),
            caller: self.caller.clone(),
            schema,
            projection,
            filter: None,
            emulation: Some(Emulation {
                holes: *holes,
                everything: *everything,
                condition: condition.moved(&self.table, table),
            }),
            version_column: Arc::clone(&self.version_column),
            evaluator: Arc::clone(&self.evaluator),
            limits: self.limits.clone(),
        }
    }

    /// Reads a part of a snapshot; true if it says that more follows.
    ///
    /// KalamDB reads one row more than asked for, to know whether more follow, and loses the order on the way: rows come
    /// by key, and it is the one with the greatest key that is left for the next page, which begins after the `_seq` of
    /// this page's last row. (1,500 rows with every third updated come as in `wire/snapshots.jsonl` this way.)
    pub(super) fn page(&self, db: &Db, page: Page) -> SqlResult<(Vec<LiveRow>, bool)> {
        let holes = self.emulation.as_ref().map_or(Holes::default(), |emulation| emulation.holes);
        let (filter, mut binds) = match &self.filter {
            Some(Filter { scan: (sql, binds), .. }) => (format!(" AND {sql}"), binds.clone()),
            None => (String::new(), Vec::new()),
        };
        let owner = self.owner_term(&mut binds);
        let (after, direction, wished, one_more) = match page {
            Page::After { seq, rows } => {
                binds.push(Bind::Cell(Cell::BigInt(seq.unwrap_or(i64::MIN))));
                (format!(" AND s > ?{}", binds.len()), "ASC", rows, true)
            }
            // The newest row alone is the right one (`wire/snapshots.jsonl`, `wire/live_basic.jsonl`).
            Page::Newest { rows } => (String::new(), "DESC", rows, rows > 1),
        };
        let key = self.table.key.iter().map(|position| self.table.columns[*position].sqlite_name());
        let by_key = key.collect::<Vec<_>>().join(", ");
        let order = if holes.pages || matches!(page, Page::Newest { .. }) { &*by_key } else { "s" };
        let sql = format!(
            "SELECT * FROM (SELECT {}, 1 FROM {} WHERE {owner}d = 0{}{filter}{after} ORDER BY s {direction} LIMIT {}) \
             ORDER BY {order}",
            self.scan_columns(),
            self.table.sqlite_name(),
            self.unexpired(super::time::now_micros()),
            u64::from(wished) + u64::from(one_more)
        );
        let mut rows = self.scan(db, &sql, &binds)?;
        if let Some(most) = holes.most_batch_rows() {
            rows.truncate(most as usize);
        }
        let is_newest = matches!(page, Page::Newest { .. });
        let more = !is_newest && rows.len() > wished as usize;
        rows.truncate(wished as usize);
        if is_newest {
            rows.reverse();
        }
        let row =
            |(row, _): &(StoredRow, bool)| LiveRow { seq: row.seq, fields: self.fields(row, row.seq, false) };
        Ok((rows.iter().map(row).collect(), more))
    }
}
