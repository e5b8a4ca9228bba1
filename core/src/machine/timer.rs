//! The deadlines of a connection: one slot for each kind, so that setting one again replaces it.

use super::Time;

/// What a deadline is for, in the order in which those that expire at the same moment are handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Timer {
    /// The driver has not answered `FetchCredentials`.
    Credentials,
    /// The link has not opened.
    Open,
    /// The server has not said `auth_success`.
    Authenticate,
    /// The token in the upgrade request seems not to have arrived: send it as a message.
    AuthenticateByMessage,
    /// Nothing has been heard since a ping.
    Pong,
    /// The next attempt is due.
    Retry,
    /// The connection has held long enough for the backoff to start over.
    Stable,
    /// A deadline of some subscription.
    Subscription,
    /// Time to ping.
    Keepalive,
    /// The pacer lets the next message through.
    Send,
}

impl Timer {
    const ALL: [Self; 10] = [
        Self::Credentials,
        Self::Open,
        Self::Authenticate,
        Self::AuthenticateByMessage,
        Self::Pong,
        Self::Retry,
        Self::Stable,
        Self::Subscription,
        Self::Keepalive,
        Self::Send,
    ];
}

/// When each [`Timer`] expires.
#[derive(Debug, Default)]
pub(super) struct TimerTable([Option<Time>; Timer::ALL.len()]);

impl TimerTable {
    pub(super) fn set(&mut self, timer: Timer, at: Time) {
        self.0[timer as usize] = Some(at);
    }

    pub(super) fn stop(&mut self, timer: Timer) {
        self.0[timer as usize] = None;
    }

    pub(super) fn stop_all(&mut self) {
        *self = Self::default();
    }

    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.0[timer as usize].is_some()
    }

    /// The earliest deadline.
    pub(super) fn next(&self) -> Option<Time> {
        self.0.iter().flatten().min().copied()
    }

    /// Stops and returns the first timer that has expired.
    pub(super) fn expire(&mut self, now: Time) -> Option<Timer> {
        let timer = Timer::ALL.into_iter().find(|t| self.0[*t as usize].is_some_and(|at| at <= now))?;
        self.stop(timer);
        Some(timer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expires_in_order_and_once() {
        let mut timers = TimerTable::default();
        let at = Time::from_secs;
        timers.set(Timer::Keepalive, at(5));
        timers.set(Timer::Pong, at(5));
        timers.set(Timer::Retry, at(9));
        timers.set(Timer::Retry, at(7));
        assert_eq!(timers.next(), Some(at(5)));
        assert_eq!(timers.expire(at(4)), None);
        assert_eq!(timers.expire(at(5)), Some(Timer::Pong));
        assert_eq!(timers.expire(at(5)), Some(Timer::Keepalive));
        assert_eq!(timers.expire(at(5)), None);
        assert_eq!(timers.next(), Some(at(7)));
        assert!(timers.is_set(Timer::Retry));
        timers.stop_all();
        assert_eq!(timers.next(), None);
    }

    #[test]
    fn every_timer_has_its_own_slot() {
        for (i, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, i);
        }
    }
}
