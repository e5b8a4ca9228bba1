//! The steps about consumers of topics.

use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kalam_live::{
    AutoOffsetReset, ConsumerRecord, FailedAction, KalamClient, Row, RunOptions, TopicConsumer,
};
use serde_json::{Value as Json, json};

use crate::cells::cells;
use crate::player::{Done, equal};
use crate::scenario::Step;

/// The consumers of one scenario, by name.
#[derive(Default)]
pub(crate) struct Consumers(HashMap<String, Member>);

struct Member {
    consumer: TopicConsumer,
    /// What it was given, by offset.
    given: HashMap<u64, ConsumerRecord>,
}

impl Consumers {
    pub(crate) fn knows(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn get(&mut self, name: &str) -> Result<&mut Member, String> {
        self.0.get_mut(name).ok_or_else(|| format!("no consumer is called {name}"))
    }

    pub(crate) async fn play(&mut self, client: &KalamClient, step: &Step) -> Done {
        let name = step.text(&step.what)?;
        match step.what.as_str() {
            "consumer" => {
                let member = Member { consumer: open(client, step)?, given: HashMap::new() };
                self.0.insert(name.to_owned(), member);
                Ok(())
            }
            "poll" => poll(self.get(name)?, step).await,
            "iterate" => iterate(self.get(name)?, client, step).await,
            "mark" => mark(self.get(name)?, step),
            "commit" => {
                let done = self.get(name)?.consumer.commit_sync().await?;
                let ours = json!({ "next_offset": done.next_offset, "held_back": done.held_back });
                among("commit", &ours, step)
            }
            "commit_later" => {
                self.get(name)?.consumer.commit_async();
                Ok(())
            }
            "seek" => Ok(self.get(name)?.consumer.seek(number(step.get("to"))?).await?),
            "position" => equal("position", &json!(self.get(name)?.consumer.position()), field(step, "is")?),
            "offsets" => {
                let offsets = self.get(name)?.consumer.offsets();
                let ours = json!({
                    "position": offsets.position,
                    "committed": offsets.committed,
                    "held_back": offsets.held_back,
                    "unfinished": offsets.unfinished,
                });
                equal("offsets", &ours, field(step, "are")?)
            }
            "run" => run(self.get(name)?, step).await,
            "close" => Ok(self.get(name)?.consumer.close().await?),
            other => Err(format!("there is no step called {other}").into()),
        }
    }
}

fn field<'a>(step: &'a Step, name: &str) -> Result<&'a Json, String> {
    step.get(name).ok_or_else(|| format!("{step} needs {name}"))
}

fn number(value: Option<&Json>) -> Result<u64, String> {
    value.and_then(Json::as_u64).ok_or_else(|| "a number is missing".to_owned())
}

/// Compares those of our fields that the step names.
fn among(what: &str, ours: &Json, step: &Step) -> Done {
    for (name, value) in ours.as_object().into_iter().flatten() {
        if let Some(expected) = step.get(name) {
            equal(&format!("{name} of {what}"), value, expected)?;
        }
    }
    Ok(())
}

fn option<'a>(step: &'a Step, name: &str) -> Option<&'a Json> {
    step.get("options").and_then(|options| options.get(name))
}

fn seconds(value: &Json) -> Result<Duration, String> {
    value.as_f64().map(Duration::from_secs_f64).ok_or_else(|| format!("{value} is no number of seconds"))
}

fn open(client: &KalamClient, step: &Step) -> Done<TopicConsumer> {
    let mut builder = client.consumer().topic(step.text("topic")?).group_id(step.text("group")?);
    if let Some(start) = option(step, "start") {
        builder = builder.auto_offset_reset(match start.as_str() {
            Some("earliest") => AutoOffsetReset::Earliest,
            Some("latest") => AutoOffsetReset::Latest,
            _ => AutoOffsetReset::Offset(number(Some(start))?),
        });
    }
    if let Some(partition) = option(step, "partition") {
        builder = builder.partition_id(number(Some(partition))? as u32);
    }
    if let Some(most) = option(step, "max_poll_records") {
        builder = builder.max_poll_records(number(Some(most))? as usize);
    }
    if let Some(enabled) = option(step, "auto_commit").and_then(Json::as_bool) {
        builder = builder.enable_auto_commit(enabled);
    }
    if let Some(interval) = option(step, "auto_commit_interval") {
        builder = builder.auto_commit_interval(seconds(interval)?);
    }
    if let Some(timeout) = option(step, "poll_timeout") {
        builder = builder.poll_timeout(seconds(timeout)?);
    }
    Ok(builder.build()?)
}

/// Polls until there are as many records as there must be.
async fn poll(member: &mut Member, step: &Step) -> Done {
    let expected = step.list("records").unwrap_or_default();
    let timeout = step.get("timeout").map(seconds).transpose()?;
    let mut records = Vec::new();
    loop {
        records.extend(match timeout {
            Some(timeout) => member.consumer.poll_with_timeout(timeout).await?,
            None => member.consumer.poll().await?,
        });
        if records.len() >= expected.len() {
            break;
        }
    }
    compare(&records, expected)?;
    member.given.extend(records.into_iter().map(|record| (record.offset, record)));
    Ok(())
}

