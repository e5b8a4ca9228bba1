//! The rows of one `live` handle, and whether more can come.

use std::sync::Arc;

use super::mailbox::Content;
use super::subscriber::Applied;
use crate::error::Result;
use crate::live::{LiveView, Rows};
use crate::machine::{Mode, SubscriptionEvent};
use crate::protocol::{Change, ChangeKind};

/// A view that the owner task feeds and a handle reads.
pub(crate) struct LiveState {
    id: Arc<str>,
    view: LiveView,
    over: bool,
}

impl LiveState {
    pub(crate) fn new(id: Arc<str>, view: LiveView) -> Self {
        Self { id, view, over: false }
    }

    pub(crate) fn id(&self) -> &Arc<str> {
        &self.id
    }

    pub(crate) fn apply(&mut self, event: SubscriptionEvent) -> Applied {
        match event {
            SubscriptionEvent::Acked { schema, mode: Mode::Fresh } => self.view.begin(schema, false),
            SubscriptionEvent::Acked { schema, mode: Mode::Resumed } => self.view.begin(schema, true),
            SubscriptionEvent::Batch { rows, .. } => self.view.batch(rows),
            SubscriptionEvent::Ready => self.view.ready(),
            SubscriptionEvent::Change(Change { kind, rows, .. }) => {
                for row in rows {
                    match kind {
                        ChangeKind::Insert => self.view.insert(row),
                        ChangeKind::Update => self.view.update(row),
                        ChangeKind::Delete => self.view.delete(row),
                    }
                }
            }
            SubscriptionEvent::Interrupted => self.view.interrupted(),
            SubscriptionEvent::GapPossible { .. } => {}
            SubscriptionEvent::Failed(error) => {
                self.view.fail(error);
                self.over = true;
            }
            SubscriptionEvent::Ended => {
                self.view.closed();
                self.over = true;
            }
        }
        Applied { over: self.over, lagged: false }
    }

    /// What is new, if anything is.
    pub(crate) fn take(&mut self) -> Option<Result<Rows>> {
        self.view.take()
    }

    /// Whether everything was taken and nothing more will come.
    pub(crate) fn is_over(&self) -> bool {
        self.over && !self.view.is_ready()
    }
}

impl Content for LiveState {
    fn is_ready(&self) -> bool {
        self.over || self.view.is_ready()
    }
}
