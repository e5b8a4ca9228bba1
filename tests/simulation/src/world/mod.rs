//! One run: everything that happens, in the order of virtual time.

mod short;
mod trouble;
mod work;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use fastrand::Rng;
use kalam_live::machine::{Action, AttemptId, LinkEnd, LinkId, Sabotage, Token};
use kalam_live::{Error, ErrorCode};

use self::short::Short;
use crate::client::{Check, Client, Kind};
use crate::data::queries;
use crate::network::{Network, Way};
use crate::plan::{Plan, pick};
use crate::server::{Say, Server};
use crate::trace::Trace;

/// How long everything may take to be right after the trouble has ended: backoff (30 s and 1 s), a hanging attempt, slots of
/// dead connections, retries.
const SETTLES_WITHIN: Duration = Duration::from_secs(150);
/// And how long it is watched then.
const STAYS_RIGHT_FOR: Duration = Duration::from_secs(25);

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Equal for equal runs.
    pub hash: u64,
    /// Lines of its trace.
    pub lines: u64,
    /// Connections of the client.
    pub connects: u64,
    /// Rows that a resume repeated.
    pub replayed: u64,
    /// Frames that came too late.
    pub late: u64,
    /// Subscriptions that failed and were opened again.
    pub failures: u64,
    /// Messages that the server refused.
    pub refused: u64,
}

/// Something that is going to happen.
#[derive(Debug)]
enum Happening {
    ToClient(LinkId, Say),
    ToServer(LinkId, FromClient),
    Opened(LinkId, Option<Token>),
    Ended(LinkId, LinkEnd),
    ServerNotices(LinkId),
    Credentials(AttemptId, Result<Option<Token>, Error>),
    Write,
    Fault,
    Look,
    Command,
    ServerUp,
    Connect,
    OpenAll,
}

#[derive(Debug)]
enum FromClient {
    Text(String),
    Ping,
    Close,
}

/// The whole simulated world.
struct World {
    plan: Plan,
    now: Duration,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    planned: u64,
    rng: Rng,
    trace: Trace,
    server: Server,
    server_up: bool,
    network: Network,
    client: Client,
    trouble: bool,
    writing: bool,
    closed: bool,
    /// The token that the provider has in its cache.
    cached: Option<Token>,
    present_link: Option<LinkId>,
}

/// Runs a seed.
///
/// # Errors
/// What went wrong, and when.
pub fn run(seed: u64, sabotage: Sabotage, print: bool) -> Result<Outcome, String> {
    let mut world = World::new(seed, sabotage, print);
    let result = world.live();
    let hash = world.trace.hash();
    result.map_err(|e| format!("at {:.3} s: {e}", world.now.as_secs_f64()))?;
    let counters = world.client.machine.counters();
    Ok(Outcome {
        hash,
        lines: world.trace.lines(),
        connects: counters.connects,
        replayed: counters.replayed_rows,
        late: counters.late_frames,
        failures: world.client.failures,
        refused: world.server.refused_messages,
    })
}

impl World {
    fn new(seed: u64, sabotage: Sabotage, print: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::draw(seed, sabotage, &mut rng);
        let queries = queries();
        let mut trace = Trace::new(print);
        trace.line(Duration::ZERO, format_args!("seed {seed}: {plan:?}"));
        let mut client = Client::new(plan.config.clone(), queries.clone());
        for _ in 0..plan.slots {
            let batch_size = (plan.small && rng.bool()).then(|| pick(&mut rng, &[1, 4, 50]));
            let kind = match rng.u8(..10) {
                0..6 => Kind::Live { eager: rng.bool() },
                6..9 => Kind::Events,
                _ => Kind::EventsOnly,
            };
            client.add_slot(rng.usize(..queries.len()), kind, batch_size);
        }
        let server = Server::new(plan.behaviour.clone(), queries, Rng::with_seed(rng.u64(..)));
        Self {
            network: Network::new(plan.delay, plan.jitter),
            plan,
            now: Duration::ZERO,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            planned: 0,
            rng,
            trace,
            server,
            server_up: true,
            client,
            trouble: true,
            writing: true,
            closed: false,
            cached: None,
            present_link: None,
        }
    }

    fn live(&mut self) -> Check {
        for _ in 0..self.plan.rows {
            self.write();
        }
        self.open_all()?;
        let first = Duration::from_millis(self.rng.u64(..200));
        self.plan_in(first, Happening::Connect);
        for happening in [Happening::Write, Happening::Fault, Happening::Look, Happening::Command] {
            self.plan_in(first, happening);
        }
        self.run_until(self.plan.trouble)?;

        self.heal();
        self.plan_in(Duration::from_secs(1), Happening::Connect);
        self.run_until(self.now + Duration::from_secs(5))?;
        self.writing = false;
        let deadline = self.now + SETTLES_WITHIN;
        while !self.client.is_right(&self.server)? {
            if self.now >= deadline {
                self.client.check_final(&self.server)?;
                return Err("not right in time".into());
            }
            self.run_until(self.now + Duration::from_secs(1))?;
        }
        self.run_until(self.now + STAYS_RIGHT_FOR)?;
        self.client.check_final(&self.server)?;
        self.check_pace()?;
        self.close()
    }

