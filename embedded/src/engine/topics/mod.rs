//! Topics: records of what was written to tables, in partitions, read by groups of consumers (`wire/topics.jsonl`).
//!
//! `publish` writes records inside the transaction of the write; `consume` hands them out; `groups` knows who has what.
//! Lock order: groups, then the commit lock.

mod consume;
mod definition;
mod groups;
mod publish;
mod statements;
pub(super) mod store;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use serde::Serialize;

pub(super) use self::{
    definition::{Payload, Retention, TopicSet},
    statements::{Outcome, offset_rows, remove_namespace, topic_rows},
};
use self::{
    groups::Group,
    publish::{Compiled, Filters},
};
use super::{
    ChangeKind, Inner, RowChange,
    error::SqlResult,
    storage::{Db, sql_error},
};

/// A group in one partition: topic, group, partition.
type Member = (i64, Arc<str>, u32);

/// Last acknowledged offset, and when, in milliseconds since the epoch.
pub(super) type Progress = BTreeMap<Member, (i64, i64)>;

/// Everything about topics but what is in SQLite.
pub(super) struct Topics {
    /// Replaced under the commit lock.
    set: RwLock<Arc<TopicSet>>,
    groups: Mutex<HashMap<Member, Group>>,
    filters: Mutex<Compiled>,
    /// What groups have acknowledged; as stored.
    progress: Mutex<Progress>,
    /// How long a consumer may hold a record before it is delivered again.
    visibility: Duration,
}

impl Topics {
    pub(super) fn new(set: TopicSet, progress: Progress, visibility: Duration) -> Self {
        Self {
            set: RwLock::new(Arc::new(set)),
            groups: Mutex::default(),
            progress: Mutex::new(progress),
            filters: Mutex::default(),
            visibility,
        }
    }

    pub(super) fn set(&self) -> Arc<TopicSet> {
        Arc::clone(&self.set.read())
    }

    /// Under the commit lock, after the commit.
    pub(super) fn replace(&self, set: TopicSet) {
        *self.set.write() = Arc::new(set);
    }
}

impl Inner {
    /// Writes the records of `changes`, on the connection and in the transaction that wrote the rows.
    ///
    /// # Errors
    /// As the write itself may fail; it must be rolled back then.
    pub(super) fn publish(&self, db: &Db, changes: &[RowChange]) -> SqlResult<()> {
        let topics = self.topics.set();
        if changes.is_empty() || !topics.feeds_any() {
            return Ok(());
        }
        publish::publish(&db.connection, &topics, &self.filters(&self.catalog()), changes)
    }

    fn filters<'a>(&'a self, catalog: &'a super::catalog::Catalog) -> Filters<'a> {
        Filters { catalog, evaluator: &self.evaluator, limits: &self.limits, kept: &self.topics.filters }
    }

    /// Every group, by topic.
    ///
    /// # Errors
    /// When reading fails.
    pub(super) fn topic_groups(&self) -> SqlResult<Vec<TopicGroup>> {
        let set = self.topics.set();
        let mut groups = self.storage.read(|db| store::groups(&db.connection, &set).map_err(sql_error))?;
        groups.sort_by(|a, b| a.topic_id.cmp(&b.topic_id));
        Ok(groups)
    }

    /// Names of the topics that committed changes may have fed.
    pub(super) fn topics_fed_by(&self, changes: &[RowChange]) -> Vec<Arc<str>> {
        let topics = self.topics.set();
        if !topics.feeds_any() {
            return Vec::new();
        }
        let mut tables = HashSet::new();
        let mut names: Vec<Arc<str>> = Vec::new();
        for change in changes {
            if tables.insert(change.table()) {
                names.extend(topics.fed_by(&change.table_name()).iter().map(|fed| fed.topic.name.clone()));
            }
        }
        names.sort();
        names.dedup();
        names
    }
}

/// How far a group of consumers is in one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TopicGroup {
    pub topic_id: Arc<str>,
    pub group_id: Arc<str>,
    pub partition_id: u32,
    /// `None` when it has acknowledged nothing.
    pub last_acked_offset: Option<i64>,
    /// The offset that the next record will get.
    pub next_offset: i64,
    /// Records that it has not acknowledged.
    pub lag: i64,
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Position {
    /// After the newest record.
    Latest,
    /// At the oldest record that is kept.
    Earliest,
    Offset(u64),
}

/// A wish for records.
#[derive(Debug, Clone)]
pub struct ConsumeRequest {
    /// `namespace.topic`.
    pub topic: String,
    /// Without one, reading begins at `start` each time and nothing is remembered.
    pub group: Option<String>,
    /// Where a group begins that is not known yet.
    pub start: Position,
    /// Most records; 0 only tells where the group is.
    pub limit: u32,
    pub partition: u32,
}

/// One record of a topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicRecord {
    pub offset: i64,
    /// JSON.
    pub payload: Vec<u8>,
    /// The row's primary key as text.
    pub key: Option<String>,
    /// When it was written, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Owner of the row, for USER tables.
    pub user: Option<String>,
    pub op: ChangeKind,
}

/// What there was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Consumed {
    pub records: Vec<TopicRecord>,
    /// After the last of `records`; without any, the first offset that the group has not acknowledged.
    pub next_offset: i64,
    /// There may be more at once.
    pub has_more: bool,
    /// When records that somebody holds are delivered again.
    pub again_at: Option<Instant>,
}
