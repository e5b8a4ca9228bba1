//! One run: everything that happens, in the order of virtual time.

mod checks;
mod happenings;
mod others;
mod parts;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::time::Duration;

use fastrand::Rng;
use kalam_live::converge::{Rules, VerifyCounters};
use kalam_live::machine::{Config, LinkId};

use super::client::{Client, Question};
use super::plan::Plan;
use super::server::Nodes;
use crate::client::Check;
use crate::data::queries_with_holes;
use crate::keys::KeyKind;
use crate::network::{Network, Way};
use crate::server::Say;
use crate::trace::Trace;

/// What a run came to.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Equal for equal runs.
    pub hash: u64,
    /// Lines of its trace.
    pub lines: u64,
    /// Connections.
    pub connects: u64,
    /// Change frames that were sent, and that were dropped.
    pub frames: (u64, u64),
    /// What checks cost.
    pub spent: VerifyCounters,
}

#[derive(Debug)]
enum Happening {
    ToClient(LinkId, Say),
    ToServer(LinkId, Option<String>),
    Opened(LinkId, i64),
    Ended(LinkId),
    ServerNotices(LinkId),
    Asked(Question),
    Answer(Question, u16, String),
    Write,
    Fault,
}

/// What answers of HTTP are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Answers {
    Good,
    SometimesBad,
    AnotherUsers,
}

/// The whole simulated world.
pub struct World {
    pub(super) now: Duration,
    pub(super) nodes: Nodes,
    pub(super) client: Client,
    pub(super) plan: Plan,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    /// What is planned, by its number.
    happenings: HashMap<u64, Happening>,
    planned: u64,
    rng: Rng,
    trace: Trace,
    network: Network,
    link: Option<(LinkId, i64)>,
    answers: Answers,
    /// No node answers HTTP until then.
    no_leader_until: Duration,
    /// Answers take so much longer.
    pub(super) answers_wait: Duration,
    leader_was_lost: bool,
    writing: bool,
    trouble: bool,
    /// The latest frame reached the client then.
    pub(super) last_frame: Duration,
    /// Versions that belong to queries with `last_rows`.
    horizons: Vec<i64>,
    /// Frames of changes that arrived for `live_events`, not yet compared.
    arrived: Vec<i64>,
}

/// Runs a seed.
///
/// # Errors
/// What went wrong, and when.
pub fn run(seed: u64, rules: Rules, print: bool) -> Result<Outcome, String> {
    let mut world = World::new(seed, rules, print);
    let result = world.live();
    result.map_err(|e| format!("at {:.3} s: {e}", world.now.as_secs_f64()))?;
    Ok(Outcome {
        hash: world.trace.hash(),
        lines: world.trace.lines(),
        connects: world.client.connects,
        frames: (world.nodes.changes.frames, world.nodes.lost),
        spent: world.spent(),
    })
}

impl World {
    fn new(seed: u64, rules: Rules, print: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::draw(rules, queries_with_holes(KeyKind::Int).len(), &mut rng);
        let mut trace = Trace::new(print);
        trace.line(Duration::ZERO, format_args!("seed {seed}: {plan:?}"));
        Self::with_plan(plan, trace, rng)
    }

    /// A world of this plan.
    pub(super) fn with_plan(plan: Plan, trace: Trace, mut rng: Rng) -> Self {
        let nodes = Nodes::new(plan.holes.clone(), queries_with_holes(plan.key), Rng::with_seed(rng.u64(..)));
        let urls = (0..plan.urls).map(|n| format!("ws://node{n}")).collect();
        Self {
            now: Duration::from_secs(1),
            nodes,
            client: Client::new(Config { urls, seed: rng.u64(..), ..Config::default() }, plan.rules),
            network: Network::new(plan.delay, plan.jitter),
            plan,
            queue: BinaryHeap::new(),
            happenings: HashMap::new(),
            planned: 0,
            rng,
            trace,
            link: None,
            answers: Answers::Good,
            no_leader_until: Duration::ZERO,
            answers_wait: Duration::ZERO,
            leader_was_lost: false,
            writing: false,
            trouble: false,
            last_frame: Duration::ZERO,
            horizons: Vec::new(),
            arrived: Vec::new(),
        }
    }

    /// What checks have cost so far.
    pub(super) fn spent(&self) -> VerifyCounters {
        let mut spent = VerifyCounters::default();
        self.client.lives.iter().for_each(|live| spent += live.spent);
        spent
    }

    /// Frames take so much longer from now on.
    pub(super) fn network_is_slow_by(&mut self, time: Duration) {
        self.network.slow_down(time);
    }

    fn live(&mut self) -> Check {
        self.begin()?;
        self.trouble()?;
        for _ in 0..3 {
            self.shown_changes()?;
        }
        self.another_users_answers()?;
        self.hidden_changes()?;
        self.idle()?;
        if self.plan.drops_table {
            self.drop_table()?;
        }
        self.client.close(self.now)?;
        self.run_for(Duration::from_secs(20))?;
        match self.nodes.held() {
            0 => Ok(()),
            n => Err(format!("the server still holds {n} subscriptions")),
        }
    }

    fn plan_in(&mut self, wait: Duration, happening: Happening) {
        self.planned += 1;
        self.queue.push(Reverse((self.now + wait, self.planned)));
        self.happenings.insert(self.planned, happening);
    }

    pub(super) fn run_for(&mut self, time: Duration) -> Check {
        let until = self.now + time;
        self.drain()?;
        loop {
            let planned = self.queue.peek().map(|Reverse((at, _))| *at);
            let (tick, timeout) = (self.nodes.next_tick(), self.client.next_timeout());
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
                self.nodes.tick(self.now);
            }
            self.drain()?;
            self.check_step()?;
        }
    }

    fn drain(&mut self) -> Check {
        let mut turns = 0;
        loop {
            let mut idle = !self.client.drive(self.now)?;
            while let Some(action) = self.client.machine.poll_action() {
                idle = false;
                self.act(action);
            }
            for question in self.client.take_questions() {
                idle = false;
                self.trace.line(self.now, format_args!("ask {} {}", question.live, question.sql));
                let wait = self.http_delay();
                self.plan_in(wait, Happening::Asked(question));
            }
            for (link, say, lag) in self.nodes.take_out() {
                idle = false;
                let late = lag >= Duration::from_millis(50);
                if late {
                    self.plan_in(lag + self.plan.delay, Happening::ToClient(link, say));
                } else if let Some(at) =
                    self.network.arrival(self.now + lag, link, Way::ToClient, &mut self.rng)
                {
                    self.plan_in(at - self.now, Happening::ToClient(link, say));
                }
            }
            turns += 1;
            if idle {
                return Ok(());
            }
            if turns > 10_000 {
                return Err("the client does not come to rest".into());
            }
        }
    }
}
