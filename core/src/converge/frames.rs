//! What frames have told of which key, as far as it matters to answers that are still to come.

use std::time::Duration;

use foldhash::fast::RandomState;
use hashbrown::HashMap;

use super::Key;
use crate::machine::Time;
use crate::schema::SeqId;

/// So many keys are kept apart while an answer is outstanding; then all count as touched.
const MOST_TOUCHED: usize = 50_000;
/// So many removed keys are remembered.
const MOST_REMOVED: usize = 10_000;
/// So many frames in a second are a burst, of which the server may have dropped some.
const BURST: u32 = 100;

/// Counts frames, and tells which keys they touched since an answer was asked for.
#[derive(Debug, Default)]
pub(super) struct Frames {
    clock: u64,
    touched: HashMap<Key, u64, RandomState>,
    /// All keys count as touched at this moment.
    flooded: u64,
    /// An answer is outstanding.
    recording: bool,
    pub(super) last: Option<Time>,
    window: (Time, u32),
    /// There was a burst since the last check.
    pub(super) burst: bool,
}

impl Frames {
    /// The moment of the latest frame.
    pub(super) fn clock(&self) -> u64 {
        self.clock
    }

    pub(super) fn note(&mut self, now: Time, key: &Key) {
        self.clock += 1;
        self.last = Some(now);
        if now.saturating_sub(self.window.0) > Duration::from_secs(1) {
            self.window = (now, 0);
        }
        self.window.1 += 1;
        self.burst |= self.window.1 >= BURST;
        if !self.recording {
            return;
        }
        if self.touched.len() >= MOST_TOUCHED {
            self.touched.clear();
            self.flooded = self.clock;
        }
        self.touched.insert(key.clone(), self.clock);
    }

    /// Keys are remembered from now on.
    pub(super) fn record(&mut self) {
        self.recording = true;
    }

    /// No answer is outstanding.
    pub(super) fn forget(&mut self) {
        self.recording = false;
        self.touched = HashMap::default();
    }

    pub(super) fn len(&self) -> usize {
        self.touched.len()
    }

    pub(super) fn touched_since(&self, key: &Key, clock: u64) -> bool {
        self.flooded > clock || self.touched.get(key).is_some_and(|at| *at > clock)
    }
}

/// Removed keys with their versions, all of this connection.
#[derive(Debug, Default)]
pub(super) struct Removed(HashMap<Key, SeqId, RandomState>);

impl Removed {
    /// Returns `false` when a key had to be forgotten.
    pub(super) fn remember(&mut self, key: Key, version: SeqId) -> bool {
        let fits = self.0.len() < MOST_REMOVED || self.0.contains_key(&key);
        if !fits {
            self.0.clear();
        }
        let at = self.0.entry(key).or_insert(version);
        *at = (*at).max(version);
        fits
    }

    /// The version at which the key was removed.
    pub(super) fn version(&self, key: &Key) -> Option<SeqId> {
        self.0.get(key).copied()
    }

    /// The key is back.
    pub(super) fn forget(&mut self, key: &Key) {
        self.0.remove(key);
    }

    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}
