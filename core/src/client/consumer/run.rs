//! The worker loop: records out, results in. In steps, so that every language can project it.

use std::fmt;
use std::future::{Future, poll_fn};
use std::hash::{BuildHasher, RandomState};
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::FutureExt;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::dead_letter::DeadLetters;
use super::run_options::{RunOptions, Stop};
use super::{Polling, TopicConsumer};
use crate::consumer::{ConsumerRecord, Failed, FailedAction, Job, Worker, WorkerConfig};
use crate::error::{Error, ErrorCode, Result};
use crate::machine::{Backoff, Time};
use crate::runtime::consumer::SharedConsumer;

/// How long one poll of the loop lasts.
const POLL: Duration = Duration::from_secs(30);
/// The first pause after a poll that failed.
const TROUBLE: Duration = Duration::from_millis(500);

/// Something for the user's code.
#[derive(Clone, Debug)]
pub enum Task {
    /// Handle the record, then say so by [`ConsumerRun::handled`].
    Handle(Job),
    /// The record failed as often as it may. Answered by [`ConsumerRun::decide`].
    Failed(Failed),
}

/// What a worker loop did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunSummary {
    /// Records that were handled.
    pub handled: u64,
    /// Records that failed as often as they may.
    pub failed: u64,
}

/// A running worker loop, in steps: [`poll_ready`](Self::poll_ready) waits and carries no data, [`take`](Self::take)
/// drains, [`handled`](Self::handled) and [`decide`](Self::decide) answer. Dropping it stops the loop; what was taken and
/// not answered is delivered again.
pub struct ConsumerRun {
    shared: Arc<Shared>,
}

struct Shared {
    consumer: Arc<SharedConsumer>,
    state: Mutex<State>,
    /// Wakes the loop's task.
    changed: Notify,
    stop: Stop,
    origin: Instant,
    dead_letters: Option<DeadLetters>,
    /// Whether the user decides about failures.
    asks: bool,
    commit_every: Duration,
    most: usize,
}

struct State {
    worker: Worker,
    /// Waiting for the user's code.
    tasks: Vec<Task>,
    /// Waiting for the dead letter topic.
    dead: Vec<Failed>,
    summary: RunSummary,
    /// Records are being asked for.
    polling: Option<Arc<Polling>>,
    /// What the user's code has ended the loop with.
    failure: Option<Error>,
    /// Who waits for tasks: one for each record that may be handled at the same time, in some languages.
    waiters: Vec<Waker>,
    outcome: Option<Result<RunSummary>>,
}

impl State {
    /// What was not taken yet is not begun.
    fn begin_nothing(&mut self) {
        self.worker.stop();
        let Self { worker, tasks, .. } = self;
        tasks.retain(|task| match task {
            Task::Handle(job) => {
                worker.give_back(job.record.offset);
                false
            }
            Task::Failed(_) => true,
        });
    }
}

impl ConsumerRun {
    /// Begins to handle the records of `consumer`.
    ///
    /// # Errors
    /// `config`, naming the option that is wrong; `invalid_argument` while another loop runs.
    pub fn start(consumer: &TopicConsumer, options: &RunOptions) -> Result<Self> {
        options.check()?;
        let runtime = match &consumer.client.inner.runtime {
            Some(runtime) => runtime.clone(),
            None => Handle::try_current().map_err(|_| {
                Error::new(ErrorCode::Config, "the worker is started outside of a tokio runtime")
            })?,
        };
        let dead_letters = options
            .dead_letter_topic
            .as_deref()
            .map(|name| DeadLetters::new(consumer.client.clone(), name, consumer.group_id()))
            .transpose()?;
        consumer.shared.begin_work()?;
        let most = consumer.config.max_poll_records;
        let worker = Worker::new(WorkerConfig {
            concurrency: options.concurrency,
            max_attempts: options.max_attempts,
            backoff: Backoff { initial: options.backoff.0, max: options.backoff.1, ..Backoff::default() },
            waiting: most * 2,
            seed: RandomState::new().hash_one(std::process::id()),
        });
        let state = State {
            worker,
            tasks: Vec::new(),
            dead: Vec::new(),
            summary: RunSummary::default(),
            polling: None,
            failure: None,
            waiters: Vec::new(),
            outcome: None,
        };
        let shared = Arc::new(Shared {
            consumer: consumer.shared.clone(),
            state: Mutex::new(state),
            changed: Notify::new(),
            stop: options.stop(),
            origin: Instant::now(),
            dead_letters,
            asks: options.on_failed.is_some(),
            commit_every: consumer.config.auto_commit_interval,
            most,
        });
        runtime.spawn(drive(shared.clone()));
        Ok(Self { shared })
    }

