//! One subscription as the hub sees it: where its changes go, and since when.

use std::sync::Arc;

use parking_lot::Mutex;

use super::connections::Slot;
use super::outbox::{Frame, Outbox};
use super::server_frame;

/// Changes reach it from the hub; the connection's controller decides when they may pass.
pub(crate) struct Subscription {
    id: String,
    head: Arc<str>,
    outbox: Arc<Outbox>,
    state: Mutex<State>,
}

struct State {
    delivery: Delivery,
    /// Counts against the user's limit until the subscription ends.
    slot: Option<Slot>,
}

enum Delivery {
    /// The snapshot or the replay is not sent completely: changes wait behind it.
    Held(Vec<Frame>),
    Live,
    Ended,
}

impl Subscription {
    pub(crate) fn new(id: String, outbox: Arc<Outbox>, slot: Slot) -> Self {
        let state = State { delivery: Delivery::Held(Vec::new()), slot: Some(slot) };
        Self { head: server_frame::change_head(&id), id, outbox, state: Mutex::new(state) }
    }

    /// A change, in commit order.
    pub(crate) fn deliver(&self, tail: &Arc<str>) {
        let frame = self.frame(tail.clone());
        match &mut self.state.lock().delivery {
            Delivery::Live => self.outbox.offer(frame),
            Delivery::Held(frames) => {
                if self.outbox.reserve(frame.bytes()) {
                    frames.push(frame);
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
            self.outbox.push_reserved(std::mem::take(frames));
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
            Delivery::Held(frames) => {
                self.outbox.release(&frames);
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
