//! Consumers of a group against a model server: members that come, crash and go, requests and answers that are lost,
//! repeated and late, claims that run out, a server that restarts.
//!
//! Each run asserts that
//!
//! - a commit never covers a record that nobody has handled;
//! - in the end, once the faults are over, every record was handled and is committed;
//! - a member asks at most twice a second on average when there is nothing.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use kalam_live::consumer::{Action, AutoOffsetReset, Consumer, ConsumerConfig, Sabotage};
use kalam_live::protocol::{Consumed, ConsumerRecord, RecordOp, TopicStart};
use kalam_live::{Error, ErrorCode, Result};

type Time = Duration;

/// Every rule that can be broken.
pub const RULES: [Sabotage; 4] =
    [Sabotage::PassGaps, Sabotage::OwnStart, Sabotage::TrustLostAcks, Sabotage::FinishEarly];

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    pub hash: u64,
    pub records: u64,
    /// Handled more than once.
    pub repeated: u64,
    pub requests: u64,
    pub lost: u64,
    pub crashes: u64,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    /// A request reaches the server; its answer is lost, or comes after so long.
    Arrive {
        member: usize,
        incarnation: u32,
        action: Action,
        answer: Option<Time>,
    },
    /// An answer, or the end of the patience for one.
    Answer {
        member: usize,
        incarnation: u32,
        id: usize,
    },
    /// An answer with records is read.
    Read {
        member: usize,
        incarnation: u32,
    },
    Handle {
        member: usize,
        incarnation: u32,
        offset: u64,
        last: bool,
    },
    Tick {
        member: usize,
        incarnation: u32,
    },
    Append,
    Crash,
    Restart,
}

/// A group's claims and commits, as a server has them.
struct Server {
    end: u64,
    committed: Option<u64>,
    /// Where it goes on with what was never delivered; forgotten at a restart.
    cursor: Option<u64>,
    claims: BTreeMap<u64, Time>,
    visibility: Time,
    /// Where the group began is kept, and requests wait.
    embedded: bool,
    kept: Option<u64>,
}

impl Server {
    fn base(&self, start: TopicStart) -> u64 {
        match (self.committed, self.kept, start) {
            (Some(committed), ..) => committed + 1,
            (None, Some(kept), _) => kept,
            (None, None, TopicStart::Earliest) => 0,
            (None, None, TopicStart::Latest) => self.end,
            (None, None, TopicStart::Offset(offset)) => offset.min(self.end),
        }
    }

    fn consume(&mut self, now: Time, start: TopicStart, limit: u32) -> Consumed {
        let base = self.base(start);
        if self.embedded {
            self.kept.get_or_insert(base);
        }
        let mut offsets: Vec<u64> = Vec::new();
        if limit > 0 {
            let expired = self.claims.iter().filter(|(_, until)| **until <= now).map(|(offset, _)| *offset);
            offsets.extend(expired.take(limit as usize));
            let cursor = self.cursor.unwrap_or(base).max(base);
            let left = (limit as usize - offsets.len()) as u64;
            let new = cursor..self.end.min(cursor + left);
            self.cursor = Some(new.end.max(cursor));
            offsets.extend(new);
            self.claims.extend(offsets.iter().map(|offset| (*offset, now + self.visibility)));
        }
        let next_offset = offsets.last().map_or(base, |last| last + 1);
        let has_more = offsets.len() >= limit as usize;
        Consumed { records: offsets.into_iter().map(record).collect(), next_offset, has_more }
    }

    fn ack(&mut self, upto: u64) {
        if self.committed.is_none_or(|committed| committed < upto) {
            self.committed = Some(upto);
            self.claims = self.claims.split_off(&(upto + 1));
        }
    }
}

fn record(offset: u64) -> ConsumerRecord {
    ConsumerRecord::new("app.t".into(), 0, offset, RecordOp::Insert)
}

struct Member {
    consumer: Consumer,
    incarnation: u32,
    /// Records that it is handling.
    busy: bool,
    answers: Vec<Option<(Action, Result<Consumed>)>>,
    /// Records that have arrived; the first are being read.
    arrived: VecDeque<Result<Consumed>>,
    /// The longest that it handles a record, in milliseconds.
    slowness: u64,
}

