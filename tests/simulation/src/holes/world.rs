//! One run: everything that happens, in the order of virtual time.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use fastrand::Rng;
use kalam_live::converge::{Rules, VerifyCounters};
use kalam_live::live::Phase;
use kalam_live::machine::{Action, Config, LinkEnd, LinkId, Token};
use kalam_live::protocol::{RawFrame, SqlRequest, decode_sql_response};
use kalam_live::{Error, ErrorCode};
use serde_json::Value as Json;

use super::answers::Endpoint;
use super::client::{Client, Question};
use super::plan::Plan;
use super::server::Nodes;
use crate::client::Check;
use crate::data::{Filter, GROUPS, Record, cells_of, queries_with_holes};
use crate::network::{Network, Way};
use crate::plan::pick;
use crate::server::{Say, Table};
use crate::trace::Trace;

/// After the last frame, where frames showed what happened.
const SHOWN_WITHIN: Duration = Duration::from_secs(1);
/// A check from its first question to its last, with repairs in between.
const CHECK_TAKES: Duration = Duration::from_secs(12);
/// Backoff of connections and of checks that failed.
const RECOVERS_WITHIN: Duration = Duration::from_secs(700);
/// Rule 9: where numbers are another node's, checks become rarer, up to so much.
const RARER: u32 = 17;

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
    plan: Plan,
    queue: BinaryHeap<Reverse<(Duration, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    planned: u64,
    rng: Rng,
    trace: Trace,
    network: Network,
    link: Option<(LinkId, i64)>,
    answers: Answers,
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
    let mut spent = VerifyCounters::default();
    world.client.lives.iter().for_each(|live| spent += live.spent);
    Ok(Outcome {
        hash: world.trace.hash(),
        lines: world.trace.lines(),
        connects: world.client.connects,
        frames: (world.nodes.sent, world.nodes.lost),
        spent,
    })
}

impl World {
    fn new(seed: u64, rules: Rules, print: bool) -> Self {
        let mut rng = Rng::with_seed(seed);
        let plan = Plan::draw(rules, queries_with_holes().len(), &mut rng);
        let mut trace = Trace::new(print);
        trace.line(Duration::ZERO, format_args!("seed {seed}: {plan:?}"));
        Self::with_plan(plan, trace, rng)
    }

