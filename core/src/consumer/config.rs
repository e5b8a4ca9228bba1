//! Options of a consumer.

use std::sync::Arc;
use std::time::Duration;

use crate::error::{Error, ErrorCode, Result};
use crate::machine::Backoff;
use crate::protocol::TopicStart;

/// Where a group begins that has not committed anything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AutoOffsetReset {
    /// With what is written from now on.
    #[default]
    Latest,
    /// With the oldest record that is kept.
    Earliest,
    /// At this offset.
    Offset(u64),
}

impl From<AutoOffsetReset> for TopicStart {
    fn from(reset: AutoOffsetReset) -> Self {
        match reset {
            AutoOffsetReset::Latest => Self::Latest,
            AutoOffsetReset::Earliest => Self::Earliest,
            AutoOffsetReset::Offset(offset) => Self::Offset(offset),
        }
    }
}

/// What a [`Consumer`](super::Consumer) is made from.
#[derive(Clone, Debug)]
pub struct ConsumerConfig {
    /// `namespace.topic`.
    pub topic: Arc<str>,
    /// The consumers that share the records.
    pub group: Arc<str>,
    /// From 0.
    pub partition: u32,
    /// Where a new group begins.
    pub reset: AutoOffsetReset,
    /// Whether what was marked is committed by itself.
    pub auto_commit: bool,
    /// How long what was marked may wait for that.
    pub auto_commit_interval: Duration,
    /// The most records that one poll gives.
    pub max_poll_records: usize,
    /// The longest that one request waits for records, at a server that waits.
    pub longest_wait: Duration,
    /// After failures.
    pub backoff: Backoff,
    /// How often a commit is tried before who asked for it is told that it failed.
    pub commit_attempts: u32,
    /// For the jitter.
    pub seed: u64,
}

impl ConsumerConfig {
    /// The defaults, for one topic and group.
    pub fn new(topic: impl Into<Arc<str>>, group: impl Into<Arc<str>>) -> Self {
        Self {
            topic: topic.into(),
            group: group.into(),
            partition: 0,
            reset: AutoOffsetReset::default(),
            auto_commit: true,
            auto_commit_interval: Duration::from_secs(5),
            max_poll_records: 100,
            longest_wait: Duration::from_secs(20),
            backoff: Backoff {
                initial: Duration::from_millis(200),
                max: Duration::from_secs(10),
                ..Backoff::default()
            },
            commit_attempts: 5,
            seed: 0,
        }
    }

    /// # Errors
    /// `config`, naming the option that is wrong.
    pub fn check(&self) -> Result<()> {
        let wrong = |what: &str| Err(Error::new(ErrorCode::Config, what));
        if self.topic.is_empty() {
            return wrong("option `topic` is missing: give for example app.orders");
        }
        if self.group.is_empty() {
            return wrong("option `group_id` is missing: it names the workers that share the records");
        }
        if self.max_poll_records == 0 {
            return wrong("option `max_poll_records` must be at least 1");
        }
        if self.auto_commit_interval.is_zero() {
            return wrong("option `auto_commit_interval` must be more than zero");
        }
        Ok(())
    }
}
