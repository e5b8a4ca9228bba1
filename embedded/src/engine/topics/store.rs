//! The tables of topics: definitions, records, how far groups are.

use rusqlite::{Connection, OptionalExtension, Result, params};

use super::definition::{Retention, Topic, TopicSet};
use crate::engine::{
    ChangeKind, EngineError,
    topics::{Progress, TopicGroup, TopicRecord},
};

/// A migration of the data.
pub(crate) const TABLES: &str =
        "CREATE TABLE topics (id INTEGER PRIMARY KEY AUTOINCREMENT, definition TEXT NOT NULL) STRICT;
         CREATE TABLE topic_partitions (topic INTEGER NOT NULL, partition INTEGER NOT NULL,
             next INTEGER NOT NULL, bytes INTEGER NOT NULL, PRIMARY KEY (topic, partition)) STRICT, WITHOUT ROWID;
         CREATE TABLE topic_records (topic INTEGER NOT NULL, partition INTEGER NOT NULL,
             offset INTEGER NOT NULL, timestamp_ms INTEGER NOT NULL, op INTEGER NOT NULL, key TEXT, user TEXT,
             payload BLOB NOT NULL, PRIMARY KEY (topic, partition, offset)) STRICT, WITHOUT ROWID;
         CREATE TABLE topic_groups (topic INTEGER NOT NULL, name TEXT NOT NULL,
             partition INTEGER NOT NULL, base INTEGER NOT NULL, acked INTEGER, updated_ms INTEGER NOT NULL,
             PRIMARY KEY (topic, name, partition)) STRICT, WITHOUT ROWID;";

pub(crate) fn load(db: &Connection) -> Result<TopicSet, EngineError> {
    let mut statement = db.prepare("SELECT id, definition FROM topics")?;
    let mut rows = statement.query([])?;
    let mut topics = Vec::new();
    while let Some(row) = rows.next()? {
        let (id, text): (i64, String) = (row.get(0)?, row.get(1)?);
        let topic: Topic = serde_json::from_str(&text).map_err(|e| {
            EngineError::Corrupt(format!("the definition of topic {id} can not be read: {e}"))
        })?;
        topics.push(Topic { id, ..topic });
    }
    Ok(TopicSet::new(topics))
}

fn definition(topic: &Topic) -> Result<String> {
    serde_json::to_string(topic).map_err(|e| rusqlite::Error::ToSqlConversionFailure(e.into()))
}

pub(super) fn add(db: &Connection, topic: &mut Topic) -> Result<()> {
    db.execute("INSERT INTO topics (definition) VALUES (?1)", [definition(topic)?])?;
    topic.id = db.last_insert_rowid();
    Ok(())
}

pub(super) fn update(db: &Connection, topic: &Topic) -> Result<()> {
    db.execute("UPDATE topics SET definition = ?1 WHERE id = ?2", params![definition(topic)?, topic.id])
        .map(drop)
}

/// With all its records and groups.
pub(crate) fn remove(db: &Connection, topic: i64) -> Result<()> {
    db.execute("DELETE FROM topics WHERE id = ?1", [topic])?;
    for table in ["topic_partitions", "topic_records", "topic_groups"] {
        db.execute(&format!("DELETE FROM {table} WHERE topic = ?1"), [topic])?;
    }
    Ok(())
}

/// Removes the records, not where offsets and groups are. Returns how many.
pub(super) fn clear(db: &Connection, topic: i64) -> Result<usize> {
    db.execute("UPDATE topic_partitions SET bytes = 0 WHERE topic = ?1", [topic])?;
    db.execute("DELETE FROM topic_records WHERE topic = ?1", [topic])
}

// Partitions

/// The next offset, and the bytes of the payloads that are kept.
pub(super) fn partition(db: &Connection, topic: i64, partition: u32) -> Result<(i64, i64)> {
    let row = db
        .prepare_cached("SELECT next, bytes FROM topic_partitions WHERE topic = ?1 AND partition = ?2")?
        .query_row(params![topic, partition], |row| Ok((row.get(0)?, row.get(1)?)));
    Ok(row.optional()?.unwrap_or_default())
}

