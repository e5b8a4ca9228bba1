//! What the client and its handles ask for.

use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::oneshot;

use super::{Owner, Subscriber};
use crate::error::{Error, ErrorCode, Result};
use crate::machine::{ConnectionState, Restart, SubscribeRequest, SubscriptionInfo, SubscriptionKey};
use crate::runtime::command::{Command, Unclaimed, closed};
use crate::runtime::subscriber::Sink;

/// A caller that waits for the connection.
pub(super) struct Connecting {
    pub(super) reply: oneshot::Sender<Result<()>>,
    /// Attempts that may fail before it is told.
    left: usize,
}

impl Owner {
    /// Each of these returns whether it did anything.
    pub(super) fn poll_commands(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(command) = self.commands.poll_recv(cx) {
            match command {
                Some(command) => self.command(command),
                // The client and all its handles are gone.
                None => return progress | self.close(),
            }
            progress = true;
        }
        progress
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Connect { reply } => match self.machine.connect(now) {
                Err(error) => drop(reply.send(Err(error))),
                Ok(()) if self.machine.state() == ConnectionState::Connected => drop(reply.send(Ok(()))),
                Ok(()) => {
                    let left = self.network.endpoints.len();
                    self.connecting.push(Connecting { reply, left });
                }
            },
            Command::Disconnect { reply } => {
                self.machine.disconnect(now);
                self.fail_connects(&Error::new(ErrorCode::Disconnected, "disconnect was called meanwhile"));
                self.quiet_replies.push(reply);
            }
            Command::Close { reply } => {
                let _ = self.close();
                self.quiet_replies.push(reply);
            }
            Command::NetworkChanged => self.machine.network_changed(now),
            Command::Subscribe { request, sink, commands, reply } => {
                let result = self.subscribe(now, *request, sink);
                let _ = reply.send(result.map(|key| Unclaimed::new(key, commands)));
            }
            Command::Unsubscribe { key } => self.machine.unsubscribe(now, key),
            Command::Restart { key, from, because } => {
                // What the machine has told of the old subscription goes with it.
                self.route(now, None);
                if let Some(subscriber) = self.subscribers.get_mut(&key) {
                    subscriber.sink.begin_anew();
                }
                let from = from.map_or(Restart::Fresh, Restart::From);
                match because {
                    None => self.machine.restart(now, key, from),
                    Some(error) => {
                        tracing::warn!(?key, %error, "a change could not be read");
                        self.machine.reject(now, key, from, error);
                    }
                }
            }
            Command::Cancel { id, reply } => {
                let found = self.machine.subscriptions().find(|s| *s.id == *id).map(|s| s.key);
                if let Some(key) = found {
                    self.machine.unsubscribe(now, key);
                }
                let _ = reply.send(found.is_some());
            }
            Command::Subscriptions { reply } => {
                let age = |info: &SubscriptionInfo| {
                    self.subscribers.get(&info.key).map_or(Duration::ZERO, |s| s.since.elapsed())
                };
                let _ = reply.send(
                    self.machine
                        .subscriptions()
                        .filter(|info| self.subscribers.get(&info.key).is_none_or(|s| !s.is_watch()))
                        .map(|info| {
                            let age = age(&info);
                            (info, age)
                        })
                        .collect(),
                );
            }
        }
    }

    fn subscribe(&mut self, now: Duration, request: SubscribeRequest, sink: Sink) -> Result<SubscriptionKey> {
        // Lazy connect, also after the client had given up.
        let idle = matches!(
            self.machine.state(),
            ConnectionState::Idle | ConnectionState::Closed { error: Some(_) }
        );
        if idle {
            self.machine.connect(now)?;
        }
        let result = self.machine.subscribe(now, request);
        match &result {
            Ok(key) => {
                let mut subscriber = Subscriber::new(sink);
                if let Some((complete, user)) = &self.checks.server {
                    subscriber.connected(*complete, user);
                }
                self.subscribers.insert(*key, subscriber);
            }
            Err(_) if idle => self.machine.disconnect(now),
            Err(_) => {}
        }
        result
    }

    fn close(&mut self) -> bool {
        if self.closed {
            return false;
        }
        self.closed = true;
        self.machine.close();
        self.fail_connects(&closed());
        true
    }

    fn fail_connects(&mut self, error: &Error) {
        for Connecting { reply, .. } in self.connecting.drain(..) {
            let _ = reply.send(Err(error.clone()));
        }
    }

    /// An attempt failed. Who asked to connect is told when every URL was tried, or when there will be no other attempt.
    pub(super) fn attempt_failed(&mut self, error: &Error, is_last: bool) {
        let asked = !self.connecting.is_empty();
        self.connecting.iter_mut().for_each(|connecting| connecting.left -= 1);
        for Connecting { reply, .. } in self.connecting.extract_if(.., |c| is_last || c.left == 0) {
            let _ = reply.send(Err(error.clone()));
        }
        // Only `connect` wanted the connection, and its caller has been told.
        if asked && self.connecting.is_empty() && self.subscribers.is_empty() {
            let now = self.now();
            self.machine.disconnect(now);
        }
    }
}
