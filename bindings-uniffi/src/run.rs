//! Worker loops: what is to be handled is fetched, and answered when it was.

use std::future::poll_fn;
use std::task::Poll;

use kalam_bindings::{Taken, WorkItem, WorkStream, WorkerOptions, duration};
use kalam_live::{Result, TopicConsumer};

use crate::consumer::Records;
use crate::ending::Ending;
use crate::error::NativeError;

/// How a worker loop works. Times are in seconds; the time of one attempt is kept by the language.
#[derive(uniffi::Record)]
pub struct Running {
    pub concurrency: u32,
    pub max_attempts: u32,
    pub backoff: Option<f64>,
    pub max_backoff: Option<f64>,
    pub dead_letter_topic: Option<String>,
    /// Whether the user decides about failures.
    pub asks: bool,
}

impl Running {
    fn checked(self) -> Result<WorkerOptions> {
        Ok(WorkerOptions {
            concurrency: Some(self.concurrency as usize),
            max_attempts: Some(self.max_attempts),
            backoff: self.backoff.map(|time| duration("backoff", time)).transpose()?,
            max_backoff: self.max_backoff.map(|time| duration("maxBackoff", time)).transpose()?,
            dead_letter_topic: self.dead_letter_topic,
            on_failed: self.asks,
        })
    }
}

/// Something for the user's code; the record is the one of the same place in `records`.
#[derive(uniffi::Record)]
pub struct NativeTask {
    /// The attempt at the record, from 1; of one that failed how many there were.
    pub attempt: u32,
    /// What the last attempt failed with, of a record that failed as often as it may.
    pub failed_with: Option<String>,
}

/// What there is to do.
#[derive(uniffi::Record)]
pub struct NativeTasks {
    pub tasks: Vec<NativeTask>,
    pub records: Records,
}

/// What a worker loop did.
#[derive(uniffi::Record)]
pub struct NativeSummary {
    pub handled: u64,
    pub failed: u64,
}

/// A running worker loop.
#[derive(uniffi::Object)]
pub struct NativeRun {
    work: WorkStream,
    ending: Ending,
}

impl NativeRun {
    pub(crate) fn start(consumer: &TopicConsumer, options: Running) -> Result<Self, NativeError> {
        let work = WorkStream::start(consumer, options.checked()?)?;
        Ok(Self { work, ending: Ending::default() })
    }
}

#[uniffi::export]
impl NativeRun {
    /// Waits until there is something to take, or the loop has ended.
    pub async fn ready(&self) {
        poll_fn(
            |cx| if self.ending.poll(cx).is_ready() { Poll::Ready(()) } else { self.work.poll_ready(cx) },
        )
        .await;
    }

    /// What there is to do now; nothing when the loop has ended. Throws what has ended it.
    pub fn take(&self) -> Result<Option<NativeTasks>, NativeError> {
        let items = match self.work.take(256)? {
            Taken::Item(items) => items,
            Taken::Nothing => Vec::new(),
            Taken::Ended => return Ok(None),
        };
        let records = items.iter().map(|item| &*item.record).collect();
        let told = |item: &WorkItem| NativeTask { attempt: item.attempt, failed_with: item.error.clone() };
        Ok(Some(NativeTasks { tasks: items.iter().map(told).collect(), records }))
    }

    /// The record at this offset was handled, or the attempt failed.
    pub fn handled(&self, offset: u64, error: Option<String>) {
        self.work.handled(offset, error);
    }

    /// What becomes of the record at this offset that failed: `skip`, `hold`, or what happens without asking.
    pub fn decide(&self, offset: u64, action: Option<String>) {
        self.work.decide(offset, action.as_deref());
    }

    /// Begins nothing more; ends when what runs is answered and committed.
    pub fn stop(&self) {
        self.work.stop();
    }

    /// Wakes whoever waits, now and later.
    pub fn end(&self) {
        self.ending.come();
    }

    /// What the loop did, once it has ended.
    pub fn summary(&self) -> NativeSummary {
        let summary = self.work.summary();
        NativeSummary { handled: summary.handled, failed: summary.failed }
    }
}
