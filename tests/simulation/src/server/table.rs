//! The rows, with their versions and tombstones.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::data::{Filter, Record};

/// A row as stored: the latest version of a key.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Content; of a deleted row the last.
    pub record: Record,
    /// Version of the latest write.
    pub version: i64,
    /// Version of the write that made the key exist.
    pub created: i64,
    /// A tombstone.
    pub deleted: bool,
}

/// One write to one row.
#[derive(Clone, Debug)]
pub struct Write {
    /// Its version.
    pub version: i64,
    /// The row before, if there was one.
    pub old: Option<(Record, i64)>,
    /// The row after, unless it was deleted.
    pub new: Option<Record>,
}

/// A table of one node.
#[derive(Debug, Default)]
pub struct Table {
    rows: BTreeMap<i64, Stored>,
    version: i64,
    /// How far its clock is ahead, in milliseconds. Set back, the numbers go on from the last one.
    pub ahead: i64,
}

impl Table {
    /// The next version: milliseconds in the upper bits, a number within the millisecond in the lower ones.
    fn next_version(&mut self, now: Duration) -> i64 {
        let millis = i64::try_from(now.as_millis()).expect("a short simulation") + self.ahead;
        self.version = (self.version + 1).max((millis + 1) << 22);
        self.version
    }

    /// The version of the latest write.
    pub fn version(&self) -> i64 {
        self.version
    }

    /// The row of a key, if it exists.
    pub fn get(&self, id: i64) -> Option<&Record> {
        self.rows.get(&id).filter(|s| !s.deleted).map(|s| &s.record)
    }

    /// The keys that exist.
    pub fn ids(&self) -> Vec<i64> {
        self.rows.values().filter(|s| !s.deleted).map(|s| s.record.id).collect()
    }

    /// Inserts or replaces.
    pub fn put(&mut self, now: Duration, record: Record) -> Write {
        let version = self.next_version(now);
        let before = self.rows.get(&record.id).filter(|s| !s.deleted);
        let created = before.map_or(version, |s| s.created);
        let old = before.map(|s| (s.record.clone(), s.version));
        self.rows.insert(record.id, Stored { record: record.clone(), version, created, deleted: false });
        Write { version, old, new: Some(record) }
    }

    /// Deletes a row that exists.
    pub fn delete(&mut self, now: Duration, id: i64) -> Option<Write> {
        let version = self.next_version(now);
        let stored = self.rows.get_mut(&id).filter(|s| !s.deleted)?;
        let old = Some((stored.record.clone(), stored.version));
        stored.deleted = true;
        stored.version = version;
        Some(Write { version, old, new: None })
    }

    /// A row is gone, without a trace: it has expired.
    pub fn vanish(&mut self, id: i64) -> bool {
        self.rows.remove(&id).is_some_and(|stored| !stored.deleted)
    }

    /// Every row is gone without a trace: the table was dropped and created anew.
    pub fn recreate(&mut self) {
        self.rows.clear();
    }

    /// Everything that is stored, tombstones included, by key.
    pub fn stored(&self) -> impl Iterator<Item = &Stored> {
        self.rows.values()
    }

    /// The rows of a result, by key.
    pub fn select(&self, filter: Filter) -> Vec<Stored> {
        self.rows.values().filter(|s| !s.deleted && filter.matches(&s.record)).cloned().collect()
    }

    /// Every key written after `version`, tombstones included, in the order of versions.
    pub fn since(&self, version: i64) -> Vec<Stored> {
        let mut rows: Vec<_> = self.rows.values().filter(|s| s.version > version).cloned().collect();
        rows.sort_by_key(|s| s.version);
        rows
    }
}
