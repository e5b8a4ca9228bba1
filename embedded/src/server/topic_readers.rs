//! Requests that wait for records of topics, woken by the commits that may have brought some.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Notify;

/// Who waits for which topic.
#[derive(Default)]
pub(crate) struct TopicReaders(Mutex<State>);

#[derive(Default)]
struct State {
    /// Topics that somebody waits for.
    waiting: HashMap<Arc<str>, Arc<Notify>>,
    closed: bool,
}

impl TopicReaders {
    /// What is notified when there may be records; `None` when the server is stopping and nobody should wait.
    pub(crate) fn watch(&self, topic: &str) -> Option<Arc<Notify>> {
        let mut state = self.0.lock();
        if state.closed {
            return None;
        }
        // Those that nobody holds any more.
        if state.waiting.len() > 64 {
            state.waiting.retain(|_, notify| Arc::strong_count(notify) > 1);
        }
        Some(state.waiting.entry(topic.into()).or_default().clone())
    }

    pub(crate) fn wake(&self, topics: &[Arc<str>]) {
        let state = self.0.lock();
        for notify in topics.iter().filter_map(|topic| state.waiting.get(topic)) {
            notify.notify_waiters();
        }
    }

    /// The server stops: nobody waits any longer.
    pub(crate) fn close(&self) {
        let mut state = self.0.lock();
        state.closed = true;
        for notify in state.waiting.values() {
            notify.notify_waiters();
        }
    }
}
