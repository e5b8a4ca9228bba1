//! One subscription: what is wanted of it, and how far it is on the current link.

use std::sync::Arc;

use compact_str::CompactString;

use super::Time;
use super::event::{Decoding, GapReason, Mode, OldValues, Resume, SubscribeOptions, SubscriptionStage};
use super::position::Position;
use super::sabotage::Sabotage;
use crate::checkpoint::{Checkpoint, Epoch};
use crate::protocol::{Cursor, RowPlan, SnapshotOptions};
use crate::sql::LiveSql;

/// What is kept of a subscription as long as it is open.
#[derive(Debug)]
pub(super) struct Subscription {
    /// Name for people. On the wire stands [`Incarnation::wire_id`].
    pub(super) id: CompactString,
    pub(super) live: LiveSql,
    pub(super) sql: String,
    pub(super) options: SubscribeOptions,
    pub(super) old: OldValues,
    pub(super) resume: Resume,
    pub(super) decoding: Decoding,
    pub(super) position: Position,
    /// Was ready once, so that its handle expects it to survive.
    pub(super) established: bool,
    /// Its reader needs no snapshot after a reconnect.
    pub(super) keeps: bool,
    pub(super) stage: Stage,
    pub(super) retries: Retries,
    /// Connections in a row that the server ended with a complaint while this waited for its ack.
    pub(super) strikes: u32,
    pub(super) sabotage: Sabotage,
}

/// How far a subscription is.
#[derive(Debug)]
pub(super) enum Stage {
    /// There is no connection.
    Offline,
    /// Its subscribe message waits in the queue.
    Queued,
    /// Its next subscribe message waits for a time.
    Delayed { until: Time },
    /// The server has got it.
    Sent(Incarnation),
}

/// A subscription as the server knows it: from one subscribe message to the next.
///
/// Each has an id of its own. So what the server still sends for an earlier one, also for one of the same name, is never
/// taken for news of this one.
#[derive(Debug)]
pub(super) struct Incarnation {
    pub(super) wire_id: CompactString,
    pub(super) mode: Mode,
    /// To be told after the ack.
    pub(super) gap: Option<GapReason>,
    pub(super) snapshot: bool,
    /// When an answer must be there.
    pub(super) deadline: Option<Time>,
    /// What was asked for last may have been refused for being one message too many.
    pub(super) rate_limited: bool,
    /// Known from the ack on.
    pub(super) plan: Option<Arc<RowPlan>>,
    pub(super) progress: Progress,
}

/// What the server has answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// Nothing.
    Unacked,
    /// Pages are outstanding.
    Loading {
        /// Position of the latest page.
        page: Option<Cursor>,
    },
    Ready,
}

/// How often a subscription was begun anew on a connection that held.
#[derive(Debug, Default)]
pub(super) struct Retries {
    count: u32,
    last: Time,
}

/// Retries in a row before a subscription has failed.
const MOST_RETRIES: u32 = 3;
/// Strikes before a subscription has failed.
const MOST_STRIKES: u32 = 3;
/// A retry after this long a time is the first again.
const RETRIES_FORGOTTEN: Time = Time::from_secs(60);

impl Retries {
    /// How many retries there were just now, if one more is allowed.
    pub(super) fn next(&mut self, now: Time) -> Option<u32> {
        if now.saturating_sub(self.last) > RETRIES_FORGOTTEN {
            self.count = 0;
        }
        let before = self.count;
        (before < MOST_RETRIES).then(|| {
            self.count += 1;
            self.last = now;
            before
        })
    }

    pub(super) fn reset(&mut self) {
        self.count = 0;
    }
}

/// How a subscribe message is to begin.
pub(super) struct Request {
    pub(super) options: Option<SnapshotOptions>,
    pub(super) mode: Mode,
    /// Where it goes on.
    pub(super) from: Option<Checkpoint>,
    pub(super) gap: Option<GapReason>,
}

