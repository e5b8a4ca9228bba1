//! Consumers of topics and their worker loops, as a binding has checked the types of their options.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use kalam_live::{
    AutoOffsetReset, ConsumerRecord, ConsumerRun, Error, ErrorCode, Failed, FailedAction, KalamClient,
    Result, Row, RunOptions, RunSummary, Task, TopicConsumer,
};

use serde_json::json;

use crate::Taken;
use crate::source::{self, Source, call};

/// What `consumer` takes. What is `None` is as the core has it.
#[derive(Debug)]
#[expect(missing_docs, reason = "each is an option of `ConsumerBuilder`")]
pub struct ConsumerOptions {
    pub topic: String,
    pub group_id: String,
    pub start: Option<AutoOffsetReset>,
    pub partition_id: Option<u32>,
    pub max_poll_records: Option<usize>,
    pub poll_timeout: Option<Duration>,
    pub auto_commit: Option<bool>,
    pub auto_commit_interval: Option<Duration>,
}

impl ConsumerOptions {
    /// The consumer.
    ///
    /// # Errors
    /// `config`, naming the option that is wrong; `closed`.
    pub fn build(self, client: &KalamClient) -> Result<TopicConsumer> {
        let mut builder = client.consumer().topic(self.topic).group_id(self.group_id);
        if let Some(start) = self.start {
            builder = builder.auto_offset_reset(start);
        }
        if let Some(partition) = self.partition_id {
            builder = builder.partition_id(partition);
        }
        if let Some(most) = self.max_poll_records {
            builder = builder.max_poll_records(most);
        }
        if let Some(timeout) = self.poll_timeout {
            builder = builder.poll_timeout(timeout);
        }
        if let Some(enabled) = self.auto_commit {
            builder = builder.enable_auto_commit(enabled);
        }
        if let Some(interval) = self.auto_commit_interval {
            builder = builder.auto_commit_interval(interval);
        }
        builder.build()
    }
}

/// Where a new group begins: `latest`, `earliest` or an offset.
///
/// # Errors
/// `config` for another word.
pub fn offset_reset(text: &str) -> Result<AutoOffsetReset> {
    match text {
        "latest" => Ok(AutoOffsetReset::Latest),
        "earliest" => Ok(AutoOffsetReset::Earliest),
        number => number.parse().map(AutoOffsetReset::Offset).map_err(|_| {
            Error::new(
                ErrorCode::Config,
                format!("option `start`: {number:?} is not 'latest', 'earliest' or an offset"),
            )
        }),
    }
}

/// The row of a record, and what of the record can not be read.
pub fn read_row(record: &ConsumerRecord) -> (Option<Row>, Option<String>) {
    let (row, unfit) = match record.row() {
        Ok(row) => (row, None),
        Err(error) => (None, Some(error.message().to_owned())),
    };
    (row, record.problem.as_deref().map(str::to_owned).or(unfit))
}

/// What `run` takes. What is `None` is as the core has it.
#[derive(Debug, Default)]
#[expect(missing_docs, reason = "each is an option of `RunOptions`")]
pub struct WorkerOptions {
    pub concurrency: Option<usize>,
    pub max_attempts: Option<u32>,
    pub backoff: Option<Duration>,
    /// At least `backoff`, unless it is given.
    pub max_backoff: Option<Duration>,
    pub dead_letter_topic: Option<String>,
    /// Whether the user's code decides about what failed.
    pub on_failed: bool,
}

impl WorkerOptions {
    fn into_run(self) -> RunOptions {
        let mut run = RunOptions::default();
        if let Some(concurrency) = self.concurrency {
            run = run.with_concurrency(concurrency);
        }
        if let Some(attempts) = self.max_attempts {
            run = run.with_max_attempts(attempts);
        }
        if self.backoff.is_some() || self.max_backoff.is_some() {
            let (initial, max) = RunOptions::BACKOFF;
            let initial = self.backoff.unwrap_or(initial);
            run = run.with_backoff(initial, self.max_backoff.unwrap_or(max.max(initial)));
        }
        if let Some(topic) = self.dead_letter_topic {
            run = run.with_dead_letter_topic(topic);
        }
        if self.on_failed {
            // Asked by its own language, so this is never called.
            run = run.with_on_failed(async |_| None);
        }
        run
    }
}

