//! Statements about topics, and the system tables that show them.

use std::sync::Arc;

use serde_json::json;

use super::{
    ConsumeRequest, Topics,
    definition::{Op, Retention, Route, Topic, TopicSet},
    store,
};
use crate::engine::{
    Caller, Cell, ChangeKind, Column, DataType, Flags, Inner, SqlError,
    catalog::DEFAULT_NAMESPACE,
    error::SqlResult,
    sql::{
        names,
        topics::{Source, TopicStatement},
    },
    storage::{Db, sql_error},
    time,
};

const MAX_PARTITIONS: u32 = 1024;
const MAX_NAME: usize = 256;

/// What a statement gave: a sentence, or rows.
pub(in crate::engine) enum Outcome {
    Message(String),
    Rows(Arc<[Column]>, Vec<Vec<Cell>>),
}

impl Inner {
    /// Runs a statement outside of any transaction. The caller's role was not checked.
    pub(in crate::engine) fn topic_statement(
        &self,
        caller: &Caller,
        namespace: &str,
        statement: &TopicStatement,
    ) -> SqlResult<Outcome> {
        let done = match statement {
            TopicStatement::Consume(_) | TopicStatement::Ack { .. } | TopicStatement::Reset { .. } => {
                super::consume::check_role(caller.role)?;
                self.group_statement(statement)
            }
            _ => {
                crate::engine::accounts::require_admin(caller, "topic operations")?;
                self.topic_ddl(namespace, statement).map(Outcome::Message)
            }
        };
        // In statements, errors have the codes of statements.
        done.map_err(|error| match error.code {
            "NOT_FOUND" => SqlError::execution(format!("Not found: {}", error.message)),
            "INVALID_INPUT" => SqlError::execution(format!("Invalid operation: {}", error.message)),
            _ => error,
        })
    }

    fn group_statement(&self, statement: &TopicStatement) -> SqlResult<Outcome> {
        Ok(match statement {
            TopicStatement::Consume(wish) => {
                let request = ConsumeRequest {
                    topic: wish.topic.clone(),
                    group: wish.group.clone(),
                    start: wish.start,
                    limit: wish.limit,
                    partition: wish.partition,
                };
                let records = self.consume(&request)?.records;
                // Recorded: who reads by SQL has no other moment to acknowledge. But not what another of the group still holds,
                // which KalamDB passes: what lies behind that is delivered again.
                if let Some(group) = &wish.group {
                    let base = self.consume(&ConsumeRequest { limit: 0, ..request })?.next_offset;
                    let offsets = records.iter().map(|record| record.offset).zip(base..);
                    let gives = |(own, next): &(i64, i64)| self.holes.topics || own == next;
                    let upto = offsets.take_while(gives).map(|(own, _)| own).last();
                    if let Some(upto) = upto {
                        self.acknowledge(&wish.topic, group, wish.partition, upto.unsigned_abs())?;
                    }
                }
                let partition = Cell::Int(i64::from(wish.partition));
                let optional = |text: Option<String>| text.map_or(Cell::Null, |t| Cell::Text(t.into()));
                let rows = records.into_iter().map(|record| {
                    vec![
                        Cell::Text(wish.topic.as_str().into()),
                        partition.clone(),
                        Cell::BigInt(record.offset),
                        optional(record.key),
                        Cell::Bytes(record.payload.into()),
                        Cell::BigInt(record.timestamp_ms),
                        optional(record.user),
                        Cell::Text(Op::from(record.op).name().into()),
                    ]
                });
                Outcome::Rows(consume_columns(), rows.collect())
            }
            TopicStatement::Ack { topic, group, partition, upto } => {
                self.acknowledge(topic, group, *partition, *upto)?;
                Outcome::Message(format!("Acknowledged '{topic}' for group '{group}' up to offset {upto}"))
            }
            TopicStatement::Reset { topic, group, partition, to } => {
                let at = self.reset_group(topic, group, *partition, *to)?;
                Outcome::Message(format!("Reset group '{group}' on topic '{topic}' to offset {at}"))
            }
            _ => return Err(SqlError::internal("not a statement about groups")),
        })
    }

    fn topic_ddl(&self, namespace: &str, statement: &TopicStatement) -> SqlResult<String> {
        let mut writer = self.storage.write();
        let set = self.topics.set();
        writer.begin()?;
        let next = self.apply(&writer.db, &set, namespace, statement);
        let (message, next) = match next {
            Ok(done) => done,
            Err(error) => {
                writer.rollback();
                return Err(error);
            }
        };
        writer.commit()?;
        if let Some(next) = next {
            self.topics.replace(next);
        }
        Ok(message)
    }

