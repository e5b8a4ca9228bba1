//! What topics there are, and which tables feed them. Immutable snapshots; a DDL statement makes the next one.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::engine::{ChangeKind, SqlError, error::SqlResult};

/// What a record holds of its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Payload {
    /// The primary key.
    Key,
    /// The whole row.
    Full,
    /// The key, the columns that changed, and under `_old` what they were.
    Diff,
}

impl Payload {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Full => "full",
            Self::Diff => "diff",
        }
    }

    pub(crate) fn parse(name: &str) -> Option<Self> {
        [Self::Key, Self::Full, Self::Diff].into_iter().find(|p| p.name().eq_ignore_ascii_case(name))
    }
}

/// How long records are kept; `None` does not end it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Retention {
    pub(crate) seconds: Option<i64>,
    /// Of payloads, in each partition.
    pub(crate) max_bytes: Option<i64>,
}

impl Retention {
    pub(crate) const NONE: Self = Self { seconds: None, max_bytes: None };
}

/// Recorded in `wire/topics.jsonl`: a week, a gigabyte.
impl Default for Retention {
    fn default() -> Self {
        Self { seconds: Some(7 * 24 * 3600), max_bytes: Some(1 << 30) }
    }
}

/// Which changes of a table become records.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Route {
    /// `namespace.table`: a table that is dropped and made again goes on feeding the topic.
    pub(crate) table: Arc<str>,
    pub(crate) op: Op,
    pub(crate) filter: Option<String>,
    pub(crate) payload: Payload,
}

/// [`ChangeKind`] as it is stored and shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Op {
    Insert,
    Update,
    Delete,
}

impl From<ChangeKind> for Op {
    fn from(kind: ChangeKind) -> Self {
        match kind {
            ChangeKind::Insert => Self::Insert,
            ChangeKind::Update => Self::Update,
            ChangeKind::Delete => Self::Delete,
        }
    }
}

impl From<Op> for ChangeKind {
    fn from(op: Op) -> Self {
        match op {
            Op::Insert => Self::Insert,
            Op::Update => Self::Update,
            Op::Delete => Self::Delete,
        }
    }
}

impl Op {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Topic {
    /// Never used again, so that nothing of a dropped topic belongs to another of its name.
    #[serde(skip)]
    pub(crate) id: i64,
    /// `namespace.topic`, which is what the wire calls `topic_id`.
    pub(crate) name: Arc<str>,
    pub(crate) partitions: u32,
    pub(crate) retention: Retention,
    pub(crate) routes: Vec<Route>,
    /// Microseconds since the epoch.
    pub(crate) created_at: i64,
    pub(crate) updated_at: i64,
}

impl Topic {
    pub(crate) fn is_in(&self, namespace: &str) -> bool {
        self.name.split_once('.').is_some_and(|(own, _)| own == namespace)
    }
}

/// A topic's route, found by its table.
#[derive(Debug, Clone)]
pub(crate) struct Fed {
    pub(crate) topic: Arc<Topic>,
    pub(crate) route: usize,
}

impl Fed {
    pub(crate) fn route(&self) -> &Route {
        &self.topic.routes[self.route]
    }
}

/// All topics at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct TopicSet {
    by_name: BTreeMap<Arc<str>, Arc<Topic>>,
    by_table: HashMap<Arc<str>, Vec<Fed>>,
}

impl TopicSet {
    pub(crate) fn new(topics: impl IntoIterator<Item = Topic>) -> Self {
        let by_name = topics.into_iter().map(|topic| (topic.name.clone(), Arc::new(topic))).collect();
        Self { by_name, by_table: HashMap::new() }.indexed()
    }

    fn indexed(mut self) -> Self {
        self.by_table.clear();
        for topic in self.by_name.values() {
            for (route, Route { table, .. }) in topic.routes.iter().enumerate() {
                let fed = self.by_table.entry(table.clone()).or_default();
                fed.push(Fed { topic: Arc::clone(topic), route });
            }
        }
        self
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.by_name.values()
    }

    /// The name of a topic that is stored by its number.
    pub(crate) fn name_of(&self, id: i64) -> Option<Arc<str>> {
        self.iter().find(|topic| topic.id == id).map(|topic| topic.name.clone())
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<Topic>> {
        self.by_name.get(name)
    }

    /// # Errors
    /// `NOT_FOUND`, as recorded in `wire/topics.jsonl`.
    pub(crate) fn find(&self, name: &str) -> SqlResult<&Arc<Topic>> {
        self.get(name)
            .ok_or_else(|| SqlError::new("NOT_FOUND", 404, format!("Topic '{name}' does not exist")))
    }

    pub(crate) fn feeds_any(&self) -> bool {
        !self.by_table.is_empty()
    }

    /// What the changes of a table, `namespace.table`, feed.
    pub(crate) fn fed_by(&self, table: &str) -> &[Fed] {
        self.by_table.get(table).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn with(&self, topic: Topic) -> Self {
        let mut next = self.clone();
        next.by_name.insert(topic.name.clone(), Arc::new(topic));
        next.indexed()
    }

    pub(crate) fn without(&self, gone: impl Fn(&Topic) -> bool) -> Self {
        let mut next = self.clone();
        next.by_name.retain(|_, topic| !gone(topic));
        next.indexed()
    }
}
