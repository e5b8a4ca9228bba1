//! Options of a consumer.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::TopicConsumer;
use crate::client::KalamClient;
use crate::consumer::{AutoOffsetReset, ConsumerConfig};
use crate::error::{Error, ErrorCode, Result};

/// The options of a [`TopicConsumer`]. Nothing is checked before [`build`](Self::build), and nothing is sent by it.
#[derive(Clone)]
#[must_use]
pub struct ConsumerBuilder {
    client: KalamClient,
    config: ConsumerConfig,
    poll_timeout: Duration,
}

impl ConsumerBuilder {
    pub(super) fn new(client: KalamClient) -> Self {
        let seed = RandomState::new().hash_one(std::process::id());
        let config = ConsumerConfig { seed, ..ConsumerConfig::new("", "") };
        Self { client, config, poll_timeout: Duration::from_secs(30) }
    }

    /// The topic, with its namespace: `app.orders`.
    pub fn topic(mut self, topic: impl AsRef<str>) -> Self {
        self.config.topic = topic.as_ref().into();
        self
    }

    /// The group: its members share the records, and its progress is kept by the server.
    pub fn group_id(mut self, group: impl AsRef<str>) -> Self {
        self.config.group = group.as_ref().into();
        self
    }

    /// The partition to read, from 0. 0 by default.
    pub fn partition_id(mut self, partition: u32) -> Self {
        self.config.partition = partition;
        self
    }

    /// Where a group begins that is new. [`AutoOffsetReset::Latest`] by default.
    pub fn auto_offset_reset(mut self, reset: AutoOffsetReset) -> Self {
        self.config.reset = reset;
        self
    }

    /// Whether what was marked is committed by itself. On by default.
    pub fn enable_auto_commit(mut self, enabled: bool) -> Self {
        self.config.auto_commit = enabled;
        self
    }

    /// How long what was marked may wait for that. 5 s.
    pub fn auto_commit_interval(mut self, interval: Duration) -> Self {
        self.config.auto_commit_interval = interval;
        self
    }

    /// How long a poll waits for records. 30 s.
    pub fn poll_timeout(mut self, timeout: Duration) -> Self {
        self.poll_timeout = timeout;
        self
    }

    /// The most records that one poll gives. 100. A quick reader's are fetched ahead in larger batches, as many as it
    /// handles in a quarter of a second.
    pub fn max_poll_records(mut self, records: usize) -> Self {
        self.config.max_poll_records = records;
        self
    }

    /// The consumer. It asks for nothing before it is polled.
    ///
    /// # Errors
    /// `config`, naming the option that is wrong; `closed` when the client is.
    pub fn build(self) -> Result<TopicConsumer> {
        self.config.check()?;
        if self.poll_timeout > Duration::from_secs(24 * 3600) {
            return Err(Error::new(ErrorCode::Config, "option `poll_timeout` is longer than 24 hours"));
        }
        TopicConsumer::start(self.client, self.config, self.poll_timeout)
    }
}

impl fmt::Debug for ConsumerBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ConsumerBuilder")
            .field("config", &self.config)
            .field("poll_timeout", &self.poll_timeout)
            .finish_non_exhaustive()
    }
}
