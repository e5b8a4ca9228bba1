//! Rows into a program's own types, by serde.

mod cell;
#[cfg(test)]
mod tests;

use serde::de::value::{BorrowedStrDeserializer, Error as SerdeError, SeqDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

use self::cell::CellDeserializer;
use crate::error::{Error, ErrorCode, Result};
use crate::row::Row;
use crate::value::Value;

impl Row {
    /// The row as a value of `T`: a struct or map by column names, a tuple by position, or, where the row has one column, a
    /// plain value.
    ///
    /// | column | into |
    /// |---|---|
    /// | NULL | `None`; anything but an `Option` is an error |
    /// | SMALLINT, INT, BIGINT | integers that hold the number, floats |
    /// | DECIMAL | `String`, decimal types of other crates, floats (rounded) |
    /// | TEXT | `String`, `&str`, enums with variants of that name |
    /// | TIMESTAMP, DATETIME | integers: microseconds since the epoch; `String` and date types of other crates (`chrono`, `jiff`): RFC 3339 |
    /// | DATE, TIME | integers: days since the epoch, microseconds since midnight; `String` and date types: ISO 8601 |
    /// | UUID | `String`, `uuid::Uuid` |
    /// | JSON | whatever the JSON fits: structs, enums, `serde_json::Value`; `String`: its text |
    /// | BYTES | `Vec<u8>`, byte types |
    /// | EMBEDDING | `Vec<f32>` |
    /// | FILE | [`FileRef`](crate::FileRef), structs with its fields |
    ///
    /// ```
    /// # use kalam_live::{Column, DataType, Row, Schema, Value};
    /// #[derive(serde::Deserialize)]
    /// struct Message { id: i64, body: Option<String> }
    /// # let schema = Schema::new(vec![Column::new("id", DataType::BigInt), Column::new("body", DataType::Text)]);
    /// # let row = Row::new(schema, vec![Value::from(7_i64), Value::from("hello")], None);
    /// let message: Message = row.deserialize()?;
    /// assert_eq!((message.id, message.body.as_deref()), (7, Some("hello")));
    /// # Ok::<(), kalam_live::Error>(())
    /// ```
    ///
    /// # Errors
    /// `invalid_argument`, naming the column, when the row does not fit `T`.
    pub fn deserialize<'a, T: Deserialize<'a>>(&'a self) -> Result<T> {
        T::deserialize(RowDeserializer(self)).map_err(|e| {
            Error::new(ErrorCode::InvalidArgument, format!("the row does not fit the type: {e}"))
        })
    }
}

#[derive(Clone, Copy)]
struct RowDeserializer<'a>(&'a Row);

impl<'a> RowDeserializer<'a> {
    /// The only cell, for a type that is no row.
    fn single(self) -> Result<CellDeserializer<'a>, SerdeError> {
        match self.0.values() {
            [value] => Ok(CellDeserializer(value)),
            more => {
                Err(SerdeError::custom(format_args!("a row of {} columns is not a single value", more.len())))
            }
        }
    }
}

/// Passes a request for a plain value on to the only cell.
macro_rules! forward_to_single {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
            self.single()?.$method(visitor)
        })*
    };
}

impl<'de> Deserializer<'de> for RowDeserializer<'de> {
    type Error = SerdeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        visitor.visit_map(CellsByName { cells: self.0.iter().collect::<Vec<_>>().into_iter(), next: None })
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        let mut cells = SeqDeserializer::new(self.0.values().iter().map(CellDeserializer));
        let value = visitor.visit_seq(&mut cells)?;
        cells.end()?;
        Ok(value)
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, SerdeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: usize,
        visitor: V,
    ) -> Result<V::Value, SerdeError> {
        self.deserialize_seq(visitor)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, SerdeError> {
        visitor.visit_newtype_struct(self)
    }

    /// A row is there; of one column, its value may be NULL.
    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        match self.0.values() {
            [Value::Null] => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SerdeError> {
        self.single()?.deserialize_enum(name, variants, visitor)
    }

    forward_to_single! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128 deserialize_f32 deserialize_f64
        deserialize_char deserialize_str deserialize_string deserialize_bytes deserialize_byte_buf
    }

    forward_to_deserialize_any! { unit unit_struct map struct identifier ignored_any }
}

/// The cells of a row, as a map.
struct CellsByName<'a> {
    cells: std::vec::IntoIter<(&'a str, &'a Value)>,
    next: Option<(&'a str, &'a Value)>,
}

impl<'de> MapAccess<'de> for CellsByName<'de> {
    type Error = SerdeError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, SerdeError> {
        self.next = self.cells.next();
        self.next.map(|(name, _)| seed.deserialize(BorrowedStrDeserializer::new(name))).transpose()
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, SerdeError> {
        let (name, value) =
            self.next.take().ok_or_else(|| SerdeError::custom("a value without its column"))?;
        seed.deserialize(CellDeserializer(value))
            .map_err(|e| SerdeError::custom(format_args!("column {name:?}: {e}")))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.cells.len())
    }
}
