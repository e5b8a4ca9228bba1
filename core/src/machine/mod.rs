//! One connection and its subscriptions as a state machine without I/O.
//!
//! A [`Machine`] never reads a clock, a socket or a random source. Its driver tells it what happened (`handle_*`) and what
//! is wanted (commands), each with the present time, and then does what it asks for, until there is nothing left:
//!
//! - [`poll_action`](Machine::poll_action): what to do next,
//! - [`poll_event`](Machine::poll_event): what to tell the subscribers,
//! - [`next_timeout`](Machine::next_timeout): when to call [`handle_timeout`](Machine::handle_timeout), unless
//!   something else comes first.
//!
//! Every call may change the answer of all three, so poll them after every call or after a batch of calls. Time is a
//! [`Duration`](std::time::Duration) since an arbitrary moment, the same for all calls; it must not run backwards.
//! What a call needs and does not find (a link that is closed, a subscription that has ended) is not an error: it is
//! news that crossed with other news, and is ignored.
//!
//! ```
//! use kalam_live::machine::{Action, Config, ConnectionState, Machine, Token};
//! use std::time::Duration;
//!
//! let now = Duration::ZERO;
//! let config = Config { urls: vec!["ws://127.0.0.1:2900/v1/ws".into()], ..Config::default() };
//! let mut machine = Machine::new(config)?;
//! machine.connect(now)?;
//! let Some(Action::FetchCredentials { attempt, .. }) = machine.poll_action() else { panic!() };
//! machine.handle_credentials(now, attempt, Ok(Some(Token::new("secret"))));
//! let Some(Action::OpenLink { link, .. }) = machine.poll_action() else { panic!() };
//! machine.handle_opened(now, link);
//! assert_eq!(machine.state(), ConnectionState::Connecting { attempt: 1 });
//! assert!(machine.next_timeout().is_some());
//! # Ok::<(), kalam_live::Error>(())
//! ```

mod backoff;
mod config;
mod event;
mod frames;
mod link;
mod pacing;
mod position;
pub(crate) mod random;
mod sabotage;
mod sending;
mod subscription;
mod table;
#[cfg(test)]
mod tests;
mod timer;

use std::collections::VecDeque;

pub use backoff::Backoff;
pub use config::{Config, Timeouts};
#[cfg(feature = "consumer")]
pub(crate) use random::Random;
#[cfg(feature = "sabotage")]
pub use sabotage::Sabotage;

pub use event::{
    Action, AttemptId, ConnectionState, Counters, Decoding, Deferred, Event, GapReason, Lifecycle, LinkEnd,
    LinkId, Mode, OldValues, Restart, Resume, SubscribeOptions, SubscribeRequest, SubscriptionEvent,
    SubscriptionInfo, SubscriptionKey, SubscriptionStage, Token,
};

use self::link::{Connection, Phase};
use self::pacing::Pacer;
#[cfg(not(feature = "consumer"))]
use self::random::Random;
use self::sending::Outbox;
use self::subscription::{Retries, Stage, Subscription};
use self::table::Table;
use self::timer::{Timer, TimerTable};
use crate::checkpoint::{Checkpoint, Epoch};
use crate::error::{Error, ErrorCode, Result};
use crate::protocol::Announcement;
use crate::schema::SeqId;

/// Time since an origin that the driver chooses.
pub type Time = std::time::Duration;

/// The state of one client. See the [module](self) for how to drive it.
#[derive(Debug)]
pub struct Machine {
    config: Config,
    random: Random,
    connection: Connection,
    timers: TimerTable,
    pacer: Pacer,
    table: Table,
    outbox: Outbox,
    actions: VecDeque<Action>,
    events: VecDeque<Event>,
    counters: Counters,
    spare_slots: bool,
    slots_wanted: bool,
}

impl Machine {
    /// A machine that is [`Idle`](ConnectionState::Idle).
    ///
    /// # Errors
    /// `config` when a setting makes no sense.
    pub fn new(config: Config) -> Result<Self> {
        config.check()?;
        Ok(Self {
            random: Random::new(config.seed),
            connection: Connection::default(),
            timers: TimerTable::default(),
            pacer: Pacer::new(config.messages_per_second),
            table: Table::default(),
            outbox: Outbox::default(),
            actions: VecDeque::new(),
            events: VecDeque::new(),
            counters: Counters::default(),
            spare_slots: false,
            slots_wanted: false,
            config,
        })
    }