/// A record for the user's code: to handle, or to decide about.
pub struct WorkItem {
    /// The record.
    pub record: Arc<ConsumerRecord>,
    /// Which attempt at it this is, from 1; of one that failed how many there were.
    pub attempt: u32,
    /// What the last attempt failed with, of a record that failed as often as it may.
    pub error: Option<String>,
}

/// A worker loop. Its handlers, and how long they may take, are the binding's.
pub struct WorkStream {
    run: ConsumerRun,
    /// Failures that were handed out, until they are decided about.
    failures: Mutex<HashMap<u64, Failed>>,
}

impl WorkStream {
    /// Begins to handle the records of `consumer`.
    ///
    /// # Errors
    /// `config`, naming the option that is wrong; `invalid_argument` while another loop runs.
    pub fn start(consumer: &TopicConsumer, options: WorkerOptions) -> Result<Self> {
        let run = ConsumerRun::start(consumer, &options.into_run())?;
        Ok(Self { run, failures: Mutex::default() })
    }

    fn failures(&self) -> MutexGuard<'_, HashMap<u64, Failed>> {
        self.failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ready when there is something to do, or it has ended.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.run.poll_ready(cx)
    }

    /// What there is to do now, at most `max`; the end when it has ended well.
    ///
    /// # Errors
    /// What has ended it.
    pub fn take(&self, max: usize) -> Result<Taken<Vec<WorkItem>>> {
        let tasks = self.run.take(max);
        if tasks.is_empty() {
            return match self.run.outcome() {
                Some(outcome) => outcome.map(|_| Taken::Ended),
                None => Ok(Taken::Nothing),
            };
        }
        let items = tasks.into_iter().map(|task| match task {
            Task::Handle(job) => WorkItem { record: job.record, attempt: job.attempt, error: None },
            Task::Failed(failed) => {
                let (record, error) = (failed.record.clone(), failed.error.clone());
                let attempt = failed.attempts;
                self.failures().insert(record.offset, failed);
                WorkItem { record, attempt, error: Some(error) }
            }
        });
        Ok(Taken::Item(items.collect()))
    }

    /// The record at `offset` was handled, or the attempt failed with `error`.
    pub fn handled(&self, offset: u64, error: Option<String>) {
        self.run.handled(offset, error.map_or(Ok(()), Err));
    }

    /// What becomes of the record at `offset`, which failed: `skip`, `hold`, or what happens without asking. With another word
    /// it is held, and the loop ends with `invalid_argument`: a program that is wrong should say so at once, and lose nothing
    /// by it.
    pub fn decide(&self, offset: u64, action: Option<&str>) {
        let Some(failed) = self.failures().remove(&offset) else { return };
        let action = match action {
            None => None,
            Some("skip") => Some(FailedAction::Skip),
            Some("hold") => Some(FailedAction::Hold),
            Some(other) => {
                let message = format!("on_failed gives 'skip', 'hold' or nothing, not {other:?}");
                self.run.fail(Error::new(ErrorCode::InvalidArgument, message));
                Some(FailedAction::Hold)
            }
        };
        self.run.decide(failed, action);
    }

    /// Begins nothing more; ends when what runs is answered and committed.
    pub fn stop(&self) {
        self.run.stop();
    }

    /// Ends at once, waiting for nobody.
    pub fn abort(&self) {
        self.run.abort();
    }

    /// What it did, once it has ended well.
    pub fn summary(&self) -> RunSummary {
        self.run.outcome().and_then(Result::ok).unwrap_or_default()
    }
}

