//! The keeper: what happened goes in, what is to be done comes out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use super::check::{Check, Step};
use super::counters::VerifyCounters;
use super::doubt::Doubt;
use super::frames::{Frames, Removed};
use super::options::KeeperOptions;
use super::questions::Questions;
use super::{Ask, AskId, Holds, Key};
use crate::error::{ErrorCode, Result};
use crate::live::{Begin, LiveView};
use crate::machine::random::Random;
use crate::machine::{Mode, SubscriptionEvent, Time};
use crate::protocol::{Change, ChangeKind, StatementResult};
use crate::repair::{Reason, Repair};
use crate::row::Row;
use crate::schema::{DataType, Schema, SeqId};
use crate::sql::{Condition, LiveSql, TableName};

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
    since: bool,
    followed: Followed,
    /// Cells whose NULL makes a row doubtful. `None` among them: a column that is not selected.
    null_sensitive: Vec<Option<usize>>,
    pub(super) watched: bool,
    pub(super) frames: Frames,
    pub(super) removed: Removed,
    pub(super) doubt: Doubt,
    pub(super) check: Check,
    pub(super) asks: VecDeque<Ask>,
    next_id: u64,
    epoch: u64,
    /// The column that the server calls versions by.
    version: &'static str,
    pub(super) reports: VecDeque<Repair>,
    pub(super) counters: VerifyCounters,
    pub(super) random: Random,
    restart_not_before: Time,
    restarts: u32,
    /// The subscription is to be begun anew: what it still tells is of no use.
    left: bool,
    /// Waits for its time.
    restart_due: Option<Time>,
}

/// Who is at the other end.
#[derive(Debug)]
pub(super) struct Server {
    complete: bool,
    pub(super) user: String,
}

