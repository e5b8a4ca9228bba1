//! From commits to subscriptions: one thread that evaluates each change once for each distinct filter, and encodes it once
//! for each distinct projection.
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
use crate::engine::{
    Caller, ChangeKind, CommitObserver, Engine, LiveQuery, RowChange, SCHEMA_CHANGED, SqlError, TableId,
};
use crate::holes::{Holes, scatter};
use crate::wire::Wire;

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
    wire: Wire,
    /// Whether the same text means another filter to each user.
    personal: bool,
    /// Which rows pass, and what is shown of them: the same for texts that mean the same.
    filter: String,
    shape: String,
}

impl Interest {
    /// `sql`, which was prepared for `caller` and `wire` as `query`.
    pub(crate) fn new(query: Arc<LiveQuery>, sql: &str, caller: &Caller, wire: Wire, holes: Holes) -> Self {
        let sql = sql.trim().trim_end_matches(';').trim_end().to_owned();
        let personal = sql.to_ascii_lowercase().contains("current_user");
        let (filter, shape) = match holes == Holes::default() {
            true => (query.filter_key(), query.shape_key()),
            // There a query may go on with other columns, each in its own way: see `Holes::ddl`.
            false => (format!("{} {sql}", if personal { &*caller.user } else { "" }), String::new()),
        };
        Self { query, sql, caller: caller.clone(), wire, personal, filter, shape }
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

    /// Changes that no subscription was told yet.
    pub(crate) fn waiting(&self) -> usize {
        self.backlog.changes.load(Ordering::Acquire)
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

/// Live queries at one place that let the same rows pass: a change is evaluated once for all of them.
struct Filter {
    /// One at least.
    shapes: Vec<Shape>,
}

/// Those of them that show the same of a row: a change is encoded once for all of them.
struct Shape {
    /// One at least.
    groups: Vec<Group>,
}

/// Subscriptions of one text.
struct Group {
    interest: Interest,
    subscriptions: Vec<Arc<Subscription>>,
}

type Places = HashMap<Place, Vec<Filter>>;

impl Filter {
    fn interest(&self) -> &Interest {
        self.shapes[0].interest()
    }

    fn groups(&self) -> impl Iterator<Item = &Group> {
        self.shapes.iter().flat_map(|shape| &shape.groups)
    }
}

impl Shape {
    fn interest(&self) -> &Interest {
        &self.groups[0].interest
    }
}

impl Group {
    fn deliver(&self, tail: &Arc<str>) {
        self.subscriptions.iter().for_each(|subscription| subscription.deliver(tail));
    }

    /// Tells its subscriptions that it is over.
    fn end(&self, code: &str, message: &str) {
        self.subscriptions.iter().for_each(|subscription| subscription.fail(code, message));
    }
}

fn run(engine: &Engine, holes: Holes, received: &mpsc::Receiver<Message>, backlog: &Backlog) {
    let mut places = Places::new();
    while let Ok(message) = received.recv() {
        match message {
            Message::Committed(changes) => {
                let published = catch_unwind(AssertUnwindSafe(|| {
                    changes.iter().for_each(|change| publish(&mut places, holes, change));
                }));
                if published.is_err() {
                    // The panic was printed. Nobody may believe to be up to date after it.
                    tracing::error!("the evaluation of live queries panicked, all subscriptions end");
                    end(&mut places, |_| true, "SUBSCRIPTION_FAILED", "The server failed, its log says more");
                }
                let before = backlog.changes.fetch_sub(changes.len(), Ordering::AcqRel);
                if before >= MOST_BACKLOG {
                    backlog.shrunk.notify_waiters();
                }
            }
            Message::TableChanged { table, dropped: true } => {
                let dropped = |place: &Place| place.0 == Source::Table(table);
                end(&mut places, dropped, "NOT_FOUND", "Not found: the table was dropped");
            }
            Message::TableChanged { table, dropped: false } => renew(engine, &mut places, holes, table),
            Message::Subscribed(interest, subscription) => {
                let place = interest.place(holes);
                add(&mut places, place, Group { interest, subscriptions: vec![subscription] });
            }
            Message::Left(place, subscription) => remove(&mut places, &place, &subscription),
            Message::Stop => break,
        }
    }
    // Commits that come later are counted by nobody: let no statement wait for them.
    backlog.changes.store(0, Ordering::Release);
    backlog.shrunk.notify_waiters();
}

fn publish(places: &mut Places, holes: Holes, change: &RowChange) {
    let source = match holes.ddl {
        true => Source::Name(change.table_name()),
        false => Source::Table(change.table()),
    };
    let place = (source, change.user.clone());
    let Some(here) = places.get_mut(&place) else { return };
    if holes.order {
        scatter(here, change.seq().unsigned_abs());
    }
    let mut tails = Tails::default();
    here.retain(|filter| match evaluate(filter, holes, change, &mut tails) {
        Ok(()) => true,
        // A filter that fails on this row (a division by zero, say): the rows are unknown from here on.
        Err(error) => {
            filter.groups().for_each(|group| group.end("SUBSCRIPTION_FAILED", &error.message));
            false
        }
    });
    if here.is_empty() {
        places.remove(&place);
    }
}

/// One change, encoded: for each shape, and for what the change is to a filter.
#[derive(Default)]
struct Tails(Vec<(String, ChangeKind, Arc<str>)>);

impl Tails {
    fn get(&mut self, interest: &Interest, change: &RowChange, kind: ChangeKind) -> Arc<str> {
        let known = self.0.iter().find(|(shape, of, _)| *of == kind && *shape == interest.shape);
        if let Some((_, _, tail)) = known {
            return tail.clone();
        }
        let tail = server_frame::change_tail(&interest.query.shown(change, kind));
        self.0.push((interest.shape.clone(), kind, tail.clone()));
        tail
    }
}

/// Delivers the change to all who have this filter, if it lets it pass.
fn evaluate(filter: &Filter, holes: Holes, change: &RowChange, tails: &mut Tails) -> Result<(), SqlError> {
    let query = &filter.interest().query;
    if holes != Holes::default() {
        if let Some(seen) = query.evaluate(change)? {
            filter.groups().for_each(|group| group.deliver(&server_frame::change_tail(&seen)));
        }
    } else if let Some(kind) = query.judge(change)? {
        for shape in &filter.shapes {
            let tail = tails.get(shape.interest(), change, kind);
            shape.groups.iter().for_each(|group| group.deliver(&tail));
        }
    }
    Ok(())
}

/// After its table was altered a query goes on if its columns are still the same.
fn renew(engine: &Engine, places: &mut Places, holes: Holes, table: TableId) {
    let altered: Vec<Place> =
        places.keys().filter(|place| place.0 == Source::Table(table)).cloned().collect();
    for place in altered {
        let filters = places.remove(&place).unwrap_or_default();
        let shapes = filters.into_iter().flat_map(|filter| filter.shapes);
        for group in shapes.flat_map(|shape| shape.groups) {
            let Interest { query, sql, caller, wire, .. } = &group.interest;
            match engine.prepare_live_on(caller, sql, *wire) {
                Ok(renewed) if renewed.table() == table && renewed.schema() == query.schema() => {
                    let interest = Interest::new(renewed, sql, caller, *wire, holes);
                    let group = Group { interest, subscriptions: group.subscriptions };
                    add(places, place.clone(), group);
                }
                Ok(_) => group.end(SCHEMA_CHANGED, "The table was altered: subscribe again"),
                Err(error) => group.end(error.code, &error.message),
            }
        }
    }
}

fn end(places: &mut Places, ends: impl Fn(&Place) -> bool, code: &str, message: &str) {
    places.retain(|place, here| {
        let ends = ends(place);
        if ends {
            here.iter().flat_map(Filter::groups).for_each(|group| group.end(code, message));
        }
        !ends
    });
}

fn add(places: &mut Places, place: Place, group: Group) {
    let here = places.entry(place).or_default();
    let interest = &group.interest;
    let Some(filter) = here.iter_mut().find(|filter| filter.interest().filter == interest.filter) else {
        return here.push(Filter { shapes: vec![Shape { groups: vec![group] }] });
    };
    let Some(shape) = filter.shapes.iter_mut().find(|shape| shape.interest().shape == interest.shape) else {
        return filter.shapes.push(Shape { groups: vec![group] });
    };
    match shape.groups.iter_mut().find(|other| other.interest.is_same(interest)) {
        Some(other) => other.subscriptions.extend(group.subscriptions),
        None => shape.groups.push(group),
    }
}

fn remove(places: &mut Places, place: &Place, subscription: &Arc<Subscription>) {
    let Some(here) = places.get_mut(place) else { return };
    here.retain_mut(|filter| {
        filter.shapes.retain_mut(|shape| {
            shape.groups.retain_mut(|group| {
                group.subscriptions.retain(|other| !Arc::ptr_eq(other, subscription));
                !group.subscriptions.is_empty()
            });
            !shape.groups.is_empty()
        });
        !filter.shapes.is_empty()
    });
    if here.is_empty() {
        places.remove(place);
    }
}
