//! What the client wants from its user. The user's code is called by JavaScript, never from a background thread.

use std::task::Context;

use kalam_bindings::{Connection, Inbox, Taken, Tidings};
use napi_derive::napi;
use serde_json::{Value as Json, json};

use crate::error::Failure;
use crate::wake::Wakeups;

/// One thing for the user's code.
#[napi(object, object_from_js = false)]
pub struct Tiding {
    /// `token`, `connect`, `disconnect`, `error`, `repair` or `state`.
    pub what: &'static str,
    /// Of `disconnect` and `error`.
    pub failure: Option<Failure>,
    /// Of `state` the state, of `repair` JSON.
    pub text: Option<String>,
    /// Of `token`.
    pub request: Option<TokenRequest>,
}

/// A bounded queue of [`Tiding`].
#[napi]
pub struct InboxHandle {
    inbox: Inbox,
}

impl InboxHandle {
    pub(crate) fn new(inbox: Inbox) -> Self {
        Self { inbox }
    }
}

#[napi]
impl InboxHandle {
    /// As `Handle.poll`.
    #[napi]
    pub fn poll(&self, wakeups: &Wakeups, token: u32) -> bool {
        let waker = wakeups.waker(token);
        self.inbox.poll_ready(&mut Context::from_waker(&waker)).is_ready()
    }

    /// What is there now; `null` when there will be nothing more.
    #[napi]
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
        Tidings::Token(request) => {
            let request = Some(TokenRequest { request });
            return Tiding { what: "token", failure: None, text: None, request };
        }
        Tidings::Connection(event) => event,
    };
    let (what, failure, text) = match event {
        Connection::Connected => ("connect", None, None),
        Connection::Disconnected(error) => ("disconnect", Some(error), None),
        Connection::Error(error) => ("error", Some(error), None),
        Connection::State(state) => ("state", None, Some(state.to_owned())),
        Connection::Repaired { subscription, repair } => {
            let repair: Json = json!({
                "subscription": subscription,
                "reason": repair.reason.as_str(),
                "queries": repair.queries,
                "bytes": repair.bytes,
                "added": repair.added,
                "changed": repair.changed,
                "removed": repair.removed,
            });
            ("repair", None, Some(repair.to_string()))
        }
    };
    Tiding { what, failure: failure.as_ref().map(Failure::from), text, request: None }
}

/// A wanted token. Dropping it unanswered counts as a failure.
#[napi]
pub struct TokenRequest {
    request: kalam_bindings::TokenRequest,
}

#[napi]
impl TokenRequest {
    /// Here it is.
    #[napi]
    pub fn resolve(&self, token: String) {
        self.request.resolve(token);
    }

    /// There is none; `reason` is shown to the user.
    #[napi]
    pub fn fail(&self, reason: String) {
        self.request.fail(reason);
    }
}
