//! Column types and result schemas, as they are announced on the wire.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Serialize, Serializer, ser::SerializeStruct};

/// A column type. Serialises as recorded: `"BigInt"`, `{"Decimal":{"precision":18,"scale":4}}`,
/// `{"Embedding":3}` (`wire/types.jsonl`, `wire/wire_types.jsonl`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum DataType {
    Boolean,
    SmallInt,
    Int,
    BigInt,
    Float,
    Double,
    Decimal { precision: u8, scale: u8 },
    Text,
    Timestamp,
    DateTime,
    Date,
    Time,
    Json,
    Bytes,
    Embedding(u32),
    Uuid,
    File,
}

impl DataType {
    pub(crate) fn is_integer(self) -> bool {
        matches!(self, Self::SmallInt | Self::Int | Self::BigInt)
    }

    pub(crate) fn is_float(self) -> bool {
        matches!(self, Self::Float | Self::Double)
    }

    pub(crate) fn is_decimal(self) -> bool {
        matches!(self, Self::Decimal { .. })
    }

    pub(crate) fn is_number(self) -> bool {
        self.is_integer() || self.is_float() || self.is_decimal()
    }

    pub(crate) fn is_timestamp(self) -> bool {
        matches!(self, Self::Timestamp | Self::DateTime)
    }

    /// Stored and compared as text.
    pub(crate) fn is_textual(self) -> bool {
        matches!(self, Self::Text | Self::Json | Self::Uuid | Self::File)
    }
}

/// The name that DDL, DESCRIBE and errors use.
impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Boolean => "BOOLEAN",
            Self::SmallInt => "SMALLINT",
            Self::Int => "INT",
            Self::BigInt => "BIGINT",
            Self::Float => "FLOAT",
            Self::Double => "DOUBLE",
            Self::Decimal { precision, scale } => return write!(f, "DECIMAL({precision}, {scale})"),
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
        };
        f.write_str(name)
    }
}

/// Column flags; serialise as the recorded list (`["pk","nn","uq"]`), and not at all when empty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Flags {
    pub primary_key: bool,
    pub not_null: bool,
    pub unique: bool,
}

impl Flags {
    pub(crate) const NONE: Self = Self { primary_key: false, not_null: false, unique: false };
    pub(crate) const NOT_NULL: Self = Self { primary_key: false, not_null: true, unique: false };
    pub(crate) const KEY: Self = Self { primary_key: true, not_null: true, unique: true };

    #[must_use]
    pub fn is_empty(self) -> bool {
        self == Self::NONE
    }
}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let names = [(self.primary_key, "pk"), (self.not_null, "nn"), (self.unique, "uq")];
        serializer.collect_seq(names.iter().filter(|(set, _)| *set).map(|(_, name)| name))
    }
}

/// One column of a result or of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    pub name: Arc<str>,
    pub data_type: DataType,
    pub index: u32,
    pub flags: Flags,
}

impl Serialize for Column {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let flagged = !self.flags.is_empty();
        let mut out = serializer.serialize_struct("Column", if flagged { 4 } else { 3 })?;
        out.serialize_field("name", &*self.name)?;
        out.serialize_field("data_type", &self.data_type)?;
        out.serialize_field("index", &self.index)?;
        if flagged {
            out.serialize_field("flags", &self.flags)?;
        }
        out.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_serialise_as_recorded() {
        let key = Column { name: "id".into(), data_type: DataType::BigInt, index: 0, flags: Flags::KEY };
        assert_eq!(
            serde_json::to_string(&key).unwrap(),
            r#"{"name":"id","data_type":"BigInt","index":0,"flags":["pk","nn","uq"]}"#
        );
        let decimal = DataType::Decimal { precision: 18, scale: 4 };
        let plain = Column { name: "dec".into(), data_type: decimal, index: 7, flags: Flags::NONE };
        assert_eq!(
            serde_json::to_string(&plain).unwrap(),
            r#"{"name":"dec","data_type":{"Decimal":{"precision":18,"scale":4}},"index":7}"#
        );
        assert_eq!(serde_json::to_string(&DataType::Embedding(3)).unwrap(), r#"{"Embedding":3}"#);
    }
}