/// A loop over the records, which is left at the last of them, so that this one is not finished; or which ends there, with
/// its client.
async fn iterate(member: &mut Member, client: &KalamClient, step: &Step) -> Done {
    let expected = step.list("records")?;
    let closes_client = step.get("closes_client").is_some();
    let mut records = Vec::new();
    while let Some(record) = member.consumer.next_record().await? {
        records.push(record);
        if records.len() == expected.len() {
            if !closes_client {
                break;
            }
            client.close().await;
        }
    }
    compare(&records, expected)?;
    Ok(member.consumer.close().await?)
}

fn mark(member: &Member, step: &Step) -> Done {
    for offset in step.list("offsets")? {
        let offset = number(Some(offset))?;
        let record = member.given.get(&offset).ok_or_else(|| format!("{offset} was not given"))?;
        member.consumer.mark_processed(record);
    }
    Ok(())
}

/// Cells without a scheme of columns: every integer is a number.
fn plain(row: &Row) -> Done<Vec<Json>> {
    let mut cells = cells(row)?;
    for (cell, value) in cells.iter_mut().zip(row.values()) {
        if let Some(number) = value.as_int() {
            *cell = json!(number);
        }
    }
    Ok(cells)
}

/// Compares what is named of each record.
fn compare(records: &[ConsumerRecord], expected: &[Json]) -> Done {
    let offsets: Vec<u64> = records.iter().map(|record| record.offset).collect();
    if records.len() != expected.len() {
        return Err(format!("the records are {offsets:?}, not {}", json!(expected)).into());
    }
    for (record, expected) in records.iter().zip(expected) {
        let (row, unfit) = match record.row() {
            Ok(row) => (row, false),
            Err(_) => (None, true),
        };
        let ours = json!({
            "topic": &*record.topic,
            "partition": record.partition,
            "offset": record.offset,
            "op": record.op.as_str(),
            "key": record.key.as_deref(),
            "user": record.user.as_deref(),
            "row": row.map(|row| plain(&row)).transpose()?,
            "problem": record.problem.is_some() || unfit,
        });
        for (name, value) in expected.as_object().ok_or("a record is an object".to_owned())? {
            equal(&format!("{name} of {}", record.offset), &ours[name], value)?;
        }
    }
    Ok(())
}

/// What the handlers of a worker loop have seen.
#[derive(Default)]
struct Seen {
    handled: Vec<String>,
    failed: u64,
    attempts: u64,
}

fn locked(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A worker loop, stopped when so many records were handled and have failed as there must be.
async fn run(member: &Member, step: &Step) -> Done {
    let fails = step.list("fails").unwrap_or_default().to_vec();
    let decisions = step.get("on_failed").cloned().unwrap_or_default();
    let count = |name: &str| step.get(name).and_then(Json::as_u64).unwrap_or(0);
    let whole = count("handled") + count("failed");
    let mut options = RunOptions::default().with_backoff(Duration::from_millis(1), Duration::from_millis(5));
    if let Some(concurrency) = option(step, "concurrency") {
        options = options.with_concurrency(number(Some(concurrency))? as usize);
    }
    if let Some(attempts) = option(step, "max_attempts") {
        options = options.with_max_attempts(number(Some(attempts))? as u32);
    }
    if let Some(topic) = option(step, "dead_letter_topic").and_then(Json::as_str) {
        options = options.with_dead_letter_topic(topic);
    }
    let seen: Arc<Mutex<Seen>> = Arc::default();
    let see = {
        let (seen, stop) = (seen.clone(), options.stop());
        move |what: &dyn Fn(&mut Seen)| {
            let mut seen = locked(&seen);
            what(&mut seen);
            if seen.handled.len() as u64 + seen.failed >= whole {
                stop.stop();
            }
        }
    };
    options = options.with_on_failed({
        let see = see.clone();
        move |told| {
            see(&|seen| seen.failed += 1);
            ready(match decisions[told.record.key.as_deref().unwrap_or_default()].as_str() {
                Some("skip") => Some(FailedAction::Skip),
                Some("hold") => Some(FailedAction::Hold),
                _ => None,
            })
        }
    });
    let handler = async |record: Arc<ConsumerRecord>| {
        let key = record.key.as_deref().unwrap_or_default();
        locked(&seen).attempts += 1;
        if fails.contains(&json!(key)) {
            return Err("on purpose");
        }
        see(&|seen| seen.handled.push(key.to_owned()));
        Ok(())
    };
    let summary = member.consumer.run(handler, options).await?;
    let mut seen = locked(&seen);
    // Those of different keys come in any order.
    seen.handled.sort();
    let ours = json!({
        "handled": summary.handled,
        "failed": summary.failed,
        "attempts": seen.attempts,
        "keys": seen.handled,
    });
    among("run", &ours, step)
}
