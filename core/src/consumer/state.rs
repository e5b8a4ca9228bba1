//! One member of a group.

use std::collections::VecDeque;
use std::sync::Arc;

use super::config::{AutoOffsetReset, ConsumerConfig};
use super::offsets::Offsets;
use super::record::ConsumerRecord;
use crate::error::{Error, ErrorCode, Result};
use crate::machine::{Random, Time};
use crate::protocol::{Consumed, TopicMessage, TopicStart};

/// Records that are asked for ahead of the reader should be handled within this time, at the reader's pace.
const AHEAD: Time = Time::from_millis(250);
/// The most records of one request.
const MOST_RECORDS: usize = 1_000;
/// Pauses between requests to a server that has no records and does not wait: with them an idle consumer makes less than
/// two requests a second.
const PAUSES: [Time; 4] =
    [Time::from_millis(50), Time::from_millis(150), Time::from_millis(400), Time::from_millis(700)];
/// How long until what is held back is looked after again: shortest, after progress, and longest. Two healthy members take
/// turns in committing what they finished alternately.
const LOOK: (Time, Time) = (Time::from_millis(20), Time::from_secs(5));
/// The same while closing: there are only seconds for as many turns as the members took in finishing.
const LOOK_CLOSING: Time = Time::from_millis(10);

/// What the driver is to do. Each is answered by the `handle_` function of the same name, once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ask for records. Answered by [`Consumer::handle_fetched`], which [`Consumer::handle_arrived`] may precede.
    Fetch {
        /// For a group that has committed nothing.
        start: TopicStart,
        /// The most records.
        limit: u32,
        /// How long the server may wait for records.
        wait: Time,
    },
    /// Ask where the group is, with a limit of 0. Answered by [`Consumer::handle_looked`].
    Look {
        /// For a group that has committed nothing.
        start: TopicStart,
    },
    /// Say that the group is done with everything up to and including `upto`. Answered by [`Consumer::handle_acked`].
    Ack {
        /// The last of it.
        upto: u64,
    },
}

/// What a commit did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Committed {
    /// The first offset that the group has not committed, as far as this member knows.
    pub next_offset: u64,
    /// Records that are finished and not committed yet: something before them is not.
    pub held_back: u64,
}

/// Breaks one rule, for the simulation to notice. With the feature `sabotage`, which no build for users has.
#[cfg_attr(not(feature = "sabotage"), expect(unreachable_pub, reason = "exported with the feature only"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// Commits the greatest finished offset, whatever lies before it.
    PassGaps,
    /// Counts from the first record that this member got, not from where the group is.
    OwnStart,
    /// Takes a commit that got no answer for done.
    TrustLostAcks,
    /// Counts records as finished when they are handed out.
    FinishEarly,
}

/// What remains to be found out before the first record may be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Begin {
    /// Where the group is, or would begin.
    Look,
    /// It would begin at this end, or is there. Where the oldest record is tells which.
    Latest(u64),
    /// It begins here and the server does not know: it is told by an acknowledgement of all before.
    Establish(u64),
    Done,
}

#[derive(Debug)]
struct Fetching {
    sent: Time,
    wait: Time,
    limit: u32,
}

#[derive(Debug, Default)]
struct Trouble {
    failures: u32,
    retry_at: Time,
    last: Option<Error>,
}

/// The state of one consumer. See the [module](super) for how to drive it.
#[derive(Debug)]
pub struct Consumer {
    config: ConsumerConfig,
    random: Random,
    begin: Begin,
    /// The first offset that the group has not committed.
    base: u64,
    /// Fetched and not handed out.
    queue: VecDeque<TopicMessage>,
    queued: Offsets,
    /// Handed out and not marked.
    held: Offsets,
    /// Marked and not committed.
    done: Offsets,
    /// Handed out before another moved the group back, and not marked since: the next mark of each is of then.
    outdated: Offsets,
    /// Some of these lie before `base`: another has moved the group back, or they were on their way when they were committed.
    /// Which of the two, a look tells.
    doubted: Option<Vec<TopicMessage>>,
    /// After the last record that was handed out.
    position: Option<u64>,
    moves: u64,
    /// The group is about to be moved: no records are asked for, and with `still` nothing at all.
    moving: bool,
    still: bool,