/// A consumer that is shared by the calls of one language. Closed when nobody has it any more.
pub type SharedConsumer = Arc<TopicConsumer>;

/// A consumer for a language that takes packets.
pub struct Consumer(Result<SharedConsumer>);

impl Consumer {
    pub(crate) fn new(consumer: Result<TopicConsumer>) -> Self {
        Self(consumer.map(Arc::new))
    }

    /// Why there is none.
    pub fn failure(&self) -> Option<&Error> {
        self.0.as_ref().err()
    }

    /// Waits for records: packets, and then the end. `take` is told how many at most.
    pub fn poll(&self, timeout: Option<Duration>) -> Box<dyn Source> {
        source::poll(self.0.clone().and_then(|consumer| consumer.polling(timeout)))
    }

    /// The record at this offset is finished.
    pub fn mark(&self, offset: u64) {
        if let Ok(consumer) = &self.0 {
            consumer.mark_offset(offset);
        }
    }

    /// Gives `nextOffset` and `heldBack`.
    pub fn commit(&self) -> Box<dyn Source> {
        let consumer = self.0.clone();
        call(async move {
            let done = consumer?.commit_sync().await?;
            Ok(json!({ "nextOffset": done.next_offset, "heldBack": done.held_back }))
        })
    }

    /// Commits without waiting: a failure is logged, and tried again with the next commit.
    pub fn commit_later(&self) {
        if let Ok(consumer) = &self.0 {
            consumer.commit_async();
        }
    }

    /// Moves the group.
    pub fn seek(&self, offset: u64) -> Box<dyn Source> {
        let consumer = self.0.clone();
        call(async move { consumer?.seek(offset).await })
    }

    /// Commits what may be committed, and ends.
    pub fn close(&self) -> Box<dyn Source> {
        let ended = self.0.as_ref().ok().map(|consumer| consumer.finish(TopicConsumer::CLOSE_PATIENCE));
        call(async move {
            if let Some(ended) = ended {
                ended.await;
            }
            Ok(())
        })
    }

    /// Whether it was closed, or its client.
    pub fn is_closed(&self) -> bool {
        self.0.as_ref().map_or(true, |consumer| consumer.is_closed())
    }

    /// `position`, `committed`, `heldBack` and `unfinished`, as JSON.
    pub fn offsets(&self) -> String {
        let Ok(consumer) = &self.0 else { return "{}".to_owned() };
        let offsets = consumer.offsets();
        json!({
            "position": offsets.position,
            "committed": offsets.committed,
            "heldBack": offsets.held_back,
            "unfinished": offsets.unfinished,
        })
        .to_string()
    }

    /// Begins a worker loop.
    pub fn run(&self, options: Result<WorkerOptions>) -> Work {
        Work(self.0.clone().and_then(|consumer| WorkStream::start(&consumer, options?).map(Arc::new)))
    }
}

/// A worker loop for a language that takes packets: what its handlers say.
pub struct Work(Result<Arc<WorkStream>>);

impl Work {
    /// Waits for what there is to do; the end when the loop has ended.
    pub fn jobs(&self) -> Box<dyn Source> {
        source::jobs(self.0.clone())
    }

    /// See [`WorkStream::handled`].
    pub fn handled(&self, offset: u64, error: Option<String>) {
        if let Ok(work) = &self.0 {
            work.handled(offset, error);
        }
    }

    /// See [`WorkStream::decide`].
    pub fn decide(&self, offset: u64, action: Option<&str>) {
        if let Ok(work) = &self.0 {
            work.decide(offset, action);
        }
    }

    /// Begins nothing more.
    pub fn stop(&self) {
        if let Ok(work) = &self.0 {
            work.stop();
        }
    }

    /// How many records were `handled` and how many `failed`, as JSON.
    pub fn summary(&self) -> String {
        let summary = self.0.as_ref().map(|work| work.summary()).unwrap_or_default();
        json!({ "handled": summary.handled, "failed": summary.failed }).to_string()
    }
}
