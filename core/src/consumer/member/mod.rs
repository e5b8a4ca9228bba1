//! One member of a group: what it asks the server, and when.
//!
//! [`Consumer`] is what the rules meet in. Each file here holds one concern of it: [`begin`] and [`looking`] find out where
//! the group is, [`reading`] fetches records and hands them out, [`committing`] says what is finished, [`moving`] changes
//! where the group is, [`closing`] ends it. What has rules of its own is a type of its own: [`ledger`] knows where each record
//! is, [`commits`] what was asked for and answered, [`gap`] when to look after what is held back, [`pace`] how much the reader
//! can take, [`pauses`] how long to wait.

mod begin;
mod closing;
mod commits;
mod committing;
mod gap;
mod ledger;
mod looking;
mod moving;
mod pace;
mod pauses;
mod reading;
#[cfg(test)]
mod tests;

use self::begin::Begin;
use self::closing::Life;
use self::commits::Commits;
use self::gap::GapTimer;
use self::ledger::Ledger;
use self::pace::Pace;
use self::pauses::{Idle, Retry};
use super::config::ConsumerConfig;
use crate::error::{Error, ErrorCode};
use crate::machine::{Random, Time};
use crate::protocol::{ConsumerRecord, TopicStart};

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

/// A request for records.
#[derive(Debug)]
struct Fetching {
    sent: Time,
    wait: Time,
    limit: u32,
}

/// A question where the group is.
#[derive(Debug)]
struct Looking {
    /// Where it was when that was asked.
    from: u64,
    /// Whether there were doubtful records then: the answer tells what they are.
    for_doubtful: bool,
}

/// The group is about to be moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moving {
    /// No records are asked for.
    Begun,
    /// Nothing at all is.
    Still,
}

/// The state of one consumer. See the [module](super) for how to drive it.
#[derive(Debug)]
pub struct Consumer {
    config: ConsumerConfig,
    random: Random,
    life: Life,
    begin: Begin,
    ledger: Ledger,
    /// Records of which some lie before what is committed: another has moved the group back, or they were on their way when
    /// they were committed. Which of the two, a look tells.
    doubtful: Option<Vec<ConsumerRecord>>,
    moving: Option<Moving>,
    moves: u64,

    // What is on its way.
    fetching: Option<Fetching>,
    /// An answer that has arrived and is being read.
    reading: Option<Fetching>,
    looking: Option<Looking>,
    acking: Option<u64>,

    /// Somebody waits for records, until then.
    polling: Option<Time>,
    pace: Pace,
    idle: Idle,
    /// After requests that failed and that records depend on, and what the last of them failed with.
    retry: Retry,
    trouble: Option<Error>,
    /// What the next poll fails with.
    failure: Option<Error>,

    commits: Commits,
    gap: GapTimer,
    sabotage: Option<Sabotage>,
}

impl Consumer {
    /// A consumer that asks for nothing before it is polled.
    pub fn new(config: ConsumerConfig) -> Self {
        Self {
            random: Random::new(config.seed),
            life: Life::Open,
            begin: Begin::Look,
            ledger: Ledger::default(),
            doubtful: None,
            moving: None,
            moves: 0,
            fetching: None,
            reading: None,
            looking: None,
            acking: None,
            polling: None,
            pace: Pace::new(config.max_poll_records),
            idle: Idle::default(),
            retry: Retry::default(),
            trouble: None,
            failure: None,
            commits: Commits::new(config.auto_commit.then_some(config.auto_commit_interval)),
            gap: GapTimer::default(),
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

    /// The next thing to do, if there is one now. May be asked again until there is none.
    pub fn poll_action(&mut self, now: Time) -> Option<Action> {
        if self.is_over() {
            return None;
        }
        let doubts = self.doubtful.is_some();
        // A commit would undo the move that doubtful records may tell of.
        let action = if doubts { self.doubt_action(now) } else { self.commit_action(now) };
        match self.life {
            Life::Closing(deadline) if action.is_none() => self.end_in_time(now, deadline),
            Life::Open if action.is_none() && !doubts => return self.read_action(now),
            _ => {}
        }
        action
    }

    /// When [`poll_action`](Self::poll_action) or [`is_ready`](Self::is_ready) will say something else by themselves.
    pub fn next_timeout(&self, now: Time) -> Option<Time> {
        let closed = match self.life {
            Life::Open => None,
            Life::Closing(deadline) => Some(deadline),
            Life::Over => return None,
        };
        let polled = self.polling.filter(|deadline| *deadline > now);
        let acts = match self.doubtful {
            Some(_) => [self.next_doubt(), None],
            None => [self.next_commit(), self.next_read(now)],
        };
        acts.into_iter().chain([polled, closed]).flatten().min()
    }
}

fn closed() -> Error {
    Error::new(ErrorCode::Closed, "the consumer is closed")
}
