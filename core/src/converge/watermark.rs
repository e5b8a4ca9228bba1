//! Watermark where to look for what was written since the rows were proven.

use std::time::Duration;

use crate::machine::Time;
use crate::schema::SeqId;

/// A write is there for all to see so long after it got its number, at most.
const SETTLES: Duration = Duration::from_secs(10);
/// The same as versions count it: milliseconds above 22 bits.
const SLACK: i64 = 10_000 << 22;

/// A version: all that was written up to it was seen by a proof.
///
/// A proof tells the greatest version that it saw. What has a smaller number by the slack was there then, and so was all up to
/// a number that another answer told long enough before. So many rows that were written at once, long ago, are not looked
/// at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watermark {
    version: SeqId,
    /// A number that an answer told, and when: all up to it is there for a proof that comes late enough.
    told: (Time, SeqId),
}

impl Watermark {
    /// The rows are proven by an answer that told this version, after they were `before`.
    pub(super) fn proven(before: Option<Self>, now: Time, greatest: SeqId) -> Self {
        let slack = SeqId::from(greatest.get().saturating_sub(SLACK));
        let Some(before) = before else { return Self { version: slack, told: (now, greatest) } };
        let (at, told) = before.told;
        let version = before.version.max(slack);
        match now.saturating_sub(at) >= SETTLES {
            true => Self { version: version.max(told), told: (now, greatest) },
            false => Self { version, told: before.told },
        }
    }

    pub(super) fn version(self) -> SeqId {
        self.version
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_long_past_is_not_looked_at_again() {
        let seq = |millis: i64| SeqId::from(millis << 22);
        let at = Time::from_secs;
        let first = Watermark::proven(None, at(100), seq(1_000_000));
        assert_eq!(first.version(), seq(990_000));
        let soon = Watermark::proven(Some(first), at(105), seq(1_001_000));
        assert_eq!(soon.version(), seq(991_000), "a write with a number below that may still come");
        let later = Watermark::proven(Some(soon), at(110), seq(1_001_000));
        assert_eq!(later.version(), seq(1_000_000), "told ten seconds ago");
        let idle = Watermark::proven(Some(later), at(120), seq(1_001_000));
        assert_eq!(idle.version(), seq(1_001_000));
        let other_leader = Watermark::proven(None, at(130), seq(500_000));
        assert_eq!(other_leader.version(), seq(490_000));
    }
}