/// What the live evaluator makes of the filter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Followed {
    /// There is none: everything is told.
    Everything,
    /// Rows that enter are told, rows that leave are not.
    Entries,
    /// Nothing can be relied on.
    Nothing,
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
const RESTART_DISTANCE: Duration = Duration::from_secs(5);
const RESTART_FARTHEST: Duration = Duration::from_secs(300);

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

    /// A connection stands: to a server that announced itself `complete` or did not, as this user. Comes before the
    /// subscription's events on it.
    pub fn connected(&mut self, complete: bool, user: impl Into<String>) {
        self.stop();
        let user = user.into();
        if self.server.as_ref().is_some_and(|server| server.user != user) {
            // What is held may be what another user sees.
            self.check.watermark = None;
        }
        self.server = Some(Server { complete, user });
    }

    /// Whether it can find out what changed while a connection is lost, so that the subscription needs no snapshot after
    /// that ([`Machine::keep_rows`](crate::machine::Machine::keep_rows)): the rows were proven once, by a question that gave
    /// a version from where to look.
    pub fn keeps_rows(&self) -> bool {
        self.options.rules.keep_rows
            && self.check.is_able_to_catch_up()
            && self.restart_due.is_none()
            && (self.options.last_rows.is_none() || self.horizon.is_some())
            && self.checks_here()
    }

    /// An event of the subscription.
    pub fn handle_event(&mut self, now: Time, event: SubscriptionEvent) -> Outcome {
        let held = matches!(event, SubscriptionEvent::Acked { mode: Mode::Resumed | Mode::Kept, .. });
        match self.apply(now, event) {
            Ok(outcome) => outcome,
            Err(error) if held && error.code() == ErrorCode::Protocol => self.start_anew(),
            Err(error) => {
                self.stop();
                self.view.fail(error);
                Outcome::Refused
            }
        }
    }

    fn start_anew(&mut self) -> Outcome {
        self.stop();
        self.check.watermark = None;
        self.left = true;
        Outcome::StartAnew
    }

    fn apply(&mut self, now: Time, event: SubscriptionEvent) -> Result<Outcome> {
        self.left &= matches!(
            event,
            SubscriptionEvent::Batch { .. } | SubscriptionEvent::Ready | SubscriptionEvent::Change(_)
        );
        match event {
            _ if self.left => {}
            SubscriptionEvent::Acked { mode: Mode::Kept, .. } if !self.keeps_rows() => {
                return Ok(self.start_anew());
            }
            SubscriptionEvent::Acked { schema, mode, origin } => {
                self.stop();
                if mode == Mode::Kept {
                    self.check.kept = true;
                } else {
                    self.check.watermark = None;
                }
                let begin = match mode {
                    Mode::Kept => Begin::Kept,
                    Mode::Resumed => Begin::Resumed,
                    Mode::Fresh if self.keeps_older() => Begin::Newest,
                    Mode::Fresh => Begin::Fresh,
                    Mode::Since => Begin::Since,
                };
                self.since = mode == Mode::Since || (self.since && mode == Mode::Resumed);
                self.view.begin_at(schema.clone(), begin, Some(origin))?;
                self.prepare(&schema)?;
            }
            SubscriptionEvent::Batch { rows, .. } => self.view.batch(rows)?,
            SubscriptionEvent::Ready => {
                self.view.ready()?;
                self.loaded(now);
            }
            SubscriptionEvent::Change(change) => self.change(now, change)?,
            // Not asked for.
            SubscriptionEvent::Deferred(_) => {}
            // Live rows find out what is missing, or take a fresh snapshot.
            SubscriptionEvent::GapPossible { .. } => {}
            SubscriptionEvent::Interrupted => {
                // Also said when the subscription is begun anew on a connection that stands: the server stays known until
                // `connected` tells of another.
                self.stop();
                self.view.interrupted();
            }
            SubscriptionEvent::Failed(error) => {
                self.stop();
                self.view.fail(error);
                return Ok(Outcome::Over);
            }
            SubscriptionEvent::Ended => {
                self.stop();
                self.view.closed();
                return Ok(Outcome::Over);
            }
        }
        Ok(Outcome::Fine)
    }

    /// A snapshot of the newest rows says nothing about the older ones that are held since the beginning.
    fn keeps_older(&self) -> bool {
        self.options.last_rows.is_some() && self.horizon.is_some() && self.checks_here()
    }

    fn checks_here(&self) -> bool {
        // The server's own tables have no versions.
        let own = matches!(&*self.live.table.namespace, "system" | "information_schema");
        !own && !self.since
            && self.options.verify != super::Verify::Off
            && self.server.as_ref().is_some_and(|server| !server.complete)
    }

    /// Finds out what can be asked about rows of these columns.
    fn prepare(&mut self, schema: &Arc<Schema>) -> Result<()> {
        self.questions = None;
        if !self.checks_here() {
            return Ok(());
        }
        // Positions are those of the rows that are arriving, not of those that are shown.
        let positions = self.view.arriving_key_positions();
        let is_key = |at: &usize| schema.all_columns()[*at].flags.primary_key;
        // What is no primary key may stand for several rows: there is no set of rows to compare.
        if positions.is_empty() || !positions.iter().all(is_key) {
            return Ok(());
        }
        let mut questions = Questions::new(&self.live, schema, &positions, self.version);
        questions.horizon = self.horizon.flatten();
        questions.literals = self.options.rules.literals;
        self.questions = Some(questions);
        self.epoch += 1;
        self.classify(schema, schema);
        Ok(())
    }

    /// Finds out what the live evaluator follows of the filter, by the types that `table` tells; for rows of `schema`.
    pub(super) fn classify(&mut self, table: &Schema, schema: &Schema) {
        let type_of = |name: &str| -> Option<&DataType> {
            table.all_columns().iter().find(|c| &*c.name == name).map(|column| &column.data_type)
        };
        let at = |name: &str| schema.all_columns().iter().position(|c| &*c.name == name);
        let condition = self.live.filter.as_ref().and_then(Condition::read);
        self.followed = match (&self.live.filter, &condition) {
            (None, _) => Followed::Everything,
            (Some(_), _) if !self.options.rules.know_evaluator => Followed::Entries,
            (Some(_), Some(condition)) if condition.is_followed(type_of) => Followed::Entries,
            (Some(_), _) => Followed::Nothing,
        };
        let sensitive = condition.map(|c| c.null_sensitive()).unwrap_or_default();
        self.null_sensitive = sensitive.iter().map(|name| at(name)).collect();
    }

    fn change(&mut self, now: Time, change: Change) -> Result<()> {
        if self.questions.is_none() || !self.view.is_live() {
            return change.rows.into_iter().try_for_each(|row| self.pass_on(change.kind, row));
        }
        for row in change.rows {
            let (Some(key), Some(version)) = (self.view.key_of(&row), row.version()) else {
                self.pass_on(change.kind, row)?;
                continue;
            };
            self.frames.note(now, &key);
            self.doubt.confirm(&key, version);
            let smaller = || self.view.held(&key).is_some_and(|held| held.version > Some(version));
            if !self.options.rules.arrival_order && smaller() {
                continue;
            }
            let late = self.options.rules.remember_removals
                && self.removed.version(&key).is_some_and(|removed| removed >= version);
            if late {
                // Not resolved by guessing: the number may also be one of a clock that was set back.
                if change.kind != ChangeKind::Delete {
                    self.doubt.open(key, None);
                }
                continue;
            }
            if change.kind == ChangeKind::Delete {
                self.pass_on(change.kind, row)?;
                self.remember(now, key, version);
            } else {
                let doubtful = self.options.rules.doubt_nulls
                    && self
                        .null_sensitive
                        .iter()
                        .any(|at| at.is_none_or(|at| row.all_values()[at].is_null()));
                self.pass_on(change.kind, row)?;
                self.removed.forget(&key);
                if doubtful {
                    self.doubt.open(key, Some(version));
                }
            }
            self.check_passing_state(now);
        }
        if change.unknown_columns && self.options.rules.check_schema {
            self.restart(now, Reason::Schema);
        }
        Ok(())
    }

    fn pass_on(&mut self, kind: ChangeKind, row: Row) -> Result<()> {
        match kind {
            ChangeKind::Insert => self.view.insert(row),
            ChangeKind::Update => self.view.update(row),
            ChangeKind::Delete => self.view.delete(row),
        }
    }

    pub(super) fn remember(&mut self, now: Time, key: Key, version: SeqId) {
        if self.options.rules.remember_removals && !self.removed.remember(key, version) {
            self.verify_by(now);
        }
    }

    /// What to subscribe to, without a snapshot, so that changes which this query is not told are noticed. `None` while
    /// there is nothing to notice.
    pub fn wants_watch(&self) -> Option<LiveSql> {
        let questions = self.questions.as_ref().filter(|_| self.options.rules.watch)?;
        questions.has_filter().then(|| questions.watch())
    }

    /// Grows whenever [`wants_watch`](Self::wants_watch) may give something else.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The watch on this query's table stands, or is gone.
    pub fn handle_watch_state(&mut self, now: Time, up: bool) {
        if self.watched == up {
            return;
        }
        self.watched = up;
        // What changed before it stood, or from now on, is nobody's news.
        self.verify_by(now + Duration::from_millis(20));
    }

    /// The watch told a change of these rows, which hold nothing but the key.
    pub fn handle_watch(&mut self, now: Time, kind: ChangeKind, rows: &[Row]) {
        let Some(questions) = &self.questions else { return };
        if !self.view.is_live() {
            // The snapshot that is arriving is followed by a check.
            return;
        }
        let columns = questions.watch();
        for row in rows {
            let cell = |name: &String| row.schema().index_of_any(name).map(|at| row.all_values()[at].clone());
            let crate::sql::Projection::Columns(names) = &columns.projection else { continue };
            let key: Option<Key> = names.iter().map(cell).collect();
            let (Some(key), Some(version)) = (key, row.version()) else { continue };
            self.frames.note(now, &key);
            let held = self.view.held(&key);
            let unknown = self.removed.version(&key).is_none_or(|removed| removed < version);
            match self.followed {
                Followed::Nothing if held.is_some() || unknown => self.doubt.open(key, Some(version)),
                Followed::Nothing => {}
                Followed::Entries | Followed::Everything => {
                    let Some(held) = held else { continue };
                    let foreign = held.foreign && self.options.rules.keep_sources_apart;
                    let confirmed = !foreign
                        && held.version.is_some_and(|held| match kind {
                            // Still held at the version of its own removal: a contradiction.
                            ChangeKind::Delete => held > version,
                            ChangeKind::Insert | ChangeKind::Update => held >= version,
                        });
                    if !confirmed {
                        self.doubt.wait(now, key, version);
                    }
                }
            }
        }
        self.advance(now);
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

    /// Asks for a fresh snapshot, not too often.
    pub(super) fn restart(&mut self, now: Time, reason: Reason) {
        if self.restart_due.is_some() {
            return;
        }
        let mut report = Repair::new(reason);
        std::mem::swap(&mut report.queries, &mut self.check.report.queries);
        self.report(report);
        if self.options.rules.pace && now < self.restart_not_before {
            self.restart_due = Some(self.restart_not_before);
        } else {
            self.restart_now(now);
        }
    }

    fn restart_now(&mut self, now: Time) {
        let wait = RESTART_DISTANCE * 2u32.saturating_pow(self.restarts.min(8));
        self.restarts += 1;
        self.restart_not_before = now + wait.min(RESTART_FARTHEST);
        self.counters.restarts += 1;
        self.stop();
        self.check.watermark = None;
        self.view.set_unverified(true);
        self.asks.push_back(Ask::Restart);
    }

    pub(super) fn restarts_helped(&mut self) {
        self.restarts = 0;
    }

    /// The table is gone.
    pub(super) fn end(&mut self, error: crate::Error) {
        self.stop();
        self.view.fail(error);
        self.asks.push_back(Ask::End);
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
    fn stop(&mut self) {
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
