//! The owner task: drives one [`Machine`] with a real socket, clock and credentials.
//!
//! It waits for the network, for commands and for time, never for a reader. Everything that may take long or runs the
//! user's code (dialling, token providers) is a task of its own.

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
use tokio_tungstenite::tungstenite::Message;

use super::asker::Asker;
use super::auth::{Auth, Token as AuthToken};
use super::checks::Checks;
use super::command::{Command, Unclaimed, closed};
use super::link::{Socket, dial};
use super::network::Network;
use super::secret::Secret;
use super::socket::OpenSocket;
use super::status::{ConnectionState as State, Counters, Status};
use super::subscriber::{Applied, Sink};
use crate::error::{Error, ErrorCode, Result};
use crate::machine::{
    Action, AttemptId, ConnectionState, Event, Lifecycle, LinkEnd, LinkId, Machine, Restart,
    SubscribeRequest, SubscriptionEvent, SubscriptionInfo, SubscriptionKey, Token,
};
use crate::protocol::RawFrame;

/// Frames read before readers are woken and other tasks get their turn. A batch of this size is handled in about a
/// tenth of a millisecond.
const FRAMES_PER_TURN: usize = 256;
/// So many frames in a turn, or in a [`HOLD`], are a flood: more is probably on its way, and waking a reader costs as much as
/// some ten frames.
const FLOOD: usize = 8;
/// How long changed rows wait for more of a flood. What a reader then takes is put together from more changes; events get no
/// fewer by it, and their readers had better begin.
const HOLD: Duration = Duration::from_millis(1);

/// See the module.
pub(crate) struct Owner {
    pub(super) machine: Machine,
    network: Network,
    auth: Arc<Auth>,
    pub(super) status: Arc<Status>,
    commands: mpsc::UnboundedReceiver<Command>,
    /// The machine's time is counted from here.
    pub(super) origin: Instant,
    link: Option<Link>,
    fetching: Option<(AttemptId, JoinHandle<Result<Option<AuthToken>>>)>,
    /// The token that the machine used last.
    generation: u64,
    timer: Pin<Box<Sleep>>,
    pub(super) subscribers: HashMap<SubscriptionKey, Subscriber, RandomState>,
    /// Those who got something since they were last woken.
    touched: Vec<SubscriptionKey>,
    pub(super) checks: Checks,
    /// Live rows whose keeper was told something, and may want something.
    pub(super) fed: Vec<SubscriptionKey>,
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

/// A caller that waits for the connection.
struct Connecting {
    reply: oneshot::Sender<Result<()>>,
    /// Attempts that may fail before it is told.
    left: usize,
}

/// Changed rows that wait for more.
struct Held {
    until: Option<Instant>,
    /// When frames were begun to be counted, and how many there were.
    counted: (Instant, usize),
    /// When there were too many last.
    flood: Option<Instant>,
    timer: Pin<Box<Sleep>>,
}

impl Held {
    /// Whether more came within a [`HOLD`] than readers should be woken for.
    fn sees_flood(&mut self, now: Instant, frames: usize) -> bool {
        let (since, count) = self.counted;
        self.counted = if now - since < HOLD { (since, count + frames) } else { (now, frames) };
        if self.counted.1 >= FLOOD {
            self.flood = Some(now);
        }
        self.flood.is_some_and(|flood| now - flood < HOLD)
    }
}

impl Default for Held {
    fn default() -> Self {
        Self {
            until: None,
            counted: (Instant::now(), 0),
            flood: None,
            timer: Box::pin(tokio::time::sleep(Duration::ZERO)),
        }
    }
}

pub(super) struct Subscriber {
    pub(super) sink: Sink,
    since: Instant,
    touched: bool,
}

impl Subscriber {
    pub(super) fn new(sink: Sink) -> Self {
        Self { sink, since: Instant::now(), touched: false }
    }

