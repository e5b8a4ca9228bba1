//! One cell, read by the type of its column.

use std::fmt;

use compact_str::CompactString;
use serde::Deserialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Unexpected, Visitor};

use super::json_text::{self, JsonText};
use crate::schema::DataType;
use crate::value::{Decimal, FileRef, Uuid, Value};

/// How the cells of a column are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CellType {
    Boolean,
    Int,
    Float,
    Decimal,
    Text,
    /// Microseconds, as user tables have it.
    Timestamp,
    /// In a unit that its magnitude tells, as system tables have it.
    TimestampOfAnyUnit,
    Date,
    Time,
    Json,
    Bytes,
    Embedding,
    Uuid,
    File,
    /// A type that this version does not know: whatever it is, as JSON.
    Other,
}

impl CellType {
    /// `any_unit`: whether timestamps may be in another unit than microseconds.
    pub(super) fn new(data_type: &DataType, any_unit: bool) -> Self {
        match data_type {
            DataType::Boolean => Self::Boolean,
            DataType::SmallInt | DataType::Int | DataType::BigInt => Self::Int,
            DataType::Float | DataType::Double => Self::Float,
            DataType::Decimal { .. } => Self::Decimal,
            DataType::Text => Self::Text,
            DataType::Timestamp | DataType::DateTime if any_unit => Self::TimestampOfAnyUnit,
            DataType::Timestamp | DataType::DateTime => Self::Timestamp,
            DataType::Date => Self::Date,
            DataType::Time => Self::Time,
            DataType::Json => Self::Json,
            DataType::Bytes => Self::Bytes,
            DataType::Embedding(_) => Self::Embedding,
            DataType::Uuid => Self::Uuid,
            DataType::File => Self::File,
            DataType::Other(_) => Self::Other,
        }
    }

    /// Whether a value is one number, text or boolean, and no array or object.
    pub(super) fn is_flat(self) -> bool {
        !matches!(self, Self::Json | Self::Bytes | Self::Embedding | Self::File | Self::Other)
    }

    fn integer(self, n: i64) -> Option<Value> {
        Some(match self {
            Self::Int => Value::Int(n),
            Self::Float => Value::Float(n as f64),
            Self::Timestamp => Value::Timestamp(micros_of_user_table(n)),
            Self::TimestampOfAnyUnit => Value::Timestamp(micros_of_system_table(n)),
            Self::Date => Value::Date(i32::try_from(n).ok()?),
            Self::Time => Value::Time(n),
            Self::Decimal => Value::Decimal(Decimal::parse(&n.to_string())?),
            Self::Json | Self::Other => Value::Json(n.to_string().into()),
            Self::Boolean | Self::Text | Self::Bytes | Self::Embedding | Self::Uuid | Self::File => {
                return None;
            }
        })
    }

    fn text(self, text: &str) -> Option<Value> {
        Some(match self {
            Self::Text => Value::Text(CompactString::new(text)),
            Self::Int | Self::Timestamp | Self::TimestampOfAnyUnit | Self::Date | Self::Time => {
                return self.integer(text.parse().ok()?);
            }
            Self::Float => Value::Float(text.parse().ok()?),
            Self::Decimal => Value::Decimal(Decimal::parse(text)?),
            Self::Uuid => Value::Uuid(Uuid::parse(text)?),
            Self::Json => Value::Json(text.into()),
            Self::File => Value::File(Box::new(serde_json::from_str(text).ok()?)),
            Self::Other => {
                let mut json = String::new();
                json_text::push_string(&mut json, text);
                Value::Json(json.into())
            }
            Self::Boolean | Self::Bytes | Self::Embedding => return None,
        })
    }
}

const YEAR_0: i64 = -62_167_219_200_000_000;
const YEAR_10000: i64 = 253_402_300_800_000_000;

/// A timestamp of a user's table is in microseconds, but a computed one (`NOW()`, a CAST) in nanoseconds (recorded in
/// `wire/sql_surface.jsonl`). What would be outside the years 0 to 9999 is taken for nanoseconds; computed timestamps
/// before 1978 are so mistaken for microseconds, stored ones never.
fn micros_of_user_table(n: i64) -> i64 {
    if (YEAR_0..YEAR_10000).contains(&n) { n } else { n.div_euclid(1000) }
}

/// System tables count milliseconds, microseconds or nanoseconds, column by column (recorded in `wire/tables.jsonl`).
/// The unit is the one that puts the number between the years 1973 and 5138.
fn micros_of_system_table(n: i64) -> i64 {
    match n.unsigned_abs() {
        0..100_000_000_000_000 => n * 1000,
        100_000_000_000_000..100_000_000_000_000_000 => n,
        _ => n.div_euclid(1000),
    }
}

