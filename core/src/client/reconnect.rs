//! When to try again.

use std::time::Duration;

/// What to do when the connection is lost, or can not be made.
///
/// Waits grow from `initial` to `max` by doubling, each shortened by a random part so that many clients do not return
/// in step, and start over after a connection that held.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reconnect {
    /// Upper bound of the first wait. 1 s.
    pub initial: Duration,
    /// Upper bound of every wait. 30 s.
    pub max: Duration,
    /// Failures in a row after which the client gives up; a later call starts again. `None`: never.
    pub max_attempts: Option<u32>,
}

impl Reconnect {
    /// No second attempt: the first loss ends every subscription with an error.
    pub fn off() -> Self {
        Self { max_attempts: Some(0), ..Self::default() }
    }

    /// Other waits.
    #[must_use]
    pub fn with_delays(mut self, initial: Duration, max: Duration) -> Self {
        (self.initial, self.max) = (initial, max);
        self
    }

    /// Gives up after so many failures in a row.
    #[must_use]
    pub fn with_max_attempts(mut self, attempts: u32) -> Self {
        self.max_attempts = Some(attempts);
        self
    }
}

impl Default for Reconnect {
    fn default() -> Self {
        Self { initial: Duration::from_secs(1), max: Duration::from_secs(30), max_attempts: None }
    }
}
