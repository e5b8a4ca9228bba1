//! The owner task: drives one [`Machine`] with a real socket, clock and credentials.
//!
//! It waits for the network, for commands and for time, never for a reader. Everything that may take long or runs the
//! user's code (dialling, token providers) is a task of its own.

mod checks;
mod commands;
mod delivery;
mod events;
mod link;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::{Instant, Sleep};

use self::commands::Connecting;
use self::delivery::Held;
use self::link::Link;
use super::asker::Asker;
use super::auth::{Auth, Token as AuthToken};
use super::checks::Checks;
use super::command::Command;
use super::network::Network;
use super::status::{ConnectionState as State, Counters, Status};
use super::subscriber::Sink;
use crate::error::Result;
use crate::machine::{AttemptId, Machine, SubscriptionKey};

/// Frames read before readers are woken and other tasks get their turn. A batch of this size is handled in about a
/// tenth of a millisecond.
const FRAMES_PER_TURN: usize = 256;

/// See the module.
pub(crate) struct Owner {
    machine: Machine,
    network: Network,
    auth: Arc<Auth>,
    status: Arc<Status>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// The machine's time is counted from here.
    origin: Instant,
    link: Option<Link>,
    fetching: Option<(AttemptId, JoinHandle<Result<Option<AuthToken>>>)>,
    /// The token that the machine used last.
    generation: u64,
    timer: Pin<Box<Sleep>>,
    subscribers: HashMap<SubscriptionKey, Subscriber, RandomState>,
    /// Those who got something since they were last woken.
    touched: Vec<SubscriptionKey>,
    checks: Checks,
    /// Live rows whose keeper was told something, and may want something.
    fed: Vec<SubscriptionKey>,
    held: Held,
    /// Frames read since events were handed over.
    undelivered: usize,
    lagged: u64,
    /// Goodbyes under way.
    closing: Vec<JoinHandle<()>>,
    connecting: Vec<Connecting>,
    /// Answered when the goodbyes are said.
    quiet_replies: Vec<oneshot::Sender<()>>,
    /// Whether the machine was closed for good.
    closed: bool,
}

/// One subscription, and where what it tells goes.
struct Subscriber {
    sink: Sink,
    since: Instant,
    touched: bool,
}

impl Subscriber {
    fn new(sink: Sink) -> Self {
        Self { sink, since: Instant::now(), touched: false }
    }

    /// A connection stands, to that kind of server and as this user.
    fn connected(&mut self, complete: bool, user: &str) {
        match &mut self.sink {
            Sink::Rows(mailbox) => mailbox.with(|state| state.keeper().connected(complete, user)),
            Sink::Events(sink) => sink.set_user(user),
            Sink::Watch(_) => {}
        }
    }

    fn is_watch(&self) -> bool {
        matches!(self.sink, Sink::Watch(_))
    }
}

impl Owner {
    pub(crate) fn new(
        machine: Machine,
        network: Network,
        auth: Arc<Auth>,
        asker: Asker,
        status: Arc<Status>,
        commands: mpsc::UnboundedReceiver<Command>,
    ) -> Self {
        Self {
            machine,
            network,
            auth,
            status,
            commands,
            origin: Instant::now(),
            link: None,
            fetching: None,
            generation: 0,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
            subscribers: HashMap::default(),
            touched: Vec::new(),
            checks: Checks::new(asker),
            fed: Vec::new(),
            held: Held::default(),
            undelivered: 0,
            lagged: 0,
            closing: Vec::new(),
            connecting: Vec::new(),
            quiet_replies: Vec::new(),
            closed: false,
        }
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>) -> bool {
        let next = self.machine.next_timeout().into_iter().chain(self.checks.next_timeout()).min();
        let Some(at) = next else { return false };
        let deadline = self.origin + at;
        if self.timer.deadline() != deadline {
            self.timer.as_mut().reset(deadline);
        }
        if self.timer.as_mut().poll(cx).is_pending() {
            return false;
        }
        let now = self.now();
        self.machine.handle_timeout(now);
        true
    }

    fn publish(&self) {
        self.status.set_state(State::from(self.machine.state()));
        self.status.set_counters(Counters {
            connection: self.machine.counters(),
            lagged: self.lagged,
            verify: self.checks.counters,
        });
    }
}

impl Future for Owner {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        let mut frames_left = FRAMES_PER_TURN;
        // Whatever was done may give more to do: a new task or timer must be polled once to be waited for.
        loop {
            let mut progress = this.poll_commands(cx);
            progress |= this.poll_network(cx, &mut frames_left);
            progress |= this.poll_timer(cx);
            this.route(this.now(), None);
            progress |= this.tend(cx);
            progress |= this.act();
            progress |= this.poll_write(cx);
            if !progress || frames_left == 0 {
                break;
            }
        }
        let frames = FRAMES_PER_TURN - frames_left;
        let holds_back = this.holds_back(cx, frames);
        if this.is_flooded(frames) {
            // Comes back after a look at the network.
            let _ = pin!(tokio::task::yield_now()).poll(cx);
        } else {
            this.undelivered = 0;
            this.deliver(!holds_back);
        }
        this.poll_closing(cx);
        this.publish();
        if this.closed && this.closing.is_empty() && this.quiet_replies.is_empty() {
            return Poll::Ready(());
        }
        if frames_left == 0 {
            cx.waker().wake_by_ref();
        }
        Poll::Pending
    }
}

/// However the task ends, with the client or with its runtime: nobody waits for ever.
impl Drop for Owner {
    fn drop(&mut self) {
        for subscriber in self.subscribers.values_mut() {
            subscriber.sink.abandon();
        }
        if let Some((_, task)) = self.fetching.take() {
            task.abort();
        }
        if let Some(Link::Opening(_, task)) = self.link.take() {
            task.abort();
        }
        self.status.end();
    }
}
