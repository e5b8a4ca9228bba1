//! The model of KalamDB 0.4: two nodes, one table, and every hole of [`Holes`].

use std::borrow::Cow;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use kalam_live::machine::LinkId;
use serde_json::{Value as Json, json};

use super::numbers::Numbers;
use super::refusals::{Called, refusal};
use super::switches::Holes;
use crate::data::{COLUMNS, Query};
use crate::server::wire::{self, Change};
use crate::server::{Say, Stored, Table, Write};

/// Silence after which a connection is ended.
const HEARTBEAT: Duration = Duration::from_secs(10);
/// A larger message ends its connection (`wire/limits.jsonl`).
const MOST_BYTES: usize = 1 << 20;

/// Both nodes.
#[derive(Debug)]
pub struct Nodes {
    /// What they leave out.
    pub holes: Holes,
    /// The rows, with node 0's numbers.
    pub table: Table,
    /// What numbers the nodes give them.
    pub numbers: Numbers,
    /// The node that answers HTTP: 0, or 1.
    pub leader: i64,
    /// The queries that it knows.
    pub queries: &'static [Query],
    /// The columns of the table, those of the system aside.
    pub columns: Vec<&'static str>,
    /// What the table is called.
    pub called: Called,
    /// The table is gone.
    pub dropped: bool,
    /// Messages that no client should send.
    pub mistakes: Vec<String>,
    /// Another user's burst fills the worker's queue until then.
    pub busy_until: Duration,
    /// Change frames that were dropped.
    pub lost: u64,
    /// Change frames that were sent.
    pub changes: Traffic,
    /// Those of them that a watch got.
    pub watched: Traffic,
    /// Acks and pages of snapshots.
    pub snapshots: Traffic,
    links: BTreeMap<LinkId, Link>,
    out: Vec<(LinkId, Say, Duration)>,
    rng: Rng,
}

/// Frames, and their bytes before compression.
#[derive(Clone, Copy, Debug, Default)]
pub struct Traffic {
    /// How many.
    pub frames: u64,
    /// Their size.
    pub bytes: u64,
}

impl Traffic {
    fn add(&mut self, frame: &str) {
        self.frames += 1;
        self.bytes += frame.len() as u64;
    }
}

impl std::ops::Sub for Traffic {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { frames: self.frames - before.frames, bytes: self.bytes - before.bytes }
    }
}

#[derive(Debug)]
struct Link {
    /// Which of the two.
    node: i64,
    heard: Duration,
    /// When its messages of the last second came.
    messages: VecDeque<Duration>,
    subscriptions: BTreeMap<String, Subscription>,
    /// Frames that wait, and since when.
    waiting: (Duration, usize),
}

#[derive(Debug)]
struct Subscription {
    query: usize,
    page: usize,
    number: usize,
    /// Where the next page begins. `None`: live.
    loading: Option<i64>,
    held_back: VecDeque<String>,
    /// What it tells: what it was announced with, and of `*` what came later.
    columns: Vec<&'static str>,
}

impl Nodes {
    /// Nodes with an empty table.
    pub fn new(holes: Holes, queries: &'static [Query], rng: Rng) -> Self {
        Self {
            holes,
            table: Table::default(),
            numbers: Numbers::default(),
            leader: 0,
            queries,
            columns: COLUMNS[..4].to_vec(),
            called: Called::default(),
            dropped: false,
            mistakes: Vec::new(),
            busy_until: Duration::ZERO,
            lost: 0,
            changes: Traffic::default(),
            watched: Traffic::default(),
            snapshots: Traffic::default(),
            links: BTreeMap::new(),
            out: Vec::new(),
            rng,
        }
    }

    /// Whether the table has one more column.
    pub fn is_altered(&self) -> bool {
        self.columns.contains(&"extra")
    }

    /// A column comes or goes. Subscriptions go on: they tell a new one where they tell everything, and one that is gone as it
    /// was (`wire/alter.jsonl`).
    pub fn alter(&mut self, column: &'static str) {
        match self.columns.iter().position(|known| *known == column) {
            Some(at) => drop(self.columns.remove(at)),
            None => self.columns.push(column),
        }
    }

    /// The table is dropped, and created with these columns. Subscriptions go on with what there is of it.
    pub fn recreate(&mut self, columns: Vec<&'static str>) {
        self.table.recreate();
        for subscription in self.links.values_mut().flat_map(|link| link.subscriptions.values_mut()) {
            match self.queries[subscription.query].star {
                true => subscription.columns.clone_from(&columns),
                false => subscription.columns.retain(|column| columns.contains(column)),
            }
        }
        self.columns = columns;
    }

