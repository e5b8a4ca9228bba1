//! Live queries: one table, a projection, a filter.

use std::sync::Arc;

use parking_lot::Mutex;
use serde::{Serialize, Serializer};

use super::{
    Caller, Cell, ChangeKind, Column, DataType, EngineLimits, RowChange, SqlError, StoredRow, TableId,
    catalog::{DELETED, Table},
    convert,
    error::SqlResult,
    live_emulated::Emulation,
    run::{Values, bind_all, read_rows},
    sql::typed::Bind,
    storage::{Db, sql_error},
    time,
};
use crate::wire::Wire;

/// A checked live query, bound to the user who asked.
pub struct LiveQuery {
    pub(super) table: Arc<Table>,
    pub(super) caller: Caller,
    pub(super) schema: Arc<[Column]>,
    pub(super) projection: Vec<Projected>,
    pub(super) filter: Option<Filter>,
    /// Instead of the filter, for changes.
    pub(super) emulation: Option<Emulation>,
    pub(super) version_column: Arc<str>,
    /// Private connection for evaluating filters on single rows.
    pub(super) evaluator: Arc<Mutex<Db>>,
    pub(super) limits: EngineLimits,
}

/// Where a projected column comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Projected {
    Own(usize),
    Seq,
    Deleted,
}

/// The filter in two forms.
pub(super) struct Filter {
    /// For scans: over the table's columns.
    pub(super) scan: (String, Vec<Bind>),
    /// For one row at hand: `SELECT` of the filter with the columns bound.
    pub(super) row: (String, Vec<Bind>),
}

/// Where a subscription starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// Only what is written from now on.
    Nothing,
    /// All matching rows, or the newest `last_rows` of them.
    Snapshot { last_rows: Option<u32> },
    /// What was written after this `_seq`.
    From(i64),
}

/// Named values of one row, in the order of the subscription's schema. Serialises as an object.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveFields(pub Vec<(Arc<str>, Cell)>);

impl LiveFields {
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Cell> {
        self.0.iter().find(|(n, _)| &**n == name).map(|(_, cell)| cell)
    }
}

impl Serialize for LiveFields {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, cell)| (&**name, cell)))
    }
}

/// A row of a snapshot. `_seq` is always among the fields.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveRow {
    pub seq: i64,
    pub fields: LiveFields,
}

/// A change as one subscription sees it: a row that enters the filter is an update for its subscribers, as recorded
/// (`wire/live_filter.jsonl`), one that leaves it is a delete.
#[derive(Debug, Clone, PartialEq)]
pub struct LiveChange {
    pub kind: ChangeKind,
    /// `_seq` of the version written.
    pub seq: i64,
    /// `rows[0]` of the frame; absent for a delete.
    pub row: Option<LiveFields>,
    /// `old_values[0]` of the frame; absent for an insert.
    pub old_values: Option<LiveFields>,
}

/// What a subscription starts with.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct LiveStart {
    /// The snapshot, by ascending `_seq`.
    pub rows: Vec<LiveRow>,
    /// With [`Start::From`]: one net change for each key written since, by ascending `_seq`.
    pub replay: Vec<LiveChange>,
    /// Newest `_seq` that this start covers, deleted and non-matching rows included: the cursor to resume from. `None`
    /// when nothing was ever written, and with [`Start::Nothing`].
    pub last_seq: Option<i64>,
}

impl LiveQuery {
    #[must_use]
    pub fn table(&self) -> TableId {
        self.table.id
    }

    /// Its table by name.
    #[must_use]
    pub fn table_name(&self) -> String {
        self.table.qualified()
    }

    /// Its table's namespace and name.
    #[must_use]
    pub fn names(&self) -> (&str, &str) {
        (&self.table.namespace, &self.table.name)
    }

    /// The owner whose rows it sees, for USER tables. A change of another owner never concerns it.
    #[must_use]
    pub fn user(&self) -> Option<&str> {
        self.table.has_owner().then_some(&*self.caller.user)
    }

    /// Columns of the subscription, as the acknowledgement lists them.
    #[must_use]
    pub fn schema(&self) -> &Arc<[Column]> {
        &self.schema
    }

    /// The same for queries on one table that let the same rows pass, whatever they show of them.
    pub(crate) fn filter_key(&self) -> String {
        let Some(Filter { row: (sql, binds), .. }) = &self.filter else { return String::new() };
        let of_user = if binds.contains(&Bind::CurrentUser) { &*self.caller.user } else { "" };
        format!("{sql} {binds:?} {of_user}")
    }

