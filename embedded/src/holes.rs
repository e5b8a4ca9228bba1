//! What KalamDB 0.4 leaves out, each a switch: [`Options::emulate`](crate::Options::emulate).

use std::str::FromStr;

use crate::options::Limits;

/// Results are cut to so many rows without a LIMIT (`wire/snapshots.jsonl`).
const ROWS_WITHOUT_LIMIT: u32 = 50;
/// And to so many with one (`wire/snapshots.jsonl`).
const ROWS_WITH_LIMIT: u32 = 1000;

/// The holes that a server has; none by default.
///
/// Each was recorded from KalamDB 0.4.3 (`tests/data/wire/*.jsonl`, named at each field). A client that gets its rows
/// right against all of them gets them right against the real server; with single ones it can be tested which of its
/// rules covers which hole.
///
/// ```
/// use kalam_embedded::Holes;
///
/// let holes: Holes = "kalamdb-0.4,-drop".parse()?;
/// assert!(holes.exits && !holes.drop);
/// # Ok::<(), String>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Holes {
    /// Changes are lost, one frame at a time, beyond 128 that wait on a connection and 4,096 that wait for all
    /// subscribers together (`burst`).
    pub drop: bool,
    /// Of the changes during a snapshot the newest 1,024 are kept.
    pub load_buffer: bool,
    /// A result has at most 50 rows without a LIMIT and 1,000 with any (`snapshots`).
    pub caps: bool,
    /// Rows of a SELECT with LIMIT come in the order of keys, whatever ORDER BY says (`order_limit`).
    pub unsorted: bool,
    /// A snapshot whose batches are not clearly below 1,000 rows ends at 1,000, and says that it is complete
    /// (`snapshots`).
    pub batch_end: bool,
    /// Batches come in the order of keys and continue after their last row's `_seq`, so that they overlap and skip
    /// once rows were updated (`snapshots`).
    pub pages: bool,
    /// `last_rows` takes one row more than asked for and leaves out the one with the greatest key; descending
    /// (`live_basic`, `snapshots`).
    pub last_rows: bool,
    /// A row that leaves the filter is not told (`live_filter`).
    pub exits: bool,
    /// Live filters know few operators, and NOT of NULL is true: see `engine/condition.rs` (`live_filter`, `two_subs`).
    pub filters: bool,
    /// A resume brings the rows written since, but no deletes (`resume`).
    pub tombstones: bool,
    /// The rows of one UPDATE or DELETE are numbered in no order (`live_basic`, `two_subs`).
    pub numbers: bool,
    /// A change reaches the subscriptions of a connection in no order (`two_subs`).
    pub order: bool,
    /// Subscriptions live on through ALTER and DROP without a word, and hear of a table of the same name (`alter`).
    pub ddl: bool,
    /// A request for records of a topic is answered at once, whatever it is willing to wait, and where a group begins is
    /// not kept before it has acknowledged something (`topics`).
    pub topics: bool,
    /// Rows of a STREAM table go without a word when their time is over (`tables`).
    pub expiry: bool,
    /// An expression in the projection of a live query is taken, and is in none of its rows (`live_errors`).
    pub expressions: bool,
    /// Ten subscriptions a user, a hundred a connection, fifty messages a second (`limits`).
    pub limits: bool,
}

type Switch = fn(&mut Holes) -> &mut bool;

const SWITCHES: [(&str, Switch); 17] = [
    ("drop", |holes| &mut holes.drop),
    ("load-buffer", |holes| &mut holes.load_buffer),
    ("caps", |holes| &mut holes.caps),
    ("unsorted", |holes| &mut holes.unsorted),
    ("batch-end", |holes| &mut holes.batch_end),
    ("pages", |holes| &mut holes.pages),
    ("last-rows", |holes| &mut holes.last_rows),
    ("exits", |holes| &mut holes.exits),
    ("filters", |holes| &mut holes.filters),
    ("tombstones", |holes| &mut holes.tombstones),
    ("numbers", |holes| &mut holes.numbers),
    ("order", |holes| &mut holes.order),
    ("ddl", |holes| &mut holes.ddl),
    ("topics", |holes| &mut holes.topics),
    ("expiry", |holes| &mut holes.expiry),
    ("expressions", |holes| &mut holes.expressions),
    ("limits", |holes| &mut holes.limits),
];