    fetching: Option<Fetching>,
    /// An answer that has arrived and is being read.
    reading: Option<Fetching>,
    looking: bool,
    /// What `base` was when that was asked, and whether `doubted` was there.
    looking_from: u64,
    looking_for_doubted: bool,
    acking: Option<u64>,

    /// Somebody waits for records, until then.
    polling: Option<Time>,
    trouble: Trouble,
    /// What the next poll fails with.
    failure: Option<Error>,
    /// Answers without records, one after the other, that came at once.
    empty: usize,
    not_before: Time,
    /// Whether the last answer was full.
    more: bool,
    /// How long the reader takes for a record, in nanoseconds.
    pace: Option<u64>,
    /// When records were handed out last, and how many.
    handed: Option<(Time, usize)>,
    fetch_limit: usize,

    /// What may be committed ends here; with auto-commit there is no end.
    allowed: u64,
    /// Commits that were asked for, and that were answered.
    asked: u64,
    answered: u64,
    answers: Vec<(u64, Result<Committed>)>,
    ack_trouble: Trouble,
    auto_commit_at: Option<Time>,
    /// Something was finished, and no automatic commit is planned yet.
    marked: bool,
    /// When to look after what is held back, and how long after that.
    look_at: Option<Time>,
    look_pause: Time,
    /// The commits that a look was made for.
    looked_for: u64,

    /// Closing: until when what is finished may still be committed.
    closing: Option<Time>,
    closed: bool,
    sabotage: Option<Sabotage>,
}

impl Consumer {
    /// A consumer that asks for nothing before it is polled.
    pub fn new(config: ConsumerConfig) -> Self {
        Self {
            random: Random::new(config.seed),
            begin: Begin::Look,
            base: 0,
            queue: VecDeque::new(),
            queued: Offsets::default(),
            held: Offsets::default(),
            done: Offsets::default(),
            outdated: Offsets::default(),
            doubted: None,
            position: None,
            moves: 0,
            moving: false,
            still: false,
            fetching: None,
            reading: None,
            looking: false,
            looking_from: 0,
            looking_for_doubted: false,
            acking: None,
            polling: None,
            trouble: Trouble::default(),
            failure: None,
            empty: 0,
            not_before: Time::ZERO,
            more: false,
            pace: None,
            handed: None,
            fetch_limit: config.max_poll_records.min(MOST_RECORDS),
            allowed: if config.auto_commit { u64::MAX } else { 0 },
            asked: 0,
            answered: 0,
            answers: Vec::new(),
            ack_trouble: Trouble::default(),
            auto_commit_at: None,
            marked: false,
            look_at: None,
            look_pause: LOOK.0,
            looked_for: 0,
            closing: None,
            closed: false,
            sabotage: None,
            config,
        }
    }

    /// Breaks a rule.
    #[cfg(feature = "sabotage")]
    pub fn sabotage(&mut self, sabotage: Sabotage) {
        self.sabotage = Some(sabotage);
    }

    /// The options.
    pub fn config(&self) -> &ConsumerConfig {
        &self.config
    }

    // Reading

