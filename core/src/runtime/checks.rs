//! The checks of live rows under way: queries on tasks of their own, a few at a time, and the watches.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::Instant;

use super::asker::Asker;
use crate::converge::{AskId, Paces, VerifyCounters, Watches};
use crate::error::{Error, ErrorCode, Result};
use crate::machine::SubscriptionKey;
use crate::protocol::StatementResult;
use crate::sql::LiveSql;

/// Queries under way at a time. What a program asks for itself comes first.
const MOST: usize = 4;

/// An answer to a keeper's question.
pub(super) struct Answer {
    pub(super) key: SubscriptionKey,
    pub(super) ask: AskId,
    /// When the query was sent.
    pub(super) sent: Duration,
    pub(super) bytes: u64,
    pub(super) result: Result<Vec<StatementResult>>,
}

/// See the module.
pub(super) struct Checks {
    asker: Asker,
    running: JoinSet<Answer>,
    waiting: VecDeque<(SubscriptionKey, AskId, String, Duration)>,
    /// Which query every running task is for, in case it panics.
    asked: HashMap<tokio::task::Id, (SubscriptionKey, AskId, Duration)>,
    pub(super) watches: Watches,
    pub(super) paces: Paces,
    /// The open watches, by their SQL.
    pub(super) open: HashMap<Arc<str>, SubscriptionKey>,
    /// The SQL of those that the server has accepted.
    pub(super) standing: BTreeSet<Arc<str>>,
    /// What each live query wants watched.
    pub(super) wanted: HashMap<SubscriptionKey, (Arc<str>, LiveSql)>,
    /// The wishes changed since watches were planned last.
    pub(super) replan: bool,
    /// When they are to be planned again in any case.
    pub(super) replan_at: Option<Duration>,
    /// When each keeper wants to be called next.
    pub(super) timeouts: HashMap<SubscriptionKey, Duration>,
    pub(super) counters: VerifyCounters,
    /// Who is at the other end: whether it announced itself complete, and the user.
    pub(super) server: Option<(bool, String)>,
}

impl Checks {
    pub(super) fn new(asker: Asker) -> Self {
        Self {
            asker,
            running: JoinSet::new(),
            waiting: VecDeque::new(),
            asked: HashMap::new(),
            watches: Watches::default(),
            paces: Paces::default(),
            open: HashMap::new(),
            standing: BTreeSet::new(),
            wanted: HashMap::new(),
            replan: false,
            replan_at: None,
            timeouts: HashMap::new(),
            counters: VerifyCounters::default(),
            server: None,
        }
    }

    pub(super) fn ask(&mut self, origin: Instant, key: SubscriptionKey, id: AskId, sql: String) {
        self.ask_after(origin, Duration::ZERO, key, id, sql);
    }

    /// [`ask`](Self::ask), not before so much time has passed since it is its turn.
    pub(super) fn ask_after(
        &mut self,
        origin: Instant,
        wait: Duration,
        key: SubscriptionKey,
        id: AskId,
        sql: String,
    ) {
        self.waiting.push_back((key, id, sql, wait));
        self.start(origin);
    }

    fn start(&mut self, origin: Instant) {
        while self.running.len() < MOST
            && let Some((key, ask, sql, wait)) = self.waiting.pop_front()
        {
            let asker = self.asker.clone();
            let sent = origin.elapsed() + wait;
            let task = self.running.spawn(async move {
                if !wait.is_zero() {
                    tokio::time::sleep(wait).await;
                }
                let (bytes, result) = asker.read(&sql).await;
                Answer { key, ask, sent, bytes, result }
            });
            self.asked.insert(task.id(), (key, ask, sent));
        }
    }

    /// The connection is lost: what was asked is of no use to who asked it, and may wait for an answer on an HTTP connection
    /// that is as dead.
    pub(super) fn abandon(&mut self, network_failed: bool) {
        self.server = None;
        self.running = JoinSet::new();
        self.asked.clear();
        self.waiting.clear();
        if network_failed {
            self.asker.forget_connections();
        }
    }

    /// The next answer that has come.
    pub(super) fn poll_answer(&mut self, cx: &mut Context<'_>, origin: Instant) -> Option<Answer> {
        let Poll::Ready(Some(joined)) = self.running.poll_join_next_with_id(cx) else { return None };
        let answer = match joined {
            Ok((id, answer)) => {
                self.asked.remove(&id);
                Some(answer)
            }
            Err(error) => self.asked.remove(&error.id()).map(|(key, ask, sent)| {
                let error = Error::new(ErrorCode::Disconnected, "the query was aborted");
                Answer { key, ask, sent, bytes: 0, result: Err(error) }
            }),
        };
        self.start(origin);
        answer
    }

    /// The next time at which something is due.
    pub(super) fn next_timeout(&self) -> Option<Duration> {
        self.timeouts.values().copied().chain(self.replan_at).min()
    }

    /// A live query has ended. Running queries end by themselves; nobody waits for them.
    pub(super) fn forget(&mut self, key: SubscriptionKey) {
        self.waiting.retain(|(other, ..)| *other != key);
        self.timeouts.remove(&key);
        self.replan |= self.wanted.remove(&key).is_some();
    }
}
