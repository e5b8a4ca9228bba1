//! The owner task's side of a handle: applies what the machine tells, and never waits.

use std::sync::Arc;
use std::time::Duration;

use super::event::ChangeEvent;
use super::event_queue::EventQueue;
use super::live_state::LiveState;
use super::mailbox::Mailbox;
use crate::error::{Error, ErrorCode};
use crate::machine::{Mode, SubscriptionEvent};
use crate::protocol::{Change, ChangeKind};

/// Where the events of one subscription go.
#[derive(Clone)]
pub(crate) enum Sink {
    /// Live rows.
    Rows(Arc<Mailbox<LiveState>>),
    /// Raw events.
    Events(Arc<Mailbox<EventQueue>>),
    /// The owner task itself, which watches a table by this SQL for the live rows on it.
    Watch(Arc<str>),
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Applied {
    /// It is there for the reader.
    Fine,
    /// Nothing more will come.
    Over,
    /// The reader was too slow: events were dropped.
    Lagged,
    /// Only a fresh snapshot helps.
    StartAnew,
    /// The subscription can not be used, as the reader will see: it is to be ended.
    Refused,
}

impl Sink {
    /// Applies one event. Wakes nobody: see [`wake`](Self::wake).
    pub(crate) fn apply(&self, now: Duration, event: SubscriptionEvent) -> Applied {
        match self {
            Self::Rows(mailbox) => mailbox.with(|state| state.apply(now, event)),
            Self::Events(mailbox) => mailbox.with(|queue| push(queue, event)),
            Self::Watch(_) => Applied::Fine,
        }
    }

    /// Wakes who waits for it, if there is something to take.
    pub(crate) fn wake(&self) {
        match self {
            Self::Rows(mailbox) => mailbox.wake(),
            Self::Events(mailbox) => mailbox.wake(),
            Self::Watch(_) => {}
        }
    }

    /// The owner task ends without the machine having said so: its runtime was stopped.
    pub(crate) fn abandon(&self) {
        let error = Error::new(ErrorCode::Closed, "the runtime that this client lives on was stopped");
        self.apply(Duration::ZERO, SubscriptionEvent::Failed(error));
        self.wake();
    }
}

fn push(queue: &mut EventQueue, event: SubscriptionEvent) -> Applied {
    let subscription_id = queue.id().clone();
    let event = match event {
        SubscriptionEvent::Acked { schema, mode: Mode::Fresh } => {
            ChangeEvent::Ack { subscription_id, schema }
        }
        SubscriptionEvent::Acked { mode: Mode::Resumed, .. } => ChangeEvent::Resumed { subscription_id },
        SubscriptionEvent::Batch { rows, has_more } => {
            ChangeEvent::InitialDataBatch { subscription_id, rows, has_more }
        }
        SubscriptionEvent::Change(Change { kind, rows, old, .. }) => match kind {
            ChangeKind::Insert => ChangeEvent::Insert { subscription_id, rows },
            ChangeKind::Update => ChangeEvent::Update { subscription_id, rows, old_rows: old },
            ChangeKind::Delete => ChangeEvent::Delete { subscription_id, old_rows: rows },
        },
        SubscriptionEvent::GapPossible { reason } => {
            ChangeEvent::GapPossible { subscription_id, reason: reason.as_str().to_owned() }
        }
        SubscriptionEvent::Failed(error) => {
            queue.fail(error);
            return Applied::Over;
        }
        SubscriptionEvent::Ended => {
            queue.end();
            return Applied::Over;
        }
        // The last batch has said that it is the last; `Resumed` or `Ack` follows an interruption.
        SubscriptionEvent::Ready | SubscriptionEvent::Interrupted => return Applied::Fine,
    };
    if queue.push(event) { Applied::Lagged } else { Applied::Fine }
}