    fn apply(
        &self,
        db: &Db,
        set: &TopicSet,
        namespace: &str,
        statement: &TopicStatement,
    ) -> SqlResult<(String, Option<TopicSet>)> {
        let connection = &db.connection;
        Ok(match statement {
            TopicStatement::Create { topic, if_not_exists, partitions, retention } => {
                if set.get(topic).is_some() {
                    let message = format!("Topic '{topic}' already exists");
                    if *if_not_exists {
                        return Ok((message, None));
                    }
                    return Err(SqlError::execution(format!("Already exists: {message}")));
                }
                let mut new = self.new_topic(topic, *partitions, *retention)?;
                store::add(connection, &mut new).map_err(sql_error)?;
                let message = format!("Created topic '{topic}' with {partitions} partition(s)");
                (message, Some(set.with(new)))
            }
            TopicStatement::Drop { topic, if_exists: true } if set.get(topic).is_none() => {
                (format!("Topic '{topic}' does not exist (skipped)"), None)
            }
            TopicStatement::Drop { topic, .. } => {
                let id = set.find(topic)?.id;
                store::remove(connection, id).map_err(sql_error)?;
                (format!("Dropped topic '{topic}'"), Some(set.without(|t| t.id == id)))
            }
            TopicStatement::Clear { topic } => {
                let count = store::clear(connection, set.find(topic)?.id).map_err(sql_error)?;
                (format!("Cleared topic '{topic}': {count} record(s) removed"), None)
            }
            TopicStatement::AddSource { topic, source } => {
                let mut new = Topic::clone(set.find(topic)?);
                let route = self.new_route(namespace, source)?;
                let message = format!(
                    "Added source {} ON {} to topic '{topic}'",
                    route.table,
                    match source.op {
                        ChangeKind::Insert => "Insert",
                        ChangeKind::Update => "Update",
                        ChangeKind::Delete => "Delete",
                    }
                );
                if new
                    .routes
                    .iter()
                    .any(|r| r.table == route.table && r.op == route.op && r.filter == route.filter)
                {
                    return Err(SqlError::execution(format!(
                        "Already exists: topic '{topic}' has this source already"
                    )));
                }
                new.routes.push(route);
                (message, Some(altered(connection, set, new)?))
            }
            TopicStatement::DropSource { topic, table, op } => {
                let mut new = Topic::clone(set.find(topic)?);
                let (namespace, table) = names::table(table, namespace)?;
                let table = format!("{namespace}.{table}");
                let before = new.routes.len();
                new.routes.retain(|r| *r.table != *table || op.is_some_and(|op| Op::from(op) != r.op));
                if new.routes.len() == before {
                    return Err(SqlError::execution(format!(
                        "Not found: topic '{topic}' has no such source {table}"
                    )));
                }
                (format!("Dropped source {table} of topic '{topic}'"), Some(altered(connection, set, new)?))
            }
            TopicStatement::SetRetention { topic, retention } => {
                let mut new = Topic::clone(set.find(topic)?);
                new.retention = *retention;
                (format!("Retention of topic '{topic}' updated"), Some(altered(connection, set, new)?))
            }
            TopicStatement::Consume(_) | TopicStatement::Ack { .. } | TopicStatement::Reset { .. } => {
                return Err(SqlError::internal("not a definition of a topic"));
            }
        })
    }

    fn new_topic(&self, name: &str, partitions: u32, retention: Retention) -> SqlResult<Topic> {
        let invalid = |what: String| SqlError::execution(format!("Invalid operation: {what}"));
        let Some((namespace, own)) = name.split_once('.') else {
            return Err(invalid(format!("a topic is named with its namespace: {DEFAULT_NAMESPACE}.{name}")));
        };
        names::check("topic", own)?;
        if name.len() > MAX_NAME {
            return Err(invalid(format!("the name of the topic is longer than {MAX_NAME} bytes")));
        }
        if !self.catalog().namespaces.contains_key(namespace) {
            return Err(SqlError::execution(format!("Not found: Namespace '{namespace}' not found")));
        }
        if !(1..=MAX_PARTITIONS).contains(&partitions) {
            return Err(invalid(format!("a topic has 1 to {MAX_PARTITIONS} partitions")));
        }
        let now = time::now_micros();
        Ok(Topic {
            id: 0,
            name: name.into(),
            partitions,
            retention,
            routes: Vec::new(),
            created_at: now,
            updated_at: now,
        })
    }