    /// Nothing was sent that the server refuses for being too much, if it was told how much it takes and the network did
    /// not hold messages back and let them loose together.
    fn check_pace(&self) -> Check {
        let Plan { behaviour, config, jitter, .. } = &self.plan;
        let told =
            behaviour.announces || behaviour.messages_per_second >= config.messages_per_second as usize;
        let even = *jitter <= Duration::from_millis(5) && self.network.slow_until == Duration::ZERO;
        match self.server.refused_messages {
            n if told && even && n > 0 => Err(format!("{n} messages were more than the server takes")),
            _ => Ok(()),
        }
    }

    /// The client closes, and nothing of it is left on either side.
    fn close(&mut self) -> Check {
        self.closed = true;
        self.client.machine.close();
        self.drain()?;
        let machine = &mut self.client.machine;
        if machine.next_timeout().is_some()
            || machine.queued_messages() > 0
            || machine.subscriptions().count() > 0
        {
            return Err("something is left in the machine after close".into());
        }
        if self.client.slots.iter().any(|s| s.open.is_some()) {
            return Err("a subscriber was not told of the end".into());
        }
        self.run_until(self.now + self.plan.behaviour.heartbeat + Duration::from_secs(10))?;
        match self.server.held_subscriptions() {
            0 => Ok(()),
            n => Err(format!("the server still holds {n} subscriptions")),
        }
    }

    // ---- time ----

    fn plan_in(&mut self, wait: Duration, happening: Happening) {
        self.planned += 1;
        self.queue.push(Reverse((self.now + wait, self.planned)));
        self.happenings.insert(self.planned, happening);
    }

    fn run_until(&mut self, until: Duration) -> Check {
        loop {
            let planned = self.queue.peek().map(|Reverse((at, _))| *at);
            let tick = self.server.next_tick();
            let timeout = self.client.machine.next_timeout();
            let Some(next) = [planned, tick, timeout].into_iter().flatten().min().filter(|at| *at <= until)
            else {
                self.now = until;
                return Ok(());
            };
            self.now = self.now.max(next);
            if planned == Some(next) {
                let Some(Reverse((_, number))) = self.queue.pop() else { continue };
                let Some(happening) = self.happenings.remove(&number) else { continue };
                self.happen(happening)?;
            } else if tick == Some(next) {
                self.server.tick(self.now);
            } else {
                self.client.machine.handle_timeout(self.now);
            }
            self.drain()?;
            self.client.check_step()?;
        }
    }

    fn mean(&mut self, mean: Duration) -> Duration {
        Duration::from_nanos(self.rng.u64(..=2 * mean.as_nanos() as u64))
    }

    // ---- what happens ----

    fn happen(&mut self, happening: Happening) -> Check {
        match happening {
            Happening::ToClient(link, say) => self.reach_client(link, say),
            Happening::ToServer(link, message) => self.reach_server(link, message),
            Happening::Opened(link, token) => self.opened(link, token),
            Happening::Ended(link, end) => self.link_ended(link, end),
            Happening::ServerNotices(link) => self.server.gone(link),
            Happening::Credentials(attempt, result) => {
                self.client.machine.handle_credentials(self.now, attempt, result);
            }
            Happening::Write if self.writing => {
                self.write();
                let wait = self.mean(self.plan.write_every);
                self.plan_in(wait, Happening::Write);
            }
            Happening::Fault if self.trouble => {
                self.fault();
                let wait = self.mean(self.plan.fault_every);
                self.plan_in(wait, Happening::Fault);
            }
            Happening::Command if self.trouble => {
                self.command()?;
                let wait = self.mean(Duration::from_secs(8));
                self.plan_in(wait, Happening::Command);
            }
            Happening::Write | Happening::Fault | Happening::Command => {}
            Happening::Look => {
                let at = self.rng.usize(..self.plan.slots);
                self.client.look(at)?;
                if self.writing {
                    let wait = self.mean(Duration::from_millis(300));
                    self.plan_in(wait, Happening::Look);
                }
            }
            Happening::ServerUp => self.server_up = true,
            Happening::Connect | Happening::OpenAll if self.closed => {}
            Happening::Connect => {
                self.trace.line(self.now, format_args!("connect"));
                self.client.machine.connect(self.now).map_err(|e| e.to_string())?;
                self.open_all()?;
            }
            Happening::OpenAll => self.open_all()?,
        }
        Ok(())
    }

    fn open_all(&mut self) -> Check {
        (0..self.plan.slots).try_for_each(|at| self.client.open(self.now, at))
    }

