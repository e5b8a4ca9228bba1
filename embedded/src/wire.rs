//! Which generation of KalamDB's protocol is spoken: [`Options::wire`](crate::Options::wire).

use std::str::FromStr;

/// The generation of the protocol. They differ in how the version of a row is called and written.
///
/// A server of one generation also serves clients that show to be of 0.8: a WebSocket opened with the sub-protocol
/// `kalamdb.jwt.<token>`, a subscription with a `version_domain`, or a statement that names `_version`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Wire {
    /// 0.4 and 0.5: the column `_seq`, cursors that are JSON integers (`wire/live_basic.jsonl`).
    #[default]
    V0_4,
    /// 0.8, as documented: the column `_version`, cursors that are decimal strings and only valid in their
    /// `version_domain`.
    V0_8,
}

impl Wire {
    /// Whether it is the name of that column, in any of them.
    pub(crate) fn calls_version(name: &str) -> bool {
        [Self::V0_4, Self::V0_8].iter().any(|wire| wire.version_column() == name)
    }

    /// The column that holds the version of a row.
    pub(crate) fn version_column(self) -> &'static str {
        match self {
            Self::V0_4 => "_seq",
            Self::V0_8 => "_version",
        }
    }
}

/// `0.4`, `0.5` or `0.8`.
impl FromStr for Wire {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "0.4" | "0.5" => Ok(Self::V0_4),
            "0.8" => Ok(Self::V0_8),
            _ => Err(format!("must be 0.4, 0.5 or 0.8, not '{text}'")),
        }
    }
}
