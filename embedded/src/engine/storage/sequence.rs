//! Numbers that only grow: `_seq` for row versions, and the identifiers of the SQL functions.

use std::sync::atomic::{AtomicI64, Ordering};

use crate::engine::time;

/// 2024-01-01T00:00:00Z in milliseconds: the zero of `_seq` (as recorded, `wire/types.jsonl`).
const SEQ_EPOCH_MS: i64 = 1_704_067_200_000;
/// Milliseconds stand above these bits.
const SHIFT: u32 = 22;
/// The node stands below them (recorded in `wire/cluster.jsonl`), above a counter.
const NODE_SHIFT: u32 = 12;
const COUNTER: i64 = (1 << NODE_SHIFT) - 1;
/// How far ahead of use numbers are reserved in the data: one small extra write per ten seconds of writing.
const RESERVE: i64 = 10_000 << SHIFT;

/// Hands out `_seq` under the commit lock: milliseconds in the upper bits, then the node, then a counter that begins
/// with each millisecond; strictly increasing, also over restarts and when the clock goes back.
#[derive(Debug)]
pub(crate) struct Sequence {
    node: i64,
    last: i64,
    /// No number above this one was ever committed.
    reserved: i64,
}

impl Sequence {
    /// `reserved` is what the data says; numbers up to it may be taken.
    pub(crate) fn new(reserved: i64, node: u16) -> Self {
        Self { node: i64::from(node) << NODE_SHIFT, last: reserved, reserved }
    }

    pub(crate) fn next(&mut self) -> i64 {
        self.next_at(time::now_micros() / 1000)
    }

    fn next_at(&mut self, now_ms: i64) -> i64 {
        let (now, last) = (now_ms - SEQ_EPOCH_MS, self.last >> SHIFT);
        let first = |millis: i64| millis << SHIFT | self.node;
        let has_room = self.last >= first(last) && self.last < first(last) + COUNTER;
        self.last = match now > last {
            true => first(now),
            false if has_room => self.last + 1,
            false => first(last + 1),
        };
        self.last
    }

    /// What to write into the data before this commit, if anything.
    pub(crate) fn to_reserve(&self) -> Option<i64> {
        (self.last > self.reserved).then_some(self.last + RESERVE)
    }

    /// The commit that wrote `reserved` is durable.
    pub(crate) fn reserved(&mut self, reserved: i64) {
        self.reserved = reserved;
    }
}

/// The least number that could be given at this moment.
pub(crate) fn first_at(micros: i64) -> i64 {
    (micros / 1000 - SEQ_EPOCH_MS).max(0) << SHIFT
}

/// `SNOWFLAKE_ID()`: Unix milliseconds in the upper bits, unique in this process.
#[derive(Debug, Default)]
pub(crate) struct Snowflake(AtomicI64);

impl Snowflake {
    /// Begins behind all that were given while the data had reserved so many `_seq`: the clock may have been ahead then.
    pub(crate) fn begin_after(&self, reserved_seq: i64) {
        if reserved_seq > 0 {
            self.0.fetch_max(((reserved_seq >> SHIFT) + SEQ_EPOCH_MS) << SHIFT, Ordering::Relaxed);
        }
    }

    pub(crate) fn next(&self) -> i64 {
        let now = (time::now_micros() / 1000) << SHIFT;
        let following = |last: i64| Some((last + 1).max(now));
        // The closure never refuses, so both arms hold the previous value.
        let (Ok(last) | Err(last)) = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, following);
        (last + 1).max(now)
    }
}

/// `ULID()`: 48 bits of milliseconds and 80 random bits in Crockford's base 32.
pub(crate) fn ulid() -> String {
    const DIGITS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    let millis = (time::now_micros() / 1000) as u128 & ((1 << 48) - 1);
    let random = uuid::Uuid::new_v4().as_u128() & ((1 << 80) - 1);
    let bits = millis << 80 | random;
    (0..26).rev().map(|i| char::from(DIGITS[(bits >> (i * 5)) as usize & 31])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_when_the_clock_does_not() {
        let mut sequence = Sequence::new(0, 0);
        let first = sequence.next_at(SEQ_EPOCH_MS + 5);
        assert_eq!(first, 5 << SHIFT);
        assert_eq!(sequence.next_at(SEQ_EPOCH_MS + 5), first + 1);
        assert_eq!(sequence.next_at(SEQ_EPOCH_MS + 1), first + 2);
        assert_eq!(sequence.next_at(SEQ_EPOCH_MS + 6), 6 << SHIFT);
    }

    #[test]
    fn a_millisecond_that_is_full_borrows_from_the_next() {
        let mut sequence = Sequence::new(0, 3);
        let numbers: Vec<i64> = (0..10_000).map(|_| sequence.next_at(SEQ_EPOCH_MS + 5)).collect();
        assert!(numbers.is_sorted_by(|a, b| a < b));
        assert!(numbers.iter().all(|number| number >> NODE_SHIFT & 1023 == 3));
        assert_eq!(numbers.last().map(|number| number >> SHIFT), Some(7));
        // Another node goes on where this one stopped.
        assert_eq!(Sequence::new(numbers[9999], 2).next_at(SEQ_EPOCH_MS), 8 << SHIFT | 2 << NODE_SHIFT);
    }

    #[test]
    fn grows_over_a_restart_with_an_older_clock() {
        let mut before = Sequence::new(0, 0);
        let last = before.next_at(SEQ_EPOCH_MS + 1000);
        let reserved = before.to_reserve().unwrap();
        before.reserved(reserved);
        assert_eq!(before.to_reserve(), None);
        assert!(Sequence::new(reserved, 0).next_at(SEQ_EPOCH_MS) > last);
    }

    #[test]
    fn identifiers_grow_over_a_restart_with_an_older_clock() {
        let now = time::now_micros() / 1000;
        let mut sequence = Sequence::new(0, 0);
        // The clock was a day ahead.
        sequence.next_at(now + 86_400_000);
        let source = Snowflake::default();
        source.begin_after(sequence.to_reserve().unwrap());
        assert!(source.next() > (now + 86_400_000) << SHIFT);
        let source = Snowflake::default();
        source.begin_after(0);
        assert!(source.next() < (now + 3_600_000) << SHIFT, "new data");
    }

    #[test]
    fn identifiers_are_distinct_and_sorted() {
        let source = Snowflake::default();
        let ids: Vec<i64> = (0..1000).map(|_| source.next()).collect();
        assert!(ids.windows(2).all(|w| w[0] < w[1]));
        assert_eq!(ulid().len(), 26);
        assert_ne!(ulid(), ulid());
    }
}
