//! What is said to the server, at the pace that it accepts, and what happens when it does not answer.

use std::collections::VecDeque;
use std::time::Duration;

use compact_str::CompactString;

use super::event::{Action, LinkId, SubscriptionEvent, SubscriptionKey};
use super::link::{Loss, Phase};
use super::sabotage::Sabotage;
use super::subscription::{Incarnation, Progress, Stage};
use super::{Machine, Time, Timer};
use crate::error::{Error, ErrorCode};
use crate::protocol::ClientFrame;

/// A message that the server refused for being one too many was sent at most this long ago.
const REFUSED_WITHIN: Time = Time::from_secs(2);
/// When a message that may have been refused is sent again, if there was no answer.
const SEND_AGAIN_AFTER: Time = Time::from_millis(1_500);

/// Messages that wait for their turn. What they say is written when they are sent, so that it is up to date.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    waiting: VecDeque<Outgoing>,
    /// Those over which the server may have ended an earlier connection. Each is sent alone, behind all others: so it shows
    /// which one it is.
    suspects: Vec<SubscriptionKey>,
    /// Unsubscribes are not answered: these were sent just now and may have been refused.
    unsubscribed: VecDeque<(Time, CompactString)>,
    /// A deadline of a subscription has changed.
    deadlines_moved: bool,
}

#[derive(Debug)]
enum Outgoing {
    Subscribe(SubscriptionKey),
    NextBatch(SubscriptionKey, CompactString),
    Unsubscribe(CompactString),
}

impl Outbox {
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.suspects.len()
    }

    /// How many unsubscribes are kept for being sent again.
    #[cfg(test)]
    pub(super) fn remembered(&self) -> usize {
        self.unsubscribed.len()
    }

    pub(super) fn next_batch(&mut self, key: SubscriptionKey, wire_id: CompactString) {
        self.waiting.push_back(Outgoing::NextBatch(key, wire_id));
    }

    pub(super) fn deadlines_moved(&mut self) {
        self.deadlines_moved = true;
    }
}

impl Machine {
    /// Puts the subscribe message of a subscription into the queue.
    pub(super) fn enqueue_subscribe(&mut self, key: SubscriptionKey) {
        if let Some(subscription) = self.table.get_mut(key) {
            subscription.stage = Stage::Queued;
            match subscription.strikes {
                0 => self.outbox.waiting.push_back(Outgoing::Subscribe(key)),
                _ => self.outbox.suspects.push(key),
            }
        }
    }

    /// Lets a suspect be sent, the least suspect first, when the server owes no other an answer.
    fn release_suspect(&mut self) {
        if self.outbox.suspects.is_empty() || self.table.iter().any(|(_, s)| s.is_unacked()) {
            return;
        }
        let strikes = |key: &SubscriptionKey| self.table.get(*key).map(|s| s.strikes);
        let least = (0..self.outbox.suspects.len()).min_by_key(|at| strikes(&self.outbox.suspects[*at]));
        if let Some(at) = least {
            let key = self.outbox.suspects.remove(at);
            self.outbox.waiting.push_back(Outgoing::Subscribe(key));
        }
    }

    /// Sends what may be sent now and sets the timers for the rest.
    pub(super) fn flush(&mut self, now: Time) {
        if let Phase::Connected { link } = self.connection.phase {
            self.timers.stop(Timer::Send);
            loop {
                if self.outbox.waiting.is_empty() {
                    self.release_suspect();
                }
                let Some(next) = self.outbox.waiting.front() else { break };
                if self.is_stale(next) {
                    self.outbox.waiting.pop_front();
                    continue;
                }
                let at = self.pacer.ready_at(now);
                if at > now && self.config.sabotage() != Sabotage::Pacing {
                    self.timers.set(Timer::Send, at);
                    break;
                }
                if let Some(next) = self.outbox.waiting.pop_front() {
                    self.transmit(now, link, next);
                }
            }
        }
        if std::mem::take(&mut self.outbox.deadlines_moved) {
            match self.table.next_deadline() {
                Some(at) => self.timers.set(Timer::Subscription, at),
                None => self.timers.stop(Timer::Subscription),
            }
        }
    }

