//! All WebSockets: how many there are, whose they are, and how to close them.

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::watch;

use super::client_frame::SubscribeOptions;
use super::identity::Identity;
use super::outbox::Outbox;
use super::subscription::Subscription;
use crate::engine::{LiveInfo, LiveList, LiveQuery, now_micros};
use crate::options::Limits;

/// The table of open WebSockets and of the subscriptions that each user has.
pub(crate) struct Connections {
    members: Mutex<Members>,
    subscriptions: Mutex<HashMap<Arc<str>, Used>>,
    count: watch::Sender<usize>,
    most: usize,
    most_per_user: usize,
}

#[derive(Default)]
struct Members {
    /// By age.
    open: BTreeMap<u64, Member>,
    next: u64,
    next_query: u64,
    /// Set when the server stops: nobody may join any more.
    closed: bool,
}

struct Member {
    outbox: Arc<Outbox>,
    identity: Option<Identity>,
    /// What others may know it by.
    id: String,
    peer: SocketAddr,
    connected_at: i64,
    heard_at: Arc<AtomicI64>,
    /// By age.
    queries: BTreeMap<u64, Query>,
}

/// A live query, for who asks what the server is doing.
struct Query {
    subscription: Arc<Subscription>,
    live: Arc<LiveQuery>,
    sql: String,
    options: String,
    created_at: i64,
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
    heard_at: Arc<AtomicI64>,
}

/// A live query in the list; leaves it when dropped.
pub(crate) struct Listed {
    connections: Arc<Connections>,
    member: u64,
    number: u64,
}

/// An open WebSocket, as it is shown. Times are microseconds since the epoch.
#[derive(Debug, Serialize)]
pub(crate) struct ConnectionInfo {
    pub(crate) connection_id: String,
    /// `null` before it has authenticated.
    pub(crate) user_id: Option<Arc<str>>,
    pub(crate) peer: String,
    pub(crate) connected_at: i64,
    pub(crate) last_ping_at: i64,
    pub(crate) subscriptions: usize,
    /// What waits to be sent.
    pub(crate) queued_bytes: usize,
}

/// What a user's subscriptions take.
#[derive(Clone, Copy, Default)]
struct Used {
    count: usize,
    sql_bytes: usize,
}

/// One subscription's place in its user's limits; free again when dropped.
pub(crate) struct Slot {
    connections: Arc<Connections>,
    user: Arc<str>,
    sql_bytes: usize,
}

