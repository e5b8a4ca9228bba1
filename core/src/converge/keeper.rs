//! The keeper: what happened goes in, what is to be done comes out.

use std::collections::VecDeque;
use std::time::Duration;

use super::check::{Check, Step};
use super::counters::VerifyCounters;
use super::doubt::Doubt;
use super::evaluator::Followed;
use super::frames::{Frames, Removed};
use super::options::KeeperOptions;
use super::questions::Questions;
use super::{Ask, AskId, Holds};
use crate::error::Result;
use crate::live::LiveView;
use crate::machine::Time;
use crate::machine::random::Random;
use crate::protocol::StatementResult;
use crate::repair::Repair;
use crate::schema::SeqId;
use crate::sql::{LiveSql, TableName};

/// Keeps the rows of one live query right.
///
/// Feed it with [`connected`](Self::connected) and the subscription's events, in order, with what a watch tells and with
/// answers; after each call, and when [`next_timeout`](Self::next_timeout) has come, ask it what to do. All times count
/// from one origin of the caller's.
#[derive(Debug)]
pub struct Keeper {
    pub(super) view: LiveView,
    pub(super) live: LiveSql,
    pub(super) options: KeeperOptions,
    pub(super) server: Option<Server>,
    /// Known while the subscription is acknowledged at a server that needs checks.
    pub(super) questions: Option<Questions>,
    /// The first version that belongs to a query with `last_rows`, once it is known.
    pub(super) horizon: Option<Option<SeqId>>,
    /// The query began at a position, without rows: there is nothing that it could be compared with.
    pub(super) since: bool,
    pub(super) followed: Followed,
    /// Cells whose NULL makes a row doubtful. `None` among them: a column that is not selected.
    pub(super) null_sensitive: Vec<Option<usize>>,
    pub(super) watched: bool,
    pub(super) frames: Frames,
    pub(super) removed: Removed,
    pub(super) doubt: Doubt,
    pub(super) check: Check,
    pub(super) asks: VecDeque<Ask>,
    pub(super) next_id: u64,
    pub(super) epoch: u64,
    /// The column that the server calls versions by.
    pub(super) version: &'static str,
    pub(super) reports: VecDeque<Repair>,
    pub(super) counters: VerifyCounters,
    pub(super) random: Random,
    pub(super) restart_not_before: Time,
    pub(super) restarts: u32,
    /// The subscription is to be begun anew: what it still tells is of no use.
    pub(super) left: bool,
    /// Waits for its time.
    pub(super) restart_due: Option<Time>,
}

/// Who is at the other end.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) complete: bool,
    pub(super) user: String,
}

/// What came of an event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is applied.
    Fine,
    /// Only a fresh snapshot helps.
    StartAnew,
    /// The subscription can not be used, as the reader will see: end it.
    Refused,
    /// Nothing more will come.
    Over,
}

/// Reports that nobody takes are bounded.
const MOST_REPORTS: usize = 100;

impl Keeper {
    /// A keeper of the rows of `live`, which `view` holds.
    pub fn new(live: LiveSql, options: KeeperOptions, mut view: LiveView) -> Self {
        view.count_versions(!options.rules.versions_aside);
        Self {
            view,
            live,
            server: None,
            questions: None,
            horizon: None,
            since: false,
            followed: Followed::Everything,
            null_sensitive: Vec::new(),
            watched: false,
            frames: Frames::default(),
            removed: Removed::default(),
            doubt: Doubt::default(),
            check: Check::default(),
            asks: VecDeque::new(),
            next_id: 0,
            epoch: 0,
            version: "_seq",
            reports: VecDeque::new(),
            counters: VerifyCounters::default(),
            random: Random::new(options.seed),
            options,
            restart_not_before: Time::ZERO,
            restarts: 0,
            left: false,
            restart_due: None,
        }
    }

    /// The rows.
    pub fn view(&self) -> &LiveView {
        &self.view
    }

    /// The rows, to be taken or closed.
    pub fn view_mut(&mut self) -> &mut LiveView {
        &mut self.view
    }