    // ---- commands ----

    /// Says whether some subscriptions could be given up for others. As long as that is so, one that the server has no slot
    /// for is tried again rather than failed, and [`take_slots_wanted`](Self::take_slots_wanted) says so.
    pub fn set_spare_slots(&mut self, spare: bool) {
        self.spare_slots = spare;
    }

    /// Whether the server had no slot for a subscription since the last call, while there were spare ones.
    pub fn take_slots_wanted(&mut self) -> bool {
        std::mem::take(&mut self.slots_wanted)
    }

    /// Connects, and stays connected until [`disconnect`](Self::disconnect). While waiting for a retry, retries at once;
    /// after it was given up, begins anew.
    ///
    /// # Errors
    /// `closed` after [`close`](Self::close).
    pub fn connect(&mut self, now: Time) -> Result<()> {
        match &self.connection.phase {
            Phase::Closed => return Err(closed()),
            Phase::Idle | Phase::GivenUp(_) => {
                self.connection.start_over();
                self.begin_attempt(now);
            }
            Phase::Waiting { .. } => self.begin_attempt(now),
            Phase::Fetching { .. }
            | Phase::Opening { .. }
            | Phase::Authenticating { .. }
            | Phase::Connected { .. } => {}
        }
        Ok(())
    }

    /// Ends the connection and stops trying. Subscriptions stay and go on at the next [`connect`](Self::connect).
    pub fn disconnect(&mut self, now: Time) {
        if matches!(self.connection.phase, Phase::Closed | Phase::Idle | Phase::GivenUp(_)) {
            return;
        }
        let was_connected = self.leave_link(Some(1000));
        self.connection.phase = Phase::Idle;
        if was_connected {
            let error = Error::new(ErrorCode::Disconnected, "disconnected by request");
            self.lifecycle(Lifecycle::Disconnected { error, retry_in: None });
        }
        self.flush(now);
    }

    /// Ends everything for good. Every subscription gets [`Ended`](SubscriptionEvent::Ended).
    pub fn close(&mut self) {
        if matches!(self.connection.phase, Phase::Closed) {
            return;
        }
        self.leave_link(Some(1000));
        self.connection.phase = Phase::Closed;
        for key in self.table.keys() {
            self.table.remove(key);
            self.notify(key, SubscriptionEvent::Ended);
        }
        self.lifecycle(Lifecycle::Closed);
    }

    /// The driver has learnt that the network changed: an attempt is made at once, and a connection is tested.
    pub fn network_changed(&mut self, now: Time) {
        match self.connection.phase {
            Phase::Waiting { .. } => self.begin_attempt(now),
            Phase::Fetching { .. } | Phase::Opening { .. } | Phase::Authenticating { .. } => {
                self.leave_link(Some(1001));
                self.begin_attempt(now);
            }
            Phase::Connected { .. } => self.ping(now),
            Phase::Idle | Phase::GivenUp(_) | Phase::Closed => {}
        }
    }

    /// Adds a subscription. It is opened as soon as there is a connection, and again after every reconnect.
    ///
    /// # Errors
    /// `closed` after [`close`](Self::close); the error of the connection when it was given up; `invalid_argument` for a bad
    /// or taken id or impossible options.
    pub fn subscribe(&mut self, now: Time, request: SubscribeRequest) -> Result<SubscriptionKey> {
        match &self.connection.phase {
            Phase::Closed => return Err(closed()),
            Phase::GivenUp(error) => return Err(error.clone()),
            _ => {}
        }
        let SubscribeRequest { id, sql: live, options, old, resume, decoding } = request;
        let invalid = |message: String| Err(Error::new(ErrorCode::InvalidArgument, message));
        let id = match id {
            Some(id) if id.is_empty() => return invalid("the subscription id is empty".into()),
            Some(id) if self.table.has_id(&id) => {
                return invalid(format!(
                    "a subscription {id:?} is open: close it first or choose another id"
                ));
            }
            Some(id) => id,
            None => self.table.made_up_id(),
        };
        match (options.last_rows, options.batch_size) {
            (_, Some(0)) => return invalid("`batch_size` is 0: a page holds at least one row".into()),
            (Some(last), Some(batch)) if last > batch => {
                return invalid(format!(
                    "`last_rows` ({last}) exceeds `batch_size` ({batch}): the newest rows come in one page"
                ));
            }
            _ => {}
        }
        let sql = live.to_sql()?;
        let key = self.table.insert(Subscription {
            id,
            live,
            sql,
            options,
            old,
            resume,
            decoding,
            position: position::Position::new(self.config.sabotage()),
            established: false,
            keeps: false,
            stage: Stage::Offline,
            retries: Retries::default(),
            strikes: 0,
            sabotage: self.config.sabotage(),
        });
        if self.connection.is_connected() {
            self.enqueue_subscribe(key);
        }
        self.flush(now);
        Ok(key)
    }

