//! How long to wait before the next attempt.

use std::time::Duration;

use super::random::Random;

/// Exponential backoff with full jitter: attempt `n` waits a random time between zero and
/// `min(max, initial * 2^(n-1))`, so that clients that lost a server together do not return together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// Upper bound of the first wait.
    pub initial: Duration,
    /// Upper bound of every wait.
    pub max: Duration,
    /// Waited in addition when the server said that it is busy or restarting: close codes 1012 and 1013, HTTP 429 and
    /// 503.
    pub busy: Duration,
    /// How long a connection must hold before the next loss counts as the first again.
    pub stable_after: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            initial: Duration::from_millis(500),
            max: Duration::from_secs(30),
            busy: Duration::from_secs(1),
            stable_after: Duration::from_secs(10),
        }
    }
}

impl Backoff {
    /// The wait after this many failures in a row, at least one.
    pub(crate) fn delay(&self, failures: u32, busy: bool, random: &mut Random) -> Duration {
        let doublings = failures.saturating_sub(1).min(31);
        let ceiling = self.initial.saturating_mul(1 << doublings).min(self.max);
        let jittered = random.up_to(ceiling);
        if busy { self.busy.saturating_add(jittered) } else { jittered }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(failures: u32, busy: bool) -> Vec<Duration> {
        let mut random = Random::new(7);
        (0..4_000).map(|_| Backoff::default().delay(failures, busy, &mut random)).collect()
    }

    #[test]
    fn is_uniform_below_a_doubling_ceiling() {
        for (failures, ceiling_ms) in
            [(1, 500), (2, 1_000), (5, 8_000), (7, 30_000), (1_000, 30_000), (u32::MAX, 30_000)]
        {
            let ceiling = Duration::from_millis(ceiling_ms);
            let delays = delays(failures, false);
            assert!(delays.iter().all(|d| *d <= ceiling), "failures {failures}");
            // Every tenth of the range gets its share of 400, within six standard deviations.
            let mut tenths = [0_u32; 10];
            for delay in &delays {
                tenths[((delay.as_secs_f64() / ceiling.as_secs_f64() * 10.0) as usize).min(9)] += 1;
            }
            assert!(tenths.iter().all(|n| (285..=515).contains(n)), "failures {failures}: {tenths:?}");
        }
    }

    #[test]
    fn a_busy_server_is_left_alone_for_longer() {
        assert!(delays(1, true).iter().all(|d| *d >= Backoff::default().busy));
    }

    #[test]
    fn seeds_differ() {
        let first = |seed| Backoff::default().delay(3, false, &mut Random::new(seed));
        assert_ne!(first(1), first(2));
        assert_eq!(first(1), first(1));
    }
}