    /// What it is about has ended or begun anew since.
    fn is_stale(&self, outgoing: &Outgoing) -> bool {
        match outgoing {
            Outgoing::Subscribe(key) => {
                !self.table.get(*key).is_some_and(|s| matches!(s.stage, Stage::Queued))
            }
            Outgoing::NextBatch(_, wire_id) => self.table.key_of(wire_id).is_none(),
            Outgoing::Unsubscribe(_) => false,
        }
    }

    fn transmit(&mut self, now: Time, link: LinkId, outgoing: Outgoing) {
        match outgoing {
            Outgoing::Subscribe(key) => self.transmit_subscribe(now, link, key),
            Outgoing::NextBatch(key, wire_id) => {
                let page = match self.table.get(key).and_then(|s| s.incarnation()).map(|i| &i.progress) {
                    Some(Progress::Loading { page }) => page.clone(),
                    _ => return,
                };
                let frame = ClientFrame::NextBatch { subscription: &wire_id, last_seq: page.as_ref() };
                self.send(now, link, frame.to_json());
            }
            Outgoing::Unsubscribe(wire_id) => {
                self.send(now, link, ClientFrame::Unsubscribe { subscription: &wire_id }.to_json());
                let sent = &mut self.outbox.unsubscribed;
                while sent.front().is_some_and(|(at, _)| *at + REFUSED_WITHIN < now) {
                    sent.pop_front();
                }
                sent.push_back((now, wire_id));
            }
        }
    }

    fn transmit_subscribe(&mut self, now: Time, link: LinkId, key: SubscriptionKey) {
        let complete = self.connection.is_complete();
        let announced = self.connection.server.as_ref().map(|s| s.limits).unwrap_or_default();
        let page_rows = announced.batch_rows.unwrap_or(self.config.batch_size);
        let Some(here) = &self.connection.epoch else { return };
        let longest = announced.message_bytes.unwrap_or(self.config.message_bytes);
        let Some(subscription) = self.table.get(key) else { return };
        let id = subscription.id.clone();
        let same_id = self.config.sabotage() == Sabotage::WireIds;
        let wire_id = if same_id { id } else { self.table.next_wire_id(&id) };
        let Some(subscription) = self.table.get_mut(key) else { return };
        let request = subscription.request(complete, here, page_rows);
        let frame = ClientFrame::Subscribe {
            id: &wire_id,
            sql: &subscription.sql,
            options: request.options.as_ref(),
        };
        let text = frame.to_json();
        if text.len() as u64 > longest {
            let message = format!(
                "the live query takes a message of {} bytes; the server accepts {longest}: shorten its SQL or its parameters",
                text.len()
            );
            self.fail(key, Error::new(ErrorCode::InvalidArgument, message));
            return;
        }
        match request.from {
            None => subscription.position.begin_fresh(),
            Some(from) => subscription.position.begin_resumed(from, complete),
        }
        self.table.sent(
            key,
            Incarnation {
                wire_id,
                mode: request.mode,
                gap: request.gap,
                snapshot: request.options.is_some(),
                deadline: Some(now + self.config.timeouts.subscribe),
                rate_limited: false,
                plan: None,
                progress: Progress::Unacked,
            },
        );
        self.outbox.deadlines_moved();
        self.send(now, link, text);
    }

    /// Sends a message now, and counts it.
    pub(super) fn send(&mut self, now: Time, link: LinkId, text: String) {
        self.pacer.sent(now);
        self.counters.sent += 1;
        self.actions.push_back(Action::Send { link, text });
    }

    /// Begins a subscription anew on the present connection, at once or after a time.
    pub(super) fn begin_anew(&mut self, key: SubscriptionKey, until: Option<Time>) {
        let stage = until.map_or(Stage::Queued, |until| Stage::Delayed { until });
        let Some(incarnation) = self.table.retire(key, stage) else { return };
        if incarnation.progress != Progress::Unacked {
            self.notify(key, SubscriptionEvent::Interrupted);
        }
        self.outbox.waiting.push_back(Outgoing::Unsubscribe(incarnation.wire_id));
        if until.is_none() {
            self.enqueue_subscribe(key);
        }
        self.outbox.deadlines_moved();
    }

