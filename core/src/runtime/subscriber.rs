//! The owner task's side of a handle: keeps what the machine tells until the end of a turn, then hands it over under one
//! lock. It never waits.

use std::sync::Arc;

use compact_str::CompactString;

use super::event::ChangeEvent;
use super::event_queue::{Batch, EventQueue};
use super::live_state::LiveState;
use super::mailbox::Mailbox;
use crate::error::{Error, ErrorCode};
use crate::machine::{Mode, SubscriptionEvent};
use crate::protocol::{Change, ChangeKind};

/// Where the events of one subscription go.
pub(crate) enum Sink {
    /// Live rows.
    Rows { mailbox: Arc<Mailbox<LiveState>>, pending: Vec<SubscriptionEvent> },
    /// Raw events.
    Events { id: CompactString, mailbox: Arc<Mailbox<EventQueue>>, pending: Batch, end: Option<End> },
}

/// How a subscription ended.
pub(crate) enum End {
    Failed(Error),
    Closed,
}

/// What came of the events of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Delivered {
    /// They are there for the reader.
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
    pub(crate) fn rows(mailbox: Arc<Mailbox<LiveState>>) -> Self {
        Self::Rows { mailbox, pending: Vec::new() }
    }

    pub(crate) fn events(id: CompactString, mailbox: Arc<Mailbox<EventQueue>>) -> Self {
        Self::Events { id, mailbox, pending: Batch::default(), end: None }
    }

    /// Keeps one event.
    pub(crate) fn push(&mut self, event: SubscriptionEvent) {
        match self {
            Self::Rows { pending, .. } => pending.push(event),
            Self::Events { id, pending, end, .. } => match event {
                SubscriptionEvent::Failed(error) => *end = Some(End::Failed(error)),
                SubscriptionEvent::Ended => *end = Some(End::Closed),
                event => {
                    if let Some(event) = change_event(id, event) {
                        pending.push(event);
                    }
                }
            },
        }
    }

    /// Hands over what was kept and wakes who waits for it.
    pub(crate) fn deliver(&mut self) -> Delivered {
        match self {
            Self::Rows { mailbox, pending } => {
                let delivered = mailbox.with(|state| state.apply_all(pending));
                mailbox.wake();
                delivered
            }
            Self::Events { mailbox, pending, end, .. } => {
                let delivered = mailbox.with(|queue| {
                    let lagged = queue.append(pending);
                    match end.take() {
                        Some(End::Failed(error)) => queue.fail(error),
                        Some(End::Closed) => queue.end(),
                        None if lagged => return Delivered::Lagged,
                        None => return Delivered::Fine,
                    }
                    Delivered::Over
                });
                mailbox.wake();
                delivered
            }
        }
    }

    /// The owner task ends without the machine having said so: its runtime was stopped.
    pub(crate) fn abandon(&mut self) {
        let error = Error::new(ErrorCode::Closed, "the runtime that this client lives on was stopped");
        self.push(SubscriptionEvent::Failed(error));
        self.deliver();
    }
}

/// What a reader of events sees of it.
fn change_event(id: &CompactString, event: SubscriptionEvent) -> Option<ChangeEvent> {
    let subscription_id = id.clone();
    Some(match event {
        SubscriptionEvent::Change(Change { kind, rows, old, .. }) => match kind {
            ChangeKind::Insert => ChangeEvent::Insert { subscription_id, rows },
            ChangeKind::Update => ChangeEvent::Update { subscription_id, rows, old_rows: old },
            ChangeKind::Delete => ChangeEvent::Delete { subscription_id, old_rows: rows },
        },
        SubscriptionEvent::Acked { schema, mode: Mode::Fresh } => {
            ChangeEvent::Ack { subscription_id, schema }
        }
        SubscriptionEvent::Acked { mode: Mode::Resumed, .. } => ChangeEvent::Resumed { subscription_id },
        SubscriptionEvent::Batch { rows, has_more } => {
            ChangeEvent::InitialDataBatch { subscription_id, rows, has_more }
        }
        SubscriptionEvent::GapPossible { reason } => {
            ChangeEvent::GapPossible { subscription_id, reason: reason.as_str().to_owned() }
        }
        // The last batch has said that it is the last; `Resumed` or `Ack` follows an interruption; the end is kept apart.
        SubscriptionEvent::Ready
        | SubscriptionEvent::Interrupted
        | SubscriptionEvent::Failed(_)
        | SubscriptionEvent::Ended => return None,
    })
}