struct World {
    random: fastrand::Rng,
    now: Time,
    events: BinaryHeap<Reverse<(Time, u64, usize)>>,
    kept: Vec<Option<Event>>,
    sequence: u64,
    server: Server,
    members: Vec<Member>,
    handled: BTreeSet<u64>,
    /// Until when things go wrong.
    peace: Time,
    sabotage: Option<Sabotage>,
    to_append: u64,
    out: Outcome,
    trace: DefaultHasher,
}

/// Runs a seed. `Err` says what was wrong, and when.
///
/// # Errors
/// A broken promise.
pub fn run(seed: u64, sabotage: Option<Sabotage>) -> std::result::Result<Outcome, String> {
    let mut random = fastrand::Rng::with_seed(seed);
    let members = random.usize(1..=3);
    let embedded = random.bool();
    let records = random.u64(1..=120);
    let before = random.u64(0..=records / 3);
    let mut world = World {
        server: Server {
            end: before,
            committed: None,
            cursor: None,
            claims: BTreeMap::new(),
            visibility: Duration::from_secs(random.u64(5..=30)),
            embedded,
            kept: None,
        },
        now: Duration::from_secs(1),
        events: BinaryHeap::new(),
        kept: Vec::new(),
        sequence: 0,
        members: Vec::new(),
        handled: BTreeSet::new(),
        peace: Duration::from_secs(random.u64(0..=240)),
        sabotage,
        to_append: records - before,
        out: Outcome { records, ..Outcome::default() },
        trace: DefaultHasher::new(),
        random,
    };
    for member in 0..members {
        let fresh = world.fresh(0);
        world.members.push(fresh);
        let pause = Duration::from_millis(world.random.u64(0..3000));
        world.at(pause, Event::Tick { member, incarnation: 0 });
    }
    world.at(Duration::from_millis(500), Event::Append);
    world.at(Duration::from_secs(3), Event::Crash);
    world.at(Duration::from_secs(20), Event::Restart);
    let result = world.play();
    world.out.hash = world.trace.finish();
    result.map(|()| world.out).map_err(|what| format!("at {:?}: {what}", world.now))
}

impl World {
    fn fresh(&mut self, incarnation: u32) -> Member {
        let mut consumer = Consumer::new(ConsumerConfig {
            reset: AutoOffsetReset::Earliest,
            auto_commit: self.random.bool(),
            auto_commit_interval: Duration::from_millis(self.random.u64(100..5000)),
            max_poll_records: self.random.usize(1..=12),
            seed: self.random.u64(..),
            ..ConsumerConfig::new("app.t", "g")
        });
        if let Some(rule) = self.sabotage {
            consumer.sabotage(rule);
        }
        let slowness = [3, 200][self.random.usize(0..2)];
        Member { consumer, incarnation, busy: false, answers: Vec::new(), arrived: VecDeque::new(), slowness }
    }

    fn at(&mut self, after: Time, event: Event) {
        self.sequence += 1;
        self.kept.push(Some(event));
        self.events.push(Reverse((self.now + after, self.sequence, self.kept.len() - 1)));
    }

    fn goes_wrong(&mut self, percent: u64) -> bool {
        self.now < self.peace && self.random.u64(0..100) < percent
    }

    fn is_done(&self) -> bool {
        self.to_append == 0 && self.server.committed == self.server.end.checked_sub(1)
    }

    fn play(&mut self) -> std::result::Result<(), String> {
        let limit = self.peace + Duration::from_secs(3600);
        while !self.is_done() {
            let Some(Reverse((at, _, kept))) = self.events.pop() else {
                return Err("nothing happens any more".into());
            };
            if at > limit {
                return Err(format!(
                    "{} of {} handled, committed {:?}",
                    self.handled.len(),
                    self.server.end,
                    self.server.committed
                ));
            }
            self.now = self.now.max(at);
            let Some(event) = self.kept[kept].take() else { continue };
            format!("{:?} {event:?}", self.now).hash(&mut self.trace);
            self.happen(event)?;
        }
        if let Some(missing) = (0..self.server.end).find(|offset| !self.handled.contains(offset)) {
            return Err(format!("record {missing} was skipped"));
        }
        self.idle()
    }

