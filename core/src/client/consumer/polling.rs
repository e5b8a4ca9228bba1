//! A poll in steps.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use crate::consumer::ConsumerRecord;
use crate::error::Result;
use crate::runtime::consumer::SharedConsumer;

/// A poll that was begun. Dropping it gives it up; the records that it waited for are there for the next one.
pub struct Polling {
    shared: Arc<SharedConsumer>,
    over: AtomicBool,
}

impl Polling {
    pub(super) fn begin(shared: &Arc<SharedConsumer>, timeout: Duration) -> Result<Self> {
        shared.command(|consumer, now| consumer.poll(now, now.saturating_add(timeout)))?;
        Ok(Self { shared: shared.clone(), over: AtomicBool::new(false) })
    }

    /// Ready when there are records, an error, or the time is over.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        if self.over.load(Ordering::Acquire) {
            return Poll::Ready(());
        }
        self.shared.poll_ready(cx)
    }

    /// Ends the poll with the records that are there, at most `most`; none once it has ended.
    ///
    /// # Errors
    /// As [`TopicConsumer::poll`](super::TopicConsumer::poll).
    pub fn take(&self, most: usize) -> Result<Vec<ConsumerRecord>> {
        if self.over.swap(true, Ordering::AcqRel) {
            return Ok(Vec::new());
        }
        // Its task may want to fetch ahead.
        self.shared.command(|consumer, now| consumer.take(now, most))
    }

    /// Gives it up, and wakes who waits for it.
    pub fn close(&self) {
        if !self.over.swap(true, Ordering::AcqRel) {
            self.shared.give_up();
        }
    }
}

impl Drop for Polling {
    fn drop(&mut self) {
        self.close();
    }
}
