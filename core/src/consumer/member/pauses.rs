//! How long nothing is asked for: after a failure, and when there was nothing.

use crate::error::{Error, ErrorCode};
use crate::machine::{Backoff, Random, Time};

/// Pauses between requests to a server that has no records and does not wait: with them an idle consumer makes less than
/// two requests a second.
const IDLE: [Time; 4] =
    [Time::from_millis(50), Time::from_millis(150), Time::from_millis(400), Time::from_millis(700)];

/// After failures, one after the other.
#[derive(Debug, Default)]
pub(super) struct Retry {
    pub(super) failures: u32,
    /// Nothing is tried before.
    pub(super) at: Time,
}

impl Retry {
    pub(super) fn failed(&mut self, now: Time, error: &Error, backoff: &Backoff, random: &mut Random) {
        self.failures += 1;
        let busy = matches!(error.code(), ErrorCode::RateLimited | ErrorCode::Unavailable);
        self.at = now + backoff.delay(self.failures, busy, random);
    }
}

/// After answers without records, one after the other.
#[derive(Debug, Default)]
pub(super) struct Idle {
    /// Those that came at once.
    empty: usize,
    /// Nothing is asked for before.
    pub(super) until: Time,
}

impl Idle {
    /// The server had nothing and said so after `waited`; it was allowed to wait.
    pub(super) fn nothing(&mut self, now: Time, waited: Time, allowed: Time, random: &mut Random) {
        // A server that waits says nothing for as long as it was allowed to. KalamDB 0.4 does not wait (recorded in
        // `wire/topics.jsonl`).
        if waited >= allowed.mul_f32(0.9) && !allowed.is_zero() {
            self.empty = 0;
            return;
        }
        let pause = IDLE[self.empty.min(IDLE.len() - 1)];
        self.until = now + pause + random.up_to(pause / 10);
        self.empty += 1;
    }

    /// There may be something now.
    pub(super) fn end(&mut self, now: Time) {
        *self = Self { empty: 0, until: now };
    }
}
