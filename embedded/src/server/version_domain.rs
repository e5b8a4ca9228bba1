//! What the cursors of 0.8 are relative to. As documented, not recorded: a subscription is told it with its cursors, and
//! sends it back with the one that it resumes from.

use std::sync::Arc;

use serde::Serialize;

use crate::engine::{Engine, LiveQuery};

/// The history that numbers of versions belong to. To clients it is opaque.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct VersionDomain {
    /// Another one after the data were replaced or restored.
    history_incarnation: Arc<str>,
    table_id: i64,
    /// Whose rows: the user of a USER or STREAM table.
    scope_id: Arc<str>,
    partition_id: u32,
}

impl VersionDomain {
    pub(crate) fn of(engine: &Engine, query: &LiveQuery) -> Self {
        Self {
            history_incarnation: engine.epoch().into(),
            table_id: query.table().0,
            scope_id: query.user().unwrap_or("shared").into(),
            partition_id: 0,
        }
    }

    /// Whether a cursor that came with `sent` may be resumed from. Only the cursor of a user's own rows may come alone.
    pub(crate) fn accepts(&self, sent: Option<&serde_json::Value>, query: &LiveQuery) -> bool {
        match sent {
            Some(sent) => serde_json::to_value(self).is_ok_and(|own| own == *sent),
            None => query.user().is_some(),
        }
    }
}
