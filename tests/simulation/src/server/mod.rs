//! The model server: connections, subscriptions, limits, and the table behind them.
//!
//! It follows the recordings and shares nothing with the client but the names of the columns. It has no clock and no
//! network: it is told the time, and what it says is collected in [`Server::take_out`].

mod behaviour;
mod connection;
mod table;
pub(crate) mod wire;

use std::collections::BTreeMap;
use std::time::Duration;

use fastrand::Rng;
use kalam_live::machine::LinkId;
use serde_json::Value as Json;

pub use behaviour::{Behaviour, PageOrder, RateWindow, ResumeKind};
pub use table::{Stored, Table, Write};

use self::connection::{Connection, Subscription};
use self::wire::Change;
use crate::data::{Query, Record};

/// Something the server does on a link.
#[derive(Clone, Debug)]
pub enum Say {
    /// A text frame.
    Frame(String),
    /// The answer to a ping.
    Pong,
    /// A close frame; the connection is over.
    Close(u16, &'static str),
    /// The connection is over without a close frame.
    Vanish,
}

/// The result of a query when its snapshot was taken.
#[derive(Clone, Debug)]
pub struct Promise {
    /// Version of the latest write at that moment.
    pub version: i64,
    /// The rows.
    pub rows: Vec<Record>,
}

/// How long a connection may stay without a token.
const AUTH_TIMEOUT: Duration = Duration::from_secs(3);

/// One node.
#[derive(Debug)]
pub struct Server {
    /// What kind of server it is.
    pub behaviour: Behaviour,
    /// The rows.
    pub table: Table,
    queries: Vec<Query>,
    connections: BTreeMap<LinkId, Connection>,
    out: Vec<(LinkId, Say)>,
    rng: Rng,
    /// Messages refused for being too many.
    pub refused_messages: u64,
    /// What each subscription with a whole snapshot was promised, by its id.
    pub promised: BTreeMap<String, Promise>,
}

impl Server {
    /// An empty server that is up.
    pub fn new(behaviour: Behaviour, queries: Vec<Query>, rng: Rng) -> Self {
        Self {
            behaviour,
            table: Table::default(),
            queries,
            connections: BTreeMap::new(),
            out: Vec::new(),
            rng,
            refused_messages: 0,
            promised: BTreeMap::new(),
        }
    }

    /// What has been said since the last call.
    pub fn take_out(&mut self) -> Vec<(LinkId, Say)> {
        std::mem::take(&mut self.out)
    }

    /// Subscriptions that are held.
    pub fn held_subscriptions(&self) -> usize {
        self.connections.values().map(|c| c.subscriptions.len()).sum()
    }

    /// A WebSocket upgrade. `token` from its header. `Err`: the HTTP status that it gets.
    pub fn open(&mut self, now: Duration, link: LinkId, token: Option<&str>) -> Result<(), u16> {
        let token = token.filter(|_| self.behaviour.sees_header);
        let valid = token.map(|t| valid_until(t, now));
        if valid == Some(None) && self.behaviour.rejects_upgrade {
            return Err(401);
        }
        self.connections.insert(link, Connection::new(now));
        match valid {
            None => {}
            Some(Some(until)) => self.authenticated(link, until),
            Some(None) => self.refuse(link, "Invalid credentials", "Authentication failed"),
        }
        Ok(())
    }

    fn authenticated(&mut self, link: LinkId, until: Duration) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        connection.authenticated_until = Some(until);
        self.out.push((link, Say::Frame(wire::auth_success(&self.behaviour))));
    }

    fn refuse(&mut self, link: LinkId, message: &str, reason: &'static str) {
        self.out.push((link, Say::Frame(wire::auth_error(message))));
        self.end(link, 1008, reason);
    }

    /// Ends a connection with a close frame.
    pub fn end(&mut self, link: LinkId, code: u16, reason: &'static str) {
        if self.connections.remove(&link).is_some() {
            self.out.push((link, Say::Close(code, reason)));
        }
    }

    /// The client's side has gone, and the server has noticed.
    pub fn gone(&mut self, link: LinkId) {
        self.connections.remove(&link);
    }

    /// Ends all connections: the process stops.
    pub fn stop(&mut self) {
        for link in self.links() {
            match self.behaviour.stop_code {
                Some(code) => self.end(link, code, "stopping"),
                None => {
                    self.connections.remove(&link);
                    self.out.push((link, Say::Vanish));
                }
            }
        }
    }

