//! One cell as what is asked for.

use serde::de::value::{BorrowedStrDeserializer, Error as SerdeError, SeqDeserializer};
use serde::de::{Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

use crate::value::Value;

/// Which form it takes is decided by the type of the column and by who asks.
#[derive(Clone, Copy)]
pub(super) struct CellDeserializer<'a>(pub(super) &'a Value);

impl<'de> IntoDeserializer<'de, SerdeError> for CellDeserializer<'de> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

fn in_json<T>(result: Result<T, serde_json::Error>) -> Result<T, SerdeError> {
    result.map_err(SerdeError::custom)
}

fn null() -> SerdeError {
    SerdeError::custom("the value is NULL: make the field an Option")
}

/// Requests for a number or a boolean: JSON is read as that, NULL is refused in words that help.
macro_rules! deserialize_scalar {
    ($($method:ident)*) => {
        $(fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
            match self.0 {
                Value::Null => Err(null()),
                Value::Json(text) => in_json(serde_json::Deserializer::from_str(text).$method(visitor)),
                _ => self.deserialize_any(visitor),
            }
        })*
    };
}

impl<'de> Deserializer<'de> for CellDeserializer<'de> {
    type Error = SerdeError;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Boolean(b) => visitor.visit_bool(*b),
            Value::Int(n) | Value::Timestamp(n) | Value::Time(n) => visitor.visit_i64(*n),
            Value::Date(days) => visitor.visit_i32(*days),
            Value::Float(x) => visitor.visit_f64(*x),
            Value::Decimal(d) => visitor.visit_borrowed_str(d.as_str()),
            Value::Text(s) => visitor.visit_borrowed_str(s),
            Value::Uuid(u) => visitor.visit_string(u.to_string()),
            Value::Json(text) => in_json(serde_json::Deserializer::from_str(text).deserialize_any(visitor)),
            // Not as bytes, which the JSON value types of this world refuse.
            Value::Bytes(bytes) => visitor.visit_seq(SeqDeserializer::new(bytes.iter().copied())),
            Value::Embedding(numbers) => visitor.visit_seq(SeqDeserializer::new(numbers.iter().copied())),
            Value::File(file) => {
                in_json(serde_json::to_value(file).and_then(|json| json.deserialize_any(visitor)))
            }
        }
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        match self.0 {
            Value::Null => Err(null()),
            Value::Json(text) => visitor.visit_borrowed_str(text),
            Value::Timestamp(_) | Value::Date(_) | Value::Time(_) => visitor.visit_string(self.0.to_string()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        match self.0 {
            Value::Decimal(d) => visitor.visit_f64(d.to_f64()),
            Value::Null => Err(null()),
            Value::Json(text) => in_json(serde_json::Deserializer::from_str(text).deserialize_f64(visitor)),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.deserialize_f64(visitor)
    }

    fn deserialize_bytes<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        match self.0 {
            Value::Bytes(bytes) => visitor.visit_borrowed_bytes(bytes),
            Value::Uuid(u) => visitor.visit_borrowed_bytes(&u.0),
            Value::Null => Err(null()),
            _ => self.deserialize_any(visitor),
        }
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        self.deserialize_bytes(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        match self.0 {
            Value::Null => visitor.visit_none(),
            _ => visitor.visit_some(self),
        }
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, SerdeError> {
        match self.0 {
            Value::Null => Err(null()),
            _ => self.deserialize_any(visitor),
        }
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

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, SerdeError> {
        match self.0 {
            Value::Null => Err(null()),
            Value::Json(text) => {
                in_json(serde_json::Deserializer::from_str(text).deserialize_enum(name, variants, visitor))
            }
            Value::Text(text) => BorrowedStrDeserializer::new(text).deserialize_enum(name, variants, visitor),
            _ => Err(SerdeError::custom("only TEXT and JSON columns become enums")),
        }
    }

    deserialize_scalar! {
        deserialize_bool deserialize_i8 deserialize_i16 deserialize_i32 deserialize_i64 deserialize_i128
        deserialize_u8 deserialize_u16 deserialize_u32 deserialize_u64 deserialize_u128
    }

    forward_to_deserialize_any! { char unit unit_struct map struct identifier ignored_any }
}