/// SQL of all subscriptions of one user, in bytes. What is kept of a filter takes several times its text.
const MOST_SQL_BYTES: usize = 32 << 20;

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
        let connected_at = now_micros();
        let heard_at = Arc::new(AtomicI64::new(connected_at));
        let member = Member {
            outbox,
            identity: None,
            id: uuid::Uuid::new_v4().simple().to_string(),
            peer,
            connected_at,
            heard_at: heard_at.clone(),
            queries: BTreeMap::new(),
        };
        members.open.insert(number, member);
        self.count.send_replace(members.open.len());
        Some(Membership { connections: self.clone(), number, heard_at })
    }

    /// `None` if the user has too many subscriptions already, or too long ones.
    pub(crate) fn slot(self: &Arc<Self>, user: &Arc<str>, sql_bytes: usize) -> Option<Slot> {
        let mut subscriptions = self.subscriptions.lock();
        let used = subscriptions.get(user).copied().unwrap_or_default();
        let used = Used { count: used.count + 1, sql_bytes: used.sql_bytes + sql_bytes };
        if used.count > self.most_per_user || used.sql_bytes > MOST_SQL_BYTES {
            return None;
        }
        subscriptions.insert(user.clone(), used);
        Some(Slot { connections: self.clone(), user: user.clone(), sql_bytes })
    }

    /// Those that are open, oldest first.
    pub(crate) fn list(&self) -> Vec<ConnectionInfo> {
        let info = |member: &Member| ConnectionInfo {
            connection_id: member.id.clone(),
            user_id: member.identity.as_ref().map(|identity| identity.user.clone()),
            peer: member.peer.to_string(),
            connected_at: member.connected_at,
            last_ping_at: member.heard_at.load(Ordering::Relaxed),
            subscriptions: member.queries.len(),
            queued_bytes: member.outbox.queued().1,
        };
        self.members.lock().open.values().map(info).collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        let subscriptions = self.subscriptions.lock().values().map(|used| used.count).sum();
        let members = self.members.lock();
        let (frames, bytes) = members.open.values().fold((0, 0), |(frames, bytes), member| {
            let queued = member.outbox.queued();
            (frames + queued.0, bytes + queued.1)
        });
        Counts { websockets: members.open.len(), subscriptions, queued_frames: frames, queued_bytes: bytes }
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

impl LiveList for Connections {
    fn live(&self) -> Vec<LiveInfo> {
        let members = self.members.lock();
        let of = |member: &Member| member.open_queries().map(|query| query.info(member)).collect::<Vec<_>>();
        members.open.values().flat_map(of).collect()
    }

    fn kill(&self, live_id: &str) -> bool {
        let found = {
            let members = self.members.lock();
            let mut all =
                members.open.values().flat_map(|member| member.open_queries().map(move |q| (member, q)));
            all.find(|(member, query)| query.info(member).live_id() == live_id)
                .map(|(_, query)| query.subscription.clone())
        };
        if let Some(subscription) = &found {
            subscription.fail("SUBSCRIPTION_FAILED", "The live query was killed by an administrator");
        }
        found.is_some()
    }
}

impl Member {
    /// One that has ended stays with its connection for a while.
    fn open_queries(&self) -> impl Iterator<Item = &Query> {
        self.queries.values().filter(|query| !query.subscription.has_ended())
    }
}

impl Query {
    fn info(&self, member: &Member) -> LiveInfo {
        let (changes, last) = self.subscription.delivered();
        let (namespace, table) = self.live.names();
        LiveInfo {
            connection_id: member.id.clone(),
            subscription_id: self.subscription.id().to_owned(),
            namespace: namespace.to_owned(),
            table: table.to_owned(),
            user: member.identity.as_ref().map(|identity| identity.user.to_string()).unwrap_or_default(),
            query: self.sql.clone(),
            options: self.options.clone(),
            created_at: self.created_at,
            last_update: last.unwrap_or(self.created_at),
            changes,
            last_ping_at: member.heard_at.load(Ordering::Relaxed),
        }
    }
}

impl Membership {
    /// The client sent something.
    pub(crate) fn heard(&self) {
        self.heard_at.store(now_micros(), Ordering::Relaxed);
    }

    /// Lists a live query of this connection.
    pub(crate) fn list(
        &self,
        subscription: Arc<Subscription>,
        live: Arc<LiveQuery>,
        sql: &str,
        options: Option<&SubscribeOptions>,
    ) -> Listed {
        let options = options.map(|options| serde_json::to_string(options).unwrap_or_default());
        let query = Query {
            subscription,
            live,
            sql: sql.trim().to_owned(),
            options: options.unwrap_or_else(|| "{}".to_owned()),
            created_at: now_micros(),
        };
        let mut members = self.connections.members.lock();
        let number = members.next_query;
        members.next_query += 1;
        if let Some(member) = members.open.get_mut(&self.number) {
            member.queries.insert(number, query);
        }
        Listed { connections: self.connections.clone(), member: self.number, number }
    }

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

impl Drop for Listed {
    fn drop(&mut self) {
        if let Some(member) = self.connections.members.lock().open.get_mut(&self.member) {
            member.queries.remove(&self.number);
        }
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut subscriptions = self.connections.subscriptions.lock();
        if let Some(used) = subscriptions.get_mut(&self.user) {
            used.count -= 1;
            used.sql_bytes -= self.sql_bytes;
            if used.count == 0 {
                subscriptions.remove(&self.user);
            }
        }
    }
}