    /// The connections that are held.
    pub fn links(&self) -> Vec<LinkId> {
        self.connections.keys().copied().collect()
    }

    /// When [`tick`](Self::tick) is due.
    pub fn next_tick(&self) -> Option<Duration> {
        let due = |c: &Connection| {
            let silent = c.heard + self.behaviour.heartbeat;
            match c.authenticated_until {
                None => silent.min(c.opened + AUTH_TIMEOUT),
                Some(until) if self.behaviour.ends_expired => silent.min(until),
                Some(_) => silent,
            }
        };
        self.connections.values().map(due).min()
    }

    /// Ends connections whose time is over.
    pub fn tick(&mut self, now: Duration) {
        for link in self.links() {
            let connection = &self.connections[&link];
            if connection.heard + self.behaviour.heartbeat <= now {
                self.end(link, 1000, "Heartbeat timeout");
            } else if connection.authenticated_until.is_none() && connection.opened + AUTH_TIMEOUT <= now {
                let message = "Authentication timeout - no auth message received within 3 seconds";
                self.refuse(link, message, "Authentication timeout");
            } else if self.behaviour.ends_expired
                && connection.authenticated_until.is_some_and(|until| until <= now)
            {
                self.end(link, 1008, "Token expired");
            }
        }
    }

    /// A ping came.
    pub fn ping(&mut self, now: Duration, link: LinkId) {
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.heard = now;
            self.out.push((link, Say::Pong));
        }
    }

    /// A text message came.
    pub fn message(&mut self, now: Duration, link: LinkId, text: &str) {
        let Some(connection) = self.connections.get_mut(&link) else { return };
        connection.heard = now;
        let Ok(message) = serde_json::from_str::<Json>(text) else {
            return self.end(link, 1011, "Invalid message: not JSON");
        };
        if !connection.within_rate(now, &self.behaviour) {
            self.refused_messages += 1;
            let frame = wire::error("rate_limit", "RATE_LIMIT_EXCEEDED", "Too many messages");
            return self.out.push((link, Say::Frame(frame)));
        }
        let authenticated = connection.authenticated_until.is_some();
        let id = message["subscription_id"].as_str().unwrap_or_default();
        match message["type"].as_str() {
            Some("authenticate") => match valid_until(message["token"].as_str().unwrap_or_default(), now) {
                Some(until) => self.authenticated(link, until),
                None => self.refuse(link, "Invalid credentials", "Authentication failed"),
            },
            Some("subscribe") if !authenticated => {
                let message = "Authentication required before subscribing";
                self.out.push((link, Say::Frame(wire::error("subscribe", "AUTH_REQUIRED", message))));
            }
            Some("subscribe") => self.subscribe(link, &message["subscription"]),
            Some("next_batch") => self.next_batch(link, id),
            Some("unsubscribe") => {
                if let Some(connection) = self.connections.get_mut(&link) {
                    connection.subscriptions.remove(id);
                }
            }
            _ => self.end(link, 1011, "Invalid message: unknown variant"),
        }
    }

    fn subscribe(&mut self, link: LinkId, wanted: &Json) {
        let id = wanted["id"].as_str().unwrap_or_default().to_owned();
        let say_error = |server: &mut Self, code: &str, message: &str| {
            server.out.push((link, Say::Frame(wire::error(&id, code, message))));
        };
        let Some(at) = self.queries.iter().position(|q| wanted["sql"] == q.sql.as_str()) else {
            return say_error(self, "INVALID_SQL", "Invalid SQL");
        };
        let from = &wanted["options"]["from"];
        if from.is_string() {
            return self.end(link, 1011, "Invalid message: invalid type: string, expected i64");
        }
        let replaces = self.connections[&link].subscriptions.contains_key(&id);
        if !replaces && self.held_subscriptions() >= self.behaviour.subscriptions {
            return say_error(self, "SUBSCRIPTION_LIMIT_EXCEEDED", "Maximum subscriptions reached");
        }
        let query = &self.queries[at];
        let newest = Some(self.table.version()).filter(|v| *v > 0);
        let page = wanted["options"]["batch_size"].as_u64().unwrap_or(u64::MAX) as usize;
        let page = page.min(self.behaviour.batch_rows).max(1);
        let mut subscription = Subscription::new(at, page);
        let mut frames = Vec::new();
        match (wanted["options"].is_object(), from.as_i64()) {
            (false, _) => {
                frames.push(wire::ack(&id, query, false, newest.filter(|_| self.behaviour.tells_newest)))
            }
            (true, Some(from)) if self.behaviour.resume == ResumeKind::Replay => {
                let changes = replay(&self.table, query, &id, from, self.behaviour.repeats, &mut self.rng);
                let told =
                    newest.filter(|_| self.behaviour.tells_newest || changes.is_empty()).or(Some(from));
                frames.push(wire::ack(&id, query, false, told));
                frames.push(wire::batch(&id, &[], 0, false, told));
                frames.extend(changes);
            }
            (true, from) => {
                let mut rows = self.table.select(query.filter);
                rows.retain(|row| from.is_none_or(|from| row.version > from));
                if from.is_none() {
                    let rows = rows.iter().map(|s| s.record.clone()).collect();
                    self.promised.insert(id.clone(), Promise { version: self.table.version(), rows });
                }
                if self.behaviour.page_order == PageOrder::Version {
                    rows.sort_by_key(|s| s.version);
                }
                let newest = newest.filter(|_| self.behaviour.tells_newest);
                subscription.load(query, rows, newest, &mut self.rng);
                let (more, last) = subscription.next_control();
                frames.push(wire::ack(&id, query, more, last));
                frames.extend(subscription.next_page(&id));
            }
        }
        if let Some(connection) = self.connections.get_mut(&link) {
            connection.subscriptions.insert(id, subscription);
        }
        self.out.extend(frames.into_iter().map(|frame| (link, Say::Frame(frame))));
    }

    fn next_batch(&mut self, link: LinkId, id: &str) {
        let subscription = self.connections.get_mut(&link).and_then(|c| c.subscriptions.get_mut(id));
        let frames = match subscription {
            Some(subscription) => subscription.next_page(id),
            None => vec![wire::error(
                id,
                "BATCH_FETCH_FAILED",
                &format!("Not found: Subscription not found: {id}"),
            )],
        };
        self.out.extend(frames.into_iter().map(|frame| (link, Say::Frame(frame))));
    }

    /// Tells a write to everyone whom it concerns.
    pub fn publish(&mut self, write: &Write) {
        // The frames of one write come in no fixed order among subscriptions.
        let mut links = self.links();
        self.rng.shuffle(&mut links);
        for link in links {
            let Some(connection) = self.connections.get_mut(&link) else { continue };
            for (id, subscription) in &mut connection.subscriptions {
                let query = &self.queries[subscription.query];
                let Some(change) = evaluate(query, write) else { continue };
                let frame = wire::change(id, query, &change, write.version, &mut self.rng);
                if let Some(frame) = subscription.deliver(frame) {
                    self.out.push((link, Say::Frame(frame)));
                }
            }
        }
    }
}