    /// What was said since the last call, and how long after the leader.
    pub fn take_out(&mut self) -> Vec<(LinkId, Say, Duration)> {
        std::mem::take(&mut self.out)
    }

    /// Subscriptions that are held.
    pub fn held(&self) -> usize {
        self.links.values().map(|link| link.subscriptions.len()).sum()
    }

    /// When a silent connection is ended.
    pub fn next_tick(&self) -> Option<Duration> {
        self.links.values().map(|link| link.heard + HEARTBEAT).min()
    }

    /// Ends silent connections.
    pub fn tick(&mut self, now: Duration) {
        let silent: Vec<_> =
            self.links.iter().filter(|(_, l)| l.heard + HEARTBEAT <= now).map(|(l, _)| *l).collect();
        for link in silent {
            self.links.remove(&link);
            self.out.push((link, Say::Close(1000, "Heartbeat timeout"), Duration::ZERO));
        }
    }

    /// A connection to a node, with a good token.
    pub fn open(&mut self, now: Duration, link: LinkId, node: i64) {
        let opened = Link {
            node,
            heard: now,
            messages: VecDeque::new(),
            subscriptions: BTreeMap::new(),
            waiting: (Duration::ZERO, 0),
        };
        self.links.insert(link, opened);
        let frame = json!({"type": "auth_success", "user": "u", "role": "user",
            "protocol": {"serialization": "json", "compression": "gzip"}});
        self.say(link, frame.to_string());
    }

    /// A connection is gone, and the node has noticed.
    pub fn gone(&mut self, link: LinkId) {
        self.links.remove(&link);
    }

    /// A ping.
    pub fn ping(&mut self, now: Duration, link: LinkId) {
        if let Some(open) = self.links.get_mut(&link) {
            open.heard = now;
            self.out.push((link, Say::Pong, Duration::ZERO));
        }
    }

    /// A message.
    pub fn message(&mut self, now: Duration, link: LinkId, text: &str) {
        let Some(open) = self.links.get_mut(&link) else { return };
        open.heard = now;
        if text.len() > MOST_BYTES {
            self.mistakes.push(format!("{} bytes", text.len()));
            self.links.remove(&link);
            return self.out.push((link, Say::Vanish, Duration::ZERO));
        }
        open.messages.retain(|at| *at + Duration::from_secs(1) > now);
        if open.messages.len() >= self.holes.messages {
            return self.say(link, wire::error("rate_limit", "RATE_LIMIT_EXCEEDED", "Too many messages"));
        }
        open.messages.push_back(now);
        let message: Json = serde_json::from_str(text).unwrap_or_default();
        let id = message["subscription_id"].as_str().unwrap_or_default();
        let cursor = &message["subscription"]["options"]["from"];
        match message["type"].as_str() {
            Some("subscribe") if !cursor.is_string() => self.subscribe(link, &message["subscription"]),
            Some("next_batch") => self.next_page(link, id),
            Some("unsubscribe") => drop(open.subscriptions.remove(id)),
            // Not answered (`wire/live_errors.jsonl`).
            Some("ping") => {}
            _ => {
                self.mistakes.push(text.to_owned());
                self.links.remove(&link);
                self.out.push((link, Say::Close(1011, "Invalid message"), Duration::ZERO));
            }
        }
    }

    /// A message that is no text.
    pub fn binary(&mut self, link: LinkId) {
        self.mistakes.push("a binary message".into());
        self.say(link, wire::error("protocol", "UNSUPPORTED_DATA", "Binary not supported"));
    }

    fn say(&mut self, link: LinkId, frame: String) {
        self.snapshots.add(&frame);
        self.out.push((link, Say::Frame(frame), Duration::ZERO));
    }