    fn reach_client(&mut self, link: LinkId, say: Say) {
        if !self.network.lets_through(link, Way::ToClient) {
            return;
        }
        let listens = self.network.client_listens(link);
        match say {
            // What was under way when the client closed the link may still come up to it.
            Say::Frame(text) if listens || self.rng.bool() => {
                self.trace.line(self.now, format_args!("{link:?} < {text}"));
                if self.present_link == Some(link) {
                    self.client.observe_arrived(&text, &self.server);
                }
                self.client.receive(self.now, link, text);
                if listens && self.network.counts_down(link) {
                    self.cut(link);
                }
            }
            Say::Frame(_) => {}
            Say::Pong => self.client.machine.handle_pong(link),
            Say::Close(code, reason) => {
                self.network.remove(link);
                self.link_ended(link, LinkEnd::Closed { code: Some(code), reason: reason.into() });
            }
            Say::Vanish => self.link_ended(link, lost("end of stream")),
        }
    }

    fn reach_server(&mut self, link: LinkId, message: FromClient) {
        if !self.network.lets_through(link, Way::ToServer) || !self.server_up {
            return;
        }
        match message {
            FromClient::Text(text) => self.server.message(self.now, link, &text),
            FromClient::Ping => self.server.ping(self.now, link),
            FromClient::Close => self.server.gone(link),
        }
    }

    /// The upgrade request has reached the server, or what is there of it.
    fn opened(&mut self, link: LinkId, token: Option<Token>) {
        if !self.network.client_listens(link) {
            return;
        }
        if !self.server_up {
            return match self.rng.bool() {
                true => self.link_ended(link, lost("connection refused")),
                false => self.trace.line(self.now, format_args!("{link:?} hangs")),
            };
        }
        match self.server.open(self.now, link, token.as_ref().map(Token::expose)) {
            Ok(()) => {
                self.trace.line(self.now, format_args!("{link:?} opened"));
                self.present_link = Some(link);
                self.client.machine.handle_opened(self.now, link);
            }
            Err(status) => {
                self.link_ended(link, LinkEnd::Rejected { status, message: "Invalid credentials".into() })
            }
        }
    }

    fn link_ended(&mut self, link: LinkId, end: LinkEnd) {
        self.trace.line(self.now, format_args!("{link:?} ended: {end:?}"));
        self.network.client_left(link);
        self.forget_present(link);
        self.client.machine.handle_closed(self.now, link, end);
    }

    fn forget_present(&mut self, link: LinkId) {
        if self.present_link == Some(link) {
            self.present_link = None;
        }
    }

    // ---- what the machine and the server want ----

    fn drain(&mut self) -> Check {
        loop {
            let mut idle = true;
            while let Some(action) = self.client.machine.poll_action() {
                idle = false;
                self.act(action);
            }
            while let Some(event) = self.client.machine.poll_event() {
                idle = false;
                self.trace.line(self.now, format_args!("  {}", Short(&event)));
                if self.client.dispatch(event, &self.server)? {
                    self.plan_in(Duration::from_secs(2), Happening::Connect);
                }
            }
            for (link, say) in self.server.take_out() {
                if let Some(at) = self.network.arrival(self.now, link, Way::ToClient, &mut self.rng) {
                    self.plan_in(at - self.now, Happening::ToClient(link, say));
                }
            }
            if idle {
                return Ok(());
            }
            if self.client.slots.iter().any(|s| s.open.is_none()) {
                let wait = Duration::from_millis(self.rng.u64(100..3_000));
                self.plan_in(wait, Happening::OpenAll);
            }
        }
    }

    fn act(&mut self, action: Action) {
        match &action {
            Action::Send { link, text } => self.trace.line(self.now, format_args!("  {link:?} > {text}")),
            other => self.trace.line(self.now, format_args!("  {other:?}")),
        }
        match action {
            Action::FetchCredentials { attempt, refresh } => self.fetch_credentials(attempt, refresh),
            Action::OpenLink { link, token, .. } => {
                let breaks_soon = self.trouble && self.rng.u8(..100) < 25;
                let frames_left = breaks_soon.then(|| self.rng.u32(1..40));
                self.network.add(link, frames_left);
                let delay = self.network.delay(self.now, &mut self.rng);
                self.plan_in(delay, Happening::Opened(link, token));
            }
            Action::Send { link, text } => {
                self.client.observe_sent(&text);
                self.post(link, FromClient::Text(text));
            }
            Action::Ping { link } => self.post(link, FromClient::Ping),
            Action::CloseLink { link, .. } => {
                self.post(link, FromClient::Close);
                self.network.client_left(link);
                self.forget_present(link);
            }
        }
    }

    fn post(&mut self, link: LinkId, message: FromClient) {
        if let Some(at) = self.network.arrival(self.now, link, Way::ToServer, &mut self.rng) {
            self.plan_in(at - self.now, Happening::ToServer(link, message));
        }
    }
}

fn lost(what: &str) -> LinkEnd {
    LinkEnd::Failed(Error::new(ErrorCode::Disconnected, what))
}