const KALAMDB: &str = "kalamdb-0.4";

impl Holes {
    /// Frames that wait on one connection before more are lost.
    pub(crate) const QUEUE: usize = 128;
    /// Changes that wait for all subscribers together before more are lost.
    pub(crate) const WORKER_QUEUE: usize = 4096;
    /// Changes that are kept during a snapshot.
    pub(crate) const LOAD_BUFFER: usize = 1024;

    /// All of them.
    #[must_use]
    pub fn kalamdb_0_4() -> Self {
        let mut holes = Self::default();
        for (_, switch) in SWITCHES {
            *switch(&mut holes) = true;
        }
        holes
    }

    /// The limits in force.
    pub(crate) fn limited(self, limits: Limits) -> Limits {
        if !self.limits {
            return limits;
        }
        Limits {
            messages_per_second: 50,
            subscriptions_per_connection: 100,
            subscriptions_per_user: 10,
            ..limits
        }
    }

    /// The most rows of a result, with a LIMIT or without one.
    pub(crate) fn most_rows(self, has_limit: bool) -> Option<u32> {
        self.caps.then_some(if has_limit { ROWS_WITH_LIMIT } else { ROWS_WITHOUT_LIMIT })
    }

    /// The most rows that one read for a snapshot gives.
    pub(crate) fn most_batch_rows(self) -> Option<u32> {
        self.batch_end.then_some(ROWS_WITH_LIMIT)
    }
}

/// `kalamdb-0.4`, or single holes, separated by commas; `-NAME` takes one out again.
impl FromStr for Holes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut holes = Self::default();
        for word in text.split(',').map(str::trim) {
            if word == KALAMDB {
                holes = Self::kalamdb_0_4();
                continue;
            }
            let (name, on) = word.strip_prefix('-').map_or((word, true), |name| (name, false));
            let Some((_, switch)) = SWITCHES.iter().find(|(known, _)| *known == name) else {
                let known: Vec<&str> = SWITCHES.iter().map(|(name, _)| *name).collect();
                return Err(format!(
                    "must be {KALAMDB}, or some of its holes, not '{name}': they are {}",
                    known.join(", ")
                ));
            };
            *switch(&mut holes) = on;
        }
        Ok(holes)
    }
}

/// Brings items into an order that means nothing, the same for the same seed.
pub(crate) fn scatter<T>(items: &mut [T], seed: u64) {
    let mut state = seed;
    for at in (1..items.len()).rev() {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        items.swap(at, (mixed % (at as u64 + 1)) as usize);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_named() {
        assert_eq!("kalamdb-0.4".parse(), Ok(Holes::kalamdb_0_4()));
        assert_eq!("exits, ddl".parse(), Ok(Holes { exits: true, ddl: true, ..Holes::default() }));
        let without = Holes { drop: false, last_rows: false, ..Holes::kalamdb_0_4() };
        assert_eq!("kalamdb-0.4,-drop,-last-rows".parse(), Ok(without));
        for wrong in ["", "kalamdb-9", "kalamdb-0.4,-everything"] {
            assert!(wrong.parse::<Holes>().unwrap_err().contains("load-buffer"), "{wrong}");
        }
    }

    #[test]
    fn every_switch_is_another() {
        let single: Vec<Holes> = SWITCHES.iter().map(|(name, _)| name.parse().unwrap()).collect();
        for (at, holes) in single.iter().enumerate() {
            assert_ne!(*holes, Holes::default());
            assert!(!single[..at].contains(holes));
        }
        assert!(format!("{:?}", Holes::kalamdb_0_4()).matches("true").count() == SWITCHES.len());
    }

    #[test]
    fn scattering_loses_nothing() {
        let mut items: Vec<u32> = (0..500).collect();
        scatter(&mut items, 7);
        assert!(!items.is_sorted());
        items.sort_unstable();
        assert_eq!(items, (0..500).collect::<Vec<_>>());
    }
}
