//! All WebSockets: how many there are, whose they are, and how to close them.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use super::identity::Identity;
use super::outbox::Outbox;
use super::subscription::Subscription;
use crate::engine::Role;
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
    peer: SocketAddr,
    opened: Instant,
    subscriptions: Arc<Subscribed>,
}

/// The subscriptions of one WebSocket, by id.
type Subscribed = Mutex<BTreeMap<String, Listed>>;

struct Listed {
    sql: String,
    subscription: Arc<Subscription>,
}

/// Keeps a subscription on the list of its WebSocket; off it when dropped.
pub(crate) struct Listing {
    list: Arc<Subscribed>,
    subscription: Arc<Subscription>,
}

/// One WebSocket as the inspector shows it.
#[derive(Serialize)]
pub(crate) struct OpenConnection {
    user: Option<Arc<str>>,
    role: Option<Role>,
    peer: SocketAddr,
    open_seconds: u64,
    queued_frames: usize,
    queued_bytes: usize,
    subscriptions: Vec<OpenSubscription>,
}

#[derive(Serialize)]
struct OpenSubscription {
    id: String,
    sql: String,
    state: &'static str,
    /// Changes it was sent.
    changes: u64,
}

/// What there is at one moment.
pub(crate) struct Counts {
    pub(crate) websockets: usize,
    pub(crate) subscriptions: usize,
    pub(crate) queued_frames: usize,
    pub(crate) queued_bytes: usize,
}

/// One open WebSocket; leaves the table when dropped.
pub(crate) struct Membership {
    connections: Arc<Connections>,
    number: u64,
    listed: Arc<Subscribed>,
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
    pub(crate) fn join(self: &Arc<Self>, outbox: Arc<Outbox>, peer: SocketAddr) -> Option<Membership> {
        let mut members = self.members.lock();
        if members.closed || members.open.len() >= self.most {
            return None;
        }
        let number = members.next;
        members.next += 1;
        let subscriptions = Arc::<Subscribed>::default();
        let listed = subscriptions.clone();
        let member = Member { outbox, identity: None, peer, opened: Instant::now(), subscriptions };
        members.open.insert(number, member);
        self.count.send_replace(members.open.len());
        Some(Membership { connections: self.clone(), number, listed })
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

    pub(crate) fn counts(&self) -> Counts {
        let subscriptions = self.subscriptions.lock().values().sum();
        let members = self.members.lock();
        let (frames, bytes) = members.open.values().fold((0, 0), |(frames, bytes), member| {
            let queued = member.outbox.queued();
            (frames + queued.0, bytes + queued.1)
        });
        Counts { websockets: members.open.len(), subscriptions, queued_frames: frames, queued_bytes: bytes }
    }

    /// All of them, in the order in which they came.
    pub(crate) fn list(&self) -> Vec<OpenConnection> {
        let members = self.members.lock();
        let mut numbered: Vec<_> = members.open.iter().collect();
        numbered.sort_unstable_by_key(|(number, _)| **number);
        let shown = numbered.into_iter().map(|(_, member)| {
            let (queued_frames, queued_bytes) = member.outbox.queued();
            let subscriptions = member.subscriptions.lock();
            let shown = subscriptions.iter().map(|(id, Listed { sql, subscription })| OpenSubscription {
                id: id.clone(),
                sql: sql.clone(),
                state: subscription.state(),
                changes: subscription.delivered(),
            });
            OpenConnection {
                user: member.identity.as_ref().map(|identity| identity.user.clone()),
                role: member.identity.as_ref().map(|identity| identity.role),
                peer: member.peer,
                open_seconds: member.opened.elapsed().as_secs(),
                queued_frames,
                queued_bytes,
                subscriptions: shown.collect(),
            }
        });
        shown.collect()
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

impl Membership {
    /// For the subscriptions of this WebSocket to be listed.
    pub(crate) fn lister(&self) -> Lister {
        Lister(self.listed.clone())
    }
}

/// Puts subscriptions on the list of their WebSocket.
pub(crate) struct Lister(Arc<Subscribed>);

impl Lister {
    pub(crate) fn list(&self, sql: &str, subscription: &Arc<Subscription>) -> Listing {
        let listed = Listed { sql: sql.to_owned(), subscription: subscription.clone() };
        self.0.lock().insert(subscription.id().to_owned(), listed);
        Listing { list: self.0.clone(), subscription: subscription.clone() }
    }
}

impl Drop for Listing {
    fn drop(&mut self) {
        let mut list = self.list.lock();
        // One of the same id may have taken the place.
        let id = self.subscription.id();
        if list.get(id).is_some_and(|listed| Arc::ptr_eq(&listed.subscription, &self.subscription)) {
            list.remove(id);
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
