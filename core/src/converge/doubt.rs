//! Keys that another subscription told a change of, and what became of them.

use std::collections::VecDeque;
use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::frames::Frames;
use super::{AskId, Key};
use crate::machine::Time;
use crate::schema::SeqId;

/// So long may the live query take to confirm a change that the watch told.
pub(super) const CONFIRM: Duration = Duration::from_millis(50);
/// Between two look-ups.
const DISTANCE: Duration = Duration::from_millis(600);
/// While frames keep coming, one look-up pays for so many: under 5 % of them.
const ENOUGH: u64 = 28;
/// But a key is not in doubt for longer than this.
const LONGEST: Duration = Duration::from_secs(3);
/// And when no frame came for so long, the rows are to be right within a second of the last.
const QUIET: Duration = Duration::from_millis(500);
const FARTHEST: Duration = Duration::from_secs(30);
/// Keys in one look-up.
const BATCH: usize = 200;
/// With more keys than this, comparing everything is less work.
const MOST: usize = 2_000;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    /// Told by the watch, not yet by the live query.
    waiting: HashMap<Key, SeqId, RandomState>,
    deadlines: VecDeque<(Time, Key)>,
    /// To be looked up, with the version that the watch told, if it was the watch.
    open: HashMap<Key, Option<SeqId>, RandomState>,
    order: VecDeque<Key>,
    pub(super) asked: Option<Asked>,
    not_before: Time,
    /// The latest look-up, and the moment of its query.
    last: Option<(Time, u64)>,
    failures: u32,
}

/// A look-up that is not answered yet.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) id: AskId,
    pub(super) clock: u64,
    pub(super) keys: Vec<(Key, Option<SeqId>)>,
}

impl Doubt {
    /// The watch told a change.
    pub(super) fn wait(&mut self, now: Time, key: Key, version: SeqId) {
        self.deadlines.push_back((now + CONFIRM, key.clone()));
        let at = self.waiting.entry(key).or_insert(version);
        *at = (*at).max(version);
    }

    /// The live query told a change.
    pub(super) fn confirm(&mut self, key: &Key, version: SeqId) {
        if self.waiting.get(key).is_some_and(|told| version >= *told) {
            self.waiting.remove(key);
        }
    }

    /// The key is to be looked up.
    pub(super) fn open(&mut self, key: Key, version: Option<SeqId>) {
        match self.open.get_mut(&key) {
            Some(at) => *at = (*at).max(version),
            None => {
                self.order.push_back(key.clone());
                self.open.insert(key, version);
            }
        }
    }

    /// Those that were not confirmed in time are looked up. Returns whether there are too many: everything is to be
    /// compared instead, and nothing is looked up.
    pub(super) fn expire(&mut self, now: Time) -> bool {
        while self.deadlines.front().is_some_and(|(deadline, _)| *deadline <= now) {
            let Some((_, key)) = self.deadlines.pop_front() else { break };
            // One that was told again has a later deadline too; it is looked up at the first.
            if let Some(version) = self.waiting.remove(&key) {
                self.open(key, Some(version));
            }
        }
        let too_many = self.open.len() > MOST;
        if too_many {
            self.open.clear();
            self.order.clear();
        }
        too_many
    }

    /// The next keys to look up, when it is time.
    pub(super) fn next(
        &mut self,
        now: Time,
        pace: bool,
        frames: &Frames,
    ) -> Option<Vec<(Key, Option<SeqId>)>> {
        if self.asked.is_some() || self.order.is_empty() || (pace && now < self.due(frames)) {
            return None;
        }
        self.last = Some((now, frames.clock()));
        let mut keys = Vec::new();
        while keys.len() < BATCH
            && let Some(key) = self.order.pop_front()
        {
            if let Some(version) = self.open.remove(&key) {
                keys.push((key, version));
            }
        }
        Some(keys)
    }

    /// When the next look-up may be.
    fn due(&self, frames: &Frames) -> Time {
        let (Some((at, clock)), Some(frame)) = (self.last, frames.last) else { return self.not_before };
        match frames.clock() - clock < ENOUGH {
            true => self.not_before.max((frame + QUIET).min(at + LONGEST)),
            false => self.not_before,
        }
    }

    pub(super) fn answered(&mut self, now: Time, took: Duration) {
        self.failures = 0;
        self.not_before = now + DISTANCE.saturating_sub(took).max(took * 2);
    }

    /// The keys are to be looked up again, later. Returns how often that happened in a row.
    pub(super) fn failed(&mut self, now: Time, keys: Vec<(Key, Option<SeqId>)>) -> u32 {
        self.failures += 1;
        self.not_before = now + (DISTANCE * 2u32.saturating_pow(self.failures.min(8))).min(FARTHEST);
        keys.into_iter().for_each(|(key, version)| self.open(key, version));
        self.failures
    }

    pub(super) fn next_timeout(&self, frames: &Frames) -> Option<Time> {
        let deadline = self.deadlines.front().map(|(deadline, _)| *deadline);
        let look_up = (self.asked.is_none() && !self.order.is_empty()).then(|| self.due(frames));
        deadline.into_iter().chain(look_up).min()
    }

    /// Whether something is still to be looked up, or may have to be.
    pub(super) fn is_open(&self) -> bool {
        self.asked.is_some() || !self.order.is_empty() || !self.waiting.is_empty()
    }

    /// Keys, and how long they are waited for.
    pub(super) fn len(&self) -> usize {
        let asked = self.asked.as_ref().map_or(0, |asked| asked.keys.len());
        self.deadlines.len().max(self.waiting.len()) + self.open.len().max(self.order.len()) + asked
    }

    pub(super) fn is_asked(&self, id: AskId) -> bool {
        self.asked.as_ref().is_some_and(|asked| asked.id == id)
    }
}
