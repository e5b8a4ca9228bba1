//! The consumers of a client: they end with it.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::TopicConsumer;
use crate::runtime::consumer::SharedConsumer;

/// Consumers that were made and may be open.
#[derive(Default)]
pub(in crate::client) struct OpenConsumers(Mutex<Vec<Weak<SharedConsumer>>>);

impl OpenConsumers {
    fn lock(&self) -> MutexGuard<'_, Vec<Weak<SharedConsumer>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, consumer: &Arc<SharedConsumer>) {
        let mut consumers = self.lock();
        consumers.retain(|other| other.strong_count() > 0);
        consumers.push(Arc::downgrade(consumer));
    }

    /// Closes them all now; what is to be awaited are their last commits.
    pub(in crate::client) fn close(&self) -> impl Future<Output = ()> + Send + use<> {
        let consumers = std::mem::take(&mut *self.lock());
        let open = consumers.iter().filter_map(Weak::upgrade);
        let ended: Vec<_> = open.map(|consumer| consumer.close(TopicConsumer::CLOSE_PATIENCE)).collect();
        async move {
            for ended in ended {
                // Its task may have been stopped with its runtime.
                let _ = ended.await;
            }
        }
    }
}
