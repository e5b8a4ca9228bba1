//! Commits that were asked for, by the caller or by the time, and how they are answered.

use super::pauses::Retry;
use super::{Committed, Time};
use crate::error::Result;

/// The commits of one member. They are numbered: an acknowledgement answers all that were asked for before it.
#[derive(Debug)]
pub(super) struct Commits {
    /// With it what was marked is committed this long after, at most.
    interval: Option<Time>,
    /// What may be committed ends here; with auto-commit there is no end.
    allowed: u64,
    asked: u64,
    answered: u64,
    answers: Vec<(u64, Result<Committed>)>,
    /// After acknowledgements that failed.
    pub(super) retry: Retry,
    /// The automatic commit.
    pub(super) due: Option<Time>,
    /// Something was marked, and no automatic commit is planned yet.
    marked: bool,
}

impl Commits {
    pub(super) fn new(interval: Option<Time>) -> Self {
        Self {
            interval,
            allowed: Self::allowed_unasked(interval),
            asked: 0,
            answered: 0,
            answers: Vec::new(),
            retry: Retry::default(),
            due: None,
            marked: false,
        }
    }

    fn allowed_unasked(interval: Option<Time>) -> u64 {
        if interval.is_some() { u64::MAX } else { 0 }
    }

    /// Where what may be committed ends.
    pub(super) fn allowed(&self) -> u64 {
        self.allowed
    }

    /// Asks for a commit of everything before `end`. Returns its number.
    pub(super) fn ask(&mut self, end: u64) -> u64 {
        self.allowed = self.allowed.max(end);
        self.retry = Retry::default();
        self.ask_for_allowed()
    }

    /// Asks for a commit of what may be committed anyway, at once.
    pub(super) fn ask_for_allowed(&mut self) -> u64 {
        self.retry.at = Time::ZERO;
        self.asked += 1;
        self.asked
    }

    /// The number of the last that was asked for.
    pub(super) fn asked(&self) -> u64 {
        self.asked
    }

    /// Whether somebody waits for an answer.
    pub(super) fn are_wanted(&self) -> bool {
        self.answered < self.asked
    }

    /// Answers all that were asked for.
    pub(super) fn answer(&mut self, result: Result<Committed>) {
        if self.are_wanted() {
            self.answered = self.asked;
            self.answers.push((self.asked, result));
        }
    }

    pub(super) fn next_answer(&mut self) -> Option<(u64, Result<Committed>)> {
        if self.answers.is_empty() { None } else { Some(self.answers.remove(0)) }
    }

    /// Something was marked, at a time that is not known. Returns whether the next [`plan_marked`](Self::plan_marked) has
    /// to come soon, for the interval to begin.
    pub(super) fn mark(&mut self) -> bool {
        self.interval.is_some() && self.due.is_none() && !std::mem::replace(&mut self.marked, true)
    }

    /// Plans the automatic commit of what was marked.
    pub(super) fn plan_marked(&mut self, now: Time) {
        if std::mem::take(&mut self.marked) {
            self.plan(now);
        }
    }

    /// Plans the next automatic commit, unless one is planned.
    pub(super) fn plan(&mut self, now: Time) {
        if let Some(interval) = self.interval {
            self.due.get_or_insert(now + interval);
        }
    }

    /// Whether the time of the automatic commit has come; if so it has to be done now.
    pub(super) fn take_due(&mut self, now: Time) -> bool {
        self.due.take_if(|due| now >= *due).is_some()
    }

    /// The group was moved: what was asked for before does not count for what comes now.
    pub(super) fn forget(&mut self) {
        self.allowed = Self::allowed_unasked(self.interval);
    }
}
