//! What is known about when a row was written.

use crate::schema::SeqId;

/// The version of a held row: the server's number, or unknown where the row came without one. Numbers are compared only
/// within one subscription; of a row learnt elsewhere [`Held::foreign`](crate::live::key_index::Held) says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(i64);

impl Version {
    /// Less than every number.
    pub(crate) const UNKNOWN: Self = Self(i64::MIN);

    fn is_unknown(self) -> bool {
        self == Self::UNKNOWN
    }

    pub(crate) fn number(self) -> Option<i64> {
        (!self.is_unknown()).then_some(self.0)
    }
}

impl From<Option<SeqId>> for Version {
    fn from(seq: Option<SeqId>) -> Self {
        seq.map_or(Self::UNKNOWN, |seq| Self(seq.get()))
    }
}

/// Where a row comes from, which decides whether it replaces what is held for its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Source {
    /// A page of a snapshot. Pages may repeat a row and may be older than a change that overtook them.
    Page,
    /// A change while pages are still coming.
    EarlyChange,
    /// A change after the snapshot: order of arrival is the order of writing.
    Change,
    /// An answer over HTTP, which its caller found to be newer than every frame.
    Finding,
}

impl Source {
    /// Whether content of version `new` replaces (or removes) content of version `held`.
    pub(crate) fn wins(self, new: Version, held: Version) -> bool {
        match self {
            Self::Change | Self::Finding => true,
            Self::EarlyChange => new >= held || new.is_unknown(),
            Self::Page => new > held || held.is_unknown(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_wins() {
        let (one, two) = (Version::from(Some(1.into())), Version::from(Some(2.into())));
        let unknown = Version::UNKNOWN;
        for (new, held, page, early) in [
            (two, one, true, true),
            (one, two, false, false),
            (one, one, false, true),
            (one, unknown, true, true),
            (unknown, one, false, true),
            (unknown, unknown, true, true),
        ] {
            assert_eq!(Source::Page.wins(new, held), page, "page {new:?} over {held:?}");
            assert_eq!(Source::EarlyChange.wins(new, held), early, "change {new:?} over {held:?}");
            assert!(Source::Change.wins(new, held));
            assert!(Source::Finding.wins(new, held));
        }
    }
}
