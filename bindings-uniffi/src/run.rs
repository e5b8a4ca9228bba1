//! Worker loops: what is to be handled is fetched, and answered when it was.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use kalam_bindings::duration;
use kalam_live::{ConsumerRun, Failed, FailedAction, Result, RunOptions, Task, TopicConsumer};

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
    pub(crate) fn checked(self) -> Result<RunOptions> {
        let mut options = RunOptions::default()
            .with_concurrency(self.concurrency as usize)
            .with_max_attempts(self.max_attempts);
        if self.backoff.is_some() || self.max_backoff.is_some() {
            let initial = duration("backoff", self.backoff.unwrap_or(0.25))?;
            let max = duration("maxBackoff", self.max_backoff.unwrap_or(5.0))?;
            options = options.with_backoff(initial, max.max(initial));
        }
        if let Some(topic) = self.dead_letter_topic {
            options = options.with_dead_letter_topic(topic);
        }
        if self.asks {
            // Only that it is there counts: the language decides, in `decide`.
            options = options.with_on_failed(async |_| None);
        }
        Ok(options)
    }
}

/// What becomes of a record that failed.
#[derive(uniffi::Enum)]
pub enum NativeFailedAction {
    Hold,
    Skip,
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
    run: ConsumerRun,
    /// To be decided about, by offset.
    failed: Mutex<HashMap<u64, Failed>>,
    ending: Ending,
}

impl NativeRun {
    pub(crate) fn start(
        consumer: &TopicConsumer,
        options: &RunOptions,
    ) -> std::result::Result<Self, NativeError> {
        let run = ConsumerRun::start(consumer, options)?;
        Ok(Self { run, failed: Mutex::default(), ending: Ending::default() })
    }

    fn failed(&self) -> MutexGuard<'_, HashMap<u64, Failed>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[uniffi::export]
impl NativeRun {
    /// Waits until there is something to take, or the loop has ended.
    pub async fn ready(&self) {
        poll_fn(|cx| if self.ending.poll(cx).is_ready() { Poll::Ready(()) } else { self.run.poll_ready(cx) })
            .await;
    }

    /// What there is to do now.
    pub fn take(&self) -> NativeTasks {
        let taken = self.run.take(256);
        let records = taken.iter().map(|task| match task {
            Task::Handle(job) => &*job.record,
            Task::Failed(failed) => &*failed.record,
        });
        let records = records.collect();
        let tasks = taken.into_iter().map(|task| match task {
            Task::Handle(job) => NativeTask { attempt: job.attempt, failed_with: None },
            Task::Failed(failed) => {
                let task = NativeTask { attempt: failed.attempts, failed_with: Some(failed.error.clone()) };
                self.failed().insert(failed.record.offset, failed);
                task
            }
        });
        NativeTasks { tasks: tasks.collect(), records }
    }

    /// The record at this offset was handled, or the attempt failed.
    pub fn handled(&self, offset: u64, error: Option<String>) {
        self.run.handled(offset, error.map_or(Ok(()), Err));
    }

    /// What becomes of the record at this offset that failed; `None`: what happens without asking.
    pub fn decide(&self, offset: u64, action: Option<NativeFailedAction>) {
        let failed = self.failed().remove(&offset);
        if let Some(failed) = failed {
            self.run.decide(
                failed,
                action.map(|action| match action {
                    NativeFailedAction::Hold => FailedAction::Hold,
                    NativeFailedAction::Skip => FailedAction::Skip,
                }),
            );
        }
    }

    /// Begins nothing more; ends when what runs is answered and committed.
    pub fn stop(&self) {
        self.run.stop();
    }

    /// Wakes whoever waits, now and later.
    pub fn end(&self) {
        self.ending.come();
    }

    /// What the loop did, once it has ended; throws what has ended it.
    pub fn outcome(&self) -> std::result::Result<Option<NativeSummary>, NativeError> {
        let Some(outcome) = self.run.outcome() else { return Ok(None) };
        let summary = outcome?;
        Ok(Some(NativeSummary { handled: summary.handled, failed: summary.failed }))
    }
}
