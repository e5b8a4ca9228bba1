//! The owner task's side of a handle: applies what the machine tells, and never waits.

use std::sync::Arc;
use std::time::Duration;

use compact_str::CompactString;

use super::catch_up::{CatchUp, CaughtUp};
use super::event::ChangeEvent;
use super::event_batch::Batch;
use super::event_queue::EventQueue;
use super::live_state::LiveState;
use super::mailbox::Mailbox;
use crate::converge::AskId;
use crate::error::{Error, ErrorCode, Result};
use crate::machine::{Deferred, GapReason, Mode, SubscriptionEvent};
use crate::protocol::{Limits, RawFrame, RowPlan, ServerFrame, StatementResult, decode};
use crate::sql::LiveSql;

/// With more events than this waiting for it, a reader gets help: about a millisecond of its work.
const BEHIND: usize = 2_048;

/// Where the events of one subscription go.
pub(crate) enum Sink {
    /// Live rows.
    Rows(Arc<Mailbox<LiveState>>),
    /// Raw events.
    Events(EventSink),
    /// The owner task itself, which watches a table by this SQL for the live rows on it.
    Watch(Arc<str>),
}

/// Keeps the events of a turn, to hand them over in one go.
pub(crate) struct EventSink {
    id: CompactString,
    mailbox: Arc<Mailbox<EventQueue>>,
    pending: Batch,
    /// Boxed, since every sink is as large as the largest.
    catch_up: Box<CatchUp>,
    /// What the reader decodes changes by, once it was told.
    plan: Option<Arc<RowPlan>>,
    /// It has much to do: what comes is decoded here.
    reader_is_behind: bool,
    /// How the subscription ended, after these.
    end: Option<End>,
}

enum End {
    Failed(Error),
    Closed,
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
    /// Applies one event, or keeps it for [`deliver`](Self::deliver). Wakes nobody.
    pub(crate) fn apply(&mut self, now: Duration, event: SubscriptionEvent) -> Applied {
        match self {
            Self::Rows(mailbox) => mailbox.with(|state| state.apply(now, event)),
            Self::Events(sink) => {
                sink.push(event);
                Applied::Fine
            }
            Self::Watch(_) => Applied::Fine,
        }
    }

    /// Whether it may want to ask something.
    pub(crate) fn is_curious(&self) -> bool {
        matches!(self, Self::Events(sink) if sink.catch_up.is_curious())
    }

    /// Hands over what was kept, and wakes who waits for it.
    pub(crate) fn deliver(&mut self) -> Applied {
        match self {
            Self::Rows(mailbox) => {
                mailbox.with(LiveState::hand_over);
                mailbox.wake();
                Applied::Fine
            }
            Self::Events(sink) => sink.deliver(),
            Self::Watch(_) => Applied::Fine,
        }
    }

    /// The subscription is begun anew: what was kept is of no use.
    pub(crate) fn begin_anew(&mut self) {
        if let Self::Events(sink) = self {
            sink.pending = Batch::default();
            sink.catch_up.begin_anew();
            sink.plan = None;
            sink.mailbox.with(EventQueue::begin_anew);
        }
    }

    /// The owner task ends without the machine having said so: its runtime was stopped.
    pub(crate) fn abandon(&mut self) {
        let error = Error::new(ErrorCode::Closed, "the runtime that this client lives on was stopped");
        self.apply(Duration::ZERO, SubscriptionEvent::Failed(error));
        self.deliver();
    }
}

impl EventSink {
    pub(crate) fn new(id: CompactString, live: LiveSql, mailbox: Arc<Mailbox<EventQueue>>) -> Self {
        Self {
            id,
            mailbox,
            pending: Batch::default(),
            catch_up: Box::new(CatchUp::new(live)),
            plan: None,
            reader_is_behind: false,
            end: None,
        }
    }

    /// What is to be asked over HTTP, after waiting so long.
    pub(super) fn question(&mut self) -> Option<(AskId, String, Duration)> {
        self.catch_up.question()
    }

    /// Who the client is.
    pub(super) fn set_user(&mut self, user: &str) {
        self.catch_up.set_user(user);
    }

