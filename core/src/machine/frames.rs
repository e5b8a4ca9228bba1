//! What the server says.

use std::sync::Arc;

use super::event::{Decoding, Deferred, GapReason, Lifecycle, LinkId, Mode, Resume, SubscriptionEvent};
use super::link::Phase;
use super::sabotage::Sabotage;
use super::subscription::{Incarnation, Progress, Stage};
use super::{Machine, Time, Timer};
use crate::checkpoint::Checkpoint;
use crate::error::{Error, ErrorCode};
use crate::protocol::{
    Ack, Batch, Change, DecodeError, Glance, RawFrame, RowPlan, ServerError, ServerFrame, decode,
};
use crate::schema::SeqId;

/// How long after a reconnect a refused slot may still be held by the connection that was lost: the server notices its
/// end after ten seconds of silence.
const SLOTS_FREED_WITHIN: Time = Time::from_secs(30);
/// How often a refused slot is asked for again meanwhile.
const SLOT_RETRY: Time = Time::from_secs(2);

/// The embedded server ends a subscription whose columns were altered with this code.
const SCHEMA_CHANGED: &str = "SCHEMA_CHANGED";

impl Machine {
    /// A frame arrived. Of a link that is not the present one it is ignored.
    pub fn handle_frame(&mut self, now: Time, link: LinkId, frame: RawFrame<'_>) {
        if self.connection.link() != Some(link) {
            return;
        }
        self.counters.frames += 1;
        self.counters.bytes += frame.len() as u64;
        self.timers.stop(Timer::Pong); // A frame is as good as a pong.
        if let RawFrame::Text(text) = frame
            && self.table.defers()
            && self.is_deferred(text)
        {
            return;
        }
        match (decode(frame, &self.table, &self.config.limits), &self.connection.phase) {
            (Ok(frame), Phase::Connected { .. }) => self.frame(now, frame),
            (Ok(frame), _) => self.greeting(now, frame),
            (Err(error), _) => self.bad_frame(now, error),
        }
        self.flush(now);
    }

    /// Leaves a change to its reader, if it wants that and nothing but the versions has to be known of it here.
    fn is_deferred(&mut self, text: &str) -> bool {
        let Some(glance) = Glance::at(text).filter(|_| text.len() <= self.config.limits.frame_bytes) else {
            return false;
        };
        let key = self.table.key_of(glance.subscription);
        let Some((key, subscription)) = key.and_then(|key| Some((key, self.table.get_mut(key)?))) else {
            return false;
        };
        let Stage::Sent(Incarnation { progress: Progress::Ready, plan: Some(plan), .. }) =
            &subscription.stage
        else {
            return false;
        };
        if subscription.decoding != Decoding::ByReader || !plan.is_flat() {
            return false;
        }
        let Some(version) =
            glance.versions().and_then(|versions| subscription.position.pass_unread(versions))
        else {
            return false;
        };
        let deferred = Deferred { plan: plan.clone(), from: text.len() - glance.rest.len(), version };
        self.notify(key, SubscriptionEvent::Deferred(deferred));
        true
    }

    /// A frame before the connection is authenticated.
    fn greeting(&mut self, now: Time, frame: ServerFrame) {
        match frame {
            ServerFrame::AuthSuccess(success) => self.authenticated(now, success),
            ServerFrame::AuthError { message } => self.refused(now, &message, Some(1000)),
            ServerFrame::Error(error) => self.lifecycle(Lifecycle::ServerError(error.to_error())),
            ServerFrame::Unknown { .. } => self.counters.unknown_frames += 1,
            ServerFrame::Ack(_) | ServerFrame::Batch(_) | ServerFrame::Change(_) => {
                self.counters.late_frames += 1
            }
        }
    }

