//! One subscription as the hub sees it: where its changes go, and since when.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;

use super::connections::Slot;
use super::outbox::{Frame, Outbox};
use super::server_frame;
use crate::engine::now_micros;
use crate::holes::Holes;

/// Changes reach it from the hub; the connection's controller decides when they may pass.
pub(crate) struct Subscription {
    id: String,
    head: Arc<str>,
    outbox: Arc<Outbox>,
    /// Changes that are kept while it loads; the oldest is lost beyond.
    most_held: usize,
    state: Mutex<State>,
    /// Changes that were delivered, and when the last one was, in microseconds since the epoch; 0 for never.
    changes: AtomicI64,
    last_change: AtomicI64,
}

struct State {
    delivery: Delivery,
    /// Counts against the user's limit until the subscription ends.
    slot: Option<Slot>,
}

enum Delivery {
    /// The snapshot or the replay is not sent completely: changes wait behind it.
    Held(VecDeque<Frame>),
    Live,
    Ended,
}

impl Subscription {
    pub(crate) fn new(id: String, outbox: Arc<Outbox>, slot: Slot, holes: Holes) -> Self {
        let state = State { delivery: Delivery::Held(VecDeque::new()), slot: Some(slot) };
        let most_held = if holes.load_buffer { Holes::LOAD_BUFFER } else { usize::MAX };
        Self {
            head: server_frame::change_head(&id),
            id,
            outbox,
            most_held,
            state: Mutex::new(state),
            changes: AtomicI64::new(0),
            last_change: AtomicI64::new(0),
        }
    }

    pub(crate) fn id(&self) -> &str {
        &self.id
    }

    /// How many changes there were, and when the last one was.
    pub(crate) fn delivered(&self) -> (i64, Option<i64>) {
        let last = self.last_change.load(Ordering::Relaxed);
        (self.changes.load(Ordering::Relaxed), (last != 0).then_some(last))
    }

    /// A change, in commit order.
    pub(crate) fn deliver(&self, tail: &Arc<str>) {
        self.changes.fetch_add(1, Ordering::Relaxed);
        self.last_change.store(now_micros(), Ordering::Relaxed);
        let frame = self.frame(tail.clone());
        match &mut self.state.lock().delivery {
            Delivery::Live => self.outbox.offer_change(frame),
            Delivery::Held(frames) => {
                if self.outbox.reserve(frame.bytes()) {
                    frames.push_back(frame);
                }
                if frames.len() > self.most_held {
                    self.outbox.release(&frames.drain(..1).collect::<Vec<_>>());
                }
            }
            Delivery::Ended => {}
        }
    }

    /// A frame with a change of the replay, which the controller queues itself.
    pub(crate) fn frame(&self, tail: Arc<str>) -> Frame {
        Frame::Change { head: self.head.clone(), tail }
    }

    /// Everything before is queued: held changes follow, and from now on changes pass.
    pub(crate) fn go_live(&self) {
        let mut state = self.state.lock();
        if let Delivery::Held(frames) = &mut state.delivery {
            self.outbox.push_reserved(std::mem::take(frames).into());
            state.delivery = Delivery::Live;
        }
    }

    /// The server ends it and tells the client.
    pub(crate) fn fail(&self, code: &str, message: &str) {
        if self.end() {
            self.outbox.offer_text(server_frame::error(&self.id, code, message));
        }
    }

    /// Nothing more is sent. False if it had ended before.
    pub(crate) fn end(&self) -> bool {
        let mut state = self.state.lock();
        state.slot = None;
        match std::mem::replace(&mut state.delivery, Delivery::Ended) {
            Delivery::Held(mut frames) => {
                self.outbox.release(frames.make_contiguous());
                true
            }
            Delivery::Live => true,
            Delivery::Ended => false,
        }
    }

    pub(crate) fn has_ended(&self) -> bool {
        matches!(self.state.lock().delivery, Delivery::Ended)
    }
}
