//! All WebSockets: how many there are, whose they are, and how to close them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::identity::Identity;
use super::outbox::Outbox;
use crate::options::Limits;

/// The table of open WebSockets and of the subscriptions that each user has.
pub(crate) struct Connections {
    members: Mutex<Members>,
    subscriptions: Mutex<HashMap<Arc<str>, usize>>,
    count: watch::Sender<usize>,
    most: usize,
    most_per_user: usize,
}

#[derive(Default)]
struct Members {
    open: HashMap<u64, Member>,
    next: u64,
    /// Set when the server stops: nobody may join any more.
    closed: bool,
}

struct Member {
    outbox: Arc<Outbox>,
    identity: Option<Identity>,
}

/// One open WebSocket; leaves the table when dropped.
pub(crate) struct Membership {
    connections: Arc<Connections>,
    number: u64,
}

/// One subscription's place in its user's limit; free again when dropped.
pub(crate) struct Slot {
    connections: Arc<Connections>,
    user: Arc<str>,
}

impl Connections {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            members: Mutex::default(),
            subscriptions: Mutex::default(),
            count: watch::Sender::new(0),
            most: limits.websockets,
            most_per_user: limits.subscriptions_per_user,
        }
    }

    /// `None` if there are too many already, or the server stops.
    pub(crate) fn join(self: &Arc<Self>, outbox: Arc<Outbox>) -> Option<Membership> {
        let mut members = self.members.lock();
        if members.closed || members.open.len() >= self.most {
            return None;
        }
        let number = members.next;
        members.next += 1;
        members.open.insert(number, Member { outbox, identity: None });
        self.count.send_replace(members.open.len());
        Some(Membership { connections: self.clone(), number })
    }

    /// `None` if the user has too many subscriptions already.
    pub(crate) fn slot(self: &Arc<Self>, user: &Arc<str>) -> Option<Slot> {
        let mut subscriptions = self.subscriptions.lock();
        let count = subscriptions.entry(user.clone()).or_default();
        if *count >= self.most_per_user {
            return None;
        }
        *count += 1;
        Some(Slot { connections: self.clone(), user: user.clone() })
    }

    /// Closes the WebSockets of users who were changed or dropped since they authenticated.
    pub(crate) fn close_revoked(&self, is_valid: impl Fn(&Identity) -> bool) {
        for member in self.members.lock().open.values() {
            if member.identity.as_ref().is_some_and(|identity| !is_valid(identity)) {
                member.outbox.close(1008, "The user was changed or dropped: authenticate again");
            }
        }
    }

    /// Closes all and lets nobody join.
    pub(crate) fn close_all(&self) {
        let mut members = self.members.lock();
        members.closed = true;
        for member in members.open.values() {
            member.outbox.close(1001, "The server is stopping");
        }
    }

    /// Waits until the last one has left.
    pub(crate) async fn empty(&self) {
        // The sender lives in `self`, so this can not fail.
        let _ = self.count.subscribe().wait_for(|count| *count == 0).await;
    }
}

impl Membership {
    /// Says whose connection it is, once that is known.
    pub(crate) fn identify(&self, identity: Identity) {
        if let Some(member) = self.connections.members.lock().open.get_mut(&self.number) {
            member.identity = Some(identity);
        }
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        let mut members = self.connections.members.lock();
        members.open.remove(&self.number);
        self.connections.count.send_replace(members.open.len());
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut subscriptions = self.connections.subscriptions.lock();
        if let Some(count) = subscriptions.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                subscriptions.remove(&self.user);
            }
        }
    }
}
