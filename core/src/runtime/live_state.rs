//! The rows of one `live` handle, and whether more can come.

use super::mailbox::Content;
use super::subscriber::Delivered;
use crate::error::{ErrorCode, Result};
use crate::live::{Begin, LiveView, Rows};
use crate::machine::{Mode, SubscriptionEvent};
use crate::protocol::{Change, ChangeKind};

/// A view that the owner task feeds and a handle reads.
pub(crate) struct LiveState {
    view: LiveView,
}

impl LiveState {
    pub(crate) fn new(view: LiveView) -> Self {
        Self { view }
    }

    /// Applies events in order and empties the list. Those behind a [`StartAnew`](Delivered::StartAnew) speak of what is to
    /// be begun anew, but for the end.
    pub(crate) fn apply_all(&mut self, events: &mut Vec<SubscriptionEvent>) -> Delivered {
        let mut result = Delivered::Fine;
        for event in events.drain(..) {
            let is_end = matches!(event, SubscriptionEvent::Failed(_) | SubscriptionEvent::Ended);
            if result == Delivered::StartAnew && !is_end {
                continue;
            }
            match self.apply(event) {
                Delivered::Over => result = Delivered::Over,
                delivered if result == Delivered::Fine => result = delivered,
                _ => {}
            }
        }
        result
    }

    fn apply(&mut self, event: SubscriptionEvent) -> Delivered {
        let resumed = matches!(event, SubscriptionEvent::Acked { mode: Mode::Resumed, .. });
        let result = match event {
            SubscriptionEvent::Acked { schema, mode: Mode::Fresh } => self.view.begin(schema, Begin::Fresh),
            SubscriptionEvent::Acked { schema, mode: Mode::Resumed } => {
                self.view.begin(schema, Begin::Resumed)
            }
            SubscriptionEvent::Batch { rows, .. } => self.view.batch(rows),
            SubscriptionEvent::Ready => self.view.ready(),
            SubscriptionEvent::Change(change) => self.change(change),
            // Live rows take a fresh snapshot where something may be missing.
            SubscriptionEvent::GapPossible { .. } => Ok(()),
            SubscriptionEvent::Interrupted => {
                self.view.interrupted();
                Ok(())
            }
            SubscriptionEvent::Failed(error) => {
                self.view.fail(error);
                return Delivered::Over;
            }
            SubscriptionEvent::Ended => {
                self.view.closed();
                return Delivered::Over;
            }
        };
        match result {
            Ok(()) => Delivered::Fine,
            Err(error) if resumed && error.code() == ErrorCode::Protocol => Delivered::StartAnew,
            Err(error) => {
                self.view.fail(error);
                Delivered::Refused
            }
        }
    }

    fn change(&mut self, change: Change) -> Result<()> {
        change.rows.into_iter().try_for_each(|row| match change.kind {
            ChangeKind::Insert => self.view.insert(row),
            ChangeKind::Update => self.view.update(row),
            ChangeKind::Delete => self.view.delete(row),
        })
    }

    /// What is new, if anything is.
    pub(crate) fn take(&mut self) -> Option<Result<Rows>> {
        self.view.take()
    }

    /// The reader wants no more.
    pub(crate) fn close(&mut self) {
        self.view.closed();
    }

    /// Whether everything was taken and nothing more will come.
    pub(crate) fn is_over(&self) -> bool {
        self.view.is_ended()
    }
}

impl Content for LiveState {
    fn is_ready(&self) -> bool {
        self.view.is_ready()
    }
}
