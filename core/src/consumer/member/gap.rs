//! When to look whether another member has closed the gap before what is held back.

use super::Time;

/// How long until the next look: shortest, after progress, and longest. Two healthy members take turns in committing what
/// they finished alternately.
const PAUSE: (Time, Time) = (Time::from_millis(20), Time::from_secs(5));
/// The same while closing: there are only seconds for as many turns as the members took in finishing.
const PAUSE_CLOSING: Time = Time::from_millis(10);

/// The timer of those looks.
#[derive(Debug)]
pub(super) struct GapTimer {
    pub(super) at: Option<Time>,
    pause: Time,
    /// The commits that a look was made for.
    looked_for: u64,
}

impl Default for GapTimer {
    fn default() -> Self {
        Self { at: None, pause: PAUSE.0, looked_for: 0 }
    }
}

impl GapTimer {
    pub(super) fn is_due(&self, now: Time) -> bool {
        self.at.is_some_and(|at| now >= at)
    }

    /// Looks after the pause.
    pub(super) fn later(&mut self, now: Time, closing: bool) {
        self.at = Some(now + if closing { PAUSE_CLOSING } else { self.pause });
    }

    /// A look told nothing new: the next ones come more rarely.
    pub(super) fn in_vain(&mut self) {
        self.pause = (self.pause * 2).min(PAUSE.1);
    }

    /// The group has got on.
    pub(super) fn progress(&mut self) {
        self.pause = PAUSE.0;
    }

    /// Whether no look was made for this commit yet.
    pub(super) fn is_new(&self, commit: u64) -> bool {
        self.looked_for < commit
    }

    /// A look is made now, for all commits up to this one.
    pub(super) fn looks(&mut self, commit: u64) {
        self.looked_for = commit;
        self.at = None;
    }

    /// Nothing is held back.
    pub(super) fn stop(&mut self) {
        self.at = None;
        self.progress();
    }
}
