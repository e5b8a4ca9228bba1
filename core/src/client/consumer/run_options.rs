//! Options of a worker loop.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::consumer::{Failed, FailedAction};
use crate::error::{Error, ErrorCode, Result};

/// Decides about a record that failed as often as it may. `None`: what happens without it.
pub type OnFailed =
    Arc<dyn Fn(Failed) -> Pin<Box<dyn Future<Output = Option<FailedAction>> + Send>> + Send + Sync>;

/// Stops a worker loop gracefully: nothing more is begun, what runs is finished and committed. Clones are the same.
#[derive(Clone, Debug, Default)]
pub struct Stop(Arc<Signal>);

#[derive(Debug, Default)]
struct Signal {
    stopped: AtomicBool,
    changed: Notify,
}

impl Stop {
    /// Stops it.
    pub fn stop(&self) {
        self.0.stopped.store(true, Ordering::Release);
        self.0.changed.notify_waiters();
    }

    /// Whether it was stopped.
    pub fn is_stopped(&self) -> bool {
        self.0.stopped.load(Ordering::Acquire)
    }

    pub(super) async fn stopped(&self) {
        let changed = self.0.changed.notified();
        if !self.is_stopped() {
            changed.await;
        }
    }
}

/// How [`TopicConsumer::run`](super::TopicConsumer::run) works.
#[derive(Clone)]
#[must_use]
pub struct RunOptions {
    pub(super) concurrency: usize,
    pub(super) max_attempts: u32,
    pub(super) backoff: (Duration, Duration),
    pub(super) timeout: Option<Duration>,
    pub(super) on_failed: Option<OnFailed>,
    pub(super) dead_letter_topic: Option<String>,
    pub(super) stop: Stop,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            concurrency: 1,
            max_attempts: 3,
            backoff: Self::BACKOFF,
            timeout: None,
            on_failed: None,
            dead_letter_topic: None,
            stop: Stop::default(),
        }
    }
}

impl RunOptions {
    /// The first pause between attempts, at most, and every pause.
    pub const BACKOFF: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

    /// Records that are handled at the same time, of different keys. 1.
    pub fn with_concurrency(mut self, concurrency: usize) -> Self {
        self.concurrency = concurrency;
        self
    }

    /// How often a record is handled before it has failed. 3.
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = attempts;
        self
    }

    /// Pauses between the attempts: random, at most `initial` at first, twice that each time, never more than `max`.
    /// [`BACKOFF`](Self::BACKOFF), 250 ms and 5 s.
    pub fn with_backoff(mut self, initial: Duration, max: Duration) -> Self {
        self.backoff = (initial, max);
        self
    }

    /// How long one attempt may take before it counts as failed. No limit by default.
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = Some(timeout);
        self
    }

    /// Decides what becomes of a record that failed as often as it may. Without it, or when it says `None`, the record goes
    /// to the dead letter topic; without one it is held: no commit passes it, and the server delivers it again. So it is when
    /// this panics.
    pub fn with_on_failed<F, Fut>(mut self, decide: F) -> Self
    where
        F: Fn(Failed) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<FailedAction>> + Send + 'static,
    {
        self.on_failed = Some(Arc::new(move |failed| Box::pin(decide(failed))));
        self
    }

    /// Where records go that failed, `namespace.name`: rows of a table of that name, which feeds a topic of that name. Both
    /// are made when they are missing and the user may make them. A record that is there counts as finished.
    pub fn with_dead_letter_topic(mut self, topic: impl Into<String>) -> Self {
        self.dead_letter_topic = Some(topic.into());
        self
    }

    /// What stops the loop that is run with these options.
    pub fn stop(&self) -> Stop {
        self.stop.clone()
    }

    pub(super) fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(ErrorCode::Config, what));
        if self.concurrency == 0 {
            return wrong("option `concurrency` must be at least 1");
        }
        if self.max_attempts == 0 {
            return wrong("option `max_attempts` must be at least 1");
        }
        if self.backoff.0.is_zero() || self.backoff.1 < self.backoff.0 {
            return wrong("option `backoff`: the first pause must be more than zero and at most the longest");
        }
        if self.timeout.is_some_and(|timeout| timeout.is_zero()) {
            return wrong("option `timeout` must be more than zero");
        }
        Ok(())
    }
}

impl fmt::Debug for RunOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RunOptions")
            .field("concurrency", &self.concurrency)
            .field("max_attempts", &self.max_attempts)
            .field("backoff", &self.backoff)
            .field("timeout", &self.timeout)
            .field("dead_letter_topic", &self.dead_letter_topic)
            .finish_non_exhaustive()
    }
}
