//! Consumers of topics and their worker loops.

use kalam_bindings::{Consumer, ConsumerOptions, Work, WorkerOptions, offset_reset};
use kalam_live::Result;
use napi_derive::napi;

use crate::error::Failure;
use crate::handle::Handle;
use crate::options::duration;

/// What `consumer` takes. Times are in milliseconds.
#[napi(object)]
pub struct Consuming {
    pub topic: String,
    pub group_id: String,
    /// `latest`, `earliest` or an offset.
    pub start: Option<String>,
    pub partition_id: Option<u32>,
    pub max_poll_records: Option<u32>,
    pub poll_timeout: Option<f64>,
    pub auto_commit: Option<bool>,
    pub auto_commit_interval: Option<f64>,
}

impl Consuming {
    pub(crate) fn checked(self) -> Result<ConsumerOptions> {
        Ok(ConsumerOptions {
            topic: self.topic,
            group_id: self.group_id,
            start: self.start.as_deref().map(offset_reset).transpose()?,
            partition_id: self.partition_id,
            max_poll_records: self.max_poll_records.map(|records| records as usize),
            poll_timeout: self.poll_timeout.map(|time| duration("pollTimeout", time)).transpose()?,
            auto_commit: self.auto_commit,
            auto_commit_interval: self
                .auto_commit_interval
                .map(|time| duration("autoCommitInterval", time))
                .transpose()?,
        })
    }
}

/// What `run` takes. Times are in milliseconds.
#[napi(object)]
pub struct Working {
    pub concurrency: Option<u32>,
    pub max_attempts: Option<u32>,
    pub backoff: Option<f64>,
    pub max_backoff: Option<f64>,
    pub dead_letter_topic: Option<String>,
    pub on_failed: bool,
}

impl Working {
    fn checked(self) -> Result<WorkerOptions> {
        Ok(WorkerOptions {
            concurrency: self.concurrency.map(|records| records as usize),
            max_attempts: self.max_attempts,
            backoff: self.backoff.map(|time| duration("backoff", time)).transpose()?,
            max_backoff: self.max_backoff.map(|time| duration("maxBackoff", time)).transpose()?,
            dead_letter_topic: self.dead_letter_topic,
            on_failed: self.on_failed,
        })
    }
}

/// What `kalam_bindings::Consumer` offers. Offsets are numbers: they stay far below 2^53.
#[napi(js_name = "Consumer")]
pub struct NativeConsumer {
    pub(crate) consumer: Consumer,
}

#[napi]
impl NativeConsumer {
    #[napi(getter)]
    pub fn failure(&self) -> Option<Failure> {
        self.consumer.failure().map(Failure::from)
    }

    #[napi]
    pub fn poll(&self, timeout: Option<f64>) -> Handle {
        // What is no time was refused by the other half.
        Handle::new(self.consumer.poll(timeout.and_then(|time| duration("timeout", time).ok())))
    }

    #[napi]
    pub fn mark(&self, offset: i64) {
        self.consumer.mark(offset.unsigned_abs());
    }

    #[napi]
    pub fn commit(&self) -> Handle {
        Handle::new(self.consumer.commit())
    }

    #[napi]
    pub fn commit_later(&self) {
        self.consumer.commit_later();
    }

    #[napi]
    pub fn seek(&self, offset: i64) -> Handle {
        Handle::new(self.consumer.seek(offset.unsigned_abs()))
    }

    #[napi]
    pub fn close(&self) -> Handle {
        Handle::new(self.consumer.close())
    }

    #[napi(getter)]
    pub fn is_closed(&self) -> bool {
        self.consumer.is_closed()
    }

    #[napi]
    pub fn offsets(&self) -> String {
        self.consumer.offsets()
    }

    #[napi]
    pub fn run(&self, options: Working) -> NativeWork {
        NativeWork { work: self.consumer.run(options.checked()) }
    }
}

/// What `kalam_bindings::Work` offers.
#[napi(js_name = "Work")]
pub struct NativeWork {
    work: Work,
}

#[napi]
impl NativeWork {
    #[napi]
    pub fn jobs(&self) -> Handle {
        Handle::new(self.work.jobs())
    }

    #[napi]
    pub fn handled(&self, offset: i64, error: Option<String>) {
        self.work.handled(offset.unsigned_abs(), error);
    }

    #[napi]
    pub fn decide(&self, offset: i64, action: Option<String>) {
        self.work.decide(offset.unsigned_abs(), action.as_deref());
    }

    #[napi]
    pub fn stop(&self) {
        self.work.stop();
    }

    #[napi]
    pub fn summary(&self) -> String {
        self.work.summary()
    }
}