    fn subscribe(&mut self, link: LinkId, wanted: &Json) {
        let id = wanted["id"].as_str().unwrap_or_default().to_owned();
        let sql = wanted["sql"].as_str().unwrap_or_default();
        let refused = match id.is_empty() {
            true => Some(("INVALID_SUBSCRIPTION_ID", "Subscription ID cannot be empty".into())),
            false => refusal(sql, &self.called),
        };
        if let Some((code, message)) = refused {
            self.mistakes.push(wanted.to_string());
            let id = if id.is_empty() { "invalid_subscription" } else { &id };
            return self.say(link, wire::error(id, code, &message));
        }
        if self.dropped {
            return self.say(
                link,
                wire::error(&id, "NOT_FOUND", "Not found: Table 't' not found in namespace 'app'"),
            );
        }
        if self.held() >= self.holes.slots {
            return self
                .say(link, wire::error(&id, "SUBSCRIPTION_LIMIT_EXCEEDED", "Maximum subscriptions reached"));
        }
        let at = self.queries.iter().position(|q| q.sql == sql).expect("a known query");
        let node = self.links[&link].node;
        let options = &wanted["options"];
        if let (Some(rows), Some(page)) = (options["last_rows"].as_u64(), options["batch_size"].as_u64())
            && rows > page
        {
            // `wire/live_basic.jsonl`
            let message = format!(
                "last_rows ({rows}) cannot exceed batch_size ({page}); paginated last_rows replay is not supported"
            );
            return self.say(link, wire::error(&id, "UNSUPPORTED", &message));
        }
        let page = options["batch_size"].as_u64().unwrap_or(u64::MAX) as usize;
        let mut subscription = Subscription {
            query: at,
            page: page.min(self.holes.page_cap).max(1),
            number: 0,
            loading: None,
            held_back: VecDeque::new(),
            columns: if self.queries[at].star {
                self.columns.clone()
            } else {
                self.queries[at].columns.clone()
            },
        };
        let query = telling(&self.queries[at], &subscription.columns);
        let last_rows = options["last_rows"].as_u64().map(|n| n as usize);
        let loads = options.is_object() && last_rows.is_none();
        if loads {
            subscription.loading = Some(options["from"].as_i64().unwrap_or(i64::MIN));
        }
        let (rows, more) =
            subscription.page(&self.table, &query, (node, &self.numbers), &self.holes, &mut self.rng);
        let newest = last_rows.map(|n| self.newest_rows(at, n)).unwrap_or_default();
        // Without a snapshot nothing is told of a version (`wire/live_basic.jsonl`).
        let last =
            newest.last().or(rows.last().filter(|_| loads)).map(|row| self.numbers.of(node, row.version));
        self.say(link, wire::ack(&id, &query, loads && more, last));
        if let Some(open) = self.links.get_mut(&link) {
            open.subscriptions.insert(id.clone(), subscription);
        }
        match last_rows {
            Some(_) => {
                let frame = self.batch(&id, &query, &newest, (0, false), node);
                self.say(link, frame);
            }
            None if loads => self.next_page(link, &id),
            None => {}
        }
    }

    /// The newest rows, or those before the newest one.
    fn newest_rows(&self, query: usize, n: usize) -> Vec<Stored> {
        let mut rows = self.table.select(self.queries[query].filter);
        rows.sort_by_key(|row| -row.version);
        if self.holes.last_rows && n > 1 && rows.len() > n {
            rows.remove(0);
        }
        rows.truncate(n);
        if !self.holes.last_rows {
            rows.reverse();
        }
        rows
    }

    fn next_page(&mut self, link: LinkId, id: &str) {
        let Some(open) = self.links.get_mut(&link) else { return };
        let node = open.node;
        let Some(subscription) = open.subscriptions.get_mut(id) else {
            let message = format!("Not found: Subscription not found: {id}");
            return self.say(link, wire::error(id, "BATCH_FETCH_FAILED", &message));
        };
        if subscription.loading.is_none() {
            return;
        }
        let query = telling(&self.queries[subscription.query], &subscription.columns);
        let (rows, more) =
            subscription.page(&self.table, &query, (node, &self.numbers), &self.holes, &mut self.rng);
        let number = subscription.number;
        subscription.number += 1;
        let mut held_back = VecDeque::new();
        match rows.last() {
            Some(last) if more => subscription.loading = Some(self.numbers.of(node, last.version)),
            _ => {
                subscription.loading = None;
                held_back = std::mem::take(&mut subscription.held_back);
            }
        }
        let frame = self.batch(id, &query, &rows, (number, more), node);
        self.say(link, frame);
        for frame in held_back {
            self.changes.add(&frame);
            self.out.push((link, Say::Frame(frame), Duration::ZERO));
        }
    }

    fn batch(
        &mut self,
        id: &str,
        query: &Query,
        rows: &[Stored],
        (number, more): (usize, bool),
        node: i64,
    ) -> String {
        let last = rows.last().map(|row| self.numbers.of(node, row.version));
        let rows: Vec<_> = (rows.iter())
            .map(|row| {
                wire::whole_row(query, &row.record, self.numbers.of(node, row.version), false, &mut self.rng)
            })
            .collect();
        wire::batch(id, &rows, number, more, last)
    }

