//! What `system.live` tells: the live queries that a server has open. The engine does not know them by itself.

use super::Cell;

/// A live query that a client has open.
#[derive(Debug, Clone)]
pub struct LiveInfo {
    pub connection_id: String,
    pub subscription_id: String,
    pub namespace: String,
    pub table: String,
    pub user: String,
    pub query: String,
    /// What was asked for, as JSON.
    pub options: String,
    /// Microseconds since the epoch, as all times here.
    pub created_at: i64,
    /// When the last change was delivered; `created_at` before the first.
    pub last_update: i64,
    /// Changes delivered so far.
    pub changes: i64,
    /// When the client last sent anything.
    pub last_ping_at: i64,
}

/// Who knows the live queries, for [`Engine::set_live_list`](super::Engine::set_live_list).
pub trait LiveList: Send + Sync {
    /// All that are open.
    fn live(&self) -> Vec<LiveInfo>;

    /// Ends the one with this `live_id`, as `KILL LIVE QUERY` asks. False when there is none.
    fn kill(&self, live_id: &str) -> bool;
}

impl LiveInfo {
    /// What `system.live` calls it.
    #[must_use]
    pub fn live_id(&self) -> String {
        format!("{}-{}-{}", self.user, self.connection_id, self.subscription_id)
    }

    /// A row of `system.live`, as recorded in `wire/tables.jsonl`.
    pub(crate) fn row(&self, node: u16) -> Vec<Cell> {
        let text = |text: &str| Cell::Text(text.into());
        vec![
            text(&self.live_id()),
            text(&self.connection_id),
            text(&self.subscription_id),
            text(&self.namespace),
            text(&self.table),
            text(&self.user),
            text(&self.query),
            Cell::Json(self.options.as_str().into()),
            text("active"),
            Cell::Timestamp(self.created_at),
            Cell::Timestamp(self.last_update),
            Cell::BigInt(self.changes),
            Cell::BigInt(i64::from(node) + 1),
            Cell::Timestamp(self.last_ping_at),
        ]
    }
}
