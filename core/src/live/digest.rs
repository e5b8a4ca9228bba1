//! A digest of the versions of a set of rows, independent of their order.

use crate::live::version::Version;
use crate::schema::SeqId;

/// How many rows there are, and one number made of all their versions. The server computes the same with
/// [`Digest::SQL`]; two that are equal tell of the same versions.
///
/// The product of two remainders spreads a version over 62 bits. A plain `bit_xor(_seq)` would not do: the numbers of
/// one statement are consecutive, so that an even run of lost changes cancels out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Digest {
    /// Rows.
    pub rows: u64,
    /// All versions, mixed.
    pub mix: i64,
}

impl Digest {
    /// Expressions that give `n`, `m` (the greatest version) and `x` for a set of rows (recorded in
    /// `wire/snapshots.jsonl`).
    pub const SQL: &str =
        "count(*) AS n, max(_seq) AS m, bit_xor((_seq % 2147483647) * (_seq % 2147483629)) AS x";

    /// The digest of rows with these versions.
    pub fn of(versions: impl IntoIterator<Item = SeqId>) -> Self {
        versions.into_iter().fold(Self::default(), |digest, v| Self {
            rows: digest.rows + 1,
            mix: digest.mix ^ mixed(v.get()),
        })
    }
}

fn mixed(version: i64) -> i64 {
    (version % 2_147_483_647) * (version % 2_147_483_629)
}

/// The digest of a set that changes, at O(1) a change.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct RunningDigest {
    digest: Digest,
    /// Rows without a version: as long as there is one, there is no digest.
    unknown: u64,
}

impl RunningDigest {
    pub(crate) fn add(&mut self, version: Version) {
        self.digest.rows += 1;
        match version.number() {
            Some(number) => self.digest.mix ^= mixed(number),
            None => self.unknown += 1,
        }
    }

    /// `version` was added before.
    pub(crate) fn remove(&mut self, version: Version) {
        self.digest.rows -= 1;
        match version.number() {
            Some(number) => self.digest.mix ^= mixed(number),
            None => self.unknown -= 1,
        }
    }

    /// `None` while a row has no version.
    pub(crate) fn get(&self) -> Option<Digest> {
        (self.unknown == 0).then_some(self.digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(versions: impl IntoIterator<Item = i64>) -> Digest {
        Digest::of(versions.into_iter().map(SeqId::from))
    }

    #[test]
    fn an_even_run_of_one_statement_does_not_cancel() {
        let first = 383_749_823_030_726_656;
        let all = of(first..first + 500);
        for run in [4, 100, 256] {
            let lost = first..first + run;
            assert_eq!(lost.fold(0, |xor, v| xor ^ v), 0, "a plain XOR of the run finds nothing");
            let stale = of((first - 1_000..first - 1_000 + run).chain(first + run..first + 500));
            assert_eq!(stale.rows, all.rows);
            assert_ne!(stale.mix, all.mix);
        }
    }

    #[test]
    fn is_kept_as_rows_come_and_go() {
        let mut running = RunningDigest::default();
        let version = |v: i64| Version::from(Some(v.into()));
        [5, 7, 9].map(version).into_iter().for_each(|v| running.add(v));
        running.remove(version(7));
        assert_eq!(running.get(), Some(of([9, 5])));
        running.add(Version::UNKNOWN);
        assert_eq!(running.get(), None);
        running.remove(Version::UNKNOWN);
        assert_eq!(running.get(), Some(of([5, 9])));
    }
}
