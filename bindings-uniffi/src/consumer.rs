//! Consumers of topics.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use kalam_bindings::{Cells, ConsumerOptions, SharedConsumer, call, duration, pack, read_row};
use kalam_live::{AutoOffsetReset, Committed, ConsumerRecord, KalamClient, Polling, Result};
use serde_json::json;

use crate::ending::Ending;
use crate::error::NativeError;
use crate::handle::NativeHandle;
use crate::run::{NativeRun, Running};

/// What a consumer is made from. Times are in seconds.
#[derive(uniffi::Record)]
pub struct Consuming {
    pub topic: String,
    pub group_id: String,
    pub partition_id: u32,
    pub start: Start,
    pub auto_commit: bool,
    pub auto_commit_interval: Option<f64>,
    pub poll_timeout: Option<f64>,
    pub max_poll_records: Option<u32>,
}

impl Consuming {
    fn checked(self) -> Result<ConsumerOptions> {
        let time = |name, seconds: Option<f64>| seconds.map(|seconds| duration(name, seconds)).transpose();
        Ok(ConsumerOptions {
            topic: self.topic,
            group_id: self.group_id,
            start: Some(match self.start {
                Start::Latest => AutoOffsetReset::Latest,
                Start::Earliest => AutoOffsetReset::Earliest,
                Start::Offset { offset } => AutoOffsetReset::Offset(offset),
            }),
            partition_id: Some(self.partition_id),
            max_poll_records: self.max_poll_records.map(|records| records as usize),
            poll_timeout: time("pollTimeout", self.poll_timeout)?,
            auto_commit: Some(self.auto_commit),
            auto_commit_interval: time("autoCommitInterval", self.auto_commit_interval)?,
        })
    }
}

/// Where a new group begins.
#[derive(uniffi::Enum)]
pub enum Start {
    Latest,
    Earliest,
    Offset { offset: u64 },
}

/// One record. Where `has_row`, the next of the rows belongs to it.
#[derive(uniffi::Record)]
pub struct NativeRecord {
    pub topic: String,
    pub partition: u32,
    pub offset: u64,
    pub key: Option<String>,
    pub op: String,
    pub timestamp_ms: i64,
    pub user: Option<String>,
    pub payload: Vec<u8>,
    pub problem: Option<String>,
    pub has_row: bool,
}

/// A packet of rows, and their columns as JSON.
#[derive(uniffi::Record)]
pub struct Piece {
    pub columns: String,
    pub packet: Vec<u8>,
}

/// Records, and the rows of those that have one, in their order.
#[derive(uniffi::Record)]
pub struct Records {
    pub records: Vec<NativeRecord>,
    pub rows: Vec<Piece>,
}

impl<'a> FromIterator<&'a ConsumerRecord> for Records {
    fn from_iter<I: IntoIterator<Item = &'a ConsumerRecord>>(records: I) -> Self {
        let mut rows = Vec::new();
        let mut told = Vec::new();
        for record in records {
            let (row, problem) = read_row(record);
            told.push(NativeRecord {
                topic: record.topic.to_string(),
                partition: record.partition,
                offset: record.offset,
                key: record.key.as_deref().map(str::to_owned),
                op: record.op.as_str().to_owned(),
                timestamp_ms: record.timestamp_ms,
                user: record.user.as_deref().map(str::to_owned),
                payload: record.payload.to_vec(),
                problem,
                has_row: row.is_some(),
            });
            rows.extend(row);
        }
        let rows = pack(&rows, Cells::Typed).into_iter().map(|(columns, packet)| Piece { columns, packet });
        Self { records: told, rows: rows.collect() }
    }
}

/// Where a consumer and its group are.
#[derive(uniffi::Record)]
pub struct NativeOffsets {
    pub position: u64,
    pub committed: u64,
    pub held_back: u64,
    pub unfinished: u64,
}

/// A member of a group.
#[derive(uniffi::Object)]
pub struct NativeConsumer {
    consumer: SharedConsumer,
    most: usize,
}

impl NativeConsumer {
    pub(crate) fn start(client: &KalamClient, options: Consuming) -> Result<Self, NativeError> {
        let options = options.checked()?;
        let most = options.max_poll_records.unwrap_or(100);
        Ok(Self { consumer: Arc::new(options.build(client)?), most })
    }
}

#[uniffi::export]
impl NativeConsumer {
    /// Begins a poll; without a `timeout` the consumer's.
    pub fn poll(&self, timeout: Option<f64>) -> Result<NativePoll, NativeError> {
        let timeout = timeout.map(|timeout| duration("timeout", timeout)).transpose()?;
        Ok(NativePoll {
            polling: self.consumer.polling(timeout)?,
            most: self.most,
            ending: Ending::default(),
        })
    }

    /// The record at this offset is finished.
    pub fn mark(&self, offset: u64) {
        self.consumer.mark_offset(offset);
    }

    /// Gives `{"nextOffset", "heldBack"}`.
    pub fn commit(&self) -> NativeHandle {
        let consumer = self.consumer.clone();
        NativeHandle::new(call(async move {
            let Committed { next_offset, held_back } = consumer.commit_sync().await?;
            Ok(json!({"nextOffset": next_offset, "heldBack": held_back}))
        }))
    }

    pub fn commit_later(&self) {
        self.consumer.commit_async();
    }

    pub fn offsets(&self) -> NativeOffsets {
        let offsets = self.consumer.offsets();
        NativeOffsets {
            position: offsets.position,
            committed: offsets.committed,
            held_back: offsets.held_back,
            unfinished: offsets.unfinished,
        }
    }

    /// Moves the group.
    pub fn seek(&self, offset: u64) -> NativeHandle {
        let consumer = self.consumer.clone();
        NativeHandle::new(call(async move { consumer.seek(offset).await }))
    }

    /// Commits what may be committed, for so many seconds at most, and ends it.
    pub fn finish(&self, patience: f64) -> NativeHandle {
        let ended = duration("patience", patience).map(|patience| self.consumer.finish(patience));
        NativeHandle::new(call(async move {
            ended?.await;
            Ok(())
        }))
    }

    pub fn is_closed(&self) -> bool {
        self.consumer.is_closed()
    }

    /// Begins a worker loop.
    pub fn run(&self, options: Running) -> Result<NativeRun, NativeError> {
        NativeRun::start(&self.consumer, options)
    }
}

/// A poll that was begun. What it waited for is there for the next one when it is given up.
#[derive(uniffi::Object)]
pub struct NativePoll {
    polling: Polling,
    most: usize,
    ending: Ending,
}

#[uniffi::export]
impl NativePoll {
    /// Waits until there are records, an error, or the time is over.
    pub async fn ready(&self) {
        poll_fn(
            |cx| if self.ending.poll(cx).is_ready() { Poll::Ready(()) } else { self.polling.poll_ready(cx) },
        )
        .await;
    }

    /// The records that are there.
    pub fn take(&self) -> Result<Records, NativeError> {
        Ok(self.polling.take(self.most)?.iter().collect())
    }

    /// Gives it up.
    pub fn end(&self) {
        self.polling.close();
        self.ending.come();
    }
}