    fn frame(&mut self, now: Time, frame: ServerFrame) {
        match frame {
            // Repeated after a token that was sent by message as well.
            ServerFrame::AuthSuccess(_) => {}
            ServerFrame::AuthError { message } => self.refused(now, &message, Some(1000)),
            ServerFrame::Ack(ack) => self.ack(now, ack),
            ServerFrame::Batch(batch) => self.batch(now, batch),
            ServerFrame::Change(change) => self.change(change),
            ServerFrame::Error(error) => self.server_error(now, error),
            ServerFrame::Unknown { .. } => self.counters.unknown_frames += 1,
        }
    }

    /// What a frame that can not be read said is lost. Its subscription is begun anew, or the connection, if it is not
    /// known whose it was.
    fn bad_frame(&mut self, now: Time, bad: DecodeError) {
        self.counters.bad_frames += 1;
        let Some(wire_id) = bad.subscription else { return self.lose_by_bad_frame(now, bad.error) };
        match self.table.key_of(&wire_id) {
            Some(key) => self.retry(now, key, bad.error),
            None => self.counters.late_frames += 1,
        }
    }

    fn ack(&mut self, now: Time, ack: Ack) {
        // There is no ack without a connection, which has one.
        let Some(here) = self.connection.epoch.clone() else { return };
        let key = self.table.key_of(&ack.subscription);
        let Some((key, subscription)) = key.and_then(|key| Some((key, self.table.get_mut(key)?))) else {
            self.counters.late_frames += 1;
            return;
        };
        let Stage::Sent(incarnation) = &mut subscription.stage else { return };
        if incarnation.progress != Progress::Unacked {
            self.counters.late_frames += 1;
            return;
        }
        let plan = match RowPlan::new(&ack.columns, &subscription.live, subscription.old) {
            Ok(plan) => plan,
            Err(error) => return self.fail(key, error),
        };
        let schema = plan.schema().clone();
        incarnation.plan = Some(Arc::new(plan));
        subscription.strikes = 0;
        subscription.position.acked(&ack.control, &here);
        let resumed = subscription.position.checkpoint().map(Checkpoint::seq);
        let origin = subscription.position.at(resumed.unwrap_or(SeqId::from(0)));
        let (mode, gap, snapshot) = (incarnation.mode, incarnation.gap, incarnation.snapshot);
        incarnation.rate_limited = false;
        incarnation.progress = if snapshot { Progress::Loading { page: None } } else { Progress::Ready };
        incarnation.deadline = snapshot.then_some(now + self.config.timeouts.page);
        if !snapshot {
            subscription.established = true;
            subscription.position.ready(ack.control.last_seq.map(|c| c.seq()));
        }
        self.outbox.deadlines_moved();
        self.notify(key, SubscriptionEvent::Acked { schema, mode, origin });
        if let Some(reason) = gap {
            self.notify(key, SubscriptionEvent::GapPossible { reason });
        }
        if !snapshot {
            self.notify(key, SubscriptionEvent::Ready);
        }
    }

    fn batch(&mut self, now: Time, batch: Batch) {
        let Batch { subscription: wire_id, mut rows, control } = batch;
        let key = self.table.key_of(&wire_id);
        let Some((key, subscription)) = key.and_then(|key| Some((key, self.table.get_mut(key)?))) else {
            self.counters.late_frames += 1;
            return;
        };
        let Stage::Sent(incarnation) = &mut subscription.stage else { return };
        let Progress::Loading { page } = &mut incarnation.progress else {
            self.counters.late_frames += 1;
            return;
        };
        let has_more = control.has_more;
        if has_more && (control.last_seq.is_none() || *page == control.last_seq) {
            let message = "the server says that the snapshot goes on, but not from where";
            return self.fail(key, Error::new(ErrorCode::Protocol, message));
        }
        self.counters.replayed_rows += subscription.position.page(&mut rows, &control) as u64;
        incarnation.rate_limited = false;
        if has_more {
            page.clone_from(&control.last_seq);
            incarnation.deadline = Some(now + self.config.timeouts.page);
            self.outbox.next_batch(key, wire_id);
        } else {
            incarnation.progress = Progress::Ready;
            incarnation.deadline = None;
            let told = control.last_seq.filter(|_| {
                incarnation.mode == Mode::Fresh || subscription.sabotage == Sabotage::CheckpointFromServer
            });
            subscription.position.ready(told.map(|c| c.seq()));
            subscription.established = true;
        }
        self.outbox.deadlines_moved();
        self.notify(key, SubscriptionEvent::Batch { rows, has_more });
        if !has_more {
            self.notify(key, SubscriptionEvent::Ready);
        }
    }

