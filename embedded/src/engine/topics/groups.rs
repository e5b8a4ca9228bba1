//! Who of a group has which records: claims that run out. Pure, and in memory only: after a restart what was claimed
//! and not acknowledged is delivered again.

use std::{collections::BTreeMap, time::Instant};

/// One group's progress in one partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Group {
    /// The first offset that is not acknowledged.
    base: i64,
    /// The first offset that was never delivered.
    cursor: i64,
    /// Delivered and not acknowledged, by first offset: end and when it is delivered again. They do not overlap.
    claims: BTreeMap<i64, Claim>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Claim {
    /// Exclusive.
    end: i64,
    until: Instant,
}

impl Group {
    pub(super) fn at(base: i64) -> Self {
        Self { base, cursor: base, claims: BTreeMap::new() }
    }

    pub(super) fn base(&self) -> i64 {
        self.base
    }

    /// Where what was never delivered begins.
    pub(super) fn cursor(&self) -> i64 {
        self.cursor
    }

    /// Everything before `base` is done.
    pub(super) fn advance(&mut self, base: i64) {
        if base <= self.base {
            return;
        }
        self.base = base;
        self.cursor = self.cursor.max(base);
        let rest = self.claims.split_off(&base);
        let split = self.claims.last_key_value().map(|(_, claim)| *claim).filter(|claim| claim.end > base);
        self.claims = rest;
        if let Some(claim) = split {
            self.claims.insert(base, claim);
        }
    }

    /// Claims that have run out, as ranges, in order.
    pub(super) fn expired(&self, now: Instant) -> Vec<(i64, i64)> {
        let ranges = self.claims.iter().filter(|(_, claim)| claim.until <= now);
        ranges.map(|(start, claim)| (*start, claim.end)).collect()
    }

    /// When the next claim runs out.
    pub(super) fn next_expiry(&self) -> Option<Instant> {
        self.claims.values().map(|claim| claim.until).min()
    }

    /// Delivers again what was read of an expired range: the first `taken` offsets of it are claimed anew. A record that
    /// is no longer there is not waited for.
    pub(super) fn reclaim(&mut self, (start, end): (i64, i64), taken_to: i64, until: Instant) {
        let Some(claim) = self.claims.remove(&start) else { return };
        if taken_to > start {
            self.claims.insert(start, Claim { end: taken_to, until });
        }
        if taken_to < end {
            self.claims.insert(taken_to.max(start), Claim { end, ..claim });
        }
    }

    /// An expired range of which nothing is left.
    pub(super) fn forget(&mut self, start: i64) {
        self.claims.remove(&start);
    }

    /// Delivers what was never delivered, up to `end`.
    pub(super) fn claim_new(&mut self, first: i64, end: i64, until: Instant) {
        self.claims.insert(first, Claim { end, until });
        self.cursor = end;
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn claims_run_out_and_acknowledgements_cut_them() {
        let now = Instant::now();
        let later = now + Duration::from_secs(30);
        let mut group = Group::at(0);
        group.claim_new(0, 3, later);
        group.claim_new(3, 6, later + Duration::from_secs(1));
        assert_eq!((group.base(), group.cursor(), group.next_expiry()), (0, 6, Some(later)));
        assert!(group.expired(now).is_empty());
        assert_eq!(group.expired(later), [(0, 3)]);
        group.advance(2);
        assert_eq!(group.expired(later), [(2, 3)], "what is acknowledged is not delivered again");
        group.reclaim((2, 3), 3, later + Duration::from_secs(30));
        assert!(group.expired(later).is_empty());
        group.advance(6);
        assert_eq!((group.base(), group.next_expiry()), (6, None));
        group.advance(4);
        assert_eq!(group.base(), 6, "an acknowledgement never takes one back");
        group.advance(9);
        assert_eq!((group.base(), group.cursor()), (9, 9));
    }

    #[test]
    fn a_part_of_an_expired_range_stays_expired() {
        let now = Instant::now();
        let mut group = Group::at(0);
        group.claim_new(0, 10, now);
        group.reclaim((0, 10), 4, now + Duration::from_secs(30));
        assert_eq!(group.expired(now), [(4, 10)]);
        group.forget(4);
        assert!(group.expired(now).is_empty());
    }
}
