//! From commits to subscriptions: one thread that evaluates each change once for each distinct live query.
//!
//! What the engine commits and what subscribes goes through one channel, filled under the engine's commit lock.
//! So a subscription sees exactly the commits after the point at which its snapshot was read.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use tokio::sync::Notify;

use super::server_frame;
use super::subscription::Subscription;
use super::topic_readers::TopicReaders;
use crate::engine::{Caller, CommitObserver, Engine, LiveQuery, RowChange, TableId};
use crate::holes::{Holes, scatter};

/// Changes that may wait for the hub before new statements have to wait for it.
const MOST_BACKLOG: usize = 65_536;

/// The way to the hub's thread. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Hub {
    messages: mpsc::Sender<Message>,
    backlog: Arc<Backlog>,
    /// Subscriptions that joined and have not left. Joining is under the commit lock, so a commit that finds
    /// none here concerns none.
    subscribed: Arc<AtomicUsize>,
    holes: Holes,
    /// Who waits for records of topics.
    pub(crate) readers: Arc<TopicReaders>,
}

#[derive(Default)]
struct Backlog {
    changes: AtomicUsize,
    shrunk: Notify,
}

enum Message {
    Committed(Vec<RowChange>),
    TableChanged { table: TableId, dropped: bool },
    Subscribed(Interest, Arc<Subscription>),
    Left(Place, Arc<Subscription>),
    Stop,
}

/// Where a query's changes come from: a table, and an owner's rows in it.
pub(crate) type Place = (Source, Option<Arc<str>>);

/// A table, or whatever has its name: see [`Holes::ddl`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    Table(TableId),
    Name(String),
}

/// What a subscription wants to hear of.
pub(crate) struct Interest {
    query: Arc<LiveQuery>,
    sql: String,
    caller: Caller,
    /// Whether the same text means another filter to each user.
    personal: bool,
}

impl Interest {
    /// `sql`, which was prepared for `caller` as `query`.
    pub(crate) fn new(query: Arc<LiveQuery>, sql: &str, caller: &Caller) -> Self {
        let sql = sql.trim().trim_end_matches(';').trim_end().to_owned();
        let personal = sql.to_ascii_lowercase().contains("current_user");
        Self { query, sql, caller: caller.clone(), personal }
    }

    pub(crate) fn place(&self, holes: Holes) -> Place {
        let source = match holes.ddl {
            true => Source::Name(self.query.table_name()),
            false => Source::Table(self.query.table()),
        };
        (source, self.query.user().map(Arc::from))
    }

    /// Whether `other`, at the same place, hears of the same.
    fn is_same(&self, other: &Self) -> bool {
        self.sql == other.sql && (!self.personal || self.caller.user == other.caller.user)
    }
}

impl Hub {
    /// Starts the thread, which ends with [`Hub::stop`].
    pub(crate) fn start(engine: Engine, holes: Holes) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (messages, received) = mpsc::channel();
        let backlog = Arc::new(Backlog::default());
        let hub = Self {
            messages,
            backlog: backlog.clone(),
            subscribed: Arc::default(),
            holes,
            readers: Arc::default(),
        };
        let thread = std::thread::Builder::new()
            .name("kalam-live".to_owned())
            .spawn(move || run(&engine, holes, &received, &backlog))?;
        Ok((hub, thread))
    }

    /// From here on the subscription hears of commits. Called under the commit lock.
    pub(crate) fn subscribe(&self, interest: Interest, subscription: Arc<Subscription>) {
        self.subscribed.fetch_add(1, Ordering::AcqRel);
        self.send(Message::Subscribed(interest, subscription));
    }

    /// Undoes [`Self::subscribe`].
    pub(crate) fn leave(&self, place: Place, subscription: Arc<Subscription>) {
        self.subscribed.fetch_sub(1, Ordering::AcqRel);
        self.send(Message::Left(place, subscription));
    }

    /// Ends the thread, after what was sent to it before.
    pub(crate) fn stop(&self) {
        self.send(Message::Stop);
    }

    /// Waits while the hub is far behind, so that writers can not fill the memory with what nobody saw yet.
    pub(crate) async fn caught_up(&self) {
        loop {
            let mut shrunk = std::pin::pin!(self.backlog.shrunk.notified());
            shrunk.as_mut().enable();
            if self.backlog.changes.load(Ordering::Acquire) < MOST_BACKLOG {
                return;
            }
            shrunk.await;
        }
    }

    fn worker_room(&self) -> usize {
        Holes::WORKER_QUEUE.saturating_sub(self.backlog.changes.load(Ordering::Acquire))
    }

    fn send(&self, message: Message) {
        // Without the thread (the server is stopping) there is nobody to tell.
        let _ = self.messages.send(message);
    }
}

impl CommitObserver for Hub {
    fn published(&self, topics: &[Arc<str>]) {
        self.readers.wake(topics);
    }

