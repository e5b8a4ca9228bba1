//! A snapshot that is read batch by batch, as KalamDB does; [`Snapshot`](super::snapshot::Snapshot) is the other kind.

use std::sync::Arc;

use super::app::App;
use super::snapshot::{Batch, batch};
use crate::engine::{LiveQuery, Page, SqlError};

pub(crate) struct Pager {
    query: Arc<LiveQuery>,
    page: Page,
    next_batch: u32,
}

impl Pager {
    pub(crate) fn new(query: Arc<LiveQuery>, page: Page) -> Self {
        Self { query, page, next_batch: 0 }
    }

    /// The next batch. A client may say after which `_seq` it wants to go on.
    pub(crate) async fn next(&mut self, app: &Arc<App>, after: Option<i64>) -> Result<Batch, SqlError> {
        if let (Page::After { seq, .. }, Some(after)) = (&mut self.page, after) {
            *seq = Some(after);
        }
        let (query, page) = (self.query.clone(), self.page);
        let read = {
            let app = app.clone();
            move || app.engine.live_page(&query, page)
        };
        let broken = |_| SqlError {
            code: "SUBSCRIPTION_FAILED",
            message: "The server failed, its log says more".to_owned(),
            details: None,
            status: 500,
        };
        let (rows, has_more) = app.statements.run_in_turn(read).await.map_err(broken)??;
        let last = rows.last().map(|row| row.seq);
        if let (Page::After { seq, .. }, Some(_)) = (&mut self.page, last) {
            *seq = last;
        }
        let number = self.next_batch;
        self.next_batch += 1;
        Ok(batch(&rows, number, has_more, last))
    }
}