    /// Tells a write to everyone whom it concerns, or does not.
    pub fn publish(&mut self, now: Duration, write: &Write) {
        let mut links: Vec<LinkId> = self.links.keys().copied().collect();
        self.rng.shuffle(&mut links);
        for link in links {
            let Some(open) = self.links.get_mut(&link) else { continue };
            let lag = if open.node == self.leader { Duration::ZERO } else { self.holes.follower_lag };
            if open.waiting.0 < now {
                open.waiting = (now, 0);
            }
            let mut ids: Vec<String> = open.subscriptions.keys().cloned().collect();
            if self.holes.order {
                self.rng.shuffle(&mut ids);
            }
            for id in ids {
                let Some(subscription) = open.subscriptions.get_mut(&id) else { continue };
                let query = &self.queries[subscription.query];
                if query.star {
                    let new = self.columns.iter().filter(|column| !subscription.columns.contains(column));
                    let new: Vec<_> = new.copied().collect();
                    subscription.columns.extend(new);
                }
                let query = &*telling(query, &subscription.columns);
                let Some(change) = self.holes.evaluate(query, write) else { continue };
                // So much is sent meanwhile that of 500 changes a half gets through, as recorded (`wire/burst.jsonl`).
                if subscription.loading.is_none() {
                    if self.rng.u8(..100) < 25 {
                        open.waiting.1 = open.waiting.1.saturating_sub(1);
                    }
                    let busy = now < self.busy_until && self.rng.u8(..100) < 30;
                    let full = open.waiting.1 >= self.holes.queue;
                    if busy || full || self.rng.u32(..1_000) < self.holes.drops {
                        self.lost += 1;
                        continue;
                    }
                }
                let node = open.node;
                let number = |version| self.numbers.of(node, version);
                let change = match change {
                    Change::Update { new, old } => {
                        Change::Update { new, old: old.map(|(row, seen)| (row, number(seen))) }
                    }
                    other => other,
                };
                let frame = wire::change(&id, query, &change, number(write.version), &mut self.rng);
                if subscription.loading.is_some() {
                    if subscription.held_back.len() >= self.holes.load_buffer {
                        subscription.held_back.pop_front();
                        self.lost += 1;
                    }
                    subscription.held_back.push_back(frame);
                    continue;
                }
                open.waiting.1 += 1;
                self.changes.add(&frame);
                if query.is_watch() {
                    self.watched.add(&frame);
                }
                if self.rng.u32(..1_000) < self.holes.late {
                    let late = Duration::from_millis(self.rng.u64(50..3_000));
                    self.out.push((link, Say::Frame(frame.clone()), late));
                }
                self.out.push((link, Say::Frame(frame), lag));
            }
        }
    }
}

impl Subscription {
    /// The rows of the next page, and whether there are more.
    fn page(
        &self,
        table: &Table,
        query: &Query,
        (node, numbers): (i64, &Numbers),
        holes: &Holes,
        rng: &mut Rng,
    ) -> (Vec<Stored>, bool) {
        let mut rows = table.select(query.filter);
        if holes.loose_pages && self.page >= holes.page_cap {
            // Nobody asked for a size: they come as they are stored, up to the cap.
            rows.retain(|row| self.loading.is_none_or(|after| numbers.of(node, row.version) > after));
            rows.truncate(self.page);
            return (rows, false);
        }
        rows.sort_by_key(|row| row.version);
        rows.retain(|row| self.loading.is_none_or(|after| numbers.of(node, row.version) > after));
        let rest = rows.len() > self.page;
        let updated = |row: &Stored| row.created != row.version;
        if rest && holes.loose_pages && rows[..self.page].iter().any(updated) {
            rows.remove(rng.usize(..self.page));
        }
        rows.truncate(self.page);
        if holes.loose_pages {
            // Rows that were updated are stored by themselves, in no order.
            let (mut old, mut new): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| !updated(row));
            old.sort_by_key(|row| row.record.id);
            if rest {
                rng.shuffle(&mut new);
            }
            old.append(&mut new);
            rows = old;
        }
        (rows, rest && self.page < holes.page_cap)
    }
}

/// The query of a subscription that tells these columns.
fn telling<'q>(query: &'q Query, columns: &[&'static str]) -> Cow<'q, Query> {
    match query.columns == columns {
        true => Cow::Borrowed(query),
        false => Cow::Owned(Query { columns: columns.to_vec(), ..query.clone() }),
    }
}

impl Holes {
    /// What a write means for a query.
    fn evaluate(&self, query: &Query, write: &Write) -> Option<Change> {
        let told = |record| match self.evaluator {
            true => query.filter.tells(&query.sql, record),
            false => query.filter.matches(record),
        };
        match (&write.old, &write.new) {
            (Some((old, _)), None) => told(old).then(|| Change::Delete(old.clone())),
            (None, Some(new)) => told(new).then(|| Change::Insert(new.clone())),
            (Some(old), Some(new)) if told(new) => {
                Some(Change::Update { new: new.clone(), old: Some(old.clone()) })
            }
            (Some((old, _)), Some(_)) => (!self.exits && told(old)).then(|| Change::Delete(old.clone())),
            (None, None) => None,
        }
    }
}
