//! Keeping live rows right: carries what keepers ask for.

use std::sync::Arc;
use std::task::Context;
use std::time::Duration;

use super::{Owner, Subscriber};
use crate::converge::{Ask, WatchAction};
use crate::error::ErrorCode;
use crate::machine::{Lifecycle, Restart, SubscribeRequest, SubscriptionEvent, SubscriptionKey};
use crate::repair::Repair;
use crate::runtime::checks::Answer;
use crate::runtime::subscriber::Sink;
use crate::sql::{LiveSql, TableName};

impl Owner {
    /// Delivers answers, and does what keepers want that were fed or whose time has come. Returns whether anything was
    /// done.
    pub(super) fn tend(&mut self, cx: &mut Context<'_>) -> bool {
        let mut progress = false;
        while let Some(answer) = self.checks.poll_answer(cx, self.origin) {
            self.answered(answer);
            progress = true;
        }
        let now = self.now();
        let mut due: Vec<SubscriptionKey> = std::mem::take(&mut self.fed);
        due.extend(self.checks.timeouts.iter().filter(|(_, at)| **at <= now).map(|(key, _)| *key));
        // Of those that wait for the same table, the first to be due is the next.
        due.sort_unstable_by_key(|key| (self.checks.timeouts.get(key), *key));
        due.dedup();
        for key in due {
            progress |= self.serve(now, key);
        }
        self.share_slots(now);
        if self.checks.replan || self.checks.replan_at.is_some_and(|at| at <= now) {
            progress |= self.plan_watches(now);
        }
        progress
    }

    fn answered(&mut self, answer: Answer) {
        let now = self.now();
        let Answer { key, ask, sent, bytes, result } = answer;
        match self.subscribers.get_mut(&key).map(|subscriber| &mut subscriber.sink) {
            Some(Sink::Rows(mailbox)) => {
                mailbox.with(|state| state.keeper().handle_answer(now, ask, sent, bytes, result));
                self.touch(key);
            }
            Some(Sink::Events(sink)) => {
                self.checks.counters.bytes += bytes;
                sink.answer(ask, result);
                self.touch_reader(key);
                self.ask_what_was_missed(key);
            }
            Some(Sink::Watch(_)) | None => {}
        }
    }

    /// Asks what a stream of events was not told, if it wants to know.
    pub(super) fn ask_what_was_missed(&mut self, key: SubscriptionKey) {
        let Some(Subscriber { sink: Sink::Events(sink), .. }) = self.subscribers.get_mut(&key) else {
            return;
        };
        if let Some((ask, sql, wait)) = sink.question() {
            self.checks.counters.queries += 1;
            self.checks.counters.bytes += sql.len() as u64;
            self.checks.ask_after(self.origin, wait, key, ask, sql);
        }
    }

    /// Does what the keeper of a live query wants.
    fn serve(&mut self, now: Duration, key: SubscriptionKey) -> bool {
        let Some(Subscriber { sink: Sink::Rows(mailbox), .. }) = self.subscribers.get(&key) else {
            self.checks.forget(key);
            return false;
        };
        let wishes = mailbox.with(|state| state.wishes(now));
        self.checks.counters += wishes.counters;
        match wishes.timeout {
            // Whatever is still due waits for the next turn: others have theirs in between.
            Some(at) => drop(self.checks.timeouts.insert(key, at.max(now + Duration::from_millis(1)))),
            None => drop(self.checks.timeouts.remove(&key)),
        }
        if let Some(watch) = wishes.watch {
            self.checks.replan = true;
            match watch {
                Some(watch) => drop(self.checks.wanted.insert(key, watch)),
                None => drop(self.checks.wanted.remove(&key)),
            }
        }
        if let Some((table, distance)) = wishes.digest {
            self.share_pace(now, &table, distance);
        }
        self.machine.keep_rows(key, wishes.keeps_rows);
        let acted = !wishes.asks.is_empty();
        for ask in wishes.asks {
            match ask {
                Ask::Query { id, sql } => self.checks.ask(self.origin, key, id, sql),
                Ask::Restart => self.machine.restart(now, key, Restart::Fresh),
                Ask::End => self.machine.unsubscribe(now, key),
            }
        }
        for repair in wishes.repairs.into_iter().filter(Repair::repaired) {
            let subscription = self.machine.subscriptions().find(|s| s.key == key).map(|s| s.id);
            let subscription = subscription.unwrap_or_default();
            tracing::debug!(%subscription, ?repair, "live rows were put right");
            self.status.tell(&Lifecycle::Repaired { subscription, repair });
        }
        // A check may have changed what the reader sees.
        self.touch_reader(key);
        acted
    }

    /// A digest of a table is asked for: others on it wait.
    fn share_pace(&mut self, now: Duration, table: &TableName, distance: Duration) {
        let until = self.checks.paces.asked(now, table, distance);
        for subscriber in self.subscribers.values() {
            if let Sink::Rows(mailbox) = &subscriber.sink {
                mailbox.with(|state| {
                    let keeper = state.keeper();
                    if keeper.table() == table {
                        keeper.wait_for_table(until);
                    }
                });
            }
        }
    }