    /// Checks the table and the filter.
    fn new_route(&self, namespace: &str, source: &Source) -> SqlResult<Route> {
        let (namespace, name) = names::table(&source.table, namespace)?;
        let catalog = self.catalog();
        let table = catalog
            .table(&namespace, &name)
            .ok_or_else(|| SqlError::execution(format!("Not found: Table not found: {namespace}:{name}")))?;
        if let Some(filter) = &source.filter {
            self.filters(&catalog).compile(table, filter).map_err(|e| {
                SqlError::execution(format!("the filter of the source can not be used: {}", e.message))
            })?;
        }
        Ok(Route {
            table: table.qualified().into(),
            op: source.op.into(),
            filter: source.filter.clone(),
            payload: source.payload,
        })
    }
}

fn altered(connection: &rusqlite::Connection, set: &TopicSet, mut topic: Topic) -> SqlResult<TopicSet> {
    topic.updated_at = time::now_micros();
    store::update(connection, &topic).map_err(sql_error)?;
    Ok(set.with(topic))
}

/// Removes the topics of a namespace that is dropped; `None` when it has none.
pub(in crate::engine) fn remove_namespace(
    db: &Db,
    set: &TopicSet,
    namespace: &str,
) -> SqlResult<Option<TopicSet>> {
    let mut any = false;
    for topic in set.iter().filter(|topic| topic.is_in(namespace)) {
        store::remove(&db.connection, topic.id).map_err(sql_error)?;
        any = true;
    }
    Ok(any.then(|| set.without(|topic| topic.is_in(namespace))))
}

/// Recorded in `wire/topics.jsonl`.
fn consume_columns() -> Arc<[Column]> {
    let columns = [
        ("topic_id", DataType::Text, Flags::KEY),
        ("partition_id", DataType::Int, Flags::KEY),
        ("offset", DataType::BigInt, Flags::KEY),
        ("key", DataType::Text, Flags::NONE),
        ("payload", DataType::Bytes, Flags::NOT_NULL),
        ("timestamp_ms", DataType::BigInt, Flags::NOT_NULL),
        ("user_id", DataType::Text, Flags::NONE),
        ("op", DataType::Text, Flags::NOT_NULL),
    ];
    let column = |(index, (name, data_type, flags)): (u32, (&str, DataType, Flags))| Column {
        name: name.into(),
        data_type,
        index,
        flags,
    };
    (0..).zip(columns).map(column).collect()
}

/// Rows of `system.topics`. Its times are milliseconds, as recorded.
pub(in crate::engine) fn topic_rows(topics: &Topics) -> Vec<Vec<Cell>> {
    let number = |value: Option<i64>| value.map_or(Cell::Null, Cell::BigInt);
    let row = |topic: &Arc<Topic>| {
        let routes: Vec<serde_json::Value> = topic
            .routes
            .iter()
            .map(|r| {
                json!({"table_id": r.table, "op": r.op.name(), "payload_mode": r.payload.name(),
                       "filter_expr": r.filter, "partition_key_expr": null})
            })
            .collect();
        vec![
            Cell::Text(topic.name.clone()),
            Cell::Text(topic.name.clone()),
            Cell::Null,
            Cell::Int(i64::from(topic.partitions)),
            number(topic.retention.seconds),
            number(topic.retention.max_bytes),
            Cell::Json(serde_json::Value::from(routes).to_string().into()),
            Cell::Timestamp(topic.created_at / 1000),
            Cell::Timestamp(topic.updated_at / 1000),
        ]
    };
    topics.set().iter().map(row).collect()
}

/// Rows of `system.topic_offsets`: every group that has acknowledged something. Its times are milliseconds, as recorded.
pub(in crate::engine) fn offset_rows(topics: &Topics) -> Vec<Vec<Cell>> {
    let set = topics.set();
    let progress = topics.progress.lock();
    let rows = progress.iter().filter_map(|((topic, group, partition), (acked, updated_ms))| {
        Some(vec![
            Cell::Text(set.name_of(*topic)?),
            Cell::Text(group.clone()),
            Cell::Int(i64::from(*partition)),
            Cell::BigInt(*acked),
            Cell::Timestamp(*updated_ms),
        ])
    });
    rows.collect()
}