    /// Ends a subscription; it gets [`Ended`](SubscriptionEvent::Ended).
    pub fn unsubscribe(&mut self, now: Time, key: SubscriptionKey) {
        if self.forget(key) {
            self.notify(key, SubscriptionEvent::Ended);
        }
        self.flush(now);
    }

    /// Says whether the reader of live rows is able to find out by itself what changed while the connection was lost. At a
    /// server that does not announce itself complete the subscription then goes on without a snapshot, in [`Mode::Kept`].
    /// Holds until something else is said, or the subscription has to begin anew.
    pub fn keep_rows(&mut self, key: SubscriptionKey, keeps: bool) {
        if let Some(subscription) = self.table.get_mut(key) {
            subscription.keeps = keeps && subscription.resume == Resume::Live;
        }
    }

    /// Begins a subscription anew: because its rows are in doubt, or because its reader lost some.
    pub fn restart(&mut self, now: Time, key: SubscriptionKey, from: Restart) {
        let Some(subscription) = self.table.get_mut(key) else { return };
        subscription.position.set(from.into_checkpoint());
        subscription.keeps = false;
        if subscription.incarnation().is_some() {
            self.counters.restarts += 1;
            self.begin_anew(key, None);
        }
        self.flush(now);
    }

    /// The reader of a [`Deferred`](SubscriptionEvent::Deferred) change could not decode it: as if that had been found on
    /// arrival, the subscription is begun anew after what was handed out before, and given up when that does not help.
    pub fn reject(&mut self, now: Time, key: SubscriptionKey, from: Restart, error: Error) {
        let Some(subscription) = self.table.get_mut(key) else { return };
        subscription.position.set(from.into_checkpoint());
        self.counters.bad_frames += 1;
        if subscription.incarnation().is_some() {
            self.retry(now, key, error);
        }
        self.flush(now);
    }

    // ---- what to do ----

    /// What the driver is to do next.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// What happened that others wait for.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`handle_timeout`](Self::handle_timeout) is due.
    pub fn next_timeout(&self) -> Option<Time> {
        self.timers.next()
    }

    // ---- getters ----

    /// The state of the connection.
    pub fn state(&self) -> ConnectionState {
        self.connection.state()
    }

    /// What the server of the present connection announced.
    pub fn announcement(&self) -> Option<&Announcement> {
        self.connection.server.as_ref()
    }

    /// Whose numbers the versions of the present or latest connection are.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.connection.epoch.as_ref()
    }

    /// The open subscriptions, oldest first.
    pub fn subscriptions(&self) -> impl Iterator<Item = SubscriptionInfo> {
        self.table.iter().map(|(key, s)| SubscriptionInfo {
            key,
            id: s.id.clone(),
            sql: s.sql.clone(),
            stage: s.stage(),
            checkpoint: s.position.checkpoint().cloned(),
        })
    }

    /// Where a subscription would resume: everything up to here has been handed out. `None` also while it loads.
    pub fn checkpoint(&self, key: SubscriptionKey) -> Option<Checkpoint> {
        self.table.get(key)?.position.checkpoint().cloned()
    }

    /// A row's version as a place to go on from: a number of the server that this subscription was acknowledged by last.
    pub fn checkpoint_at(&self, key: SubscriptionKey, version: SeqId) -> Option<Checkpoint> {
        Some(self.table.get(key)?.position.at(version))
    }

    /// How many messages wait for their turn, because the server accepts only so many a second.
    pub fn queued_messages(&self) -> usize {
        self.outbox.len()
    }

    /// What has been counted.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    // ---- within ----

    fn notify(&mut self, key: SubscriptionKey, event: SubscriptionEvent) {
        self.events.push_back(Event::Subscription { key, event });
    }

    fn lifecycle(&mut self, event: Lifecycle) {
        self.events.push_back(Event::Lifecycle(event));
    }
}

fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the client is closed: make a new one")
}
