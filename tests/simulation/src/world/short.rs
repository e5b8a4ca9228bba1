//! Events as lines of the trace.

use std::fmt;

use kalam_live::machine::{Event, SubscriptionEvent};

/// An event in a few words: which subscription, what, and the versions of its rows.
pub(super) struct Short<'a>(pub(super) &'a Event);

impl fmt::Display for Short<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (key, event) = match self.0 {
            Event::Lifecycle(event) => return write!(f, "{event:?}"),
            Event::Subscription { key, event } => (key, event),
        };
        write!(f, "{key:?} ")?;
        let rows = match event {
            SubscriptionEvent::Acked { mode, .. } => return write!(f, "acked {mode:?}"),
            SubscriptionEvent::Batch { rows, has_more } => {
                f.write_str(if *has_more { "batch, more" } else { "batch" })?;
                rows
            }
            SubscriptionEvent::Change(change) => {
                write!(f, "{:?}", change.kind)?;
                &change.rows
            }
            other => return write!(f, "{other:?}"),
        };
        rows.iter().try_for_each(|row| write!(f, " {}", row.version().map_or(0, |v| v.get())))
    }
}
