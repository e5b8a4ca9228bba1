//! What the columns of a result or a subscription are.

use std::fmt;
use std::sync::Arc;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

/// The type of a column, as the server names it in a schema.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum DataType {
    /// BOOLEAN.
    Boolean,
    /// SMALLINT, 16 bits.
    SmallInt,
    /// INT, 32 bits.
    Int,
    /// BIGINT, 64 bits; a string on the wire.
    BigInt,
    /// FLOAT, 32 bits.
    Float,
    /// DOUBLE, 64 bits.
    Double,
    /// DECIMAL(precision, scale); a string with its digits on the wire.
    Decimal {
        /// Digits in all.
        precision: u8,
        /// Digits after the point.
        scale: i8,
    },
    /// TEXT.
    Text,
    /// TIMESTAMP, microseconds since the epoch, UTC.
    Timestamp,
    /// DATETIME, microseconds since the epoch, UTC.
    DateTime,
    /// DATE, days since the epoch.
    Date,
    /// TIME, microseconds since midnight.
    Time,
    /// JSON; a string holding JSON text on the wire.
    Json,
    /// BYTES; an array of numbers on the wire.
    Bytes,
    /// EMBEDDING(n); an array of n numbers on the wire.
    Embedding(u32),
    /// UUID.
    Uuid,
    /// FILE; a string holding a JSON object on the wire.
    File,
    /// A type that this version does not know, by the server's name. Its values are kept as JSON.
    Other(Box<str>),
}

impl DataType {
    fn from_name(name: &str) -> Self {
        match name {
            "Boolean" => Self::Boolean,
            "SmallInt" => Self::SmallInt,
            "Int" => Self::Int,
            "BigInt" => Self::BigInt,
            "Float" => Self::Float,
            "Double" => Self::Double,
            "Text" => Self::Text,
            "Timestamp" => Self::Timestamp,
            "DateTime" => Self::DateTime,
            "Date" => Self::Date,
            "Time" => Self::Time,
            "Json" => Self::Json,
            "Bytes" => Self::Bytes,
            "Uuid" => Self::Uuid,
            "File" => Self::File,
            other => Self::Other(other.into()),
        }
    }

    /// Whether values are in the same order here and on the server (numbers, times, and text by its bytes), so that pages
    /// can follow a key of this type.
    pub(crate) fn sorts_as_the_server(&self) -> bool {
        matches!(
            self,
            Self::Boolean
                | Self::SmallInt
                | Self::Int
                | Self::BigInt
                | Self::Decimal { .. }
                | Self::Text
                | Self::Timestamp
                | Self::DateTime
                | Self::Date
                | Self::Time
                | Self::Uuid
        )
    }
}

/// The SQL spelling: `BIGINT`, `DECIMAL(18,4)`.
impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Boolean => "BOOLEAN",
            Self::SmallInt => "SMALLINT",
            Self::Int => "INT",
            Self::BigInt => "BIGINT",
            Self::Float => "FLOAT",
            Self::Double => "DOUBLE",
            Self::Decimal { precision, scale } => return write!(f, "DECIMAL({precision},{scale})"),
            Self::Text => "TEXT",
            Self::Timestamp => "TIMESTAMP",
            Self::DateTime => "DATETIME",
            Self::Date => "DATE",
            Self::Time => "TIME",
            Self::Json => "JSON",
            Self::Bytes => "BYTES",
            Self::Embedding(n) => return write!(f, "EMBEDDING({n})"),
            Self::Uuid => "UUID",
            Self::File => "FILE",
            Self::Other(name) => name,
        })
    }
}

/// A name, or an object with one field whose value holds the parameters: `{"Decimal":{"precision":18,"scale":4}}`,
/// `{"Embedding":3}` (recorded in `wire/types.jsonl` and `wire/wire_types.jsonl`).
impl<'de> Deserialize<'de> for DataType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct TypeVisitor;

        impl<'de> Visitor<'de> for TypeVisitor {
            type Value = DataType;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a column type: its name, or an object with its name and parameters")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<DataType, E> {
                Ok(DataType::from_name(name))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<DataType, A::Error> {
                #[derive(Deserialize)]
                struct DecimalParameters {
                    precision: u8,
                    scale: i8,
                }
                let name: String =
                    map.next_key()?.ok_or_else(|| de::Error::custom("a column type without a name"))?;
                let data_type = match name.as_str() {
                    "Decimal" => {
                        let DecimalParameters { precision, scale } = map.next_value()?;
                        DataType::Decimal { precision, scale }
                    }
                    "Embedding" => DataType::Embedding(map.next_value()?),
                    _ => {
                        map.next_value::<de::IgnoredAny>()?;
                        DataType::from_name(&name)
                    }
                };
                while map.next_entry::<de::IgnoredAny, de::IgnoredAny>()?.is_some() {}
                Ok(data_type)
            }
        }

        deserializer.deserialize_any(TypeVisitor)
    }
}