    /// The answer to a question.
    pub(super) fn answer(&mut self, ask: AskId, result: Result<Vec<StatementResult>>) {
        let subscription_id = self.id.clone();
        match self.catch_up.answer(ask, result) {
            None => return,
            Some(CaughtUp::Deleted(old_rows, purged)) => {
                if !old_rows.is_empty() {
                    let subscription_id = subscription_id.clone();
                    self.pending.push(ChangeEvent::Delete { subscription_id, old_rows });
                }
                if purged {
                    let reason = GapReason::Purged.as_str().to_owned();
                    self.pending.push(ChangeEvent::GapPossible { subscription_id, reason });
                }
            }
            Some(CaughtUp::Unknown) => {
                let reason = GapReason::ResumedWithoutDeletes.as_str().to_owned();
                self.pending.push(ChangeEvent::GapPossible { subscription_id, reason });
            }
        }
        let subscription_id = self.id.clone();
        self.pending.push(ChangeEvent::InitialDataBatch {
            subscription_id,
            rows: Vec::new(),
            has_more: false,
        });
    }

    /// Keeps a change for the reader to decode; unless that one has more to do than this task has, or it matters here what
    /// is in it.
    pub(super) fn push_unread(&mut self, change: Deferred, frame: &str) {
        let Deferred { plan, from, version } = change;
        let limits = Limits { frame_bytes: frame.len(), ..Limits::default() };
        // What can not be read is for the reader to find, in its turn.
        if (self.reader_is_behind || self.catch_up.looks_at_changes())
            && let Ok(ServerFrame::Change(change)) = decode(RawFrame::Text(frame), &*plan, &limits)
        {
            return self.push(SubscriptionEvent::Change(change));
        }
        self.catch_up.passed(version);
        if !self.plan.as_ref().is_some_and(|known| Arc::ptr_eq(known, &plan)) {
            self.pending.push_plan(plan.clone());
            self.plan = Some(plan);
        }
        self.pending.push_unread(&frame[from..]);
    }

    pub(super) fn push(&mut self, event: SubscriptionEvent) {
        match &event {
            SubscriptionEvent::Change(change) if !self.catch_up.change(change) => return,
            SubscriptionEvent::Acked { schema, mode, origin } => self.catch_up.acked(schema, *mode, origin),
            SubscriptionEvent::GapPossible { reason: GapReason::ResumedWithoutDeletes } => {
                return self.catch_up.tells_no_deletes();
            }
            SubscriptionEvent::Ready => return self.catch_up.ready(),
            SubscriptionEvent::Interrupted => self.catch_up.interrupted(),
            _ => {}
        }
        let subscription_id = self.id.clone();
        self.pending.push(match event {
            SubscriptionEvent::Change(change) => ChangeEvent::change(subscription_id, change),
            SubscriptionEvent::Acked { schema, mode: Mode::Fresh | Mode::Since, origin } => {
                ChangeEvent::Ack { subscription_id, schema, origin }
            }
            SubscriptionEvent::Acked { mode: Mode::Resumed | Mode::Kept, origin, .. } => {
                ChangeEvent::Resumed { subscription_id, origin }
            }
            SubscriptionEvent::Batch { rows, has_more } => {
                let has_more = self.catch_up.batch(&rows, has_more);
                ChangeEvent::InitialDataBatch { subscription_id, rows, has_more }
            }
            SubscriptionEvent::GapPossible { reason } => {
                ChangeEvent::GapPossible { subscription_id, reason: reason.as_str().to_owned() }
            }
            SubscriptionEvent::Failed(error) => return self.end = Some(End::Failed(error)),
            SubscriptionEvent::Ended => return self.end = Some(End::Closed),
            // The last batch has said that it is the last; `Resumed` or `Ack` follows an interruption.
            SubscriptionEvent::Ready | SubscriptionEvent::Interrupted => return,
            // Told right after its frame was handled, and taken there.
            SubscriptionEvent::Deferred(_) => return,
        });
    }

    fn deliver(&mut self) -> Applied {
        let applied = self.mailbox.with(|queue| {
            let next = Batch::as_roomy_as(&self.pending);
            let lagged = queue.append(std::mem::replace(&mut self.pending, next));
            self.reader_is_behind = queue.waiting() > BEHIND;
            match self.end.take() {
                Some(End::Failed(error)) => queue.fail(error),
                Some(End::Closed) => queue.end(),
                None if lagged => return Applied::Lagged,
                None => return Applied::Fine,
            }
            Applied::Over
        });
        self.mailbox.wake();
        applied
    }
}