    /// The answer to a question that was `sent` at that time. `bytes` is its size.
    pub fn handle_answer(
        &mut self,
        now: Time,
        id: AskId,
        sent: Time,
        bytes: u64,
        result: Result<Vec<StatementResult>>,
    ) {
        self.counters.bytes += bytes;
        let took = now.saturating_sub(sent);
        let result = self.believable(result);
        if self.doubt.is_asked(id) {
            self.doubt_answered(now, took, bytes, result);
        } else if self.check.is_asked(id) {
            self.check_answered(now, took, bytes, result);
        }
        self.settle_recording();
        self.advance(now);
    }

    /// It is [`next_timeout`](Self::next_timeout).
    pub fn handle_timeout(&mut self, now: Time) {
        self.advance(now);
    }

    /// When something is to be done next.
    pub fn next_timeout(&self) -> Option<Time> {
        self.questions.as_ref()?;
        if !self.view.is_live() {
            return None;
        }
        let check = self.check.next_timeout(&self.frames);
        [self.doubt.next_timeout(&self.frames), check, self.restart_due].into_iter().flatten().min()
    }

    /// What to do next, in this order.
    pub fn poll_ask(&mut self) -> Option<Ask> {
        self.asks.pop_front()
    }

    /// A repair that is done.
    pub fn poll_report(&mut self) -> Option<Repair> {
        self.reports.pop_front()
    }

    /// The table of the query.
    pub fn table(&self) -> &TableName {
        &self.live.table
    }

    /// Whether a digest of the table was asked for since the last call: how far the next one should be.
    pub fn take_digest(&mut self) -> Option<Duration> {
        self.check.asked.take().filter(|_| self.options.rules.pace)
    }

    /// Asks for no digest before: another live query on the table has asked for one.
    pub fn wait_for_table(&mut self, until: Time) {
        self.check.wait_for_table(until);
    }

    /// How much is held besides the rows, of which every kind is bounded.
    pub fn holds(&self) -> Holds {
        Holds {
            removed: self.removed.len(),
            doubts: self.doubt.len(),
            touched: self.frames.len(),
            states: self.check.states(),
            changes: self.view.pending_len(),
            reports: self.reports.len(),
        }
    }

    /// What was counted since the last call.
    pub fn take_counters(&mut self) -> VerifyCounters {
        std::mem::take(&mut self.counters)
    }

    /// Does what is due.
    pub(super) fn advance(&mut self, now: Time) {
        if self.questions.is_none() || !self.view.is_live() {
            return;
        }
        if self.restart_due.is_some_and(|due| due <= now) {
            self.restart_due = None;
            self.restart_now(now);
            return;
        }
        if self.doubt.expire(now) {
            self.sweep_soon(now);
        }
        self.look_up(now);
        self.check_due(now);
    }

    /// Takes the other name of the column with the versions.
    pub(super) fn rename_version(&mut self) {
        self.version = if self.version == "_seq" { "_version" } else { "_seq" };
        let schema = self.view.schema().cloned();
        if let (Some(questions), Some(schema)) = (&mut self.questions, schema) {
            let (horizon, literals) = (questions.horizon, questions.literals);
            *questions = Questions::new(&self.live, &schema, self.view.key_positions(), self.version);
            (questions.horizon, questions.literals) = (horizon, literals);
        }
    }

    /// Asks over HTTP.
    pub(super) fn ask(&mut self, sql: String) -> AskId {
        self.next_id += 1;
        let id = AskId(self.next_id);
        self.frames.record();
        self.counters.queries += 1;
        self.counters.bytes += sql.len() as u64;
        self.asks.push_back(Ask::Query { id, sql });
        id
    }

    pub(super) fn report(&mut self, report: Repair) {
        if report.repaired() {
            self.counters.repairs += 1;
        }
        if self.reports.len() == MOST_REPORTS {
            self.reports.pop_front();
        }
        self.reports.push_back(report);
    }

    /// Forgets what belongs to the connection or to the snapshot before.
    pub(super) fn stop(&mut self) {
        if self.questions.take().is_some() {
            self.epoch += 1;
        }
        self.asks.clear();
        self.frames = Frames::default();
        self.removed.clear();
        self.doubt = Doubt::default();
        self.check.stop();
        self.restart_due = None;
    }

    pub(super) fn settle_recording(&mut self) {
        if self.doubt.asked.is_none() && matches!(self.check.step, Step::Idle) {
            self.frames.forget();
        }
    }
}