    fn plan_watches(&mut self, now: Duration) -> bool {
        self.checks.replan = false;
        let wanted: Vec<LiveSql> = self.checks.wanted.values().map(|(_, live)| live.clone()).collect();
        let queries = self.subscribers.len() - self.checks.open.len();
        let actions = self.checks.watches.plan(now, &wanted, queries);
        let next = self.checks.watches.next_timeout(now);
        self.checks.replan_at = next.filter(|_| !wanted.is_empty());
        let acted = !actions.is_empty();
        for action in actions {
            match action {
                WatchAction::Open(sql, live) => self.open_watch(now, sql.into(), live),
                WatchAction::Close(sql) => {
                    if let Some(key) = self.checks.open.remove(&*sql) {
                        self.subscribers.remove(&key);
                        self.machine.unsubscribe(now, key);
                    }
                    self.watch_is(now, &sql, false);
                }
            }
        }
        // A query that joins a watch that stands is told so.
        for sql in self.checks.standing.clone() {
            self.watch_is(now, &sql, true);
        }
        acted
    }

    fn open_watch(&mut self, now: Duration, sql: Arc<str>, live: LiveSql) {
        match self.machine.subscribe(now, SubscribeRequest::watch(live)) {
            Ok(key) => {
                self.checks.open.insert(sql.clone(), key);
                self.subscribers.insert(key, Subscriber::new(Sink::Watch(sql)));
            }
            Err(_) => self.checks.watches.ended(now, &sql),
        }
    }

    /// What a watch tells.
    pub(super) fn watch_event(&mut self, key: SubscriptionKey, sql: &Arc<str>, event: SubscriptionEvent) {
        let now = self.now();
        match event {
            SubscriptionEvent::Ready => self.watch_is(now, sql, true),
            SubscriptionEvent::Interrupted => self.watch_is(now, sql, false),
            SubscriptionEvent::Change(change) => {
                for live in self.watching(sql) {
                    if let Some(Subscriber { sink: Sink::Rows(mailbox), .. }) = self.subscribers.get(&live) {
                        mailbox.with(|state| state.keeper().handle_watch(now, change.kind, &change.rows));
                        self.fed.push(live);
                    }
                }
                if self.checks.watches.frame(now, sql) {
                    self.end_watch(now, key, sql);
                    self.machine.unsubscribe(now, key);
                }
            }
            SubscriptionEvent::Failed(error) => {
                tracing::debug!(%error, "a table can not be watched");
                if error.code() == ErrorCode::SubscriptionLimit {
                    self.checks.watches.slots_are_full(now);
                }
                self.checks.watches.ended(now, sql);
                self.end_watch(now, key, sql);
            }
            SubscriptionEvent::Ended => {
                self.checks.watches.ended(now, sql);
                self.end_watch(now, key, sql);
            }
            SubscriptionEvent::Acked { .. }
            | SubscriptionEvent::Batch { .. }
            | SubscriptionEvent::Deferred(_)
            | SubscriptionEvent::GapPossible { .. } => {}
        }
    }

    fn end_watch(&mut self, now: Duration, key: SubscriptionKey, sql: &Arc<str>) {
        if self.checks.open.get(sql) == Some(&key) {
            self.checks.open.remove(sql);
        }
        self.subscribers.remove(&key);
        self.watch_is(now, sql, false);
    }

    /// Tells who relies on a watch whether it stands.
    fn watch_is(&mut self, now: Duration, sql: &str, up: bool) {
        if up {
            self.checks.standing.insert(sql.into());
        } else {
            self.checks.standing.remove(sql);
        }
        for live in self.watching(sql) {
            if let Some(Subscriber { sink: Sink::Rows(mailbox), .. }) = self.subscribers.get(&live) {
                mailbox.with(|state| state.keeper().handle_watch_state(now, up));
                self.fed.push(live);
            }
        }
    }

    fn watching(&self, sql: &str) -> Vec<SubscriptionKey> {
        let wanted = self.checks.wanted.iter().filter(|(_, (wanted, _))| **wanted == *sql);
        wanted.map(|(key, _)| *key).collect()
    }

    /// A connection stands: keepers learn what kind of server it is.
    pub(super) fn tell_server(&mut self, complete: bool, user: &str) {
        for subscriber in self.subscribers.values_mut() {
            subscriber.connected(complete, user);
        }
        self.checks.server = Some((complete, user.to_owned()));
    }

    /// Where the server had no slot for a live query, those of watches are given back.
    fn share_slots(&mut self, now: Duration) {
        if self.machine.take_slots_wanted() {
            self.checks.watches.slots_are_full(now);
            self.checks.replan = true;
        }
        self.machine.set_spare_slots(!self.checks.open.is_empty());
    }
}
