//! The rows of one `live` handle, and who keeps them right.

use std::sync::Arc;
use std::time::Duration;

use super::mailbox::Content;
use super::subscriber::Applied;
use crate::converge::{Ask, Keeper, Outcome, VerifyCounters};
use crate::error::Result;
use crate::live::Lifted;
use crate::machine::SubscriptionEvent;
use crate::repair::Repair;
use crate::sql::{LiveSql, TableName};

/// A keeper that the owner task feeds and a handle reads.
pub(crate) struct LiveState {
    keeper: Keeper,
    epoch: u64,
    /// Something is for the reader to see, and stays so until it is taken. What comes after that waits until it is handed over:
    /// in a flood the reader would otherwise take changes one by one.
    handed_over: bool,
}

/// What a keeper wants after it was fed.
pub(super) struct Wishes {
    pub(super) asks: Vec<Ask>,
    pub(super) repairs: Vec<Repair>,
    pub(super) counters: VerifyCounters,
    pub(super) timeout: Option<Duration>,
    /// A digest of the table is among the questions: how far the next should be.
    pub(super) digest: Option<(TableName, Duration)>,
    /// After a reconnect no snapshot is needed.
    pub(super) keeps_rows: bool,
    /// What to watch, if that may have changed.
    pub(super) watch: Option<Option<(Arc<str>, LiveSql)>>,
}

impl LiveState {
    pub(crate) fn new(keeper: Keeper) -> Self {
        Self { keeper, epoch: 0, handed_over: false }
    }

    pub(super) fn keeper(&mut self) -> &mut Keeper {
        &mut self.keeper
    }

    pub(super) fn apply(&mut self, now: Duration, event: SubscriptionEvent) -> Applied {
        match self.keeper.handle_event(now, event) {
            Outcome::Fine => Applied::Fine,
            Outcome::StartAnew => Applied::StartAnew,
            Outcome::Refused => Applied::Refused,
            Outcome::Over => Applied::Over,
        }
    }

    /// What has come is for the reader to see.
    pub(super) fn hand_over(&mut self) {
        self.handed_over = true;
    }

    /// Does what is due, and says what is to be done.
    pub(super) fn wishes(&mut self, now: Duration) -> Wishes {
        if self.keeper.next_timeout().is_some_and(|at| at <= now) {
            self.keeper.handle_timeout(now);
        }
        let epoch = self.keeper.epoch();
        let watch = (epoch != self.epoch).then(|| {
            self.epoch = epoch;
            self.keeper.wants_watch().and_then(|live| Some((live.to_sql().ok()?.into(), live)))
        });
        Wishes {
            asks: std::iter::from_fn(|| self.keeper.poll_ask()).collect(),
            repairs: std::iter::from_fn(|| self.keeper.poll_report()).collect(),
            counters: self.keeper.take_counters(),
            timeout: self.keeper.next_timeout(),
            keeps_rows: self.keeper.keeps_rows(),
            digest: self.keeper.take_digest().map(|distance| (self.keeper.table().clone(), distance)),
            watch,
        }
    }

    /// What is new, if anything is. The owner task waits for this, so the work is done after it.
    pub(crate) fn lift(&mut self) -> Option<Result<Lifted>> {
        if !self.handed_over {
            return None;
        }
        let lifted = self.keeper.view_mut().lift();
        // After the last rows an error may follow.
        self.handed_over = self.keeper.view().is_ready();
        lifted
    }

    /// The reader wants no more.
    pub(crate) fn close(&mut self) {
        self.handed_over = true;
        self.keeper.view_mut().closed();
    }

    /// Whether everything was taken and nothing more will come.
    pub(crate) fn is_over(&self) -> bool {
        self.handed_over && self.keeper.view().is_ended()
    }
}

impl Content for LiveState {
    fn is_ready(&self) -> bool {
        self.handed_over && self.keeper.view().is_ready()
    }
}