    /// Somebody waits for records, at most until `deadline`.
    ///
    /// # Errors
    /// `invalid_argument` when somebody does already; `closed`.
    pub fn poll(&mut self, now: Time, deadline: Time) -> Result<()> {
        if self.is_closed() {
            return Err(closed());
        }
        if self.polling.is_some() {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                "the consumer is being polled already: one poll at a time, or a consumer for each",
            ));
        }
        if let Some((since, count)) = self.handed.take() {
            self.learn_pace(now.saturating_sub(since), count);
        }
        self.polling = Some(deadline);
        // What has failed may work now; a poll that is over before the next attempt still tells why there is nothing.
        if now >= self.trouble.retry_at {
            self.trouble.last = None;
        }
        Ok(())
    }

    /// Whether [`take`](Self::take) has something to tell.
    pub fn is_ready(&self, now: Time) -> bool {
        !self.queue.is_empty()
            || self.failure.is_some()
            || self.is_closed()
            || self.polling.is_some_and(|deadline| now >= deadline)
    }

    /// Ends the poll: records, none when its time is over, or why there can be none. A poll that is given up without
    /// calling this must call [`give_up`](Self::give_up).
    ///
    /// # Errors
    /// The server's; what it was on the way, when no request got through in time; `closed`.
    pub fn take(&mut self, now: Time, most: usize) -> Result<Vec<ConsumerRecord>> {
        self.polling = None;
        if !self.queue.is_empty() {
            let count = self.queue.len().min(most.max(1));
            let (topic, partition) = (&self.config.topic, self.config.partition);
            let taken = self.queue.drain(..count);
            let records: Vec<_> =
                taken.map(|message| ConsumerRecord::new(topic, partition, message)).collect();
            for record in &records {
                self.queued.remove(record.offset);
                self.held.insert(record.offset);
                self.position = Some(record.offset + 1);
                if self.sabotage == Some(Sabotage::FinishEarly) {
                    self.mark(record.offset);
                }
            }
            self.handed = Some((now, records.len()));
            return Ok(records);
        }
        if self.is_closed() {
            return Err(closed());
        }
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        match self.trouble.last.clone() {
            Some(error) => Err(error),
            None => Ok(Vec::new()),
        }
    }

    /// Nobody waits any longer. What is on its way is there for the next poll.
    pub fn give_up(&mut self) {
        self.polling = None;
    }

    fn learn_pace(&mut self, spent: Time, count: usize) {
        let each = u64::try_from(spent.as_nanos()).unwrap_or(u64::MAX) / count.max(1) as u64;
        // The slower of what is and what was, so that one quick batch does not fetch too much.
        self.pace = Some(self.pace.map_or(each, |pace| each.max(pace / 2 + each / 2)));
        let most = (AHEAD.as_nanos() as u64 / self.pace.unwrap_or(1).max(1)) as usize;
        let most = most.clamp(self.config.max_poll_records, MOST_RECORDS.max(self.config.max_poll_records));
        // Up step by step, down at once.
        self.fetch_limit = most.min(self.fetch_limit.saturating_mul(2));
    }

    /// Whether to ask for records while the reader handles those that it has: when there are more and it is quick.
    fn wants_ahead(&self) -> bool {
        let Some(pace) = self.pace else { return false };
        let time = u128::from(pace) * (self.queue.len() + self.config.max_poll_records) as u128;
        self.more && self.queue.len() < self.fetch_limit / 2 && time <= AHEAD.as_nanos()
    }

    // Finishing

    /// A record is finished. Marking what another member has finished, or marking twice, changes nothing. Returns whether
    /// [`poll_action`](Self::poll_action) must be asked, for the time until the next automatic commit to begin.
    pub fn mark(&mut self, offset: u64) -> bool {
        if self.outdated.remove(offset) {
            return false;
        }
        self.held.remove(offset);
        if offset < self.base || !self.done.insert(offset) {
            return false;
        }
        self.config.auto_commit && self.auto_commit_at.is_none() && !std::mem::replace(&mut self.marked, true)
    }

    /// Asks for a commit of all that is finished now, and returns its number for [`poll_committed`](Self::poll_committed).
    pub fn commit(&mut self) -> u64 {
        self.allowed = self.allowed.max(self.done.end().unwrap_or(0));
        self.asked += 1;
        self.ack_trouble = Trouble::default();
        self.asked
    }

    /// The next commit that was answered: all up to this number, that were not answered before.
    pub fn poll_committed(&mut self) -> Option<(u64, Result<Committed>)> {
        if self.answers.is_empty() { None } else { Some(self.answers.remove(0)) }
    }

    /// What is committed and what is not.
    pub fn committed(&self) -> Committed {
        Committed { next_offset: self.base, held_back: self.done.len() }
    }

    /// The offset of the next record that will be handed out, as far as is known.
    pub fn position(&self) -> u64 {
        self.queue.front().map(|record| record.offset).or(self.position).unwrap_or(self.base)
    }

    /// Records that were handed out and are not finished.
    pub fn unfinished(&self) -> u64 {
        self.held.len()
    }

    /// The last offset of what may be committed.
    fn committable(&self) -> Option<u64> {
        if self.begin != Begin::Done {
            return None;
        }
        let end = if self.sabotage == Some(Sabotage::PassGaps) {
            self.done.end()
        } else {
            self.done.end_of_run(self.base)
        };
        let end = end?.min(self.allowed);
        (end > self.base).then(|| end - 1)
    }

    /// Whether something finished waits for something that is not.
    fn is_held_back(&self) -> bool {
        self.done.end().is_some() && self.committable().is_none() && self.allowed > self.base
    }

    fn answer_commits(&mut self, upto: u64, result: Result<Committed>) {
        if upto > self.answered {
            self.answered = upto;
            self.answers.push((upto, result));
        }
    }

    // Moving

    /// The group was moved to `offset`, on the server: goes on there. What was handed out is not this member's any more.
    pub fn seek(&mut self, now: Time, offset: u64) {
        self.go_on_at(now, offset);
        self.moves += 1;
        self.outdated.clear();
        self.doubted = None;
    }

    /// Another has moved the group back: everything from there on is to be handled again.
    fn was_moved_back(&mut self, now: Time, offset: u64) {
        let held = std::mem::take(&mut self.held);
        // What was asked for after the records that made it known is of after the move.
        let asked = self.doubted.is_some().then(|| (self.fetching.take(), self.reading.take()));
        self.go_on_at(now, offset);
        (self.fetching, self.reading) = asked.unwrap_or_default();
        self.outdated = held;
    }

    fn go_on_at(&mut self, now: Time, offset: u64) {
        self.begin = Begin::Done;
        self.base = offset;
        self.queue.clear();
        self.queued.clear();
        self.held.clear();
        self.done.clear();
        self.position = Some(offset);
        (self.fetching, self.reading) = (None, None);
        self.allowed = if self.config.auto_commit { u64::MAX } else { 0 };
        self.not_before = now;
        self.empty = 0;
        self.handed = None;
    }

    /// How often the group was moved by this member.
    pub fn moves(&self) -> u64 {
        self.moves
    }

    /// The group is about to be moved: wants no answer to the request for records that is on its way, and asks for nothing
    /// before [`end_move`](Self::end_move).
    ///
    /// # Errors
    /// `invalid_argument` while somebody waits for records.
    pub fn begin_move(&mut self) -> Result<()> {
        if self.polling.is_some() && !self.moving {
            return Err(Error::new(
                ErrorCode::InvalidArgument,
                "the group can not be moved while the consumer is polled: stop the poll or the loop before",
            ));
        }
        (self.fetching, self.reading) = (None, None);
        self.moving = true;
        Ok(())
    }

    /// After [`begin_move`](Self::begin_move): does and asks nothing more, if nothing is on its way; if something is, commit and
    /// try again. A commit that comes to the server after the move would undo it.
    pub fn hold_still(&mut self) -> bool {
        self.still = self.acking.is_none() && !self.looking;
        self.still
    }

    /// The group was moved, or is not going to be.
    pub fn end_move(&mut self) {
        (self.moving, self.still) = (false, false);
    }

    /// Whether an answer to a request for records is wanted: one on its way, and one that is being read. What is not may be
    /// given up.
    pub fn is_fetching(&self) -> (bool, bool) {
        (self.fetching.is_some(), self.reading.is_some())
    }

    /// Commits what may be committed, at most until `deadline`, and ends.
    pub fn close(&mut self, deadline: Time) {
        if self.closing.is_none() && !self.closed {
            self.closing = Some(deadline);
            self.asked += 1;
            self.ack_trouble.retry_at = Time::ZERO;
        }
    }

    /// Whether no more records will come.
    pub fn is_closed(&self) -> bool {
        self.closed || self.closing.is_some()
    }

    /// Whether nothing more is to do.
    pub fn is_over(&self) -> bool {
        self.closed
    }

    // Driving

    /// The next thing to do, if there is one now. May be asked again until there is none.
    pub fn poll_action(&mut self, now: Time) -> Option<Action> {
        if self.closed {
            return None;
        }
        if let Some(action) = self.commit_action(now) {
            return Some(action);
        }
        if let Some(deadline) = self.closing {
            // Another member may close the gap while there is time.
            let waits = self.is_held_back() && !self.held.contains(self.base);
            let idle = self.acking.is_none() && !self.looking && self.answered == self.asked && !waits;
            if idle || now >= deadline {
                self.closed = true;
                let late = Error::new(ErrorCode::Timeout, "not committed before the consumer was closed");
                self.answer_commits(self.asked, Err(late));
            }
            return None;
        }
        let nothing = self.queue.is_empty() && self.reading.is_none();
        let wanted = self.polling.is_some_and(|deadline| now < deadline) && nothing;
        if self.moving || self.failure.is_some() || now < self.trouble.retry_at || now < self.not_before {
            return None;
        }
        if self.begin != Begin::Done {
            return if wanted { self.begin_action() } else { None };
        }
        if self.doubted.is_some() {
            return if self.looking { None } else { Some(self.look(self.start())) };
        }
        if self.fetching.is_some() || !(wanted || self.wants_ahead()) {
            return None;
        }
        let left = self.polling.map_or(Time::ZERO, |deadline| deadline.saturating_sub(now));
        let wait = if wanted { left.min(self.config.longest_wait) } else { Time::ZERO };
        let limit = u32::try_from(self.fetch_limit).unwrap_or(u32::MAX);
        self.fetching = Some(Fetching { sent: now, wait, limit });
        Some(Action::Fetch { start: self.start(), limit, wait })
    }

    /// The next step towards knowing where the group is.
    fn begin_action(&mut self) -> Option<Action> {
        if self.looking || self.acking.is_some() {
            return None;
        }
        Some(match self.begin {
            Begin::Done => return None,
            Begin::Look => self.look(self.config.reset.into()),
            Begin::Latest(_) => self.look(TopicStart::Earliest),
            Begin::Establish(end) => {
                self.acking = Some(end - 1);
                Action::Ack { upto: end - 1 }
            }
        })
    }

    /// Always the same for a group that has committed nothing: the server then counts from there for every member.
    fn start(&self) -> TopicStart {
        TopicStart::Offset(self.base)
    }

    fn look(&mut self, start: TopicStart) -> Action {
        self.looking = true;
        self.looking_from = self.base;
        self.looking_for_doubted = self.doubted.is_some();
        Action::Look { start }
    }

    /// Another member may close the gap before what is held back.
    fn look_later(&mut self, now: Time) {
        let pause = if self.closing.is_some() { LOOK_CLOSING } else { self.look_pause };
        self.look_at = Some(now + pause);
    }

    fn commit_in_time(&mut self, now: Time) {
        self.auto_commit_at.get_or_insert(now + self.config.auto_commit_interval);
    }

    fn commit_action(&mut self, now: Time) -> Option<Action> {
        if std::mem::take(&mut self.marked) {
            self.commit_in_time(now);
        }
        if self.still || self.acking.is_some() || now < self.ack_trouble.retry_at {
            return None;
        }
        let by_time = self.auto_commit_at.is_some_and(|at| now >= at);
        if by_time {
            self.auto_commit_at = None;
        }
        let asked = self.answered < self.asked;
        let late = self.look_at.is_some_and(|at| now >= at);
        let retrying = self.ack_trouble.failures > 0;
        if !(by_time || asked || late || retrying) {
            return None;
        }
        if let Some(upto) = self.committable() {
            if late && !(by_time || asked || retrying) {
                self.look_at = None;
            }
            self.acking = Some(upto);
            return Some(Action::Ack { upto });
        }
        self.ack_trouble.failures = 0;
        if self.looking {
            return None;
        }
        // Something was marked before anything was read.
        if self.begin != Begin::Done && self.done.end().is_some() && self.failure.is_none() {
            self.ack_trouble.retry_at = self.trouble.retry_at;
            return if now < self.trouble.retry_at { None } else { self.begin_action() };
        }
        if self.is_held_back() && self.begin == Begin::Done {
            // Another member may have closed the gap. Asked once for each commit, and then now and then.
            if late || (asked && self.looked_for < self.asked && !self.held.contains(self.base)) {
                self.looked_for = self.asked;
                self.look_at = None;
                let start = self.start();
                return Some(self.look(start));
            }
            if self.look_at.is_none() {
                self.look_later(now);
            }
        } else if !self.is_held_back() {
            self.look_at = None;
            self.look_pause = LOOK.0;
        }
        if asked {
            self.answer_commits(self.asked, Ok(self.committed()));
        }
        None
    }

    /// When [`poll_action`](Self::poll_action) or [`is_ready`](Self::is_ready) will say something else by themselves.
    pub fn next_timeout(&self, now: Time) -> Option<Time> {
        if self.closed {
            return None;
        }
        let commit = if self.still || self.acking.is_some() || self.looking {
            None
        } else if self.ack_trouble.failures > 0 || self.answered < self.asked {
            Some(self.ack_trouble.retry_at)
        } else {
            let due = [self.auto_commit_at, self.look_at].into_iter().flatten().min();
            due.map(|at| at.max(self.ack_trouble.retry_at))
        };
        let doubts = self.doubted.is_some() && !self.looking && !self.moving && self.failure.is_none();
        let doubt = doubts.then_some(self.trouble.retry_at);
        let deadline = self.polling.filter(|deadline| *deadline > now);
        let begins = self.begin != Begin::Done && self.acking.is_some();
        let nothing = self.queue.is_empty() && self.fetching.is_none() && self.reading.is_none();
        let asks = deadline.is_some() && nothing && self.doubted.is_none();
        let fetch = (asks && !self.moving && !self.looking && !begins && self.failure.is_none())
            .then(|| self.trouble.retry_at.max(self.not_before));
        [commit, doubt, fetch, deadline, self.closing].into_iter().flatten().min()
    }

    // What happened

    /// The answer to a [`Fetch`](Action::Fetch) is there and is being read: more may be asked for meanwhile. Answers are read
    /// one after the other. A driver that reads at once need not call this.
    pub fn handle_arrived(&mut self) {
        self.reading = self.fetching.take();
    }

    /// The answer to a [`Fetch`](Action::Fetch), read.
    pub fn handle_fetched(&mut self, now: Time, answer: Result<Consumed>) {
        let Some(fetching) = self.reading.take().or_else(|| self.fetching.take()) else { return };
        if self.is_closed() {
            return;
        }
        match answer {
            Ok(consumed) => {
                self.trouble = Trouble::default();
                self.received(now, &fetching, consumed);
            }
            Err(error) => self.failed(now, error),
        }
    }

    fn received(&mut self, now: Time, fetching: &Fetching, consumed: Consumed) {
        self.more = consumed.records.len() >= fetching.limit as usize;
        if consumed.records.is_empty() {
            self.advance(consumed.next_offset);
            // A server that waits says nothing for as long as it was allowed to.
            let waited = now.saturating_sub(fetching.sent) >= fetching.wait.mul_f32(0.9);
            if waited && !fetching.wait.is_zero() {
                self.empty = 0;
            } else {
                let pause = PAUSES[self.empty.min(PAUSES.len() - 1)];
                self.not_before = now + pause + self.random.up_to(pause / 10);
                self.empty += 1;
            }
            return;
        }
        self.empty = 0;
        self.not_before = now;
        if self.sabotage == Some(Sabotage::OwnStart) && self.position.is_none() {
            self.base = consumed.records[0].offset;
        }
        match &mut self.doubted {
            // In their order.
            Some(doubted) => doubted.extend(consumed.records),
            None if consumed.records.iter().any(|record| record.offset < self.base) => {
                self.doubted = Some(consumed.records);
            }
            None => self.enqueue(consumed.records),
        }
    }

    fn enqueue(&mut self, records: Vec<TopicMessage>) {
        self.queue.reserve(records.len());
        for message in records {
            let offset = message.offset;
            // Delivered again: what is finished needs not be done again, what waits here is here already.
            if offset < self.base || self.done.contains(offset) || !self.queued.insert(offset) {
                continue;
            }
            self.queue.push_back(message);
        }
    }

    fn failed(&mut self, now: Time, error: Error) {
        if error.retryable() {
            self.trouble.failures += 1;
            let busy = matches!(error.code(), ErrorCode::RateLimited | ErrorCode::Unavailable);
            let delay = self.config.backoff.delay(self.trouble.failures, busy, &mut self.random);
            self.trouble.retry_at = now + delay;
            self.trouble.last = Some(error);
        } else {
            self.failure = Some(error);
        }
    }

    /// The group has committed everything before `base`.
    fn advance(&mut self, base: u64) {
        if base <= self.base {
            return;
        }
        self.base = base;
        // Seldom: who reads ahead has long queues.
        if self.queued.start().is_some_and(|start| start < base) {
            self.queue.retain(|record| record.offset >= base);
        }
        for offsets in [&mut self.done, &mut self.held, &mut self.queued] {
            offsets.remove_before(base);
        }
        self.look_pause = LOOK.0;
    }

    /// The answer to a [`Look`](Action::Look). Returns whether it tells that another has moved the group back.
    pub fn handle_looked(&mut self, now: Time, answer: Result<Consumed>) -> bool {
        if !std::mem::take(&mut self.looking) || self.closed {
            return false;
        }
        let mut was_moved = false;
        match (self.begin, answer) {
            (Begin::Done, Ok(consumed)) => {
                was_moved = consumed.next_offset < self.looking_from;
                if was_moved {
                    self.was_moved_back(now, consumed.next_offset);
                }
                if std::mem::take(&mut self.looking_for_doubted)
                    && let Some(records) = self.doubted.take()
                {
                    self.enqueue(records);
                }
                let before = self.base;
                self.advance(consumed.next_offset);
                if self.base == before {
                    self.look_pause = (self.look_pause * 2).min(LOOK.1);
                    self.look_later(now);
                } else if self.committable().is_some() {
                    self.look_at = Some(now);
                }
            }
            (Begin::Done, Err(error)) if self.doubted.is_some() => self.failed(now, error),
            // Only what is held back waits for it.
            (Begin::Done, Err(_)) => self.look_later(now),
            (begin, Ok(consumed)) => {
                self.trouble = Trouble::default();
                let next = consumed.next_offset;
                self.begin = match begin {
                    Begin::Look if self.config.reset == AutoOffsetReset::Latest => Begin::Latest(next),
                    // A committed offset, or one that the server keeps, does not depend on what was asked.
                    Begin::Latest(end) if next < end => Begin::Establish(end),
                    _ => Begin::Done,
                };
                self.base = next;
            }
            (_, Err(error)) => self.failed(now, error),
        }
        was_moved
    }

    /// The answer to an [`Ack`](Action::Ack).
    pub fn handle_acked(&mut self, now: Time, answer: Result<()>) {
        let Some(upto) = self.acking.take() else { return };
        if self.closed {
            return;
        }
        if let Begin::Establish(end) = self.begin {
            match answer {
                Ok(()) => (self.begin, self.base) = (Begin::Done, end),
                Err(error) => self.failed(now, error),
            }
            return;
        }
        let answer = match answer {
            Err(error) if error.retryable() && self.sabotage == Some(Sabotage::TrustLostAcks) => {
                drop(error);
                Ok(())
            }
            answer => answer,
        };
        match answer {
            Ok(()) => {
                self.advance(upto + 1);
                self.ack_trouble = Trouble::default();
                if self.is_held_back() {
                    self.look_later(now);
                } else if self.committable().is_none() {
                    self.look_at = None;
                    self.answer_commits(self.asked, Ok(self.committed()));
                } else if self.config.auto_commit {
                    self.commit_in_time(now);
                }
            }
            Err(error) => {
                self.ack_trouble.failures += 1;
                let busy = matches!(error.code(), ErrorCode::RateLimited | ErrorCode::Unavailable);
                let delay = self.config.backoff.delay(self.ack_trouble.failures, busy, &mut self.random);
                self.ack_trouble.retry_at = now + delay;
                if !error.retryable() || self.ack_trouble.failures >= self.config.commit_attempts {
                    self.ack_trouble.failures = 0;
                    self.answer_commits(self.asked, Err(error));
                    // Tried again by time.
                    if self.config.auto_commit {
                        self.commit_in_time(now);
                    }
                }
            }
        }
    }

    /// The name of the topic.
    pub fn topic(&self) -> &Arc<str> {
        &self.config.topic
    }
}

fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the consumer is closed")
}