/// One column of a [`Schema`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Column {
    /// Column name.
    pub name: Box<str>,
    /// Column type.
    pub data_type: DataType,
    /// Key and null constraints.
    #[serde(default)]
    pub flags: ColumnFlags,
}

impl Column {
    /// A column without flags.
    pub fn new(name: impl Into<Box<str>>, data_type: DataType) -> Self {
        Self { name: name.into(), data_type, flags: ColumnFlags::default() }
    }

    /// The same column as part of the primary key.
    #[must_use]
    pub fn primary_key(mut self) -> Self {
        self.flags = ColumnFlags { primary_key: true, not_null: true, unique: true };
        self
    }
}

/// The `flags` of a column: `pk`, `nn`, `uq` on the wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ColumnFlags {
    /// Part of the primary key.
    pub primary_key: bool,
    /// Never NULL.
    pub not_null: bool,
    /// Unique.
    pub unique: bool,
}

impl<'de> Deserialize<'de> for ColumnFlags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let names = Vec::<Box<str>>::deserialize(deserializer)?;
        let has = |name: &str| names.iter().any(|n| &**n == name);
        Ok(Self { primary_key: has("pk"), not_null: has("nn"), unique: has("uq") })
    }
}

/// The columns of a row, shared by every row of a result or subscription.
///
/// A live query may need columns that its caller did not ask for (the primary key, sort columns). They stand at the
/// end and are hidden: [`columns`](Schema::columns) and everything built on it does not show them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schema {
    columns: Box<[Column]>,
    visible: usize,
}

impl Schema {
    /// A schema of which every column is visible.
    pub fn new(columns: Vec<Column>) -> Arc<Self> {
        let visible = columns.len();
        Self::with_hidden(columns, visible)
    }

    /// A schema whose columns from `visible` on are hidden.
    ///
    /// # Panics
    /// When `visible` is greater than the number of columns.
    pub fn with_hidden(columns: Vec<Column>, visible: usize) -> Arc<Self> {
        assert!(visible <= columns.len(), "{visible} visible of {} columns", columns.len());
        Arc::new(Self { columns: columns.into(), visible })
    }

    /// The visible columns, in the order of the projection.
    pub fn columns(&self) -> &[Column] {
        &self.columns[..self.visible]
    }

    /// Every column, the hidden ones last.
    pub fn all_columns(&self) -> &[Column] {
        &self.columns
    }

    /// Position of a visible column.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.columns().iter().position(|c| &*c.name == name)
    }

    /// Position of a column, hidden or not.
    pub(crate) fn index_of_any(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|c| &*c.name == name)
    }

    /// Positions of the primary-key columns among [`all_columns`](Self::all_columns). Empty when the schema has none.
    pub fn key_columns(&self) -> Vec<usize> {
        self.columns.iter().enumerate().filter(|(_, c)| c.flags.primary_key).map(|(i, _)| i).collect()
    }
}

/// Which version of a row this is: `_seq`, or `_version` from 0.8 on.
///
/// Numbers grow with every write, but may be compared only within one source: in a cluster every node numbers the rows
/// it applies itself (recorded in `wire/cluster.jsonl`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SeqId(i64);

impl SeqId {
    /// The number.
    pub fn get(self) -> i64 {
        self.0
    }
}

impl From<i64> for SeqId {
    fn from(n: i64) -> Self {
        Self(n)
    }
}

impl fmt::Display for SeqId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form_of_a_type() {
        let read = |json: &str| serde_json::from_str::<DataType>(json);
        assert_eq!(read(r#""BigInt""#).unwrap(), DataType::BigInt);
        assert_eq!(
            read(r#"{"Decimal":{"precision":18,"scale":4}}"#).unwrap(),
            DataType::Decimal { precision: 18, scale: 4 }
        );
        assert_eq!(read(r#"{"Embedding":3}"#).unwrap(), DataType::Embedding(3));
        assert_eq!(read(r#""Geometry""#).unwrap(), DataType::Other("Geometry".into()));
        assert_eq!(read(r#"{"Geometry":{"srid":4326}}"#).unwrap(), DataType::Other("Geometry".into()));
        assert!(read("{}").is_err());
        assert!(read("7").is_err());
    }

    #[test]
    fn hides_what_was_not_asked_for() {
        let schema = Schema::with_hidden(
            vec![Column::new("body", DataType::Text), Column::new("id", DataType::BigInt).primary_key()],
            1,
        );
        assert_eq!(schema.columns().len(), 1);
        assert_eq!(schema.index_of("id"), None);
        assert_eq!(schema.index_of_any("id"), Some(1));
        assert_eq!(schema.key_columns(), [1]);
    }
}
