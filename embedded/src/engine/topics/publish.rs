//! From the rows that a transaction wrote to records, in that transaction: a record exists if and only if its write is
//! committed.

use std::{collections::HashMap, sync::Arc};

use parking_lot::Mutex;
use rusqlite::Connection;
use serde::ser::{SerializeMap, Serializer};

use super::{
    TopicRecord,
    definition::{Fed, Payload, TopicSet},
    store,
};
use crate::engine::{
    Caller, Cell, ChangeKind, EngineLimits, LiveQuery, Role, RowChange, SqlError, StoredRow,
    catalog::{Catalog, DELETED, Table},
    error::SqlResult,
    live_plan,
    sql::typed::Bind,
    storage::{Db, sql_error},
    time,
};
use crate::holes::Holes;
use crate::wire::Wire;

/// The number of the statement that wrote a row.
const COMMIT_SEQ: &str = "_commit_seq";
/// The row's table, as `namespace:table`.
const TABLE: &str = "_table";
/// What the columns were, in a payload of the mode `diff`.
const OLD: &str = "_old";

/// Filters by table, its version, and their text.
pub(super) type Compiled = HashMap<(i64, u32, Arc<str>), Arc<LiveQuery>>;

/// What compiling a source's filter needs.
pub(super) struct Filters<'a> {
    pub(super) catalog: &'a Catalog,
    pub(super) evaluator: &'a Arc<Mutex<Db>>,
    pub(super) limits: &'a EngineLimits,
    pub(super) kept: &'a Mutex<Compiled>,
}

impl Filters<'_> {
    /// # Errors
    /// When the filter is not one of this table, or is the same for no two callers.
    pub(super) fn compile(&self, table: &Table, filter: &str) -> SqlResult<LiveQuery> {
        let parts = live_plan::Parts {
            catalog: self.catalog,
            evaluator: self.evaluator,
            limits: self.limits,
            wire: self.catalog.wire,
            holes: Holes::default(),
        };
        let caller = Caller { user: "root".into(), role: Role::System };
        let sql = format!("SELECT * FROM \"{}\".\"{}\" WHERE {filter}", table.namespace, table.name);
        let query = live_plan::prepare(&parts, &caller, &sql)?;
        let personal = |bind: &Bind| matches!(bind, Bind::CurrentUser);
        if query.filter.as_ref().is_some_and(|f| f.row.1.iter().any(personal)) {
            return Err(SqlError::unsupported("CURRENT_USER in the filter of a topic's source"));
        }
        Ok(query)
    }

    fn matches(&self, fed: &Fed, change: &RowChange) -> SqlResult<bool> {
        let Some(filter) = &fed.route().filter else { return Ok(true) };
        let table = &change.table;
        let key = (table.id.0, table.version, Arc::<str>::from(filter.as_str()));
        let kept = self.kept.lock().get(&key).cloned();
        let query = match kept {
            Some(query) => query,
            None => {
                let query = Arc::new(self.compile(table, filter)?);
                let mut kept = self.kept.lock();
                // Filters of tables that were altered or dropped are not asked for again.
                kept.retain(|(id, version, _), _| *id != table.id.0 || *version == table.version);
                kept.insert(key, Arc::clone(&query));
                query
            }
        };
        query.matches(&change.new)
    }
}

/// Appends the records of `changes`.
///
/// # Errors
/// When a filter can not be evaluated on a row, or storing fails: then the write must not be committed.
pub(super) fn publish(
    db: &Connection,
    topics: &TopicSet,
    filters: &Filters<'_>,
    changes: &[RowChange],
) -> SqlResult<()> {
    let now_ms = time::now_micros() / 1000;
    let commit_seq = changes.iter().map(RowChange::seq).max().unwrap_or_default();
    // Next offset and bytes of the partitions written to.
    let mut touched: Vec<(&Fed, u32, i64, i64)> = Vec::new();
    // What expires is no event: nobody did anything.
    for change in changes.iter().filter(|change| !change.expired) {
        for fed in topics.fed_by(&change.table_name()) {
            if ChangeKind::from(fed.route().op) != change.kind {
                continue;
            }
            let matches = filters.matches(fed, change).map_err(|e| {
                SqlError::execution(format!(
                    "the topic '{}' can not be written to, so neither can the table: its filter fails: {}; drop or correct \
                     the source",
                    fed.topic.name, e.message
                ))
            })?;
            if !matches {
                continue;
            }
            let key = key_text(&change.table, &change.new);
            let partition = partition_of(&key, fed.topic.partitions);
            let at = match touched.iter().position(|(f, p, ..)| f.topic.id == fed.topic.id && *p == partition)
            {
                Some(at) => at,
                None => {
                    let (next, bytes) = store::partition(db, fed.topic.id, partition).map_err(sql_error)?;
                    touched.push((fed, partition, next, bytes));
                    touched.len() - 1
                }
            };
            let (_, _, next, bytes) = &mut touched[at];
            let record = TopicRecord {
                offset: *next,
                payload: payload(change, fed.route().payload, filters.catalog.wire, commit_seq)?,
                key: Some(key),
                timestamp_ms: now_ms,
                user: change.user.as_deref().map(str::to_owned),
                op: change.kind,
            };
            *next += 1;
            *bytes += i64::try_from(record.payload.len()).unwrap_or(i64::MAX);
            store::append(db, fed.topic.id, partition, &record).map_err(sql_error)?;
        }
    }
    for (fed, partition, next, bytes) in touched {
        let (topic, retention) = (fed.topic.id, fed.topic.retention);
        store::set_partition(db, topic, partition, next, bytes)
            .and_then(|()| store::purge(db, topic, partition, retention, now_ms))
            .map_err(sql_error)?;
    }
    Ok(())
}

