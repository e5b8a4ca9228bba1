//! Rows into a program's own types, by serde.

use serde::de::value::{BorrowedStrDeserializer, Error as SerdeError, SeqDeserializer};
use serde::de::{DeserializeSeed, Deserializer, Error as _, IntoDeserializer, MapAccess, Visitor};
use serde::{Deserialize, forward_to_deserialize_any};

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

#[derive(Clone, Copy)]
struct CellDeserializer<'a>(&'a Value);

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

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;
    use crate::schema::{Column, DataType, Schema};
    use crate::value::{Decimal, FileRef, Uuid};

    fn row(cells: Vec<(&str, Value)>) -> Row {
        let columns = cells.iter().map(|(name, _)| Column::new(*name, DataType::Text)).collect();
        Row::new(Schema::new(columns), cells.into_iter().map(|(_, v)| v).collect::<Vec<_>>(), None)
    }

    fn every_type() -> Row {
        row(vec![
            ("id", Value::Int(9_007_199_254_740_993)),
            ("small", Value::Int(7)),
            ("ok", Value::Boolean(true)),
            ("score", Value::Float(1.5)),
            ("price", Value::Decimal(Decimal::parse("12.3400").expect("a decimal"))),
            ("body", Value::from("hello")),
            ("status", Value::from("open")),
            ("at", Value::Timestamp(1_767_323_045_000_000)),
            ("day", Value::Date(20_455)),
            ("time", Value::Time(11_045_000_000)),
            ("key", Value::Uuid(Uuid([0x55; 16]))),
            ("meta", Value::Json(r#"{"tags":["a"],"kind":"Small","n":{"x":1}}"#.into())),
            ("raw", Value::from(vec![1_u8, 2])),
            ("vector", Value::Embedding([0.5, 1.0].into())),
            ("nothing", Value::Null),
        ])
    }

    #[derive(Debug, PartialEq, Deserialize)]
    #[serde(rename_all = "lowercase")]
    enum Status {
        Open,
        Closed,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    enum Kind {
        Small,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Meta {
        tags: Vec<String>,
        kind: Kind,
        n: HashMap<String, i32>,
        #[serde(default)]
        absent: Option<bool>,
    }

    #[derive(Debug, PartialEq, Deserialize)]
    struct Micros(i64);

    #[derive(Debug, PartialEq, Deserialize)]
    struct Everything<'a> {
        id: i64,
        small: u8,
        ok: bool,
        score: f32,
        price: &'a str,
        body: &'a str,
        status: Status,
        at: Micros,
        day: i32,
        time: u64,
        key: String,
        meta: Meta,
        raw: Vec<u8>,
        vector: Vec<f32>,
        nothing: Option<String>,
        #[serde(default)]
        no_column: u8,
    }

    #[test]
    fn a_struct_takes_every_type() {
        let row = every_type();
        let read: Everything<'_> = row.deserialize().expect("it fits");
        let meta = Meta {
            tags: vec!["a".into()],
            kind: Kind::Small,
            n: HashMap::from([("x".into(), 1)]),
            absent: None,
        };
        let expected = Everything {
            id: 9_007_199_254_740_993,
            small: 7,
            ok: true,
            score: 1.5,
            price: "12.3400",
            body: "hello",
            status: Status::Open,
            at: Micros(1_767_323_045_000_000),
            day: 20_455,
            time: 11_045_000_000,
            key: "55555555-5555-5555-5555-555555555555".into(),
            meta,
            raw: vec![1, 2],
            vector: vec![0.5, 1.0],
            nothing: None,
            no_column: 0,
        };
        assert_eq!(read, expected);
    }

    /// As decimal and date types of other crates ask for them.
    #[derive(Debug, PartialEq, Deserialize)]
    struct AsText {
        price: f64,
        at: String,
        day: String,
        time: String,
        meta: String,
    }

    #[test]
    fn the_type_that_is_asked_for_decides() {
        let read: AsText = every_type().deserialize().expect("it fits");
        assert_eq!(
            (read.price, &*read.at, &*read.day, &*read.time),
            (12.34, "2026-01-02T03:04:05Z", "2026-01-02", "03:04:05")
        );
        assert!(read.meta.starts_with('{'));
    }

    #[test]
    fn maps_tuples_and_single_values() {
        let map: BTreeMap<String, serde_json::Value> = every_type().deserialize().expect("a map");
        assert_eq!(map["id"], 9_007_199_254_740_993_i64);
        assert_eq!(map["meta"]["tags"][0], "a");
        assert_eq!(map["raw"], serde_json::json!([1, 2]));
        assert_eq!(map["nothing"], serde_json::Value::Null);
        let pair = row(vec![("a", Value::Int(1)), ("b", Value::from("x"))]);
        assert_eq!(pair.deserialize::<(i64, &str)>().expect("a tuple"), (1, "x"));
        let one = row(vec![("n", Value::Int(3))]);
        assert_eq!(one.deserialize::<u64>().expect("a number"), 3);
        assert_eq!(one.deserialize::<Option<Micros>>().expect("a number"), Some(Micros(3)));
        assert_eq!(row(vec![("n", Value::Null)]).deserialize::<Option<i64>>().expect("none"), None);
        let status = row(vec![("status", Value::from("closed"))]);
        assert_eq!(status.deserialize::<Status>().expect("an enum"), Status::Closed);
    }

    #[test]
    fn files_become_references() {
        let file = FileRef {
            id: "1".into(),
            sub: "f0001".into(),
            name: "a b.txt".into(),
            size: 10,
            mime: "text/plain".into(),
            sha256: "00".into(),
        };
        #[derive(Deserialize)]
        struct Document {
            att: FileRef,
        }
        let read: Document =
            row(vec![("att", Value::File(Box::new(file.clone())))]).deserialize().expect("a file");
        assert_eq!(read.att, file);
    }

    #[test]
    fn what_does_not_fit_names_the_column() {
        #[derive(Debug, Deserialize)]
        #[expect(dead_code, reason = "only its types are read")]
        struct Strict {
            small: u8,
        }
        let refuse = |value: Value| {
            let error = row(vec![("small", value)]).deserialize::<Strict>().expect_err("it does not fit");
            assert_eq!(error.code(), ErrorCode::InvalidArgument);
            assert!(error.message().contains("column \"small\""), "{error}");
            error
        };
        assert!(refuse(Value::Null).message().contains("Option"));
        refuse(Value::Int(300));
        refuse(Value::from("x"));
        refuse(Value::Float(1.5));
        refuse(Value::Json("{".into()));
        let error =
            row(vec![("a", Value::Int(1)), ("b", Value::Int(2))]).deserialize::<i64>().expect_err("two");
        assert!(error.message().contains("2 columns"), "{error}");
        assert!(row(vec![("other", Value::Int(1))]).deserialize::<Strict>().is_err());
        assert!(every_type().deserialize::<(i64, u8)>().is_err());
    }
}
