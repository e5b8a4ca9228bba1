//! The handle of `live`.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use compact_str::CompactString;
use futures_util::Stream;

use super::handle::Handle;
use crate::error::{ErrorCode, Result};
use crate::live::{Lifted, Rows};
use crate::runtime::event::ChangeEvent;
use crate::runtime::live_state::LiveState;
use crate::schema::SeqId;

/// The rows of a live query, again whenever they have changed.
///
/// Dropping it ends the subscription. Reading is lossless under cancellation: a `next` that is dropped while it waits
/// has taken nothing. A reader that is behind gets the newest rows with all changes since it last looked, never a queue
/// of old ones.
///
/// It is also a [`Stream`].
pub struct LiveRows(pub(super) Handle<LiveState>);

/// What [`LiveRows::next`] gives.
#[derive(Clone, Debug)]
pub enum LiveRowsEvent {
    /// The rows as they are now.
    #[non_exhaustive]
    Rows {
        /// The subscription.
        subscription_id: CompactString,
        /// All rows, and what changed since the previous event of this handle. The first are complete.
        rows: Rows,
        /// The greatest version among what was applied, to resume from.
        last_seq_id: Option<SeqId>,
    },
    /// The server has ended the subscription: the last event.
    #[non_exhaustive]
    Error {
        /// The subscription.
        subscription_id: CompactString,
        /// The stable code.
        code: ErrorCode,
        /// For a person.
        message: String,
        /// The server's own code.
        server_code: Option<String>,
    },
}

impl LiveRows {
    /// The subscription's name.
    pub fn id(&self) -> &str {
        self.0.id()
    }

    /// Waits for the next rows. `None` when the subscription is closed.
    ///
    /// # Errors
    /// Why the client ended it: `auth_failed`, `protocol`, `disconnected` when reconnecting is off or was given up. What
    /// the server says about this subscription comes as [`LiveRowsEvent::Error`]. Either is the last.
    pub async fn next(&mut self) -> Option<Result<LiveRowsEvent>> {
        loop {
            if let Some(event) = self.take() {
                return Some(event);
            }
            if self.is_over() {
                return None;
            }
            self.ready().await;
        }
    }

    /// Waits until [`take`](Self::take) has something, or nothing more will come. Carries no data; may be cancelled at
    /// any time, and awaited by several tasks.
    pub async fn ready(&self) {
        self.0.mailbox().ready().await;
    }

    /// The same by polling. The task of the latest call is woken, once.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.mailbox().poll_ready(cx)
    }

    /// What is new, without waiting.
    pub fn take(&self) -> Option<Result<LiveRowsEvent>> {
        let subscription_id = self.0.id().clone();
        Some(match self.take_rows()? {
            Ok(rows) => Ok(LiveRowsEvent::Rows { subscription_id, last_seq_id: rows.last_seq_id(), rows }),
            Err(error) if ChangeEvent::is_told_by_server(&error) => Ok(LiveRowsEvent::Error {
                subscription_id,
                code: error.code(),
                message: error.message().to_owned(),
                server_code: error.server_code().map(str::to_owned),
            }),
            Err(error) => Err(error),
        })
    }

    /// Waits for the next rows as they are, without the event around them: what most programs want.
    ///
    /// # Errors
    /// As [`next`](Self::next), and the server's.
    pub async fn next_rows(&mut self) -> Option<Result<Rows>> {
        loop {
            if let Some(rows) = self.take_rows() {
                return Some(rows);
            }
            if self.is_over() {
                return None;
            }
            self.ready().await;
        }
    }

    /// What is new as rows, without waiting.
    pub fn take_rows(&self) -> Option<Result<Rows>> {
        Some(self.0.mailbox().with(LiveState::lift)?.map(Lifted::into_rows))
    }

    /// Whether everything was taken and nothing more will come.
    pub fn is_over(&self) -> bool {
        self.0.mailbox().with(|state| state.is_over())
    }

    /// Ends the subscription and wakes who waits for it. Closing twice is closing once.
    ///
    /// # Errors
    /// None now; a later version may tell that the server was not reached.
    pub async fn close(&self) -> Result<()> {
        self.0.close();
        Ok(())
    }
}

impl Stream for LiveRows {
    type Item = Result<LiveRowsEvent>;

    fn poll_next(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            if let Some(event) = self.take() {
                return Poll::Ready(Some(event));
            }
            if self.is_over() {
                return Poll::Ready(None);
            }
            ready!(self.poll_ready(cx));
        }
    }
}

impl fmt::Debug for LiveRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveRows").field("id", &self.id()).finish_non_exhaustive()
    }
}
