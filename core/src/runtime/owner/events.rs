//! What the machine tells, handed to whom it concerns.

use std::time::Duration;

use super::Owner;
use super::commands::Connecting;
use crate::machine::{Event, Lifecycle, Restart, SubscriptionEvent, SubscriptionKey};
use crate::runtime::status::ConnectionState as State;
use crate::runtime::subscriber::{Applied, Sink};

impl Owner {
    /// Hands the machine's events to whom they concern. `frame`: the text that the machine was given just now.
    pub(super) fn route(&mut self, now: Duration, frame: Option<&str>) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Subscription { key, event } => {
                    let Some(subscriber) = self.subscribers.get_mut(&key) else { continue };
                    match &mut subscriber.sink {
                        Sink::Watch(sql) => {
                            let sql = sql.clone();
                            self.watch_event(key, &sql, event);
                        }
                        Sink::Events(sink) => {
                            match (event, frame) {
                                (SubscriptionEvent::Deferred(change), Some(text)) => {
                                    sink.push_unread(change, text)
                                }
                                (event, _) => sink.push(event),
                            }
                            let curious = subscriber.sink.is_curious();
                            self.touch_reader(key);
                            if curious {
                                self.ask_what_was_missed(key);
                            }
                        }
                        sink @ Sink::Rows(_) => {
                            let applied = sink.apply(now, event);
                            self.touch(key);
                            self.after(key, applied);
                        }
                    }
                }
                Event::Lifecycle(event) => self.lifecycle(event),
            }
        }
    }

    /// Its keeper may want something, and its reader may have something to read.
    pub(super) fn touch(&mut self, key: SubscriptionKey) {
        if self.fed.last() != Some(&key) {
            self.fed.push(key);
        }
        self.touch_reader(key);
    }

    pub(super) fn touch_reader(&mut self, key: SubscriptionKey) {
        if let Some(subscriber) = self.subscribers.get_mut(&key)
            && !subscriber.touched
        {
            subscriber.touched = true;
            self.touched.push(key);
        }
    }

    pub(super) fn after(&mut self, key: SubscriptionKey, applied: Applied) {
        match applied {
            Applied::Fine => {}
            Applied::Lagged => {
                self.lagged += 1;
                tracing::warn!(?key, "an event reader is too slow: events were dropped");
            }
            Applied::StartAnew => self.machine.restart(self.now(), key, Restart::Fresh),
            Applied::Refused => self.machine.unsubscribe(self.now(), key),
            Applied::Over => {}
        }
        if matches!(applied, Applied::Over | Applied::Refused)
            && let Some(mut subscriber) = self.subscribers.remove(&key)
        {
            subscriber.sink.deliver();
            self.checks.forget(key);
        }
    }

    fn lifecycle(&mut self, event: Lifecycle) {
        match &event {
            Lifecycle::Connected { url, user, server, .. } => {
                self.tell_server(server.as_ref().is_some_and(|server| server.complete), user);
                tracing::info!(%url, "connected");
                for Connecting { reply, .. } in self.connecting.drain(..) {
                    let _ = reply.send(Ok(()));
                }
            }
            Lifecycle::ConnectFailed { error, attempt, retry_in } => {
                tracing::warn!(%error, attempt, ?retry_in, "could not connect");
                self.attempt_failed(error, retry_in.is_none());
            }
            Lifecycle::Disconnected { error, retry_in } => {
                self.checks.abandon(retry_in.is_some());
                tracing::warn!(%error, ?retry_in, "the connection was lost");
            }
            Lifecycle::ServerError(error) => tracing::warn!(%error, "the server reports an error"),
            Lifecycle::Repaired { .. } => {}
            Lifecycle::Closed => tracing::debug!("closed"),
        }
        // The state first: who is told of the event may look at it.
        self.status.set_state(State::from(self.machine.state()));
        self.status.tell(&event);
    }
}