    /// A world of this plan.
    pub(super) fn with_plan(plan: Plan, trace: Trace, mut rng: Rng) -> Self {
        let nodes = Nodes::new(plan.holes.clone(), queries_with_holes(), Rng::with_seed(rng.u64(..)));
        let urls = (0..plan.urls).map(|n| format!("ws://node{n}")).collect();
        Self {
            now: Duration::from_secs(1),
            nodes,
            client: Client::new(Config { urls, seed: rng.u64(..), ..Config::default() }),
            network: Network::new(plan.delay, plan.jitter),
            plan,
            queue: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            planned: 0,
            rng,
            trace,
            link: None,
            answers: Answers::Good,
            writing: false,
            trouble: false,
            last_frame: Duration::ZERO,
            horizons: Vec::new(),
            arrived: Vec::new(),
        }
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

    // ---- the parts of a run ----

    /// A calm beginning, with whatever a snapshot leaves out.
    pub(super) fn begin(&mut self) -> Check {
        for _ in 0..self.plan.rows {
            self.now += Duration::from_millis(1);
            self.write_one();
        }
        for (at, options) in self.plan.lives.clone() {
            self.client.live(self.now, at, &self.nodes.queries[at], options, self.plan.page);
            let mut rows = self.nodes.table.select(self.nodes.queries[at].filter);
            rows.sort_by_key(|row| -row.version);
            let n = options.last_rows.map_or(usize::MAX, |n| n as usize);
            self.horizons.push(rows.get(n - 1).map_or(0, |row| row.version));
        }
        if self.plan.events {
            self.client.events(self.now, &self.nodes.queries[0]);
        }
        self.client.machine.connect(self.now).map_err(|e| e.to_string())?;
        // A mismatch is repaired, then proven, which keeps its distance.
        self.run_for(Duration::from_secs(1) + 8 * (self.plan.delay + self.plan.jitter))?;
        self.check_rows("after the snapshot", |_, _| true)
    }

    fn trouble(&mut self) -> Check {
        self.trace.line(self.now, format_args!("trouble"));
        (self.writing, self.trouble) = (true, true);
        self.answers = Answers::SometimesBad;
        self.plan_in(Duration::from_millis(1), Happening::Write);
        self.plan_in(Duration::from_millis(1), Happening::Fault);
        self.run_for(self.plan.trouble)?;
        self.trace.line(self.now, format_args!("heal"));
        (self.writing, self.trouble) = (false, false);
        self.answers = Answers::Good;
        self.nodes.busy_until = self.now;
        self.close_chances();
        let failed = self.plan.bad_answers > 0 || self.plan.cuts || self.plan.alters;
        let deadline = self.now
            + if failed { RECOVERS_WITHIN } else { Duration::ZERO }
            + self.plan.verify * if self.plan.urls > 1 { RARER } else { 1 }
            + CHECK_TAKES;
        while self.check_rows("", |_, _| true).is_err() && self.now < deadline {
            self.run_for(Duration::from_secs(1))?;
        }
        self.check_rows("after trouble", |_, _| true)?;
        self.run_for(CHECK_TAKES)?;
        self.check_rows("a while after trouble", |_, _| true)
    }

    /// Single frames are not lost any more, as long as there is no burst.
    fn close_chances(&mut self) {
        self.nodes.holes.drops = 0;
        self.nodes.holes.queue = self.nodes.holes.queue.max(128);
    }

    /// Changes that a frame of a query or of its watch shows.
    fn shown_changes(&mut self) -> Check {
        self.trace.line(self.now, format_args!("changes that are shown"));
        let ids = [0; 3].map(|_| self.rng.i64(0..self.plan.keys));
        for _ in 0..self.rng.usize(1..12) {
            let id = pick(&mut self.rng, &ids);
            self.write_to(id);
            let wait = Duration::from_millis(self.rng.u64(0..90));
            self.run_for(wait)?;
        }
        // What is under way arrives first.
        self.run_for(Duration::from_millis(100))?;
        let answers = 8 * (self.plan.delay + self.plan.jitter);
        while self.now < self.last_frame + SHOWN_WITHIN + answers {
            self.run_for(self.last_frame + SHOWN_WITHIN + answers - self.now)?;
        }
        let shown = |world: &Self, at: usize| {
            let query = &world.nodes.queries[world.client.lives[at].query];
            query.filter == Filter::All || world.client.is_watched(at)
        };
        self.check_rows("a second after the last frame", shown)?;
        // The deadline of what is not watched.
        self.run_for(Duration::from_secs(11) + CHECK_TAKES)?;
        self.check_rows("after changes that were shown", |_, _| true)
    }

    /// Nothing changes, and every answer is made with another user's rights: to nobody's harm.
    fn another_users_answers(&mut self) -> Check {
        if self.plan.verify > Duration::from_secs(20) {
            return Ok(());
        }
        self.answers = Answers::AnotherUsers;
        self.run_for(self.plan.verify * 2)?;
        let result = self.check_content("while answers are another user's", |_, _| true);
        self.answers = Answers::Good;
        self.run_for(Duration::from_secs(150) + self.plan.verify)?;
        result?;
        self.check_rows("after answers were another user's", |_, _| true)
    }

    /// Changes that nothing shows: expiry, a table made anew, dropped frames.
    fn hidden_changes(&mut self) -> Check {
        self.trace.line(self.now, format_args!("changes that are hidden"));
        let burst = self.rng.u8(..100) < 30;
        if !self.is_calm() {
            self.nodes.holes.drops = 1_000;
            match self.rng.u8(..8) {
                0 => self.nodes.table.recreate(),
                1..5 => {
                    let ids = self.nodes.table.ids();
                    for id in ids {
                        if self.rng.u8(..100) < 20 {
                            self.nodes.table.vanish(id);
                        }
                    }
                }
                _ => {}
            }
        }
        for _ in 0..if burst { 200 } else { self.rng.usize(1..8) } {
            self.write_one();
        }
        self.nodes.holes.drops = 0;
        let rarer = if self.plan.urls > 1 { RARER } else { 1 };
        self.run_for(self.plan.verify * rarer + CHECK_TAKES)?;
        self.check_rows("a check after changes that nothing showed", |_, _| true)
    }

    fn is_calm(&self) -> bool {
        self.plan.holes == super::Holes::closed()
    }

    /// Nothing happens, and it costs next to nothing.
    fn idle(&mut self) -> Check {
        // Until what was wrong before is proven.
        self.run_for(Duration::from_secs(60))?;
        let spent = |world: &Self| world.client.lives.iter().map(|live| live.spent.queries).collect::<Vec<_>>();
        let before = spent(self);
        let checks = 8;
        self.run_for(self.plan.verify * checks)?;
        for (at, (before, after)) in before.into_iter().zip(spent(self)).enumerate() {
            let live = &self.client.lives[at];
            let unwatched = live.keeper.wants_watch().is_some() && !self.client.is_watched(at);
            let every = if unwatched { self.plan.verify.min(Duration::from_secs(10)) } else { self.plan.verify };
            let due = (self.plan.verify * checks).as_secs_f64() / every.as_secs_f64() * 1.12 + 1.0;
            // A node with its own numbers needs pages and a second digest for each.
            let each = if live.spent.foreign_numbering > 0 { 6.0 } else { 1.0 };
            if (after - before) as f64 > due * each {
                return Err(format!("{} queries in the time of {checks} checks, idle", after - before));
            }
        }
        if self.is_calm() && self.client.lives.iter().any(|l| l.spent.mismatches > 0) {
            return Err("a mismatch at a server that left nothing out".into());
        }
        self.check_rows("after an idle time", |_, _| true)
    }

    fn drop_table(&mut self) -> Check {
        self.nodes.dropped = true;
        let rarer = if self.plan.urls > 1 { RARER } else { 1 };
        self.run_for(self.plan.verify * rarer + CHECK_TAKES)?;
        let told = |error: &Option<Error>| error.as_ref().is_some_and(|e| e.code() == ErrorCode::NotFound);
        match self.client.lives.iter().all(|live| told(&live.error)) {
            true => Ok(()),
            false => Err("a live query on a table that is gone goes on".into()),
        }
    }

    // ---- checks ----

    fn expected(&self, at: usize) -> Vec<Vec<Option<String>>> {
        let live = &self.client.lives[at];
        let query = &self.nodes.queries[live.query];
        let rows = self.nodes.table.select(query.filter).into_iter().filter(|row| row.version >= self.horizons[at]);
        let mut rows: Vec<_> = rows.map(|row| row.record.cells(&query.columns)).collect();
        if self.nodes.altered && query.star {
            rows.iter_mut().for_each(|row| row.push(None));
        }
        rows.sort();
        rows
    }

    /// The rows of those live queries are right, and said to be.
    pub(super) fn check_rows(&self, when: &str, which: impl Fn(&Self, usize) -> bool) -> Check {
        self.check_content(when, &which)?;
        for (at, live) in self.client.lives.iter().enumerate().filter(|(at, _)| which(self, *at)) {
            if live.taken.phase != Some(Phase::Live) && live.keeper.view().phase() != Phase::Live {
                let phase = live.keeper.view().phase();
                // Right and not yet proven is no fault where numbers are another node's, or a check is under way.
                if !matches!(phase, Phase::Unverified) {
                    return Err(format!("{when}: query {at} is {phase:?}"));
                }
            }
        }
        Ok(())
    }

    fn check_content(&self, when: &str, which: impl Fn(&Self, usize) -> bool) -> Check {
        for (at, live) in self.client.lives.iter().enumerate().filter(|(at, _)| which(self, *at)) {
            let mut held: Vec<_> = live.taken.rows.iter().map(cells_of).collect();
            held.sort();
            let expected = self.expected(at);
            if held != expected {
                let missing: Vec<_> = expected.iter().filter(|row| !held.contains(row)).collect();
                let others: Vec<_> = held.iter().filter(|row| !expected.contains(row)).collect();
                let query = &self.nodes.queries[live.query].sql;
                return Err(format!("{when}: {query}: missing {missing:?}, too many {others:?}"));
            }
        }
        Ok(())
    }

    fn check_step(&mut self) -> Check {
        if self.client.handed_out != self.arrived {
            return Err(format!("events {:?} instead of {:?}", self.client.handed_out, self.arrived));
        }
        self.client.handed_out.clear();
        self.arrived.clear();
        for live in &self.client.lives {
            // Those of an earlier connection may still be on their way.
            let recent = live.asked.values().filter(|sent| **sent + Duration::from_secs(1) > self.now).count();
            if recent > 12 {
                return Err(format!("{recent} questions of one live query within a second"));
            }
        }
        Ok(())
    }

    // ---- time ----

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
            let Some(next) = [planned, tick, timeout].into_iter().flatten().min().filter(|at| *at <= until) else {
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
                } else if let Some(at) = self.network.arrival(self.now + lag, link, Way::ToClient, &mut self.rng) {
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

    fn act(&mut self, action: Action) {
        match action {
            Action::FetchCredentials { attempt, .. } => {
                self.client.machine.handle_credentials(self.now, attempt, Ok(Some(Token::new("T"))));
            }
            Action::OpenLink { link, url, .. } => {
                self.network.add(link, None);
                let node = i64::from(url.ends_with('1'));
                self.plan_in(self.plan.delay * 2, Happening::Opened(link, node));
            }
            Action::Send { link, text } => {
                self.trace.line(self.now, format_args!("{link:?} > {text}"));
                if let Some(at) = self.network.arrival(self.now, link, Way::ToServer, &mut self.rng) {
                    self.plan_in(at - self.now, Happening::ToServer(link, Some(text)));
                }
            }
            Action::Ping { link } => {
                if let Some(at) = self.network.arrival(self.now, link, Way::ToServer, &mut self.rng) {
                    self.plan_in(at - self.now, Happening::ToServer(link, None));
                }
            }
            Action::CloseLink { link, .. } => {
                self.network.client_left(link);
                self.plan_in(self.plan.delay, Happening::ServerNotices(link));
            }
        }
    }

    fn happen(&mut self, happening: Happening) -> Check {
        match happening {
            Happening::ToClient(link, say) if self.network.lets_through(link, Way::ToClient) => {
                self.reach_client(link, say);
            }
            Happening::ToServer(link, message) if self.network.lets_through(link, Way::ToServer) => match message {
                Some(text) => self.nodes.message(self.now, link, &text),
                None => self.nodes.ping(self.now, link),
            },
            Happening::ToClient(..) | Happening::ToServer(..) => {}
            Happening::Opened(link, node) if self.network.client_listens(link) => {
                self.trace.line(self.now, format_args!("{link:?} opened at node {node}"));
                self.nodes.open(self.now, link, node);
                self.link = Some((link, node));
                self.client.machine.handle_opened(self.now, link);
            }
            Happening::Opened(..) => {}
            Happening::Ended(link) => {
                self.network.client_left(link);
                let error = Error::new(ErrorCode::Disconnected, "connection reset");
                self.client.machine.handle_closed(self.now, link, LinkEnd::Failed(error));
            }
            Happening::ServerNotices(link) => self.nodes.gone(link),
            Happening::Asked(question) => self.asked(question),
            Happening::Answer(question, status, body) => {
                self.trace.line(self.now, format_args!("answer {} {status} {body}", question.live));
                let request = SqlRequest { sql: &question.sql, params: &[], namespace: None };
                let result = decode_sql_response(status, body.as_bytes(), &request);
                if let Err(error) = &result {
                    self.trace.line(self.now, format_args!("  {error}"));
                }
                self.client.answered(self.now, &question, body.len() as u64, result);
            }
            Happening::Write if self.writing => {
                match self.rng.u8(..100) {
                    0..3 => (0..self.rng.usize(5..60)).for_each(|_| self.write_one()),
                    3..6 if !self.is_calm() => {
                        let id = self.rng.i64(0..self.plan.keys);
                        self.nodes.table.vanish(id);
                    }
                    _ => self.write_one(),
                }
                let wait = Duration::from_nanos(self.rng.u64(..=2 * self.plan.write_every.as_nanos() as u64));
                self.plan_in(wait, Happening::Write);
            }
            Happening::Fault if self.trouble => {
                self.fault();
                let wait = Duration::from_millis(self.rng.u64(200..6_000));
                self.plan_in(wait, Happening::Fault);
            }
            Happening::Write | Happening::Fault => {}
        }
        Ok(())
    }

    fn reach_client(&mut self, link: LinkId, say: Say) {
        if !self.network.client_listens(link) {
            return;
        }
        match say {
            Say::Frame(text) => {
                self.trace.line(self.now, format_args!("{link:?} < {text}"));
                self.last_frame = self.now;
                if self.plan.events {
                    self.note_arrived(&text);
                }
                self.client.machine.handle_frame(self.now, link, RawFrame::Text(&text));
            }
            Say::Pong => self.client.machine.handle_pong(link),
            Say::Close(code, reason) => {
                self.network.client_left(link);
                let end = LinkEnd::Closed { code: Some(code), reason: reason.into() };
                self.client.machine.handle_closed(self.now, link, end);
            }
            Say::Vanish => {}
        }
    }

    fn note_arrived(&mut self, text: &str) {
        let Ok(frame) = serde_json::from_str::<Json>(text) else { return };
        let ours = frame["subscription_id"].as_str().is_some_and(|id| id.starts_with("events"));
        if ours && frame["type"] == "change" {
            let field = if frame["change_type"] == "delete" { "old_values" } else { "rows" };
            let rows = frame[field].as_array().map(Vec::as_slice).unwrap_or_default();
            self.arrived.extend(rows.iter().filter_map(|row| row["_seq"].as_str()?.parse::<i64>().ok()));
        }
    }

    // ---- the server's side of HTTP ----

    fn http_delay(&mut self) -> Duration {
        let extra = match self.answers {
            Answers::SometimesBad if self.rng.u32(..1_000) < self.plan.bad_answers => self.rng.u64(..3_000_000),
            _ => self.rng.u64(..=2 * self.plan.delay.as_micros() as u64),
        };
        self.plan.delay + Duration::from_micros(extra)
    }

    fn asked(&mut self, question: Question) {
        let bad = match self.answers {
            Answers::Good => None,
            Answers::SometimesBad => {
                (self.rng.u32(..1_000) < self.plan.bad_answers).then(|| self.rng.u8(..4))
            }
            Answers::AnotherUsers => Some(0),
        };
        let endpoint = |user, table| Endpoint {
            table,
            queries: &self.nodes.queries,
            user,
            altered: self.nodes.altered,
            dropped: self.nodes.dropped,
            caps: self.nodes.holes.http_caps,
        };
        let (status, body) = match bad {
            None => endpoint("u", &self.nodes.table).answer(&question.sql),
            Some(0) => endpoint("mallory", &Table::default()).answer(&question.sql),
            Some(1) => (503, r#"{"status":"error","results":[],"error":{"code":"FORWARD_FAILED","message":"no leader"}}"#.into()),
            Some(2) => (200, r#"{"status":"success","results":[{"schema":[{"name":"a","data_type":"Int","index":0}],"rows":[[1]],"row_count":1,"as_user":"u"}]}"#.into()),
            Some(_) => (200, "<html>".into()),
        };
        let wait = self.http_delay();
        self.plan_in(wait, Happening::Answer(question, status, body));
    }

    // ---- what others do ----

    fn fault(&mut self) {
        match self.rng.u8(..4) {
            0 if self.plan.alters && !self.nodes.altered => {
                self.trace.line(self.now, format_args!("alter"));
                self.nodes.altered = true;
            }
            1 if !self.is_calm() => {
                self.nodes.busy_until = self.now + Duration::from_millis(self.rng.u64(..400));
            }
            _ if self.plan.cuts => {
                let Some((link, _)) = self.link.take() else { return };
                self.trace.line(self.now, format_args!("{link:?} cut"));
                self.network.make_holes(link, true, true);
                if self.rng.bool() {
                    let soon = Duration::from_micros(self.rng.u64(..50_000));
                    self.plan_in(soon, Happening::Ended(link));
                }
                let later = Duration::from_millis(self.rng.u64(..3_000));
                self.plan_in(later, Happening::ServerNotices(link));
            }
            _ => {}
        }
    }

    pub(super) fn write_one(&mut self) {
        let id = self.rng.i64(0..self.plan.keys);
        self.write_to(id);
    }

    fn write_to(&mut self, id: i64) {
        let write = match self.nodes.table.get(id).cloned() {
            Some(_) if self.rng.u8(..100) < 20 => self.nodes.table.delete(self.now, id),
            held => {
                let mut record = held.unwrap_or(Record { id, grp: pick(&mut self.rng, &GROUPS), v: None, n: None });
                self.change(&mut record);
                Some(self.nodes.table.put(self.now, record))
            }
        };
        if let Some(write) = write {
            self.trace.line(self.now, format_args!("write {write:?}"));
            self.nodes.publish(self.now, &write);
        }
    }

    fn change(&mut self, record: &mut Record) {
        match self.rng.u8(..6) {
            0 => record.grp = pick(&mut self.rng, &GROUPS),
            1 => record.v = None,
            2 => record.n = None,
            3 => record.n = Some(self.rng.i64(0..100)),
            _ => {
                record.v = Some(format!("v{}", self.rng.u32(..9)));
                record.n = Some(self.rng.i64(0..100));
            }
        }
    }
}