    /// What they ask when there is nothing.
    fn idle(&mut self) -> std::result::Result<(), String> {
        let (from, before) = (self.now, self.out.requests);
        let end = from + Duration::from_secs(60);
        while let Some(Reverse((at, _, kept))) = self.events.pop() {
            if at > end {
                break;
            }
            self.now = self.now.max(at);
            if let Some(event) = self.kept[kept].take() {
                self.happen(event)?;
            }
        }
        let requests = self.out.requests - before;
        let most = 2 * 60 * self.members.len() as u64;
        if requests > most { Err(format!("{requests} requests in an idle minute")) } else { Ok(()) }
    }

    fn happen(&mut self, event: Event) -> std::result::Result<(), String> {
        match event {
            Event::Append => {
                let count = self.random.u64(1..=10).min(self.to_append);
                self.server.end += count;
                self.to_append -= count;
                if self.to_append > 0 {
                    let pause = Duration::from_millis(self.random.u64(0..8000));
                    self.at(pause, Event::Append);
                }
            }
            Event::Crash => {
                if self.goes_wrong(60) {
                    let member = self.random.usize(0..self.members.len());
                    let incarnation = self.members[member].incarnation + 1;
                    self.members[member] = self.fresh(incarnation);
                    self.out.crashes += 1;
                    let pause = Duration::from_millis(self.random.u64(0..5000));
                    self.at(pause, Event::Tick { member, incarnation });
                }
                if self.now < self.peace {
                    let pause = Duration::from_secs(self.random.u64(1..40));
                    self.at(pause, Event::Crash);
                }
            }
            Event::Restart => {
                if self.goes_wrong(50) {
                    self.server.claims.clear();
                    self.server.cursor = None;
                }
                if self.now < self.peace {
                    let pause = Duration::from_secs(self.random.u64(20..120));
                    self.at(pause, Event::Restart);
                }
            }
            Event::Arrive { member, incarnation, action, answer } => {
                let result = self.serve(action)?;
                if let Some(after) = answer {
                    self.answer(member, incarnation, action, Ok(result), after);
                }
            }
            Event::Answer { member, incarnation, id } => {
                let now = self.now;
                let own = &mut self.members[member];
                if own.incarnation != incarnation {
                    return Ok(());
                }
                // The first of an answer and the end of the patience.
                let Some((action, result)) = own.answers[id].take() else { return Ok(()) };
                match action {
                    Action::Fetch { .. } => {
                        own.arrived.push_back(result);
                        if own.arrived.len() == 1 {
                            self.read(member);
                        }
                    }
                    Action::Look { .. } => {
                        if own.consumer.handle_looked(now, result) {
                            return Err(format!("member {member} takes the group for moved"));
                        }
                    }
                    Action::Ack { .. } => own.consumer.handle_acked(now, result.map(drop)),
                }
                self.pump(member);
            }
            Event::Read { member, incarnation } => {
                let now = self.now;
                let own = &mut self.members[member];
                if own.incarnation != incarnation {
                    return Ok(());
                }
                if let Some(result) = own.arrived.pop_front() {
                    own.consumer.handle_fetched(now, result);
                }
                if !own.arrived.is_empty() {
                    self.read(member);
                }
                self.pump(member);
            }
            Event::Handle { member, incarnation, offset, last } => {
                if self.members[member].incarnation != incarnation {
                    return Ok(());
                }
                // A handler that fails leaves the record to be delivered again.
                if !self.goes_wrong(10) {
                    self.out.repeated += u64::from(!self.handled.insert(offset));
                    self.members[member].consumer.mark(offset);
                }
                if last {
                    self.members[member].busy = false;
                    if !self.members[member].consumer.config().auto_commit || self.random.u8(0..4) == 0 {
                        self.members[member].consumer.commit();
                    }
                }
                self.pump(member);
            }
            Event::Tick { member, incarnation } => {
                if self.members[member].incarnation == incarnation {
                    self.pump(member);
                }
            }
        }
        Ok(())
    }

