//! Token buckets: so many events a second, with bursts of one second's worth.

use std::collections::HashMap;
use std::hash::Hash;
use std::time::{Duration, Instant};

/// One bucket, full at first.
#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    per_second: f64,
    left: f64,
    filled: Instant,
}

impl Bucket {
    pub(crate) fn new(per_second: u32, now: Instant) -> Self {
        Self { per_second: f64::from(per_second), left: f64::from(per_second), filled: now }
    }

    /// Takes one event's worth, if it is there.
    pub(crate) fn take(&mut self, now: Instant) -> bool {
        let there = self.has_room(now);
        if there {
            self.left -= 1.0;
        }
        there
    }

    fn has_room(&mut self, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.left = (self.left + passed * self.per_second).min(self.per_second);
        self.filled = now;
        self.left >= 1.0
    }
}

/// A bucket for each key (a user, an address). Buckets that are full again are forgotten.
#[derive(Debug)]
pub(crate) struct Buckets<K> {
    per_second: u32,
    buckets: HashMap<K, Bucket>,
}

/// Full again after one second, so this many keys within a second are an attack, and new ones are refused.
const MOST_KEYS: usize = 10_000;

impl<K: Hash + Eq> Buckets<K> {
    pub(crate) fn new(per_second: u32) -> Self {
        Self { per_second, buckets: HashMap::new() }
    }

    /// Whether [`Self::take`] would succeed for this key, were it asked now.
    pub(crate) fn has_room(&mut self, key: &K, now: Instant) -> bool {
        match self.buckets.get_mut(key) {
            Some(bucket) => bucket.has_room(now),
            None => true,
        }
    }

    pub(crate) fn take(&mut self, key: K, now: Instant) -> bool {
        if self.buckets.len() >= MOST_KEYS {
            let full = Duration::from_secs(1);
            self.buckets.retain(|_, bucket| now.saturating_duration_since(bucket.filled) < full);
        }
        let room = self.buckets.len() < MOST_KEYS;
        match self.buckets.get_mut(&key) {
            Some(bucket) => bucket.take(now),
            None if room => {
                let mut bucket = Bucket::new(self.per_second, now);
                let taken = bucket.take(now);
                self.buckets.insert(key, bucket);
                taken
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_one_seconds_worth_and_time_gives_more() {
        let start = Instant::now();
        let mut bucket = Bucket::new(50, start);
        let taken = (0..80).filter(|_| bucket.take(start)).count();
        assert_eq!(taken, 50, "as recorded: 80 messages at once, 30 of them refused");
        let later = start + Duration::from_millis(100);
        assert_eq!((0..80).filter(|_| bucket.take(later)).count(), 5);
        let much_later = start + Duration::from_secs(60);
        assert_eq!((0..80).filter(|_| bucket.take(much_later)).count(), 50);
    }

    #[test]
    fn keys_do_not_share_and_do_not_pile_up() {
        let start = Instant::now();
        let mut buckets = Buckets::new(1);
        assert!(buckets.take(0, start));
        assert!(!buckets.take(0, start));
        assert!(buckets.take(1, start));
        for key in 2..MOST_KEYS + 100 {
            buckets.take(key, start);
        }
        assert_eq!(buckets.buckets.len(), MOST_KEYS);
        assert!(!buckets.take(MOST_KEYS + 200, start), "refused while the table is full");
        assert!(buckets.take(MOST_KEYS + 200, start + Duration::from_secs(2)));
        assert_eq!(buckets.buckets.len(), 1);
    }
}