    /// Begins a subscription anew after a failure that may pass, or gives up on it: on the connection, if a subscription that
    /// has worked can not be had on it any more.
    pub(super) fn retry(&mut self, now: Time, key: SubscriptionKey, error: Error) {
        let Some(subscription) = self.table.get_mut(key) else { return };
        match subscription.retries.next(now) {
            Some(before) => {
                let step = Duration::from_secs(2) * before;
                let wait = step / 2 + self.random.up_to(step / 2);
                self.counters.restarts += 1;
                self.begin_anew(key, (before > 0).then_some(now + wait));
            }
            None if subscription.established && error.retryable() => {
                subscription.retries.reset();
                self.lose(now, Loss::given_up(error.code(), error.message()));
            }
            None => self.fail(key, error),
        }
    }

    /// Ends a subscription with an error.
    pub(super) fn fail(&mut self, key: SubscriptionKey, error: Error) {
        if self.forget(key) {
            self.notify(key, SubscriptionEvent::Failed(error));
        }
    }

    /// Removes every trace of a subscription here, and asks the server to do the same. Returns whether there was one.
    pub(super) fn forget(&mut self, key: SubscriptionKey) -> bool {
        let Some((_, incarnation)) = self.table.remove(key) else { return false };
        if let Some(incarnation) = incarnation {
            self.outbox.waiting.push_back(Outgoing::Unsubscribe(incarnation.wire_id));
        }
        self.outbox.deadlines_moved();
        true
    }

    /// Acts on the deadlines of subscriptions that have passed.
    pub(super) fn check_deadlines(&mut self, now: Time) {
        self.outbox.deadlines_moved();
        for key in self.table.keys() {
            // Looked up one by one: the end of the connection moves all of them.
            let Some(subscription) = self.table.get_mut(key) else { continue };
            if subscription.deadline().is_none_or(|at| at > now) {
                continue;
            }
            let Some(incarnation) = subscription.incarnation_mut() else {
                self.enqueue_subscribe(key);
                continue;
            };
            match &incarnation.progress {
                Progress::Loading { page: Some(_) } if incarnation.rate_limited => {
                    incarnation.rate_limited = false;
                    incarnation.deadline = Some(now + self.config.timeouts.page);
                    self.outbox.waiting.push_back(Outgoing::NextBatch(key, incarnation.wire_id.clone()));
                }
                progress => {
                    let error = late(progress, incarnation.rate_limited);
                    self.retry(now, key, error);
                }
            }
        }
    }

    /// The server refused messages for being too many, and does not say which: those without an answer are sent again.
    pub(super) fn rate_limited(&mut self, now: Time) {
        if !self.pacer.slow_down(now) {
            return;
        }
        self.counters.rate_limited += 1;
        let again = now + SEND_AGAIN_AFTER;
        for key in self.table.keys() {
            let incarnation = self.table.get_mut(key).and_then(|s| s.incarnation_mut());
            let Some(incarnation) = incarnation else { continue };
            let asked =
                matches!(incarnation.progress, Progress::Unacked | Progress::Loading { page: Some(_) });
            if asked && incarnation.deadline.is_some_and(|at| at > again) {
                incarnation.deadline = Some(again);
                incarnation.rate_limited = true;
            }
        }
        while let Some((at, wire_id)) = self.outbox.unsubscribed.pop_front() {
            if at + REFUSED_WITHIN >= now {
                self.outbox.waiting.push_back(Outgoing::Unsubscribe(wire_id));
            }
        }
        self.outbox.deadlines_moved();
    }

    /// The server ended the connection over a message of ours. A subscription that it answers in this way again and again
    /// must not take the connection down for ever.
    pub(super) fn suspect_unacked(&mut self, reason: &str) {
        for key in self.table.keys() {
            let Some(subscription) = self.table.get_mut(key) else { continue };
            if subscription.is_unacked() && subscription.suspect() {
                let message = format!("the server ends the connection over this subscription ({reason})");
                self.fail(key, Error::new(ErrorCode::Protocol, message));
            }
        }
    }
}

fn late(progress: &Progress, rate_limited: bool) -> Error {
    let (code, message) = match progress {
        _ if rate_limited => (ErrorCode::RateLimited, "the server refuses messages for being too many"),
        Progress::Unacked => (ErrorCode::Timeout, "the server did not acknowledge the subscription in time"),
        Progress::Loading { .. } | Progress::Ready => {
            (ErrorCode::Timeout, "the server did not send the next page of the snapshot in time")
        }
    };
    Error::new(code, message)
}
