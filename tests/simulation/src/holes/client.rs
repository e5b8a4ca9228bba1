//! The client as the runtime drives it: a machine, a keeper for each live query, and the watches that they share.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use kalam_live::converge::{
    Ask, AskId, Holds, Keeper, KeeperOptions, Outcome, Paces, Rules, VerifyCounters, WatchAction, Watches,
};
use kalam_live::live::{LiveOptions, LiveView};
use kalam_live::machine::{
    Config, Decoding, Event, Lifecycle, Machine, OldValues, Restart, Resume, SubscribeOptions,
    SubscribeRequest, SubscriptionEvent, SubscriptionKey,
};
use kalam_live::protocol::StatementResult;
use kalam_live::sql::LiveSql;
use kalam_live::{Error, ErrorCode};

use crate::client::{Check, Taken};
use crate::data::Query;

/// A live query.
#[derive(Debug)]
pub struct Live {
    /// Index of the query.
    pub query: usize,
    /// The rows, and what keeps them right.
    pub keeper: Keeper,
    /// What the reader took.
    pub taken: Taken,
    /// The error that ended it.
    pub error: Option<Error>,
    /// Its options.
    pub options: KeeperOptions,
    /// Questions that are not answered, with the time at which they were asked.
    pub asked: BTreeMap<AskId, Duration>,
    /// What it cost so far.
    pub spent: VerifyCounters,
    key: SubscriptionKey,
    epoch: u64,
    wanted: Option<(String, LiveSql)>,
}

/// A question on its way.
#[derive(Clone, Debug)]
pub struct Question {
    /// Which live query asks.
    pub live: usize,
    /// To be given back.
    pub id: AskId,
    /// The SQL.
    pub sql: String,
}

/// The client.
#[derive(Debug)]
pub struct Client {
    /// The connection.
    pub machine: Machine,
    /// The live queries.
    pub lives: Vec<Live>,
    /// The versions that `live_events` handed out since the last look, and whether there is such a subscription.
    pub handed_out: Vec<i64>,
    events: Option<SubscriptionKey>,
    watches: Watches,
    paces: Paces,
    open: BTreeMap<String, SubscriptionKey>,
    standing: BTreeSet<String>,
    replan: bool,
    replan_at: Option<Duration>,
    questions: Vec<Question>,
    /// Connections so far.
    pub connects: u64,
}

impl Client {
    /// A client without subscriptions.
    pub fn new(config: Config, rules: Rules) -> Self {
        Self {
            machine: Machine::new(config).expect("a good configuration"),
            lives: Vec::new(),
            handed_out: Vec::new(),
            events: None,
            watches: Watches::new(rules),
            paces: Paces::default(),
            open: BTreeMap::new(),
            standing: BTreeSet::new(),
            replan: false,
            replan_at: None,
            questions: Vec::new(),
            connects: 0,
        }
    }

    /// Adds a live query.
    pub fn live(
        &mut self,
        now: Duration,
        at: usize,
        query: &Query,
        options: KeeperOptions,
        page: Option<u32>,
    ) {
        let view = LiveView::new(LiveOptions::default()).expect("default options");
        let batch_size = page.filter(|page| options.last_rows.is_none_or(|n| n <= *page));
        let request = SubscribeRequest {
            id: None,
            sql: query.live.clone(),
            options: SubscribeOptions {
                last_rows: options.last_rows,
                batch_size,
                ..SubscribeOptions::default()
            },
            old: OldValues::Skip,
            resume: Resume::Live,
            decoding: Decoding::ByConnection,
        };
        let key = self.machine.subscribe(now, request).expect("a subscription");
        self.lives.push(Live {
            query: at,
            keeper: Keeper::new(query.live.clone(), options, view),
            taken: Taken::default(),
            error: None,
            options,
            asked: BTreeMap::new(),
            spent: VerifyCounters::default(),
            key,
            epoch: 0,
            wanted: None,
        });
    }

    /// Adds `live_events` on a query.
    pub fn events(&mut self, now: Duration, query: &Query) {
        let request = SubscribeRequest {
            id: Some("events".into()),
            sql: query.live.clone(),
            options: SubscribeOptions { snapshot: false, ..SubscribeOptions::default() },
            old: OldValues::Keep,
            resume: Resume::Cursor,
            decoding: Decoding::ByConnection,
        };
        self.events = Some(self.machine.subscribe(now, request).expect("a subscription"));
    }

    /// The questions since the last call.
    pub fn take_questions(&mut self) -> Vec<Question> {
        std::mem::take(&mut self.questions)
    }

