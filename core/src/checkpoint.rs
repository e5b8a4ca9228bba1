//! A place in what a server has written, and whose numbers it is counted in.

use std::fmt;
use std::str::FromStr;

use compact_str::{CompactString, format_compact};

use crate::error::{Error, ErrorCode, Result};
use crate::protocol::Cursor;
use crate::schema::SeqId;

/// What numbers of versions belong to: data that announces an epoch of its own, or the node behind a URL. Numbers of two
/// epochs say nothing about each other (recorded in `wire/cluster.jsonl`).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Epoch(CompactString);

impl Epoch {
    const LONGEST: usize = 64;

    /// The one that a server announced. `None` for a text that is empty, too long, or of other characters than letters,
    /// digits, `-` and `_`.
    pub fn announced(text: &str) -> Option<Self> {
        let is_fine = |c: u8| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_');
        let fine = (1..=Self::LONGEST).contains(&text.len()) && text.bytes().all(is_fine);
        fine.then(|| Self(text.into()))
    }

    /// The one of the node at a URL, which announces none. `complete`: what it announces about itself otherwise, so that
    /// two kinds of server that follow each other at one address are told apart.
    pub fn of_node(url: &str, complete: bool) -> Self {
        let address = url.split_once('?').map_or(url, |(address, _)| address);
        // FNV-1a: the same in every process and version, which is all that is asked of it.
        let hash = address.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3)
        });
        let kind = if complete { "complete" } else { "node" };
        Self(format_compact!("{kind}-{hash:016x}"))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Where to go on: everything up to here was handed out. Keep its text, and give it back as `from`.
///
/// The text is opaque and carries the epoch. At a server of another epoch a subscription begins with all rows instead, and
/// says so. A bare number is accepted too; it is unproven, since it does not say whose number it is.
///
/// ```
/// use kalam_live::Checkpoint;
/// let unproven: Checkpoint = "383749746887331840".parse()?;
/// assert_eq!(unproven.seq().get(), 383_749_746_887_331_840);
/// assert!(unproven.epoch().is_none());
/// assert_eq!(unproven.to_string().parse::<Checkpoint>()?, unproven);
/// # Ok::<(), kalam_live::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Checkpoint {
    cursor: Cursor,
    epoch: Option<Epoch>,
}

impl Checkpoint {
    /// A position of that epoch.
    pub fn new(cursor: Cursor, epoch: Option<Epoch>) -> Self {
        Self { cursor, epoch }
    }

    /// The version.
    pub fn seq(&self) -> SeqId {
        self.cursor.seq()
    }

    /// As the server spells it.
    pub fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Whose number it is. `None`: not known.
    pub fn epoch(&self) -> Option<&Epoch> {
        self.epoch.as_ref()
    }

    /// The same epoch and spelling at another version.
    #[must_use]
    pub fn at(&self, seq: SeqId) -> Self {
        Self { cursor: self.cursor.at(seq), epoch: self.epoch.clone() }
    }
}

/// Unproven.
impl From<Cursor> for Checkpoint {
    fn from(cursor: Cursor) -> Self {
        Self::new(cursor, None)
    }
}

/// Unproven.
impl From<SeqId> for Checkpoint {
    fn from(seq: SeqId) -> Self {
        Cursor::from(seq).into()
    }
}

/// The cursor's text, behind the epoch's where it is known.
impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(epoch) = &self.epoch {
            write!(f, "{}:", epoch.as_str())?;
        }
        self.cursor.fmt(f)
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        // A cursor may hold a colon, but not before its `@`, where an epoch has no such sign.
        let split = text.split_once(':').filter(|(epoch, _)| !epoch.contains('@'));
        let Some((epoch, cursor)) = split else { return text.parse().map(|cursor| Self::new(cursor, None)) };
        let bad = || {
            Error::new(
                ErrorCode::InvalidArgument,
                "this is no checkpoint: pass back the text that was given, unchanged",
            )
        };
        Ok(Self::new(cursor.parse()?, Some(Epoch::announced(epoch).ok_or_else(bad)?)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::{CursorKind, VersionDomain};

    #[test]
    fn text_form_round_trips() {
        let domain = VersionDomain::from_json(r#"{"table_id":"a@b:c"}"#);
        let cursors = [
            Cursor::from(SeqId::from(383_749_746_887_331_840)),
            Cursor::new(SeqId::from(-1), CursorKind::Text, None),
            Cursor::new(SeqId::from(i64::MAX), CursorKind::Text, domain),
        ];
        for cursor in cursors {
            for epoch in [None, Epoch::announced("a-B_9"), Some(Epoch::of_node("ws://h:1/v1/ws", true))] {
                let checkpoint = Checkpoint::new(cursor.clone(), epoch);
                assert_eq!(checkpoint.to_string().parse::<Checkpoint>().expect("own text"), checkpoint);
            }
        }
        for bad in ["", ":", "a:", ":1", "a b:1", "a:b:1", "a:1.5", &format!("{}:1", "e".repeat(65))] {
            assert_eq!(bad.parse::<Checkpoint>().expect_err(bad).code(), ErrorCode::InvalidArgument);
        }
    }

    #[test]
    fn nodes_are_told_apart() {
        let node = Epoch::of_node("ws://a:2900/v1/ws", false);
        assert_eq!(node, Epoch::of_node("ws://a:2900/v1/ws?compress=false", false));
        assert_ne!(node, Epoch::of_node("ws://b:2900/v1/ws", false));
        assert_ne!(node, Epoch::of_node("ws://a:2900/v1/ws", true));
        // It is kept in files: another version of this crate must find the same.
        assert_eq!(Epoch::announced(node.as_str()), Some(node.clone()));
        assert_eq!(Epoch::of_node("", false).as_str(), "node-cbf29ce484222325");
    }
}