    /// A connection stands, to that kind of server and as this user.
    pub(super) fn connected(&mut self, complete: bool, user: &str) {
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

type Dial = JoinHandle<Result<Socket, LinkEnd>>;

enum Link {
    Opening(LinkId, Dial),
    Open(LinkId, Box<OpenSocket>),
}

impl Link {
    fn id(&self) -> LinkId {
        match self {
            Self::Opening(id, _) | Self::Open(id, _) => *id,
        }
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

    pub(super) fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Each of these returns whether it did anything.
    fn poll_commands(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Poll::Ready(command) = self.commands.poll_recv(cx) {
            match command {
                Some(command) => self.command(command),
                // The client and all its handles are gone.
                None => return progress | self.close(),
            }
            progress = true;
        }
        progress
    }

    fn command(&mut self, command: Command) {
        let now = self.now();
        match command {
            Command::Connect { reply } => match self.machine.connect(now) {
                Err(error) => drop(reply.send(Err(error))),
                Ok(()) if self.machine.state() == ConnectionState::Connected => drop(reply.send(Ok(()))),
                Ok(()) => {
                    let left = self.network.endpoints.len();
                    self.connecting.push(Connecting { reply, left });
                }
            },
            Command::Disconnect { reply } => {
                self.machine.disconnect(now);
                self.fail_connects(&Error::new(ErrorCode::Disconnected, "disconnect was called meanwhile"));
                self.quiet_replies.push(reply);
            }
            Command::Close { reply } => {
                let _ = self.close();
                self.quiet_replies.push(reply);
            }
            Command::NetworkChanged => self.machine.network_changed(now),
            Command::Subscribe { request, sink, commands, reply } => {
                let result = self.subscribe(now, *request, sink);
                let _ = reply.send(result.map(|key| Unclaimed::new(key, commands)));
            }
            Command::Unsubscribe { key } => self.machine.unsubscribe(now, key),
            Command::Restart { key, from, because } => {
                // What the machine has told of the old subscription goes with it.
                self.route(now, None);
                if let Some(subscriber) = self.subscribers.get_mut(&key) {
                    subscriber.sink.begin_anew();
                }
                let from = from.map_or(Restart::Fresh, Restart::From);
                match because {
                    None => self.machine.restart(now, key, from),
                    Some(error) => {
                        tracing::warn!(?key, %error, "a change could not be read");
                        self.machine.reject(now, key, from, error);
                    }
                }
            }
            Command::Cancel { id, reply } => {
                let found = self.machine.subscriptions().find(|s| *s.id == *id).map(|s| s.key);
                if let Some(key) = found {
                    self.machine.unsubscribe(now, key);
                }
                let _ = reply.send(found.is_some());
            }
            Command::Subscriptions { reply } => {
                let age = |info: &SubscriptionInfo| {
                    self.subscribers.get(&info.key).map_or(Duration::ZERO, |s| s.since.elapsed())
                };
                let _ = reply.send(
                    self.machine
                        .subscriptions()
                        .filter(|info| self.subscribers.get(&info.key).is_none_or(|s| !s.is_watch()))
                        .map(|info| {
                            let age = age(&info);
                            (info, age)
                        })
                        .collect(),
                );
            }
        }
    }

    fn subscribe(&mut self, now: Duration, request: SubscribeRequest, sink: Sink) -> Result<SubscriptionKey> {
        // Lazy connect, also after the client had given up.
        let idle = matches!(
            self.machine.state(),
            ConnectionState::Idle | ConnectionState::Closed { error: Some(_) }
        );
        if idle {
            self.machine.connect(now)?;
        }
        let result = self.machine.subscribe(now, request);
        match &result {
            Ok(key) => {
                let mut subscriber = Subscriber::new(sink);
                if let Some((complete, user)) = &self.checks.server {
                    subscriber.connected(*complete, user);
                }
                self.subscribers.insert(*key, subscriber);
            }
            Err(_) if idle => self.machine.disconnect(now),
            Err(_) => {}
        }
        result
    }

    fn close(&mut self) -> bool {
        if self.closed {
            return false;
        }
        self.closed = true;
        self.machine.close();
        self.fail_connects(&closed());
        true
    }

    fn fail_connects(&mut self, error: &Error) {
        for Connecting { reply, .. } in self.connecting.drain(..) {
            let _ = reply.send(Err(error.clone()));
        }
    }

    /// An attempt failed. Who asked to connect is told when every URL was tried, or when there will be no other attempt.
    fn attempt_failed(&mut self, error: &Error, is_last: bool) {
        let asked = !self.connecting.is_empty();
        self.connecting.iter_mut().for_each(|connecting| connecting.left -= 1);
        for Connecting { reply, .. } in self.connecting.extract_if(.., |c| is_last || c.left == 0) {
            let _ = reply.send(Err(error.clone()));
        }
        // Only `connect` wanted the connection, and its caller has been told.
        if asked && self.connecting.is_empty() && self.subscribers.is_empty() {
            let now = self.now();
            self.machine.disconnect(now);
        }
    }

    fn poll_network(&mut self, cx: &mut Context<'_>, frames_left: &mut usize) -> bool {
        let fetched = self.poll_credentials(cx);
        let Some(link) = self.link.take() else { return fetched };
        match link {
            Link::Opening(id, task) => self.poll_opening(cx, id, task) | fetched,
            Link::Open(id, socket) => self.poll_socket(cx, id, socket, frames_left) | fetched,
        }
    }

    fn poll_credentials(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((attempt, task)) = &mut self.fetching else { return false };
        let Poll::Ready(result) = Pin::new(task).poll(cx) else { return false };
        let attempt = *attempt;
        self.fetching = None;
        let result = result
            .unwrap_or_else(|_| Err(Error::new(ErrorCode::AuthFailed, "the token provider panicked")))
            .map(|token| {
                token.map(|token| {
                    self.generation = token.generation;
                    Token::new(token.secret.reveal())
                })
            });
        let now = self.now();
        self.machine.handle_credentials(now, attempt, result);
        true
    }

    fn poll_opening(&mut self, cx: &mut Context<'_>, id: LinkId, mut task: Dial) -> bool {
        let result = match Pin::new(&mut task).poll(cx) {
            Poll::Pending => {
                self.link = Some(Link::Opening(id, task));
                return false;
            }
            Poll::Ready(result) => result,
        };
        let now = self.now();
        let end = match result {
            Ok(Ok(socket)) => {
                self.link = Some(Link::Open(id, Box::new(OpenSocket::new(socket))));
                self.machine.handle_opened(now, id);
                return true;
            }
            Ok(Err(end)) => end,
            Err(_) => {
                LinkEnd::Failed(Error::new(ErrorCode::Disconnected, "the attempt to connect was aborted"))
            }
        };
        self.machine.handle_closed(now, id, end);
        true
    }

    fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        id: LinkId,
        mut socket: Box<OpenSocket>,
        frames_left: &mut usize,
    ) -> bool {
        let now = self.now();
        let mut progress = false;
        while *frames_left > 0 {
            match socket.poll_read(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(end)) => {
                    // The close handshake, where there is one, is still to be finished.
                    self.closing.push(tokio::spawn(socket.close(None)));
                    self.machine.handle_closed(now, id, end);
                    return true;
                }
                Poll::Ready(Ok(message)) => match &message {
                    Message::Text(text) => {
                        self.machine.handle_frame(now, id, RawFrame::Text(text));
                        self.route(now, Some(text));
                    }
                    Message::Binary(bytes) => {
                        self.machine.handle_frame(now, id, RawFrame::Binary(bytes));
                        self.route(now, None);
                    }
                    Message::Pong(_) => self.machine.handle_pong(id),
                    Message::Ping(_) | Message::Close(_) | Message::Frame(_) => {}
                },
            }
            *frames_left -= 1;
            progress = true;
        }
        self.link = Some(Link::Open(id, socket));
        progress
    }

    /// Hands the machine's events to whom they concern. `frame`: the text that the machine was given just now.
    fn route(&mut self, now: Duration, frame: Option<&str>) {
        while let Some(event) = self.machine.poll_event() {
            match event {
                Event::Subscription { key, event } => {
                    let Some(subscriber) = self.subscribers.get_mut(&key) else { continue };
                    match &mut subscriber.sink {
                        Sink::Watch(sql) => {
                            let sql = sql.clone();
                            self.watch_event(key, &sql, event);
                        }
                        Sink::Events(sink) => {
                            match (event, frame) {
                                (SubscriptionEvent::Deferred(change), Some(text)) => {
                                    sink.push_unread(change, text)
                                }
                                (event, _) => sink.push(event),
                            }
                            let curious = subscriber.sink.is_curious();
                            self.touch_reader(key);
                            if curious {
                                self.ask_what_was_missed(key);
                            }
                        }
                        sink @ Sink::Rows(_) => {
                            let applied = sink.apply(now, event);
                            self.touch(key);
                            self.after(key, applied);
                        }
                    }
                }
                Event::Lifecycle(event) => self.lifecycle(event),
            }
        }
    }

    /// Its keeper may want something, and its reader may have something to read.
    pub(super) fn touch(&mut self, key: SubscriptionKey) {
        if self.fed.last() != Some(&key) {
            self.fed.push(key);
        }
        self.touch_reader(key);
    }

    pub(super) fn touch_reader(&mut self, key: SubscriptionKey) {
        if let Some(subscriber) = self.subscribers.get_mut(&key)
            && !subscriber.touched
        {
            subscriber.touched = true;
            self.touched.push(key);
        }
    }

    fn after(&mut self, key: SubscriptionKey, applied: Applied) {
        match applied {
            Applied::Fine => {}
            Applied::Lagged => {
                self.lagged += 1;
                tracing::warn!(?key, "an event reader is too slow: events were dropped");
            }
            Applied::StartAnew => self.machine.restart(self.now(), key, Restart::Fresh),
            Applied::Refused => self.machine.unsubscribe(self.now(), key),
            Applied::Over => {}
        }
        if matches!(applied, Applied::Over | Applied::Refused)
            && let Some(mut subscriber) = self.subscribers.remove(&key)
        {
            subscriber.sink.deliver();
            self.checks.forget(key);
        }
    }

    fn lifecycle(&mut self, event: Lifecycle) {
        match &event {
            Lifecycle::Connected { url, user, server, .. } => {
                self.tell_server(server.as_ref().is_some_and(|server| server.complete), user);
                tracing::info!(%url, "connected");
                for Connecting { reply, .. } in self.connecting.drain(..) {
                    let _ = reply.send(Ok(()));
                }
            }
            Lifecycle::ConnectFailed { error, attempt, retry_in } => {
                tracing::warn!(%error, attempt, ?retry_in, "could not connect");
                self.attempt_failed(error, retry_in.is_none());
            }
            Lifecycle::Disconnected { error, retry_in } => {
                self.checks.abandon(retry_in.is_some());
                tracing::warn!(%error, ?retry_in, "the connection was lost");
            }
            Lifecycle::ServerError(error) => tracing::warn!(%error, "the server reports an error"),
            Lifecycle::Repaired { .. } => {}
            Lifecycle::Closed => tracing::debug!("closed"),
        }
        // The state first: who is told of the event may look at it.
        self.status.set_state(State::from(self.machine.state()));
        self.status.tell(&event);
    }

    /// Does what the machine wants done.
    fn act(&mut self) -> bool {
        let mut acted = false;
        while let Some(action) = self.machine.poll_action() {
            acted = true;
            match action {
                Action::FetchCredentials { attempt, refresh } => {
                    if let Some((_, task)) = self.fetching.take() {
                        task.abort();
                    }
                    let auth = self.auth.clone();
                    let refused = refresh.then_some(self.generation);
                    self.fetching = Some((attempt, tokio::spawn(async move { auth.token(refused).await })));
                }
                Action::OpenLink { link, url, token } => {
                    let token = token.map(|token| Secret::from(token.expose()));
                    let task = tokio::spawn(dial(self.network.clone(), url, token));
                    self.drop_link(Some(1001));
                    self.link = Some(Link::Opening(link, task));
                }
                Action::Send { link, text } => {
                    if let Some(Link::Open(id, socket)) = &mut self.link
                        && *id == link
                    {
                        socket.send(text);
                    }
                }
                Action::Ping { link } => {
                    if let Some(Link::Open(id, socket)) = &mut self.link
                        && *id == link
                    {
                        socket.ping();
                    }
                }
                Action::CloseLink { link, code } => {
                    if self.link.as_ref().is_some_and(|current| current.id() == link) {
                        self.drop_link(Some(code));
                    }
                }
            }
        }
        acted
    }

    fn drop_link(&mut self, code: Option<u16>) {
        match self.link.take() {
            Some(Link::Opening(_, task)) => task.abort(),
            Some(Link::Open(_, socket)) => self.closing.push(tokio::spawn(socket.close(code))),
            None => {}
        }
    }

    fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(Link::Open(id, socket)) = &mut self.link else { return false };
        let Err(end) = socket.poll_write(cx) else { return false };
        let id = *id;
        self.link = None;
        let now = self.now();
        self.machine.handle_closed(now, id, end);
        true
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

    fn poll_closing(&mut self, cx: &mut Context<'_>) {
        self.closing.retain_mut(|task| Pin::new(task).poll(cx).is_pending());
        if self.closing.is_empty() {
            for reply in self.quiet_replies.drain(..) {
                let _ = reply.send(());
            }
        }
    }

    /// Whether events are to wait for more, after a turn with so many frames.
    fn is_flooded(&mut self, frames: usize) -> bool {
        self.undelivered += frames;
        frames >= FLOOD && self.undelivered < FRAMES_PER_TURN && !self.closed
    }

    /// Whether rows are.
    fn holds_back(&mut self, cx: &mut Context<'_>, frames: usize) -> bool {
        if self.touched.is_empty() || self.closed {
            return false;
        }
        let now = Instant::now();
        if !self.held.sees_flood(now, frames) {
            return false;
        }
        let until = *self.held.until.get_or_insert(now + HOLD);
        if now >= until {
            return false;
        }
        if self.held.timer.deadline() != until {
            self.held.timer.as_mut().reset(until);
        }
        self.held.timer.as_mut().poll(cx).is_pending()
    }

    /// Hands over to the readers that got something, and wakes each once.
    fn deliver(&mut self, rows: bool) {
        if rows {
            self.held.until = None;
        }
        let mut touched = std::mem::take(&mut self.touched);
        touched.retain(|key| {
            let Some(subscriber) = self.subscribers.get_mut(key) else { return false };
            if !rows && matches!(subscriber.sink, Sink::Rows(_)) {
                return true;
            }
            subscriber.touched = false;
            let applied = subscriber.sink.deliver();
            self.after(*key, applied);
            false
        });
        // Delivering may have touched others.
        touched.append(&mut self.touched);
        self.touched = touched;
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
