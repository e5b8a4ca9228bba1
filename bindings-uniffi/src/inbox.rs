//! What the client wants from its user. The user's code is called by its own language, which asks here what for: a foreign
//! trait would have to be async, which Swift 6 can not compile (see ARCHITECTURE.md).

use std::future::poll_fn;
use std::sync::Arc;

use kalam_bindings::{Connection, Inbox, Taken, Tidings};

use crate::error::Failure;

/// One thing for the user's code.
#[derive(uniffi::Enum)]
pub enum Tiding {
    Token { request: Arc<TokenRequest> },
    Connected,
    Disconnected { failure: Failure },
    Failed { failure: Failure },
    State { name: String },
    Repaired { repair: NativeRepair },
}

/// Rows of a live query were put right.
#[derive(uniffi::Record)]
pub struct NativeRepair {
    pub subscription: String,
    pub reason: String,
    pub queries: u64,
    pub bytes: u64,
    pub added: u64,
    pub changed: u64,
    pub removed: u64,
}

/// A bounded queue of [`Tiding`].
#[derive(uniffi::Object)]
pub struct NativeInbox {
    inbox: Inbox,
}

impl NativeInbox {
    pub(crate) fn new(inbox: Inbox) -> Self {
        Self { inbox }
    }
}

#[uniffi::export]
impl NativeInbox {
    /// Waits until there is something, or there will be nothing more.
    pub async fn ready(&self) {
        poll_fn(|cx| self.inbox.poll_ready(cx)).await;
    }

    /// What is there now; `None` when there will be nothing more.
    pub fn take(&self) -> Option<Vec<Tiding>> {
        match self.inbox.take(64) {
            Taken::Item(tidings) => Some(tidings.into_iter().map(tiding).collect()),
            Taken::Nothing => Some(Vec::new()),
            Taken::Ended => None,
        }
    }
}

fn tiding(tidings: Tidings) -> Tiding {
    let event = match tidings {
        Tidings::Token(request) => return Tiding::Token { request: Arc::new(TokenRequest { request }) },
        Tidings::Connection(event) => event,
    };
    match event {
        Connection::Connected => Tiding::Connected,
        Connection::Disconnected(error) => Tiding::Disconnected { failure: Failure::from(&error) },
        Connection::Error(error) => Tiding::Failed { failure: Failure::from(&error) },
        Connection::State(state) => Tiding::State { name: state.to_owned() },
        Connection::Repaired { subscription, repair } => Tiding::Repaired {
            repair: NativeRepair {
                subscription,
                reason: repair.reason.as_str().to_owned(),
                queries: repair.queries,
                bytes: repair.bytes,
                added: repair.added,
                changed: repair.changed,
                removed: repair.removed,
            },
        },
    }
}

/// A wanted token. Dropping it unanswered counts as a failure.
#[derive(uniffi::Object)]
pub struct TokenRequest {
    request: kalam_bindings::TokenRequest,
}

#[uniffi::export]
impl TokenRequest {
    /// Here it is.
    pub fn resolve(&self, token: String) {
        self.request.resolve(token);
    }

    /// There is none; `reason` is shown to the user.
    pub fn fail(&self, reason: String) {
        self.request.fail(reason);
    }
}