    /// Ready when there is something to take, or the loop has ended.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.shared.lock();
        if state.outcome.is_some() || self.shared.has_tasks(&mut state) {
            return Poll::Ready(());
        }
        if !state.waiters.iter().any(|waiter| waiter.will_wake(cx.waker())) {
            state.waiters.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// What there is to do now, at most `most`.
    pub fn take(&self, most: usize) -> Vec<Task> {
        let mut state = self.shared.lock();
        self.shared.has_tasks(&mut state);
        let count = state.tasks.len().min(most);
        state.tasks.drain(..count).collect()
    }

    /// The record at this offset was handled, or the attempt failed.
    pub fn handled(&self, offset: u64, result: std::result::Result<(), String>) {
        let now = self.shared.now();
        let failed = result.is_err();
        let mut state = self.shared.lock();
        if state.worker.handled(now, offset, result) {
            state.summary.handled += 1;
            self.shared.mark(offset);
        }
        self.shared.settle(&mut state);
        // The task is woken for what it has to do, not for each record.
        self.shared.has_tasks(&mut state);
        let wanted = state.polling.is_none() && state.worker.room() >= self.shared.most;
        let busy = failed || wanted || self.shared.stop.is_stopped() || state.worker.is_idle();
        self.shared.wake(state);
        if busy {
            self.shared.changed.notify_one();
        }
    }

    /// What becomes of a record that failed; `None`: what happens without asking.
    pub fn decide(&self, failed: Failed, action: Option<FailedAction>) {
        let mut state = self.shared.lock();
        self.shared.decide(&mut state, failed, action);
        self.shared.wake(state);
        self.shared.changed.notify_one();
    }

    /// Begins nothing more; ends when what runs is answered and committed.
    pub fn stop(&self) {
        self.shared.stop.stop();
        self.shared.changed.notify_one();
    }

    /// Ends with this error, once what runs is answered and committed: what the user's code says makes no sense.
    pub fn fail(&self, error: Error) {
        let mut state = self.shared.lock();
        state.failure.get_or_insert(error);
        state.begin_nothing();
        drop(state);
        self.shared.changed.notify_one();
    }

    /// Ends at once, waiting for nobody: what was taken and not answered is delivered again.
    pub fn abort(&self) {
        let mut state = self.shared.lock();
        state.tasks.clear();
        if state.outcome.is_none() {
            self.shared.end(&mut state, Err(Error::new(ErrorCode::Closed, "the worker was aborted")));
            // What is finished is committed, as by every other end.
            drop(self.shared.consumer.commit());
        }
        self.shared.wake(state);
        self.stop();
    }

    /// What the loop did, once it has ended.
    pub fn outcome(&self) -> Option<Result<RunSummary>> {
        self.shared.lock().outcome.clone()
    }
}

impl Drop for ConsumerRun {
    fn drop(&mut self) {
        self.abort();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Time {
        self.origin.elapsed()
    }

    fn mark(&self, offset: u64) {
        self.consumer.mark(offset);
    }

    fn has_tasks(&self, state: &mut State) -> bool {
        if self.stop.is_stopped() {
            state.begin_nothing();
        }
        let now = self.now();
        while let Some(job) = state.worker.next_job(now) {
            state.tasks.push(Task::Handle(job));
        }
        !state.tasks.is_empty()
    }

    /// Passes on what has failed.
    fn settle(&self, state: &mut State) {
        while let Some(failed) = state.worker.next_failed() {
            state.summary.failed += 1;
            match self.asks {
                true => state.tasks.push(Task::Failed(failed)),
                false => self.decide(state, failed, None),
            }
        }
    }

    fn decide(&self, state: &mut State, failed: Failed, action: Option<FailedAction>) {
        match action {
            None if self.dead_letters.is_some() => state.dead.push(failed),
            action => {
                let offset = failed.record.offset;
                if state.worker.decide(offset, action.unwrap_or(FailedAction::Hold)) {
                    self.mark(offset);
                }
            }
        }
    }

    /// Wakes who waits for tasks, if there are any.
    fn wake(&self, mut state: MutexGuard<'_, State>) {
        let ready = state.outcome.is_some() || self.has_tasks(&mut state);
        let waiters = if ready { std::mem::take(&mut state.waiters) } else { Vec::new() };
        drop(state);
        waiters.into_iter().for_each(Waker::wake);
    }

    /// The consumer is free for others, at once.
    fn end(&self, state: &mut State, outcome: Result<()>) {
        let summary = state.summary;
        state.outcome = Some(outcome.map(|()| summary));
        if let Some(polling) = state.polling.take() {
            polling.close();
        }
        self.consumer.end_work();
    }
}

/// Fetches records, times attempts, writes dead letters and commits, until the loop is stopped and idle.
async fn drive(shared: Arc<Shared>) {
    let mut polling: Option<Arc<Polling>> = None;
    let mut failures = 0_u32;
    let mut paused_until: Option<Instant> = None;
    let mut commit_at = Instant::now() + shared.commit_every;
    // What runs is finished first: its user waits for the end anyway.
    let mut failure = None;
    loop {
        failure = failure.or_else(|| shared.lock().failure.take());
        let stopping = shared.stop.is_stopped() || failure.is_some();
        let (room, dead, idle, retry_at, abandoned) = {
            let mut state = shared.lock();
            if stopping {
                state.begin_nothing();
            }
            let dead = std::mem::take(&mut state.dead);
            let idle = state.worker.is_idle() && state.tasks.is_empty() && dead.is_empty();
            let retry_at = state.worker.next_timeout().map(|at| shared.origin + at);
            (state.worker.room(), dead, idle, retry_at, state.outcome.is_some())
        };
        if abandoned {
            return;
        }
        if !dead.is_empty() {
            bury(&shared, dead).await;
            continue;
        }
        if stopping && idle {
            break;
        }
        {
            let mut state = shared.lock();
            // The consumer may be another's by now.
            if state.outcome.is_some() {
                return;
            }
            let rests = paused_until.is_some_and(|until| until > Instant::now());
            if stopping {
                polling = None;
            } else if room >= shared.most && polling.is_none() && !rests {
                match Polling::begin(&shared.consumer, POLL) {
                    Ok(begun) => polling = Some(Arc::new(begun)),
                    Err(error) => failure = Some(error),
                }
            }
            state.polling = polling.clone();
        }
        if failure.is_some() && !stopping {
            continue;
        }
        let due = [retry_at, paused_until.filter(|_| polling.is_none()), Some(commit_at)];
        let due = due.into_iter().flatten().min().unwrap_or(commit_at);
        let mut sleep = pin!(tokio::time::sleep_until(due.into()));
        let polled = async {
            match &polling {
                Some(polling) => poll_fn(|cx| polling.poll_ready(cx)).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = shared.changed.notified() => {}
            () = shared.stop.stopped(), if !stopping => {}
            () = polled => {
                let Some(polled) = polling.take() else { continue };
                match polled.take(room.min(shared.most)) {
                    Ok(records) => {
                        failures = 0;
                        paused_until = None;
                        let mut state = shared.lock();
                        records.into_iter().for_each(|record| state.worker.push(record));
                        shared.wake(state);
                    }
                    Err(error) if error.retryable() => {
                        tracing::warn!(%error, "the worker gets no records, still trying");
                        let pause = TROUBLE.saturating_mul(1 << failures.min(5));
                        failures += 1;
                        paused_until = Some(Instant::now() + pause);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            () = &mut sleep => {
                if commit_at <= Instant::now() {
                    commit_at = Instant::now() + shared.commit_every;
                    drop(shared.consumer.commit());
                }
                // Attempts whose time has come.
                shared.wake(shared.lock());
            }
        }
    }
    drop(polling);
    let committed = shared.consumer.commit().await;
    if let Ok(Err(error)) = committed {
        tracing::warn!(%error, "the last records are not committed, and will be delivered again");
    }
    let mut state = shared.lock();
    if state.outcome.is_none() {
        shared.end(&mut state, failure.map_or(Ok(()), Err));
    }
    shared.wake(state);
}

/// Writes records to the dead letter topic. What can not be written is held.
async fn bury(shared: &Arc<Shared>, dead: Vec<Failed>) {
    for failed in dead {
        let action = match &shared.dead_letters {
            Some(letters) => match letters.put(&failed).await {
                Ok(()) => FailedAction::Skip,
                Err(error) => {
                    tracing::error!(%error, offset = failed.record.offset, "no dead letter could be written");
                    FailedAction::Hold
                }
            },
            None => FailedAction::Hold,
        };
        let mut state = shared.lock();
        if state.worker.decide(failed.record.offset, action) {
            shared.mark(failed.record.offset);
        }
        shared.wake(state);
    }
}

/// The loop for Rust: the handlers are futures of the caller.
pub(super) async fn run<F, Fut, E>(
    consumer: &TopicConsumer,
    handler: F,
    options: RunOptions,
) -> Result<RunSummary>
where
    F: Fn(Arc<ConsumerRecord>) -> Fut,
    Fut: Future<Output = std::result::Result<(), E>>,
    E: fmt::Display,
{
    let run = ConsumerRun::start(consumer, &options)?;
    let attempt = async |job: Job| {
        let offset = job.record.offset;
        let handling = AssertUnwindSafe(async { handler(job.record).await.map_err(|e| e.to_string()) });
        let handling = async {
            handling.catch_unwind().await.unwrap_or_else(|_| Err("the handler panicked".to_owned()))
        };
        let result = match options.timeout {
            None => handling.await,
            Some(timeout) => tokio::time::timeout(timeout, handling)
                .await
                .unwrap_or_else(|_| Err(format!("the handler took longer than {timeout:?}"))),
        };
        run.handled(offset, result);
    };
    let decide = async |failed: Failed| {
        let action = match &options.on_failed {
            Some(on_failed) => {
                let offset = failed.record.offset;
                let deciding = AssertUnwindSafe(async { on_failed(failed.clone()).await });
                deciding.catch_unwind().await.unwrap_or_else(|_| {
                    tracing::error!(offset, "on_failed panicked; the record is held");
                    Some(FailedAction::Hold)
                })
            }
            None => None,
        };
        run.decide(failed, action);
    };
    let mut running = FuturesUnordered::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = running.next(), if !running.is_empty() => {}
            () = poll_fn(|cx| run.poll_ready(cx)) => {
                if let Some(outcome) = run.outcome() {
                    return outcome;
                }
                for task in run.take(usize::MAX) {
                    running.push(match task {
                        Task::Handle(job) => attempt(job).left_future(),
                        Task::Failed(failed) => decide(failed).right_future(),
                    });
                }
            }
        }
    }
}