    /// The same for queries on one table that show the same of a row.
    pub(crate) fn shape_key(&self) -> String {
        format!("{} {:?}", self.version_column, self.projection)
    }

    /// What the change means to this query; `None` when it does not concern it.
    ///
    /// # Errors
    /// `SUBSCRIPTION_FAILED` when the filter can not be evaluated on the row (a division by zero, say) or the table was
    /// altered since: the subscription can not go on.
    pub fn evaluate(&self, change: &RowChange) -> Result<Option<LiveChange>, SqlError> {
        match &self.emulation {
            Some(emulation) => self.evaluate_emulated(emulation, change),
            None => Ok(self.judge(change)?.map(|kind| self.shown(change, kind))),
        }
    }

    /// Only what kind of change it is to this query, the same for all of the same [`filter_key`](Self::filter_key). Not for
    /// queries with holes.
    pub(crate) fn judge(&self, change: &RowChange) -> Result<Option<ChangeKind>, SqlError> {
        if change.table.id != self.table.id
            || self.user().is_some_and(|user| change.user.as_deref() != Some(user))
        {
            return Ok(None);
        }
        if change.table.version != self.table.version {
            let table = self.table.qualified();
            return Err(failed(format!("the table {table} was altered: subscribe again")));
        }
        let matched = |row: &StoredRow| Ok::<_, SqlError>(!row.deleted && self.matches(row)?);
        let before = change.old.as_deref().map(matched).transpose()?.unwrap_or(false);
        let now = matched(&change.new)?;
        Ok(match (change.kind, before, now) {
            (ChangeKind::Insert, _, true) => Some(ChangeKind::Insert),
            (ChangeKind::Update, _, true) => Some(ChangeKind::Update),
            (ChangeKind::Update | ChangeKind::Delete, true, false) => Some(ChangeKind::Delete),
            _ => None,
        })
    }

    /// A change of this kind, the same for all queries of the same [`shape_key`](Self::shape_key).
    pub(crate) fn shown(&self, change: &RowChange, kind: ChangeKind) -> LiveChange {
        match kind {
            ChangeKind::Insert => self.inserted(&change.new),
            ChangeKind::Update => self.updated(change.old.as_deref(), &change.new),
            // A row that leaves the filter goes with the values it had while it was in.
            ChangeKind::Delete => self.removed(change.old.as_deref().unwrap_or(&change.new), change.new.seq),
        }
    }

    pub(super) fn matches(&self, row: &StoredRow) -> SqlResult<bool> {
        match &self.filter {
            Some(Filter { row: (sql, binds), .. }) => self.holds(sql, binds, row),
            None => Ok(true),
        }
    }

    /// Evaluates a condition (a `SELECT` whose columns are bound) on one row; NULL does not hold.
    pub(super) fn holds(&self, sql: &str, binds: &[Bind], row: &StoredRow) -> SqlResult<bool> {
        let values = self.values();
        self.evaluator
            .lock()
            .within(self.limits.statement_time, |connection| {
                let mut statement = connection.prepare_cached(sql).map_err(sql_error)?;
                for (at, bind) in binds.iter().enumerate() {
                    let done = match bind {
                        Bind::Column(position) => match row.cells.get(*position) {
                            Some(cell) => statement.raw_bind_parameter(at + 1, convert::to_sqlite(cell)),
                            // After the table's own columns: `_seq`. `_deleted` is refused in live filters.
                            None => statement.raw_bind_parameter(at + 1, row.seq),
                        },
                        bind => statement.raw_bind_parameter(at + 1, convert::to_sqlite(&*values.get(bind)?)),
                    };
                    done.map_err(sql_error)?;
                }
                let mut rows = statement.raw_query();
                let row = rows.next().map_err(sql_error)?;
                row.map_or(Ok(None), |r| r.get::<_, Option<bool>>(0))
                    .map(|m| m == Some(true))
                    .map_err(sql_error)
            })
            .map_err(|e| failed(e.message))
    }