    fn committed(&self, changes: &[RowChange]) {
        if self.subscribed.load(Ordering::Acquire) == 0 {
            return;
        }
        let changes = match self.holes.drop {
            true => &changes[..changes.len().min(self.worker_room())],
            false => changes,
        };
        self.backlog.changes.fetch_add(changes.len(), Ordering::AcqRel);
        if self.messages.send(Message::Committed(changes.to_vec())).is_err() {
            self.backlog.changes.fetch_sub(changes.len(), Ordering::AcqRel);
        }
    }

    fn table_changed(&self, table: TableId, dropped: bool) {
        if !self.holes.ddl {
            self.send(Message::TableChanged { table, dropped });
        }
    }
}

/// Subscriptions of one query.
struct Group {
    interest: Interest,
    subscriptions: Vec<Arc<Subscription>>,
}

type Groups = HashMap<Place, Vec<Group>>;

impl Group {
    /// Tells its subscriptions that it is over. False, as "do not retain".
    fn end(&self, code: &str, message: &str) -> bool {
        self.subscriptions.iter().for_each(|subscription| subscription.fail(code, message));
        false
    }
}

fn run(engine: &Engine, holes: Holes, received: &mpsc::Receiver<Message>, backlog: &Backlog) {
    let mut groups = Groups::new();
    while let Ok(message) = received.recv() {
        match message {
            Message::Committed(changes) => {
                let published = catch_unwind(AssertUnwindSafe(|| {
                    changes.iter().for_each(|change| publish(&mut groups, holes, change));
                }));
                if published.is_err() {
                    // The panic was printed. Nobody may believe to be up to date after it.
                    tracing::error!("the evaluation of live queries panicked, all subscriptions end");
                    end(&mut groups, |_| true, "SUBSCRIPTION_FAILED", "The server failed, its log says more");
                }
                let before = backlog.changes.fetch_sub(changes.len(), Ordering::AcqRel);
                if before >= MOST_BACKLOG {
                    backlog.shrunk.notify_waiters();
                }
            }
            Message::TableChanged { table, dropped: true } => {
                let dropped = |place: &Place| place.0 == Source::Table(table);
                end(&mut groups, dropped, "NOT_FOUND", "Not found: the table was dropped");
            }
            Message::TableChanged { table, dropped: false } => renew(engine, &mut groups, table),
            Message::Subscribed(interest, subscription) => {
                add(&mut groups, interest.place(holes), interest, subscription);
            }
            Message::Left(place, subscription) => remove(&mut groups, &place, &subscription),
            Message::Stop => break,
        }
    }
    // Commits that come later are counted by nobody: let no statement wait for them.
    backlog.changes.store(0, Ordering::Release);
    backlog.shrunk.notify_waiters();
}

fn publish(groups: &mut Groups, holes: Holes, change: &RowChange) {
    let source = match holes.ddl {
        true => Source::Name(change.table_name()),
        false => Source::Table(change.table()),
    };
    let place = (source, change.user.clone());
    let Some(here) = groups.get_mut(&place) else { return };
    if holes.order {
        scatter(here, change.seq().unsigned_abs());
    }
    here.retain(|group| match group.interest.query.evaluate(change) {
        Ok(None) => true,
        Ok(Some(change)) => {
            let tail = server_frame::change_tail(&change);
            for subscription in &group.subscriptions {
                subscription.deliver(&tail);
            }
            true
        }
        // A filter that fails on this row (a division by zero, say): the rows are unknown from here on.
        Err(error) => group.end("SUBSCRIPTION_FAILED", &error.message),
    });
    if here.is_empty() {
        groups.remove(&place);
    }
}

/// After its table was altered a query goes on if its columns are still the same.
fn renew(engine: &Engine, groups: &mut Groups, table: TableId) {
    groups.retain(|place, here| {
        if place.0 == Source::Table(table) {
            here.retain_mut(|group| {
                let Interest { query, sql, caller, .. } = &mut group.interest;
                match engine.prepare_live(caller, sql) {
                    Ok(renewed) if renewed.table() == table && renewed.schema() == query.schema() => {
                        *query = renewed;
                        true
                    }
                    Ok(_) => group.end("SCHEMA_CHANGED", "The table was altered: subscribe again"),
                    Err(error) => group.end(error.code, &error.message),
                }
            });
        }
        !here.is_empty()
    });
}

fn end(groups: &mut Groups, ends: impl Fn(&Place) -> bool, code: &str, message: &str) {
    groups.retain(|place, here| {
        let ends = ends(place);
        if ends {
            for group in here {
                group.end(code, message);
            }
        }
        !ends
    });
}

fn add(groups: &mut Groups, place: Place, interest: Interest, subscription: Arc<Subscription>) {
    let here = groups.entry(place).or_default();
    match here.iter_mut().find(|group| group.interest.is_same(&interest)) {
        Some(group) => group.subscriptions.push(subscription),
        None => here.push(Group { interest, subscriptions: vec![subscription] }),
    }
}

fn remove(groups: &mut Groups, place: &Place, subscription: &Arc<Subscription>) {
    let Some(here) = groups.get_mut(place) else { return };
    for group in here.iter_mut() {
        group.subscriptions.retain(|other| !Arc::ptr_eq(other, subscription));
    }
    here.retain(|group| !group.subscriptions.is_empty());
    if here.is_empty() {
        groups.remove(place);
    }
}
