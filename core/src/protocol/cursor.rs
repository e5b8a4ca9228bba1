//! Where in a table's history a subscription stands.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorCode};
use crate::schema::SeqId;

/// How a server spells its cursors. They must be answered in the same kind: an 0.4 server closes the socket (1011)
/// over a string (recorded in `wire/live_basic.jsonl`), an 0.8 server accepts nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum CursorKind {
    /// `_seq`: a JSON integer.
    #[default]
    Integer,
    /// `_version`: a string of decimal digits.
    Text,
}

/// What an 0.8 server calls the history that a version belongs to. Its content is the server's business: it is kept and
/// sent back as it came.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct VersionDomain(Box<str>);

impl VersionDomain {
    /// Reads JSON text. `None` when it is not JSON.
    pub fn from_json(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }

    pub(super) fn from_value(value: &serde_json::Value) -> Self {
        Self(value.to_string().into())
    }

    /// The JSON text.
    pub fn as_json(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for VersionDomain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for VersionDomain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // It was printed from a JSON value, and reads as one.
        serde_json::from_str::<serde_json::Value>(&self.0).unwrap_or_default().serialize(serializer)
    }
}

/// A position to resume from (`from`) or to page on from (`last_seq_id`).
///
/// Its text form ([`Display`](fmt::Display), [`FromStr`]) is for storing a checkpoint. It is opaque, but a plain integer
/// reads as the cursor of an 0.4 to 0.7 server:
///
/// ```
/// use kalam_live::protocol::Cursor;
/// let cursor: Cursor = "383749746887331840".parse()?;
/// assert_eq!(cursor.seq().get(), 383_749_746_887_331_840);
/// assert_eq!(cursor.to_string().parse::<Cursor>()?, cursor);
/// # Ok::<(), kalam_live::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cursor {
    seq: SeqId,
    kind: CursorKind,
    domain: Option<VersionDomain>,
}

impl Cursor {
    /// A cursor as a server of that kind writes it.
    pub fn new(seq: SeqId, kind: CursorKind, domain: Option<VersionDomain>) -> Self {
        Self { seq, kind, domain }
    }

    /// The version.
    pub fn seq(&self) -> SeqId {
        self.seq
    }

    /// How the server spells it.
    pub fn kind(&self) -> CursorKind {
        self.kind
    }

    /// The history that it belongs to, where the server tells.
    pub fn domain(&self) -> Option<&VersionDomain> {
        self.domain.as_ref()
    }

    /// The same kind and history at another version.
    #[must_use]
    pub fn at(&self, seq: SeqId) -> Self {
        Self { seq, ..self.clone() }
    }
}

impl From<SeqId> for Cursor {
    /// A cursor of an 0.4 to 0.7 server.
    fn from(seq: SeqId) -> Self {
        Self::new(seq, CursorKind::Integer, None)
    }
}

/// `383749746887331840`; `v` before it for the text kind; `@` and the domain's JSON behind it.
impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.kind == CursorKind::Text {
            f.write_str("v")?;
        }
        self.seq.fmt(f)?;
        match &self.domain {
            Some(domain) => write!(f, "@{}", domain.as_json()),
            None => Ok(()),
        }
    }
}

impl FromStr for Cursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let bad = || {
            Error::new(
                ErrorCode::InvalidArgument,
                "this is no cursor: pass back the text that a checkpoint gave, unchanged",
            )
        };
        let (number, domain) = match text.split_once('@') {
            Some((number, domain)) => (number, Some(VersionDomain::from_json(domain).ok_or_else(bad)?)),
            None => (text, None),
        };
        let (number, kind) = match number.strip_prefix('v') {
            Some(number) => (number, CursorKind::Text),
            None => (number, CursorKind::Integer),
        };
        Ok(Self::new(number.parse::<i64>().map_err(|_| bad())?.into(), kind, domain))
    }
}

/// The version in the server's spelling; the domain travels beside it, as `version_domain`.
impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.kind {
            CursorKind::Integer => serializer.serialize_i64(self.seq.get()),
            CursorKind::Text => serializer.collect_str(&self.seq),
        }
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct CursorVisitor;

        impl Visitor<'_> for CursorVisitor {
            type Value = Cursor;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a version: an integer or a string of digits")
            }

            fn visit_i64<E: de::Error>(self, n: i64) -> Result<Cursor, E> {
                Ok(SeqId::from(n).into())
            }

            fn visit_u64<E: de::Error>(self, n: u64) -> Result<Cursor, E> {
                let n = i64::try_from(n).map_err(|_| E::invalid_value(de::Unexpected::Unsigned(n), &self))?;
                self.visit_i64(n)
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Cursor, E> {
                let n =
                    text.parse::<i64>().map_err(|_| E::invalid_value(de::Unexpected::Str(text), &self))?;
                Ok(Cursor::new(n.into(), CursorKind::Text, None))
            }
        }

        deserializer.deserialize_any(CursorVisitor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_round_trips() {
        let domain = VersionDomain::from_json(r#"{ "table_id": "a@b", "partition_id": 0 }"#);
        for cursor in [
            Cursor::from(SeqId::from(383_749_746_887_331_840)),
            Cursor::new(SeqId::from(0), CursorKind::Text, None),
            Cursor::new(SeqId::from(i64::MAX), CursorKind::Text, domain.clone()),
            Cursor::new(SeqId::from(-1), CursorKind::Integer, domain),
        ] {
            assert_eq!(cursor.to_string().parse::<Cursor>().expect("own text"), cursor);
        }
        for bad in ["", "v", "x1", "1.5", "12@", "12@{", "9223372036854775808", " 1"] {
            let error = bad.parse::<Cursor>().expect_err(bad);
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
        }
    }

    #[test]
    fn is_answered_in_the_kind_the_server_used() {
        for json in ["383749746887331840", "\"383749746887331840\""] {
            let cursor: Cursor = serde_json::from_str(json).expect("a cursor");
            assert_eq!(serde_json::to_string(&cursor).expect("json"), json);
            assert_eq!(
                serde_json::to_string(&cursor.at(SeqId::from(7))).expect("json").starts_with('"'),
                json.starts_with('"')
            );
        }
        for bad in ["1.5", "18446744073709551615", "\"x\"", "true", "[]"] {
            assert!(serde_json::from_str::<Cursor>(bad).is_err(), "{bad}");
        }
    }
}