    /// Whether every live query that wants a watch has one that stands.
    pub fn is_watched(&self, live: usize) -> bool {
        self.lives[live].wanted.as_ref().is_some_and(|(sql, _)| self.standing.contains(sql))
    }

    /// When something is due.
    pub fn next_timeout(&self) -> Option<Duration> {
        let keepers = self.lives.iter().filter_map(|live| live.keeper.next_timeout()).min();
        [self.machine.next_timeout(), keepers, self.replan_at].into_iter().flatten().min()
    }

    /// Does what is due and what follows from it. Returns whether anything was done.
    pub fn drive(&mut self, now: Duration) -> Check<bool> {
        let mut progress = false;
        if self.machine.next_timeout().is_some_and(|at| at <= now) {
            self.machine.handle_timeout(now);
            progress = true;
        }
        while let Some(event) = self.machine.poll_event() {
            self.dispatch(now, event)?;
            progress = true;
        }
        for at in 0..self.lives.len() {
            progress |= self.serve(now, at)?;
        }
        self.share_slots(now);
        if self.replan || self.replan_at.is_some_and(|at| at <= now) {
            progress = true;
            self.plan_watches(now);
        }
        Ok(progress)
    }

    /// The answer to a question.
    pub fn answered(
        &mut self,
        now: Duration,
        question: &Question,
        bytes: u64,
        result: kalam_live::Result<Vec<StatementResult>>,
    ) {
        let live = &mut self.lives[question.live];
        let Some(sent) = live.asked.remove(&question.id) else { return };
        live.keeper.handle_answer(now, question.id, sent, bytes, result);
    }

    fn dispatch(&mut self, now: Duration, event: Event) -> Check {
        let (key, event) = match event {
            Event::Lifecycle(Lifecycle::Connected { server, user, .. }) => {
                self.connects += 1;
                let complete = server.is_some_and(|server| server.complete);
                self.lives.iter_mut().for_each(|live| live.keeper.connected(complete, user.as_str()));
                return Ok(());
            }
            Event::Lifecycle(_) => return Ok(()),
            Event::Subscription { key, event } => (key, event),
        };
        if self.events == Some(key) {
            match event {
                SubscriptionEvent::Change(change) => {
                    self.handed_out.extend(change.rows.iter().filter_map(|row| Some(row.version()?.get())));
                }
                SubscriptionEvent::Failed(error) if error.code() != ErrorCode::NotFound => {
                    return Err(format!("live_events failed: {error}"));
                }
                _ => {}
            }
            return Ok(());
        }
        if let Some(at) = self.lives.iter().position(|live| live.key == key) {
            if let SubscriptionEvent::Failed(error) = &event
                && error.code() != ErrorCode::NotFound
            {
                return Err(format!("a live query failed: {error}"));
            }
            match self.lives[at].keeper.handle_event(now, event) {
                Outcome::Fine | Outcome::Over => {}
                Outcome::StartAnew => self.machine.restart(now, key, Restart::Fresh),
                Outcome::Refused => return Err("a keeper refused what the server sent".into()),
            }
            return Ok(());
        }
        let Some(sql) = self.open.iter().find(|(_, open)| **open == key).map(|(sql, _)| sql.clone()) else {
            return Ok(());
        };
        self.watch_event(now, key, &sql, event);
        Ok(())
    }

    fn watch_event(&mut self, now: Duration, key: SubscriptionKey, sql: &str, event: SubscriptionEvent) {
        match event {
            SubscriptionEvent::Ready => self.watch_is(now, sql, true),
            SubscriptionEvent::Interrupted => self.watch_is(now, sql, false),
            SubscriptionEvent::Change(change) => {
                for live in self.lives.iter_mut().filter(|l| l.wanted.as_ref().is_some_and(|(w, _)| w == sql))
                {
                    live.keeper.handle_watch(now, change.kind, &change.rows);
                }
                if self.watches.frame(now, sql) {
                    self.open.remove(sql);
                    self.watch_is(now, sql, false);
                    self.machine.unsubscribe(now, key);
                }
            }
            SubscriptionEvent::Failed(_) | SubscriptionEvent::Ended => {
                if let SubscriptionEvent::Failed(error) = &event
                    && error.code() == ErrorCode::SubscriptionLimit
                {
                    self.watches.slots_are_full(now);
                }
                self.watches.ended(now, sql);
                self.open.remove(sql);
                self.watch_is(now, sql, false);
            }
            SubscriptionEvent::Acked { .. }
            | SubscriptionEvent::Batch { .. }
            | SubscriptionEvent::Deferred(_)
            | SubscriptionEvent::GapPossible { .. } => {}
        }
    }