/// The primary key as text; of several columns as a JSON array.
fn key_text(table: &Table, row: &StoredRow) -> String {
    let cell = |position: &usize| &row.cells[*position];
    match &table.key[..] {
        [one] => cell(one).to_text().unwrap_or_default(),
        several => {
            let cells: Vec<&Cell> = several.iter().map(cell).collect();
            serde_json::to_string(&cells).unwrap_or_default()
        }
    }
}

/// The same key goes to the same partition, for ever (FNV-1a).
fn partition_of(key: &str, partitions: u32) -> u32 {
    let hash = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    (hash % u64::from(partitions.max(1))) as u32
}

/// The record's JSON, shaped as in `wire/topics.jsonl`. `key` holds only the key there and `_old` of `diff` is our own:
/// KalamDB puts the whole row under `key`, and does not have `diff`. In 0.8 one version stands for both numbers.
fn payload(change: &RowChange, mode: Payload, wire: Wire, commit_seq: i64) -> SqlResult<Vec<u8>> {
    let (table, new) = (&change.table, &change.new);
    let old = change.old.as_deref();
    let changed = |position: usize| match (change.kind, old) {
        (ChangeKind::Update, Some(old)) => old.cells[position] != new.cells[position],
        _ => true,
    };
    let in_payload = |position: usize| match mode {
        Payload::Full => true,
        _ if table.key.contains(&position) => true,
        Payload::Key => false,
        Payload::Diff => change.kind != ChangeKind::Delete && changed(position),
    };
    let mut out = Vec::with_capacity(128);
    let mut json = serde_json::Serializer::new(&mut out);
    let mut write = || -> Result<(), serde_json::Error> {
        let mut map = json.serialize_map(None)?;
        for (position, (column, cell)) in table.columns.iter().zip(&new.cells).enumerate() {
            if in_payload(position) {
                map.serialize_entry(&*column.name, cell)?;
            }
        }
        map.serialize_entry(wire.version_column(), &Cell::BigInt(new.seq))?;
        if wire == Wire::V0_4 {
            map.serialize_entry(COMMIT_SEQ, &Cell::BigInt(commit_seq))?;
        }
        map.serialize_entry(DELETED, &new.deleted)?;
        if let (Payload::Diff, Some(old)) = (mode, old) {
            let before: HashMap<&str, &Cell> = table
                .columns
                .iter()
                .zip(&old.cells)
                .enumerate()
                .filter(|(position, _)| !table.key.contains(position) && changed(*position))
                .map(|(_, (column, cell))| (&*column.name, cell))
                .collect();
            map.serialize_entry(OLD, &before)?;
        }
        if mode != Payload::Key {
            map.serialize_entry(TABLE, &format_args!("{}:{}", table.namespace, table.name))?;
        }
        map.end()
    };
    write().map_err(|e| SqlError::internal(format!("a record can not be written as JSON: {e}")))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_spread_and_stay_where_they_are() {
        let mut counts = [0; 4];
        for key in 0..1000 {
            counts[partition_of(&key.to_string(), 4) as usize] += 1;
        }
        assert!(counts.iter().all(|n| *n > 150), "{counts:?}");
        // What is stored depends on it.
        assert_eq!((partition_of("1", 4), partition_of("2", 4), partition_of("1", 1)), (0, 1, 0));
    }
}
