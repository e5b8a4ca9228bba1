//! Limits on guessing passwords: attempts a second by address, failures in a row by user.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::rate::Buckets;
use crate::options::Limits;

/// Why an attempt is refused before its password is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refused {
    /// Too many attempts from this address.
    TooMany,
    /// Too many failures for this user; so many seconds are left.
    Locked { seconds: u64 },
}

/// Counts failed logins. Names of users that do not exist count alike, so an answer tells nothing about them.
///
/// The caller verifies few passwords at the same time, so asking first and counting afterwards allows only as
/// many guesses more.
#[derive(Debug)]
pub(crate) struct Attempts {
    by_address: Buckets<IpAddr>,
    failures: HashMap<String, Failures>,
    allowed: u32,
    lockout: Duration,
}

#[derive(Debug)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Bounds the table. Failures are forgotten after the lockout time, and failures by address are limited.
const MOST_NAMES: usize = 10_000;

impl Attempts {
    pub(crate) fn new(limits: &Limits) -> Self {
        Self {
            by_address: Buckets::new(limits.login_failures_per_second),
            failures: HashMap::new(),
            allowed: limits.login_failures.max(1),
            lockout: limits.lockout,
        }
    }

    /// Asked before a password is verified.
    pub(crate) fn check(&mut self, user: &str, address: IpAddr, now: Instant) -> Result<(), Refused> {
        if !self.by_address.has_room(&address, now) {
            return Err(Refused::TooMany);
        }
        match self.failures.get(user) {
            Some(failures) if failures.count >= self.allowed => {
                let left = self.lockout.saturating_sub(now.saturating_duration_since(failures.last));
                match left.as_secs_f64().ceil() as u64 {
                    0 => Ok(()),
                    seconds => Err(Refused::Locked { seconds }),
                }
            }
            None if self.failures.len() >= MOST_NAMES => {
                let lockout = self.lockout;
                self.failures.retain(|_, failures| now.saturating_duration_since(failures.last) < lockout);
                if self.failures.len() < MOST_NAMES { Ok(()) } else { Err(Refused::TooMany) }
            }
            _ => Ok(()),
        }
    }

    /// The password was wrong.
    pub(crate) fn failed(&mut self, user: &str, address: IpAddr, now: Instant) {
        self.by_address.take(address, now);
        let failures = self.failures.entry(user.to_owned()).or_insert(Failures { count: 0, last: now });
        if now.saturating_duration_since(failures.last) >= self.lockout {
            failures.count = 0;
        }
        failures.count = failures.count.saturating_add(1);
        failures.last = now;
    }

    /// The password was right: the user's failures are forgotten.
    pub(crate) fn succeeded(&mut self, user: &str) {
        self.failures.remove(user);
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn attempts() -> Attempts {
        let limits = Limits {
            login_failures: 3,
            lockout: Duration::from_secs(60),
            login_failures_per_second: 10,
            ..Limits::default()
        };
        Attempts::new(&limits)
    }

    #[test]
    fn failures_lock_one_user_for_a_while() {
        let (mut attempts, start) = (attempts(), Instant::now());
        for _ in 0..3 {
            assert_eq!(attempts.check("ann", HERE, start), Ok(()));
            attempts.failed("ann", HERE, start);
        }
        let later = start + Duration::from_secs(20);
        assert_eq!(attempts.check("ann", HERE, later), Err(Refused::Locked { seconds: 40 }));
        assert_eq!(attempts.check("bob", HERE, later), Ok(()));
        let over = start + Duration::from_secs(60);
        assert_eq!(attempts.check("ann", HERE, over), Ok(()));
        attempts.failed("ann", HERE, over);
        assert_eq!(attempts.check("ann", HERE, over), Ok(()), "the count starts anew");
    }

    #[test]
    fn a_success_forgets_the_failures() {
        let (mut attempts, start) = (attempts(), Instant::now());
        for round in 0..3 {
            let now = start + Duration::from_secs(round);
            attempts.failed("ann", HERE, now);
            attempts.failed("ann", HERE, now);
            assert_eq!(attempts.check("ann", HERE, now), Ok(()));
            attempts.succeeded("ann");
        }
    }

    #[test]
    fn one_address_may_fail_so_often() {
        let (mut attempts, start) = (attempts(), Instant::now());
        for n in 0..10 {
            assert_eq!(attempts.check("other", HERE, start), Ok(()));
            attempts.failed(&format!("user{n}"), HERE, start);
        }
        assert_eq!(attempts.check("other", HERE, start), Err(Refused::TooMany));
        let elsewhere = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));
        assert_eq!(attempts.check("other", elsewhere, start), Ok(()));
        assert_eq!(attempts.check("other", HERE, start + Duration::from_secs(1)), Ok(()));
    }
}