pub(super) fn set_partition(
    db: &Connection,
    topic: i64,
    partition: u32,
    next: i64,
    bytes: i64,
) -> Result<()> {
    db.prepare_cached("INSERT OR REPLACE INTO topic_partitions VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![topic, partition, next, bytes])
        .map(drop)
}

/// The first record that is kept: its offset and time.
pub(super) fn oldest(db: &Connection, topic: i64, partition: u32) -> Result<Option<(i64, i64)>> {
    db.prepare_cached(
        "SELECT offset, timestamp_ms FROM topic_records WHERE topic = ?1 AND partition = ?2 ORDER BY offset LIMIT 1",
    )?
    .query_row(params![topic, partition], |row| Ok((row.get(0)?, row.get(1)?)))
    .optional()
}

// Records

pub(super) fn append(db: &Connection, topic: i64, partition: u32, record: &TopicRecord) -> Result<()> {
    db.prepare_cached("INSERT INTO topic_records VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)")?
        .execute(params![
            topic,
            partition,
            record.offset,
            record.timestamp_ms,
            op_number(record.op),
            record.key,
            record.user,
            record.payload
        ])
        .map(drop)
}

/// Records of `[first, end)`, at most `limit` and about `most_bytes` of payload (at least one).
pub(super) fn read(
    db: &Connection,
    (topic, partition): (i64, u32),
    (first, end): (i64, i64),
    limit: usize,
    most_bytes: usize,
) -> Result<Vec<TopicRecord>> {
    let mut statement = db.prepare_cached(
        "SELECT offset, timestamp_ms, op, key, user, payload FROM topic_records
         WHERE topic = ?1 AND partition = ?2 AND offset >= ?3 AND offset < ?4 ORDER BY offset LIMIT ?5",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![topic, partition, first, end, limit])?;
    let (mut records, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let record = TopicRecord {
            offset: row.get(0)?,
            timestamp_ms: row.get(1)?,
            op: op_of(row.get(2)?),
            key: row.get(3)?,
            user: row.get(4)?,
            payload: row.get(5)?,
        };
        bytes += record.payload.len();
        if bytes > most_bytes && !records.is_empty() {
            break;
        }
        records.push(record);
    }
    Ok(records)
}

fn op_number(op: ChangeKind) -> i64 {
    match op {
        ChangeKind::Insert => 0,
        ChangeKind::Update => 1,
        ChangeKind::Delete => 2,
    }
}

fn op_of(number: i64) -> ChangeKind {
    match number {
        0 => ChangeKind::Insert,
        1 => ChangeKind::Update,
        _ => ChangeKind::Delete,
    }
}

// Retention

/// Whether the oldest record is older than it may be.
pub(super) fn is_stale(
    db: &Connection,
    topic: i64,
    partition: u32,
    retention: Retention,
    now_ms: i64,
) -> Result<bool> {
    let Some(seconds) = retention.seconds else { return Ok(false) };
    Ok(oldest(db, topic, partition)?.is_some_and(|(_, at)| at < cutoff(seconds, now_ms)))
}

fn cutoff(seconds: i64, now_ms: i64) -> i64 {
    now_ms.saturating_sub(seconds.saturating_mul(1000))
}

/// Deletes what is too old, and the oldest of what is too much.
pub(super) fn purge(
    db: &Connection,
    topic: i64,
    partition: u32,
    retention: Retention,
    now_ms: i64,
) -> Result<()> {
    let (next, mut bytes) = self::partition(db, topic, partition)?;
    let before = bytes;
    if let Some(seconds) = retention.seconds
        && is_stale(db, topic, partition, retention, now_ms)?
    {
        let old = "topic = ?1 AND partition = ?2 AND timestamp_ms < ?3";
        let cutoff = cutoff(seconds, now_ms);
        let freed: i64 = db
            .prepare_cached(&format!("SELECT total(length(payload)) FROM topic_records WHERE {old}"))?
            .query_row(params![topic, partition, cutoff], |row| row.get::<_, f64>(0))
            .map(|n| n as i64)?;
        db.prepare_cached(&format!("DELETE FROM topic_records WHERE {old}"))?
            .execute(params![topic, partition, cutoff])?;
        bytes -= freed;
    }
    while retention.max_bytes.is_some_and(|most| bytes > most) {
        let oldest = db
            .prepare_cached(
                "DELETE FROM topic_records WHERE topic = ?1 AND partition = ?2 AND offset =
                     (SELECT min(offset) FROM topic_records WHERE topic = ?1 AND partition = ?2)
                 RETURNING length(payload)",
            )?
            .query_row(params![topic, partition], |row| row.get::<_, i64>(0))
            .optional()?;
        match oldest {
            Some(length) => bytes -= length,
            None => bytes = 0,
        }
    }
    if bytes != before {
        set_partition(db, topic, partition, next, bytes)?;
    }
    Ok(())
}

// Groups

/// The first offset that the group has not acknowledged.
pub(super) fn group(db: &Connection, topic: i64, group: &str, partition: u32) -> Result<Option<i64>> {
    db.prepare_cached("SELECT base FROM topic_groups WHERE topic = ?1 AND name = ?2 AND partition = ?3")?
        .query_row(params![topic, group, partition], |row| row.get(0))
        .optional()
}

/// Remembers where a group begins. It has acknowledged nothing.
pub(super) fn begin_group(
    db: &Connection,
    topic: i64,
    group: &str,
    partition: u32,
    base: i64,
    now_ms: i64,
) -> Result<()> {
    db.prepare_cached("INSERT OR IGNORE INTO topic_groups VALUES (?1, ?2, ?3, ?4, NULL, ?5)")?
        .execute(params![topic, group, partition, base, now_ms])
        .map(drop)
}

/// Moves a group; to an earlier offset only with `back`.
pub(super) fn move_group(
    db: &Connection,
    (topic, group, partition): (i64, &str, u32),
    base: i64,
    back: bool,
    now_ms: i64,
) -> Result<()> {
    let only_forward = if back { "" } else { " WHERE base < excluded.base OR acked IS NULL" };
    db.prepare_cached(&format!(
        "INSERT INTO topic_groups VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (topic, name, partition)
         DO UPDATE SET base = excluded.base, acked = excluded.acked, updated_ms = excluded.updated_ms{only_forward}"
    ))?
    .execute(params![topic, group, partition, base, (base > 0).then(|| base - 1), now_ms])
    .map(drop)
}

/// Every group of these topics, with the records that are kept and not acknowledged by it.
pub(super) fn groups(db: &Connection, topics: &TopicSet) -> Result<Vec<TopicGroup>> {
    let sql = "SELECT g.topic, g.name, g.partition, g.acked, coalesce(p.next, 0),
            (SELECT count(*) FROM topic_records r
             WHERE r.topic = g.topic AND r.partition = g.partition AND r.offset >= g.base)
        FROM topic_groups g LEFT JOIN topic_partitions p USING (topic, partition) ORDER BY g.name, g.partition";
    let mut statement = db.prepare(sql)?;
    let mut rows = statement.query([])?;
    let mut groups = Vec::new();
    while let Some(row) = rows.next()? {
        let Some(topic_id) = topics.name_of(row.get(0)?) else { continue };
        groups.push(TopicGroup {
            topic_id,
            group_id: row.get::<_, String>(1)?.into(),
            partition_id: row.get(2)?,
            last_acked_offset: row.get(3)?,
            next_offset: row.get(4)?,
            lag: row.get(5)?,
        });
    }
    Ok(groups)
}

/// Every group that has acknowledged something.
pub(crate) fn progress(db: &Connection) -> Result<Progress> {
    let sql = "SELECT topic, name, partition, acked, updated_ms FROM topic_groups WHERE acked IS NOT NULL";
    db.prepare(sql)?
        .query_map([], |row| {
            let member = (row.get(0)?, row.get::<_, String>(1)?.into(), row.get(2)?);
            Ok((member, (row.get(3)?, row.get(4)?)))
        })?
        .collect()
}