    fn watch_is(&mut self, now: Duration, sql: &str, up: bool) {
        if up {
            self.standing.insert(sql.to_owned());
        } else {
            self.standing.remove(sql);
        }
        for live in self.lives.iter_mut().filter(|l| l.wanted.as_ref().is_some_and(|(w, _)| w == sql)) {
            live.keeper.handle_watch_state(now, up);
        }
    }

    fn serve(&mut self, now: Duration, at: usize) -> Check<bool> {
        let live = &mut self.lives[at];
        let mut progress = false;
        if live.keeper.next_timeout().is_some_and(|at| at <= now) {
            live.keeper.handle_timeout(now);
            progress = true;
        }
        if live.epoch != live.keeper.epoch() {
            live.epoch = live.keeper.epoch();
            let wanted = live.keeper.wants_watch().map(|watch| (watch.to_sql().expect("SQL"), watch));
            if wanted.as_ref().map(|(sql, _)| sql) != live.wanted.as_ref().map(|(sql, _)| sql) {
                live.wanted = wanted;
                self.replan = true;
            }
        }
        self.machine.keep_rows(live.key, live.keeper.keeps_rows());
        let asked = live.keeper.take_digest();
        while let Some(ask) = live.keeper.poll_ask() {
            progress = true;
            match ask {
                Ask::Query { id, sql } => {
                    live.asked.insert(id, now);
                    self.questions.push(Question { live: at, id, sql });
                }
                Ask::Restart => self.machine.restart(now, live.key, Restart::Fresh),
                Ask::End => self.machine.unsubscribe(now, live.key),
            }
        }
        while live.keeper.poll_report().is_some() {}
        live.spent += live.keeper.take_counters();
        while live.keeper.view().is_ready() {
            match live.keeper.view_mut().take() {
                Some(Ok(rows)) => live.taken.compare(&rows)?,
                Some(Err(error)) => live.error = Some(error),
                None if live.keeper.view().is_ended() => break,
                None => return Err("ready, but there is nothing to take".into()),
            }
        }
        if let Some(distance) = asked {
            // All of them are on one table.
            let until = self.paces.asked(now, self.lives[at].keeper.table(), distance);
            self.lives.iter_mut().for_each(|live| live.keeper.wait_for_table(until));
        }
        Ok(progress)
    }

    /// Where the server had no slot for a live query, those of watches are given back.
    fn share_slots(&mut self, now: Duration) {
        if self.machine.take_slots_wanted() {
            self.watches.slots_are_full(now);
            self.replan = true;
        }
        self.machine.set_spare_slots(!self.open.is_empty());
    }

    fn plan_watches(&mut self, now: Duration) {
        self.replan = false;
        let wanted: Vec<LiveSql> =
            self.lives.iter().filter_map(|live| live.wanted.as_ref().map(|(_, sql)| sql.clone())).collect();
        let queries = self.lives.len() + usize::from(self.events.is_some());
        for action in self.watches.plan(now, &wanted, queries) {
            match action {
                WatchAction::Open(sql, live) => {
                    match self.machine.subscribe(now, SubscribeRequest::watch(live)) {
                        Ok(key) => drop(self.open.insert(sql, key)),
                        Err(_) => self.watches.ended(now, &sql),
                    }
                }
                WatchAction::Close(sql) => {
                    if let Some(key) = self.open.remove(&sql) {
                        self.machine.unsubscribe(now, key);
                    }
                    self.watch_is(now, &sql, false);
                }
            }
        }
        for sql in self.standing.clone() {
            self.watch_is(now, &sql, true);
        }
        let next = self.watches.next_timeout(now);
        self.replan_at = next.filter(|_| !wanted.is_empty());
    }

    /// Ends everything; nothing may be left.
    pub fn close(&mut self, now: Duration) -> Check {
        self.lives.iter_mut().for_each(|live| live.keeper.view_mut().closed());
        self.machine.close();
        self.drive(now)?;
        let left = |live: &Live| {
            let mut holds = live.keeper.holds();
            // Its reader may still take them.
            holds.changes = 0;
            let waits = live.keeper.next_timeout().is_some() || live.keeper.wants_watch().is_some();
            waits || holds != Holds::default()
        };
        let keepers = self.lives.iter().any(left);
        let machine = self.machine.next_timeout().is_some()
            || self.machine.subscriptions().count() > 0
            || self.machine.queued_messages() > 0;
        match (keepers, machine) {
            (false, false) => Ok(()),
            _ => Err(format!("something is left after close: keepers {keepers}, machine {machine}")),
        }
    }
}
