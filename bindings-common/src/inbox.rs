//! What the client wants from its user: tokens, and to tell what happened. The user's code is called by its own
//! language, never from here.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use kalam_live::{ConnectionState, Error, KalamClient, Lifecycle, Repair};
use tokio::sync::oneshot;

use crate::Taken;
use crate::mailbox::{Content, Mailbox};

/// More untold happenings than this and the oldest are dropped: nobody is listening.
const MOST_TIDINGS: usize = 1024;

/// One thing for the user's code.
pub enum Tidings {
    /// A token is needed.
    Token(TokenRequest),
    /// Something happened to the connection.
    Connection(Connection),
}

/// What happens to a connection.
#[derive(Clone, Debug, PartialEq)]
pub enum Connection {
    /// It stands.
    Connected,
    /// It is gone.
    Disconnected(Error),
    /// Something failed that no call waits for.
    Error(Error),
    /// Rows of a live query were put right.
    Repaired {
        /// The live query's name.
        subscription: String,
        /// What was found.
        repair: Repair,
    },
    /// It is in another state: `idle`, `connecting`, `connected`, `reconnecting` or `closed`.
    State(&'static str),
}

impl Connection {
    /// The word for a state that every language shows.
    pub fn state(state: &ConnectionState) -> &'static str {
        match state {
            ConnectionState::Idle => "idle",
            ConnectionState::Connecting { .. } => "connecting",
            ConnectionState::Connected => "connected",
            ConnectionState::Reconnecting { .. } => "reconnecting",
            _ => "closed",
        }
    }

    fn of(event: Lifecycle) -> Option<Self> {
        Some(match event {
            Lifecycle::Connected { .. } => Self::Connected,
            Lifecycle::Disconnected { error, .. } => Self::Disconnected(error),
            Lifecycle::ConnectFailed { error, .. } | Lifecycle::ServerError(error) => Self::Error(error),
            Lifecycle::Repaired { subscription, repair } => {
                Self::Repaired { subscription: subscription.into(), repair }
            }
            Lifecycle::Closed => return None,
        })
    }
}

#[derive(Default)]
struct Queue {
    tidings: VecDeque<Tidings>,
    closed: bool,
}

impl Content for Queue {
    fn is_ready(&self) -> bool {
        self.closed || !self.tidings.is_empty()
    }
}

/// A bounded queue of [`Tidings`]. Clones are the same queue.
#[derive(Clone, Default)]
pub struct Inbox(Arc<Mailbox<Queue>>);

impl Inbox {
    /// Asks the user's token provider.
    pub(crate) async fn token(&self) -> Result<String, String> {
        let (answer, token) = oneshot::channel();
        self.put(Tidings::Token(TokenRequest(Mutex::new(Some(answer)))));
        token
            .await
            .unwrap_or_else(|_| Err("the token provider was not called: the client is closed".to_owned()))
    }

    fn put(&self, tidings: Tidings) {
        self.0.update(|queue| {
            if queue.closed {
                return;
            }
            if queue.tidings.len() >= MOST_TIDINGS {
                queue.tidings.pop_front();
            }
            queue.tidings.push_back(tidings);
        });
    }

    /// Ready when there are tidings, or there will be none.
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.0.poll_ready(cx)
    }

    /// At most `max` tidings, at least one.
    pub fn take(&self, max: usize) -> Taken<Vec<Tidings>> {
        let (tidings, closed) = self.0.with(|queue| {
            let count = queue.tidings.len().min(max);
            (queue.tidings.drain(..count).collect::<Vec<_>>(), queue.closed)
        });
        match (tidings.is_empty(), closed) {
            (false, _) => Taken::Item(tidings),
            (true, true) => Taken::Ended,
            (true, false) => Taken::Nothing,
        }
    }

    /// Takes no more tidings; those that are there can still be taken.
    pub fn close(&self) {
        self.0.update(|queue| queue.closed = true);
    }
}

/// Closes the inbox when nothing more can happen, be it that a client was never made.
pub(crate) struct ClosesInbox(pub(crate) Inbox);

impl ClosesInbox {
    /// Tells, if that is `wanted`, what happens to the connection of `client` from now on, until it is gone.
    pub(crate) fn tell(self, client: &KalamClient, wanted: bool) -> impl Future<Output = ()> + Send + use<> {
        let (mut events, mut states) = (client.lifecycle(), client.watch_state());
        let mut told = Connection::state(&states.get());
        let mut watching = true;
        async move {
            loop {
                let news = tokio::select! {
                    biased;
                    state = states.changed(), if watching => match state {
                        Some(state) => {
                            let state = Connection::state(&state);
                            (std::mem::replace(&mut told, state) != state).then_some(Connection::State(state))
                        }
                        None => {
                            watching = false;
                            None
                        }
                    },
                    event = events.next() => match event {
                        Some(event) => Connection::of(event),
                        None => break,
                    },
                };
                if let Some(news) = news.filter(|_| wanted) {
                    self.0.put(Tidings::Connection(news));
                }
            }
        }
    }
}

impl Drop for ClosesInbox {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A wanted token. Dropping it unanswered counts as a failure.
pub struct TokenRequest(Mutex<Option<oneshot::Sender<Result<String, String>>>>);

impl TokenRequest {
    /// Here it is.
    pub fn resolve(&self, token: String) {
        self.answer(Ok(token));
    }

    /// There is none; `reason` is shown to the user.
    pub fn fail(&self, reason: String) {
        self.answer(Err(reason));
    }

    fn answer(&self, answer: Result<String, String>) {
        if let Some(sender) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // The attempt that wanted it may have timed out.
            let _ = sender.send(answer);
        }
    }
}