impl Subscription {
    /// What to ask of a server that announced itself `complete` or did not, and whose numbers are `here`.
    pub(super) fn request(&self, complete: bool, here: &Epoch, page_rows: u32) -> Request {
        let resumes = complete || self.resume == Resume::Cursor || self.sabotage == Sabotage::ResumeAnywhere;
        let reached = self.position.checkpoint().filter(|_| resumes);
        let SubscribeOptions { snapshot, last_rows, batch_size, from: given } = &self.options;
        let page = Some(batch_size.unwrap_or(page_rows));
        // A page must hold all of `last_rows` (UNSUPPORTED otherwise, recorded in wire/live_basic.jsonl).
        let first_page = if last_rows.is_some() { *batch_size } else { page };
        let from = reached.or(given.as_ref());
        // Live rows are loaded anew where something may be missing.
        let told = |gap: Option<GapReason>| gap.filter(|_| self.resume == Resume::Cursor);
        if let Some(from) = from.filter(|from| from.epoch().is_none_or(|epoch| epoch == here)) {
            let cursor = Some(from.cursor().clone());
            // Until its first rows are there, it has only what the caller gave.
            let begun = reached.is_some() && (self.established || given.is_none());
            let options = match begun {
                true => SnapshotOptions { batch_size: page, last_rows: None, from: cursor },
                false => SnapshotOptions { batch_size: first_page, last_rows: *last_rows, from: cursor },
            };
            let unproven = from.epoch().is_none().then_some(GapReason::Unproven);
            return Request {
                options: Some(options),
                mode: if begun { Mode::Resumed } else { Mode::Since },
                from: Some(from.clone()),
                gap: told(if complete { unproven } else { Some(GapReason::ResumedWithoutDeletes) }),
            };
        }
        if self.keeps && self.established && !complete {
            return Request { options: None, mode: Mode::Kept, from: None, gap: None };
        }
        let gap = match from {
            Some(_) => told(Some(GapReason::AnotherEpoch)),
            None if self.established && !snapshot => Some(GapReason::NoCheckpoint),
            None => told(self.established.then_some(GapReason::NoCheckpoint)),
        };
        let options =
            snapshot.then_some(SnapshotOptions { batch_size: first_page, last_rows: *last_rows, from: None });
        Request { options, mode: Mode::Fresh, from: None, gap }
    }

    pub(super) fn incarnation(&self) -> Option<&Incarnation> {
        match &self.stage {
            Stage::Sent(incarnation) => Some(incarnation),
            Stage::Offline | Stage::Queued | Stage::Delayed { .. } => None,
        }
    }

    pub(super) fn incarnation_mut(&mut self) -> Option<&mut Incarnation> {
        match &mut self.stage {
            Stage::Sent(incarnation) => Some(incarnation),
            Stage::Offline | Stage::Queued | Stage::Delayed { .. } => None,
        }
    }

    /// The server has got its subscribe message and did not answer.
    pub(super) fn is_unacked(&self) -> bool {
        self.incarnation().is_some_and(|i| i.progress == Progress::Unacked)
    }

    pub(super) fn deadline(&self) -> Option<Time> {
        match &self.stage {
            Stage::Delayed { until } => Some(*until),
            Stage::Sent(incarnation) => incarnation.deadline,
            Stage::Offline | Stage::Queued => None,
        }
    }

    /// The server ended the connection with a complaint while this waited for its ack. Returns whether that happened too
    /// often for chance.
    pub(super) fn suspect(&mut self) -> bool {
        self.strikes += 1;
        self.strikes >= MOST_STRIKES
    }

    pub(super) fn stage(&self) -> SubscriptionStage {
        match self.incarnation().map(|i| &i.progress) {
            None => SubscriptionStage::Waiting,
            Some(Progress::Unacked) => SubscriptionStage::Subscribing,
            Some(Progress::Loading { .. }) => SubscriptionStage::Loading,
            Some(Progress::Ready) => SubscriptionStage::Ready,
        }
    }
}