    fn values(&self) -> Values<'_> {
        Values { engine: None, caller: &self.caller, params: &[], files: &[], now: 0 }
    }

    // Frames

    pub(super) fn fields(&self, row: &StoredRow, seq: i64, deleted: bool) -> LiveFields {
        let mut fields = Vec::with_capacity(self.projection.len() + 1);
        let mut has_seq = false;
        for (column, from) in self.schema.iter().zip(&self.projection) {
            let cell = match from {
                Projected::Own(position) => row.cells[*position].clone(),
                Projected::Seq => {
                    has_seq = true;
                    Cell::BigInt(seq)
                }
                Projected::Deleted => Cell::Bool(deleted),
            };
            fields.push((column.name.clone(), cell));
        }
        if !has_seq {
            fields.push((self.version_column.clone(), Cell::BigInt(seq)));
        }
        LiveFields(fields)
    }

    pub(super) fn inserted(&self, row: &StoredRow) -> LiveChange {
        let fields = self.fields(row, row.seq, false);
        LiveChange { kind: ChangeKind::Insert, seq: row.seq, row: Some(fields), old_values: None }
    }

    pub(super) fn removed(&self, last: &StoredRow, seq: i64) -> LiveChange {
        let fields = self.fields(last, seq, true);
        LiveChange { kind: ChangeKind::Delete, seq, row: None, old_values: Some(fields) }
    }

    /// `rows`: projected columns that are not null, the key, `_seq`. `old_values`: the key, the old `_seq` and the
    /// projected columns that changed (recorded in `wire/live_basic.jsonl`). After a resume the old row is not known.
    pub(super) fn updated(&self, old: Option<&StoredRow>, new: &StoredRow) -> LiveChange {
        let (mut row, mut old_values) = (Vec::new(), Vec::new());
        for from in &self.projection {
            let Projected::Own(position) = *from else { continue };
            if self.table.key.contains(&position) {
                continue;
            }
            let (name, cell) = (&self.table.columns[position].name, &new.cells[position]);
            if let Some(old) = old.map(|o| &o.cells[position]).filter(|o| *o != cell) {
                old_values.push((name.clone(), old.clone()));
            }
            if !cell.is_null() {
                row.push((name.clone(), cell.clone()));
            }
        }
        for position in &self.table.key {
            let key = (self.table.columns[*position].name.clone(), new.cells[*position].clone());
            row.push(key.clone());
            old_values.push(key);
        }
        row.push((self.version_column.clone(), Cell::BigInt(new.seq)));
        if let Some(old) = old {
            old_values.push((self.version_column.clone(), Cell::BigInt(old.seq)));
        }
        LiveChange {
            kind: ChangeKind::Update,
            seq: new.seq,
            row: Some(LiveFields(row)),
            old_values: Some(LiveFields(old_values)),
        }
    }

    // Starts

    /// Reads the start on a connection that shows one moment.
    pub(super) fn read_start(&self, db: &Db, start: Start) -> SqlResult<LiveStart> {
        match start {
            Start::Nothing => Ok(LiveStart::default()),
            Start::Snapshot { last_rows } => {
                let rows = self.snapshot(db, last_rows)?;
                let rows =
                    rows.iter().map(|row| LiveRow { seq: row.seq, fields: self.fields(row, row.seq, false) });
                Ok(LiveStart { rows: rows.collect(), replay: Vec::new(), last_seq: self.newest(db)? })
            }
            Start::From(cursor) => {
                let replay = self.replay(db, cursor)?;
                let last_seq = Some(self.newest(db)?.map_or(cursor, |newest| newest.max(cursor)));
                Ok(LiveStart { rows: Vec::new(), replay, last_seq })
            }
        }
    }

    /// Names of the columns, version and marks, as every scan reads them.
    pub(super) fn scan_columns(&self) -> String {
        let own: String = self.table.columns.iter().map(|c| format!("{}, ", c.sqlite_name())).collect();
        format!("{own}s, n, d")
    }

    fn snapshot(&self, db: &Db, last_rows: Option<u32>) -> SqlResult<Vec<StoredRow>> {
        let (filter, mut binds) = match &self.filter {
            Some(Filter { scan: (sql, binds), .. }) => (format!(" AND {sql}"), binds.clone()),
            None => (String::new(), Vec::new()),
        };
        let owner = self.owner_term(&mut binds);
        let (direction, limit) = match last_rows {
            Some(n) => ("DESC", format!(" LIMIT {n}")),
            None => ("ASC", String::new()),
        };
        let sql = format!(
            "SELECT {}, 1 FROM {} WHERE {owner}d = 0{}{filter} ORDER BY s {direction}{limit}",
            self.scan_columns(),
            self.table.sqlite_name(),
            self.unexpired(time::now_micros())
        );
        let mut rows: Vec<StoredRow> = self.scan(db, &sql, &binds)?.into_iter().map(|(row, _)| row).collect();
        if last_rows.is_some() {
            rows.reverse();
        }
        Ok(rows)
    }

    /// One net change for each key written since the cursor. What does not match (any more) is sent as a delete: whether
    /// the subscriber holds it can not be known here, and deleting what is not held harms nobody.
    fn replay(&self, db: &Db, cursor: i64) -> SqlResult<Vec<LiveChange>> {
        let (filter, mut binds) = match &self.filter {
            Some(Filter { scan: (sql, binds), .. }) => (sql.clone(), binds.clone()),
            None => ("1".into(), Vec::new()),
        };
        let owner = self.owner_term(&mut binds);
        binds.push(Bind::Cell(Cell::BigInt(cursor)));
        // A tombstone's old values need not be in the filter's domain (a division, say), so they are not asked.
        let sql = format!(
            "SELECT {}, CASE WHEN NOT (d = 0{}) THEN 0 ELSE coalesce({filter}, 0) END FROM {} WHERE {owner}s > ?{} ORDER BY s",
            self.scan_columns(),
            self.unexpired(time::now_micros()),
            self.table.sqlite_name(),
            binds.len()
        );
        let rows = self.scan(db, &sql, &binds)?;
        Ok(rows
            .iter()
            .map(|(row, matches)| match matches {
                false => self.removed(row, row.seq),
                true if row.created_seq > cursor => self.inserted(row),
                true => self.updated(None, row),
            })
            .collect())
    }

    fn newest(&self, db: &Db) -> SqlResult<Option<i64>> {
        let mut binds = Vec::new();
        let owner = self.owner_term(&mut binds);
        let sql =
            format!("SELECT s FROM {} WHERE {owner}1 ORDER BY s DESC LIMIT 1", self.table.sqlite_name());
        let rows = self.read(db, &sql, &binds, &[DataType::BigInt])?;
        Ok(rows.into_iter().next().and_then(|row| match row[..] {
            [Cell::BigInt(seq)] => Some(seq),
            _ => None,
        }))
    }

    /// What is over is not there, swept or not: ` AND ...`, of rows that are no tombstones.
    pub(super) fn unexpired(&self, now: i64) -> String {
        if self.table.ttl_seconds.is_some() { format!(" AND e > {now}") } else { String::new() }
    }

    pub(super) fn owner_term(&self, binds: &mut Vec<Bind>) -> String {
        if !self.table.has_owner() {
            return String::new();
        }
        binds.push(Bind::CurrentUser);
        format!("o = ?{} AND ", binds.len())
    }

    pub(super) fn scan(&self, db: &Db, sql: &str, binds: &[Bind]) -> SqlResult<Vec<(StoredRow, bool)>> {
        let mut types: Vec<DataType> = self.table.columns.iter().map(|c| c.data_type).collect();
        let width = types.len();
        types.extend([DataType::BigInt, DataType::BigInt, DataType::Boolean, DataType::Boolean]);
        let rows = self.read(db, sql, binds, &types)?;
        rows.into_iter()
            .map(|mut row| {
                let system = row.split_off(width);
                let [Cell::BigInt(seq), Cell::BigInt(created_seq), Cell::Bool(deleted), Cell::Bool(matches)] =
                    system[..]
                else {
                    return Err(SqlError::internal("a row without a version"));
                };
                Ok((StoredRow { seq, created_seq, deleted, cells: row.into() }, matches))
            })
            .collect()
    }

    fn read(&self, db: &Db, sql: &str, binds: &[Bind], types: &[DataType]) -> SqlResult<Vec<Vec<Cell>>> {
        db.within(self.limits.statement_time, |connection| {
            let mut statement = connection.prepare_cached(sql).map_err(sql_error)?;
            bind_all(&mut statement, binds, &self.values())?;
            read_rows(&mut statement, types, &self.limits)
        })
        .map_err(|e| failed(e.message))
    }
}

/// The code of everything that goes wrong with a subscription after its shape was accepted
/// (recorded in `wire/live_errors.jsonl`).
pub(super) fn failed(message: impl Into<String>) -> SqlError {
    SqlError::new("SUBSCRIPTION_FAILED", 400, message)
}

/// The code of a subscription whose table was altered: it can begin anew.
pub(crate) const SCHEMA_CHANGED: &str = "SCHEMA_CHANGED";

/// The projection's columns that a live query may name besides its table's own.
pub(super) fn system_projection(name: &str) -> Option<Projected> {
    match name {
        DELETED => Some(Projected::Deleted),
        name if Wire::calls_version(name) => Some(Projected::Seq),
        _ => None,
    }
}