    /// The frame that comes most often.
    fn change(&mut self, mut change: Change) {
        let key = self.table.key_of(&change.subscription);
        let Some((key, subscription)) = key.and_then(|key| Some((key, self.table.get_mut(key)?))) else {
            self.counters.late_frames += 1;
            return;
        };
        let Stage::Sent(incarnation) = &mut subscription.stage else { return };
        let loading = match incarnation.progress {
            Progress::Unacked => {
                incarnation.gap.get_or_insert(GapReason::ChangeBeforeAck);
                self.counters.late_frames += 1;
                return;
            }
            Progress::Loading { .. } => true,
            Progress::Ready => false,
        };
        let dropped = subscription.position.change(&mut change, loading);
        self.counters.replayed_rows += dropped as u64;
        if dropped == 0 || !change.rows.is_empty() {
            self.notify(key, SubscriptionEvent::Change(change));
        }
    }

    fn server_error(&mut self, now: Time, refusal: ServerError) {
        let error = refusal.to_error();
        let Some(key) = self.table.key_of(&refusal.subscription) else {
            if self.table.gave_out(&refusal.subscription) {
                self.counters.late_frames += 1;
                return;
            }
            self.lifecycle(Lifecycle::ServerError(error.clone()));
            match error.code() {
                ErrorCode::RateLimited => self.rate_limited(now),
                ErrorCode::AuthFailed => self.refused(now, &refusal.message, Some(1000)),
                _ => {}
            }
            return;
        };
        let Some(subscription) = self.table.get_mut(key) else { return };
        let resuming = subscription.incarnation().is_some_and(|i| i.mode == Mode::Resumed);
        let established = subscription.established;
        match error.code() {
            ErrorCode::SubscriptionLimit => {
                let may_be_freed = (self.connection.reconnected || established)
                    && now < self.connection.since + SLOTS_FREED_WITHIN;
                // A watch tells changes only, and has no rows to lose: it gives way.
                let has_rows = subscription.options.snapshot || subscription.resume == Resume::Cursor;
                let can_be_freed = self.spare_slots && has_rows;
                self.slots_wanted |= can_be_freed;
                if may_be_freed || can_be_freed {
                    let wait = SLOT_RETRY / 2 + self.random.up_to(SLOT_RETRY / 2);
                    self.begin_anew(key, Some(now + wait));
                } else {
                    self.fail(key, error);
                }
            }
            ErrorCode::AuthFailed | ErrorCode::PermissionDenied => self.fail(key, error),
            _ if refusal.code == SCHEMA_CHANGED => {
                // What was held has other columns.
                subscription.position.set(None);
                subscription.keeps = false;
                let was_acked = subscription.incarnation().is_some_and(|i| i.progress != Progress::Unacked);
                // However often a table is altered; but not for a server that says so in answer to every subscribe.
                if was_acked {
                    self.counters.restarts += 1;
                    self.begin_anew(key, None);
                } else {
                    self.retry(now, key, error);
                }
            }
            ErrorCode::RateLimited => {
                self.rate_limited(now);
                self.retry(now, key, error);
            }
            _ if resuming && !error.retryable() => {
                // The position may be what it can not accept; the rows themselves are worth more than it.
                subscription.position.set(None);
                self.retry(now, key, error);
            }
            _ if established || error.retryable() => self.retry(now, key, error),
            _ => self.fail(key, error),
        }
    }
}
