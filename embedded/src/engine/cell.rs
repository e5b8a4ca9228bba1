//! One value of a row: what SQLite stores and what the wire shows.

use std::{fmt::Write as _, sync::Arc};

use serde::{Serialize, Serializer};

use super::{decimal::Decimal, time};

/// A value. Serialises as the wire shows it (see "Values" in ARCHITECTURE; recorded in `wire/types.jsonl`):
/// BIGINT and DECIMAL as strings, times as integers, BYTES as an array of numbers.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    Null,
    Bool(bool),
    /// SMALLINT and INT: a number on the wire.
    Int(i64),
    /// BIGINT: a string on the wire.
    BigInt(i64),
    Float(f32),
    Double(f64),
    Decimal(Decimal),
    Text(Arc<str>),
    /// TIMESTAMP and DATETIME: microseconds since the epoch, UTC.
    Timestamp(i64),
    /// Days since the epoch.
    Date(i64),
    /// Microseconds of the day.
    Time(i64),
    /// JSON text; a string on the wire.
    Json(Arc<str>),
    Bytes(Arc<[u8]>),
    Embedding(Arc<[f32]>),
    /// Lower case, with hyphens.
    Uuid(Arc<str>),
    /// The JSON text of a file reference.
    File(Arc<str>),
}

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_none(),
            Self::Bool(value) => serializer.serialize_bool(*value),
            Self::Int(value) | Self::Timestamp(value) | Self::Date(value) | Self::Time(value) => {
                serializer.serialize_i64(*value)
            }
            Self::BigInt(value) => serializer.collect_str(value),
            Self::Float(value) => serializer.serialize_f32(*value),
            Self::Double(value) => serializer.serialize_f64(*value),
            Self::Decimal(value) => serializer.collect_str(value),
            Self::Text(value) | Self::Json(value) | Self::Uuid(value) | Self::File(value) => {
                serializer.serialize_str(value)
            }
            Self::Bytes(value) => serializer.collect_seq(value.iter()),
            Self::Embedding(value) => serializer.collect_seq(value.iter()),
        }
    }
}

impl Cell {
    #[must_use]
    pub fn is_null(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Memory held beyond the cell itself, in bytes.
    pub(crate) fn heap_bytes(&self) -> usize {
        match self {
            Self::Text(value) | Self::Json(value) | Self::Uuid(value) | Self::File(value) => value.len(),
            Self::Bytes(value) => value.len(),
            Self::Embedding(value) => value.len() * 4,
            _ => 0,
        }
    }

    /// The value as CAST(... AS TEXT) writes it; also used in error messages.
    pub(crate) fn to_text(&self) -> Option<String> {
        Some(match self {
            Self::Null => return None,
            Self::Bool(value) => value.to_string(),
            Self::Int(value) | Self::BigInt(value) => value.to_string(),
            Self::Float(value) => float_text(f64::from(*value), format!("{value:?}")),
            Self::Double(value) => float_text(*value, format!("{value:?}")),
            Self::Decimal(value) => value.to_string(),
            Self::Text(value) | Self::Json(value) | Self::Uuid(value) | Self::File(value) => {
                value.to_string()
            }
            Self::Timestamp(value) => time::format_timestamp(*value),
            Self::Date(value) => time::format_date(*value),
            Self::Time(value) => time::format_time(*value),
            Self::Bytes(value) => value.iter().fold(String::new(), |mut out, byte| {
                let _ = write!(out, "{byte:02x}");
                out
            }),
            Self::Embedding(value) => {
                let parts: Vec<String> = value.iter().map(|v| format!("{v:?}")).collect();
                format!("[{}]", parts.join(","))
            }
        })
    }
}

fn float_text(value: f64, shortest: String) -> String {
    if value.is_infinite() { if value > 0.0 { "inf".into() } else { "-inf".into() } } else { shortest }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wire_forms_are_as_recorded() {
        let wire = |cell: &Cell| serde_json::to_string(cell).unwrap();
        assert_eq!(wire(&Cell::BigInt(9_007_199_254_740_993)), r#""9007199254740993""#);
        assert_eq!(wire(&Cell::Int(42)), "42");
        assert_eq!(wire(&Cell::Double(1.0)), "1.0");
        assert_eq!(wire(&Cell::Float(0.1)), "0.1");
        assert_eq!(wire(&Cell::Decimal(Decimal::new(123_400, 4))), r#""12.3400""#);
        assert_eq!(wire(&Cell::Json(r#"{"a":1}"#.into())), r#""{\"a\":1}""#);
        assert_eq!(wire(&Cell::Bytes(Arc::from([1_u8, 255].as_slice()))), "[1,255]");
        assert_eq!(wire(&Cell::Embedding(Arc::from([0.5_f32, 1.0, -2.25].as_slice()))), "[0.5,1.0,-2.25]");
        assert_eq!(wire(&Cell::Date(-1)), "-1");
        assert_eq!(wire(&Cell::Null), "null");
    }
}