/// Reads the cell that comes next into `slot`, which moves it once less than returning it.
pub(super) struct CellSeed<'a> {
    pub(super) cell: CellType,
    /// How deep the value may be nested.
    pub(super) depth: usize,
    pub(super) slot: &'a mut Value,
}

impl CellSeed<'_> {
    fn put<E>(self, value: Value) -> Result<(), E> {
        *self.slot = value;
        Ok(())
    }

    fn json_text<E>(self, write: impl FnOnce(JsonText<'_>) -> Result<(), E>) -> Result<(), E> {
        let mut out = String::new();
        write(JsonText { out: &mut out, depth: self.depth })?;
        self.put(Value::Json(out.into()))
    }
}

impl<'de> DeserializeSeed<'de> for CellSeed<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for CellSeed<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.cell {
            CellType::Boolean => "true or false",
            CellType::Int => "a 64-bit integer",
            CellType::Float => "a number",
            CellType::Decimal => "the digits of a decimal",
            CellType::Text => "a text",
            CellType::Timestamp | CellType::TimestampOfAnyUnit => "a timestamp in microseconds",
            CellType::Date => "a date in days",
            CellType::Time => "a time in microseconds",
            CellType::Json | CellType::Other => "JSON",
            CellType::Bytes => "an array of bytes",
            CellType::Embedding => "an array of numbers",
            CellType::Uuid => "a UUID",
            CellType::File => "a file reference",
        })
    }

    fn visit_unit<E: de::Error>(self) -> Result<(), E> {
        self.put(Value::Null)
    }

    fn visit_bool<E: de::Error>(self, b: bool) -> Result<(), E> {
        match self.cell {
            CellType::Boolean => self.put(Value::Boolean(b)),
            CellType::Json | CellType::Other => self.put(Value::Json(b.to_string().into())),
            _ => Err(E::invalid_type(Unexpected::Bool(b), &self)),
        }
    }

    fn visit_i64<E: de::Error>(self, n: i64) -> Result<(), E> {
        match self.cell.integer(n) {
            Some(value) => self.put(value),
            None => Err(E::invalid_type(Unexpected::Signed(n), &self)),
        }
    }

    fn visit_u64<E: de::Error>(self, n: u64) -> Result<(), E> {
        match (i64::try_from(n), self.cell) {
            (Ok(n), _) => self.visit_i64(n),
            (Err(_), CellType::Float) => self.put(Value::Float(n as f64)),
            (Err(_), CellType::Decimal) => self.visit_str(&n.to_string()),
            (Err(_), CellType::Json | CellType::Other) => self.put(Value::Json(n.to_string().into())),
            (Err(_), _) => Err(E::invalid_value(Unexpected::Unsigned(n), &self)),
        }
    }

    fn visit_f64<E: de::Error>(self, x: f64) -> Result<(), E> {
        match self.cell {
            CellType::Float => self.put(Value::Float(x)),
            // A double prints with as few digits as tell it apart: the digits that a server would have printed.
            CellType::Decimal => self.visit_str(&x.to_string()),
            CellType::Json | CellType::Other => self.put(Value::Json(json_text::number(x).into())),
            _ => Err(E::invalid_type(Unexpected::Float(x), &self)),
        }
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<(), E> {
        // Without the text: it is the user's data, and it may be long.
        match self.cell.text(text) {
            Some(value) => self.put(value),
            None => Err(E::invalid_type(Unexpected::Other("a text"), &self)),
        }
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<(), E> {
        match self.cell {
            CellType::Bytes => self.put(Value::Bytes(bytes.into())),
            _ => Err(E::invalid_type(Unexpected::Other("bytes"), &self)),
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        match self.cell {
            CellType::Bytes => {
                let mut bytes = Vec::<u8>::new();
                while let Some(byte) = seq.next_element()? {
                    bytes.push(byte);
                }
                self.put(Value::Bytes(bytes.into()))
            }
            CellType::Embedding => {
                let mut numbers = Vec::<f32>::new();
                while let Some(number) = seq.next_element()? {
                    numbers.push(number);
                }
                self.put(Value::Embedding(numbers.into()))
            }
            CellType::Json | CellType::Other => self.json_text(|json| json.visit_seq(seq)),
            _ => Err(de::Error::invalid_type(Unexpected::Seq, &self)),
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<(), A::Error> {
        match self.cell {
            CellType::File => {
                let file = FileRef::deserialize(de::value::MapAccessDeserializer::new(map))?;
                self.put(Value::File(Box::new(file)))
            }
            CellType::Json | CellType::Other => self.json_text(|json| json.visit_map(map)),
            _ => Err(de::Error::invalid_type(Unexpected::Map, &self)),
        }
    }
}