/// What a write means for a query. A row that leaves the filter is told as a delete.
fn evaluate(query: &Query, write: &Write) -> Option<Change> {
    let inside = |record: &Record| query.filter.matches(record);
    match (&write.old, &write.new) {
        (Some((old, _)), None) => inside(old).then(|| Change::Delete(old.clone())),
        (None, Some(new)) => inside(new).then(|| Change::Insert(new.clone())),
        (Some(old), Some(new)) if inside(new) => {
            Some(Change::Update { new: new.clone(), old: Some(old.clone()) })
        }
        (Some((old, _)), Some(_)) => inside(old).then(|| Change::Delete(old.clone())),
        (None, None) => None,
    }
}

/// The net effect on each key since `from`, and perhaps some frames from before it once more.
fn replay(table: &Table, query: &Query, id: &str, from: i64, repeats: usize, rng: &mut Rng) -> Vec<String> {
    let all = table.since(0);
    let first = all.partition_point(|s| s.version <= from).saturating_sub(repeats);
    let change = |stored: &Stored| {
        let record = stored.record.clone();
        if stored.deleted || !query.filter.matches(&record) {
            Change::Delete(record)
        } else if stored.created > from {
            Change::Insert(record)
        } else {
            Change::Update { new: record, old: None }
        }
    };
    all[first..].iter().map(|stored| wire::change(id, query, &change(stored), stored.version, rng)).collect()
}

/// A token is its own expiry: `until <milliseconds>`. `None`: it is no token, or has expired.
fn valid_until(token: &str, now: Duration) -> Option<Duration> {
    let until = Duration::from_millis(token.strip_prefix("until ")?.parse().ok()?);
    (until > now).then_some(until)
}

/// A token that is valid until then.
pub fn token(until: Duration) -> String {
    format!("until {}", until.as_millis())
}