    fn serve(&mut self, action: Action) -> std::result::Result<Consumed, String> {
        match action {
            Action::Fetch { start, limit, .. } => Ok(self.server.consume(self.now, start, limit)),
            Action::Look { start } => Ok(self.server.consume(self.now, start, 0)),
            Action::Ack { upto } => {
                if let Some(passed) = (0..=upto).find(|offset| !self.handled.contains(offset)) {
                    return Err(format!(
                        "a commit up to {upto} passes record {passed}, which nobody has handled"
                    ));
                }
                self.server.ack(upto);
                Ok(Consumed::default())
            }
        }
    }

    fn answer(
        &mut self,
        member: usize,
        incarnation: u32,
        action: Action,
        result: Result<Consumed>,
        after: Time,
    ) {
        let own = &mut self.members[member];
        if own.incarnation != incarnation {
            return;
        }
        own.answers.push(Some((action, result)));
        let id = own.answers.len() - 1;
        self.at(after, Event::Answer { member, incarnation, id });
    }

    /// Begins to read the first records that have arrived.
    fn read(&mut self, member: usize) {
        let own = &mut self.members[member];
        own.consumer.handle_arrived();
        let incarnation = own.incarnation;
        let after = Duration::from_millis(self.random.u64(0..30));
        self.at(after, Event::Read { member, incarnation });
    }

    /// Does what a member wants to have done, and lets it read.
    fn pump(&mut self, member: usize) {
        let now = self.now;
        loop {
            let own = &mut self.members[member];
            if !own.busy {
                // Refused while the one before lasts.
                let _ = own.consumer.poll(now, now + Duration::from_secs(10));
                if own.consumer.is_ready(now) {
                    let most = own.consumer.config().max_poll_records;
                    let records = own.consumer.take(now, most).unwrap_or_default();
                    if !records.is_empty() {
                        own.busy = true;
                        let (incarnation, slowness) = (own.incarnation, own.slowness);
                        let mut after = Time::ZERO;
                        for (at, record) in records.iter().enumerate() {
                            // Now and then one takes longer than the server waits.
                            let slow = self.goes_wrong(2);
                            after += Duration::from_millis(
                                self.random.u64(0..if slow { 60_000 } else { slowness }),
                            );
                            let last = at + 1 == records.len();
                            self.at(
                                after,
                                Event::Handle { member, incarnation, offset: record.offset, last },
                            );
                        }
                    }
                    continue;
                }
            }
            let Some(action) = self.members[member].consumer.poll_action(now) else { break };
            self.send(member, action);
        }
        let own = &mut self.members[member];
        while own.consumer.poll_committed().is_some() {}
        let incarnation = own.incarnation;
        if let Some(at) = own.consumer.next_timeout(now) {
            self.at(
                at.saturating_sub(now).max(Duration::from_millis(1)),
                Event::Tick { member, incarnation },
            );
        }
    }

    fn send(&mut self, member: usize, action: Action) {
        self.out.requests += 1;
        let incarnation = self.members[member].incarnation;
        let there = Duration::from_millis(self.random.u64(0..50));
        let mut back = Duration::from_millis(self.random.u64(0..50));
        if self.goes_wrong(5) {
            back += Duration::from_millis(self.random.u64(0..20_000));
        }
        if let Action::Fetch { wait, .. } = action
            && self.server.embedded
            && self.server.cursor.is_some_and(|cursor| cursor >= self.server.end)
        {
            // As a server that waits: for what comes, or in vain.
            back += wait.min(Duration::from_millis(self.random.u64(0..4000)));
        }
        let lost_on_the_way = self.goes_wrong(8);
        let lost_on_the_way_back = self.goes_wrong(8);
        let twice = self.goes_wrong(3);
        if !lost_on_the_way {
            let answer = (!lost_on_the_way_back).then_some(back);
            self.at(there, Event::Arrive { member, incarnation, action, answer });
        }
        if twice {
            self.at(there * 2, Event::Arrive { member, incarnation, action, answer: None });
        }
        if lost_on_the_way || lost_on_the_way_back {
            self.out.lost += 1;
            let error = Error::new(ErrorCode::Disconnected, "lost");
            self.answer(member, incarnation, action, Err(error), there + Duration::from_secs(1));
        }
    }
}
