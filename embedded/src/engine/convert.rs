//! Conversions: text, JSON parameters and SQLite values to typed cells and back; casts between types.

use std::sync::Arc;

use rusqlite::types::{Value, ValueRef};

use super::{Cell, DataType, decimal, decimal::Decimal, time};

/// Why a value does not become what it should.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CastError(pub(crate) String);

type CastResult = Result<Cell, CastError>;

fn fail(value: &str, to: DataType) -> CastError {
    let shown: String = value.chars().take(64).collect();
    CastError(format!("Cannot cast string '{shown}' to value of {} type", arrow_name(to)))
}

fn out_of_range(value: &Cell, to: DataType) -> CastError {
    CastError(format!("Can't cast value {} to type {}", value.to_text().unwrap_or_default(), arrow_name(to)))
}

/// The name that KalamDB's errors use for a type (recorded in `wire/sql_surface.jsonl`).
pub(crate) fn arrow_name(data_type: DataType) -> String {
    match data_type {
        DataType::Boolean => "Boolean".into(),
        DataType::SmallInt => "Int16".into(),
        DataType::Int => "Int32".into(),
        DataType::BigInt => "Int64".into(),
        DataType::Float => "Float32".into(),
        DataType::Double => "Float64".into(),
        DataType::Decimal { precision, scale } => format!("Decimal128({precision}, {scale})"),
        DataType::Timestamp | DataType::DateTime => "Timestamp(µs)".into(),
        DataType::Date => "Date32".into(),
        DataType::Time => "Time64(µs)".into(),
        DataType::Bytes => "Binary".into(),
        DataType::Embedding(n) => format!("FixedSizeList({n} x Float32)"),
        DataType::Text | DataType::Json | DataType::Uuid | DataType::File => "Utf8".into(),
    }
}

/// A number as it stands in SQL or JSON, without going through a double where the type keeps digits.
pub(crate) fn from_number(text: &str, to: DataType) -> CastResult {
    match to {
        DataType::SmallInt | DataType::Int | DataType::BigInt => {
            let whole = match text.parse::<i64>() {
                Ok(value) => Some(value),
                Err(_) => Decimal::parse(text)
                    .filter(|d| d.rescale(0).and_then(|r| r.rescale(d.scale)) == Some(*d))
                    .and_then(|d| d.rescale(0))
                    .and_then(|d| i64::try_from(d.unscaled).ok()),
            };
            integer(whole.ok_or_else(|| fail(text, to))?, to)
        }
        DataType::Boolean => match text {
            "0" => Ok(Cell::Bool(false)),
            "1" => Ok(Cell::Bool(true)),
            _ => Err(fail(text, to)),
        },
        DataType::Float | DataType::Double | DataType::Decimal { .. } | DataType::Text => from_text(text, to),
        DataType::Timestamp | DataType::DateTime => {
            text.parse().map(Cell::Timestamp).map_err(|_| fail(text, to))
        }
        DataType::Date => text.parse::<i32>().map(|days| Cell::Date(days.into())).map_err(|_| fail(text, to)),
        _ => Err(fail(text, to)),
    }
}

/// What parsers of other languages bear, and ours.
const MAX_JSON_DEPTH: usize = 127;

/// How many lists and objects of valid JSON are inside each other at most.
fn json_depth(json: &str) -> usize {
    let (mut depth, mut deepest, mut in_text) = (0_usize, 0, false);
    let mut bytes = json.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => in_text = !in_text,
            b'\\' if in_text => drop(bytes.next()),
            b'[' | b'{' if !in_text => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// Text as the type reads it.
pub(crate) fn from_text(text: &str, to: DataType) -> CastResult {
    let failed = || fail(text, to);
    Ok(match to {
        DataType::Text => Cell::Text(text.into()),
        DataType::Json => {
            serde_json::from_str::<serde::de::IgnoredAny>(text)
                .map_err(|error| CastError(format!("not valid JSON ({error})")))?;
            if json_depth(text) > MAX_JSON_DEPTH {
                return Err(CastError(format!("the JSON is nested more than {MAX_JSON_DEPTH} deep")));
            }
            Cell::Json(text.into())
        }
        DataType::Uuid => {
            let parsed = uuid::Uuid::try_parse(text.trim())
                .map_err(|_| CastError(format!("'{text}' is not a UUID")))?;
            Cell::Uuid(parsed.hyphenated().to_string().into())
        }
        DataType::File => Cell::File(text.into()),
        DataType::Boolean => {
            let lower = text.trim().to_ascii_lowercase();
            match lower.as_str() {
                "true" | "t" | "yes" | "y" | "on" | "1" => Cell::Bool(true),
                "false" | "f" | "no" | "n" | "off" | "0" => Cell::Bool(false),
                _ => return Err(failed()),
            }
        }
        DataType::SmallInt | DataType::Int | DataType::BigInt => {
            integer(text.trim().parse().map_err(|_| failed())?, to)?
        }
        DataType::Float => {
            let value: f32 = text.trim().parse().map_err(|_| failed())?;
            if value.is_nan() || value.is_infinite() && is_finite(text) {
                return Err(failed());
            }
            Cell::Float(value)
        }
        DataType::Double => {
            let value: f64 = text.trim().parse().map_err(|_| failed())?;
            if value.is_nan() || value.is_infinite() && is_finite(text) {
                return Err(failed());
            }
            Cell::Double(value)
        }
        DataType::Decimal { precision, scale } => {
            let value =
                Decimal::parse(text.trim()).and_then(|d| d.rescale(scale)).filter(|d| d.fits(precision));
            Cell::Decimal(value.ok_or_else(failed)?)
        }
        DataType::Timestamp | DataType::DateTime => {
            Cell::Timestamp(time::parse_timestamp(text).ok_or_else(failed)?)
        }
        DataType::Date => {
            let date = time::parse_date(text);
            let date = date.or_else(|| time::parse_timestamp(text).map(|us| us.div_euclid(time::DAY_MICROS)));
            Cell::Date(date.ok_or_else(failed)?)
        }
        DataType::Time => Cell::Time(time::parse_time(text).ok_or_else(failed)?),
        DataType::Bytes => Cell::Bytes(Arc::from(text.as_bytes())),
        DataType::Embedding(_) => {
            let values: Vec<f32> = serde_json::from_str(text)
                .map_err(|_| CastError(format!("not a list of numbers: '{text}'")))?;
            embedding(&values, to)?
        }
    })
}

/// A parameter of a request as the type that its place asks for.
pub(crate) fn from_json(value: &serde_json::Value, to: DataType) -> CastResult {
    match value {
        serde_json::Value::Null => Ok(Cell::Null),
        serde_json::Value::Bool(value) => cast(&Cell::Bool(*value), to),
        serde_json::Value::Number(number) => from_number(&number.to_string(), to),
        serde_json::Value::String(text) => from_text(text, to),
        serde_json::Value::Array(items) => match to {
            DataType::Embedding(_) => {
                let values = items.iter().map(|v| v.as_f64().map(|v| v as f32)).collect::<Option<Vec<f32>>>();
                embedding(&values.ok_or_else(|| CastError("an embedding is a list of numbers".into()))?, to)
            }
            DataType::Bytes => {
                let bytes = items.iter().map(|v| v.as_u64().and_then(|v| u8::try_from(v).ok()));
                let bytes = bytes.collect::<Option<Vec<u8>>>();
                Ok(Cell::Bytes(
                    bytes.ok_or_else(|| CastError("bytes are a list of numbers 0 to 255".into()))?.into(),
                ))
            }
            _ => Err(CastError(format!("a list is not a value of type {to}"))),
        },
        serde_json::Value::Object(_) => Err(CastError("Object parameters not yet supported".into())),
    }
}

pub(crate) fn embedding(values: &[f32], to: DataType) -> CastResult {
    match to {
        DataType::Embedding(n) if values.len() == n as usize => {
            if values.iter().all(|v| v.is_finite()) {
                Ok(Cell::Embedding(values.into()))
            } else {
                Err(CastError("an embedding holds finite numbers only".into()))
            }
        }
        _ => Err(CastError(format!("{} numbers are not a value of type {to}", values.len()))),
    }
}

fn integer(value: i64, to: DataType) -> CastResult {
    let fits = match to {
        DataType::SmallInt => i16::try_from(value).is_ok(),
        DataType::Int => i32::try_from(value).is_ok(),
        _ => true,
    };
    match to {
        DataType::BigInt => Ok(Cell::BigInt(value)),
        _ if fits => Ok(Cell::Int(value)),
        _ => Err(out_of_range(&Cell::BigInt(value), to)),
    }
}

/// CAST. Fails where a value has no counterpart; cuts fractions off towards zero.
pub(crate) fn cast(value: &Cell, to: DataType) -> CastResult {
    let refuse = || Err(CastError(format!("cannot cast {} to {to}", kind_name(value))));
    match value {
        Cell::Null => Ok(Cell::Null),
        _ if to == DataType::Text => Ok(Cell::Text(value.to_text().unwrap_or_default().into())),
        Cell::Text(text) | Cell::Json(text) | Cell::Uuid(text) | Cell::File(text) => from_text(text, to),
        Cell::Bool(value) if to.is_integer() => integer(i64::from(*value), to),
        Cell::Bool(value) => {
            if to == DataType::Boolean {
                Ok(Cell::Bool(*value))
            } else {
                refuse()
            }
        }
        Cell::Int(number) | Cell::BigInt(number) => match to {
            DataType::Boolean => Ok(Cell::Bool(*number != 0)),
            DataType::Float => Ok(Cell::Float(*number as f32)),
            DataType::Double => Ok(Cell::Double(*number as f64)),
            DataType::Decimal { precision, scale } => {
                to_decimal(Decimal::new(i128::from(*number), 0), precision, scale, value)
            }
            DataType::Timestamp | DataType::DateTime => Ok(Cell::Timestamp(*number)),
            // Arrow's dates have 32 bits.
            DataType::Date if i32::try_from(*number).is_ok() => Ok(Cell::Date(*number)),
            DataType::Date => Err(out_of_range(value, to)),
            _ if to.is_integer() => integer(*number, to),
            _ => refuse(),
        },
        Cell::Float(number) => cast_float(f64::from(*number), value, to),
        Cell::Double(number) => cast_float(*number, value, to),
        Cell::Decimal(number) => match to {
            DataType::Decimal { precision, scale } => to_decimal(*number, precision, scale, value),
            DataType::Float => Ok(Cell::Float(number.to_f64() as f32)),
            DataType::Double => Ok(Cell::Double(number.to_f64())),
            _ if to.is_integer() => {
                let whole = decimal::power(number.scale).map_or(0, |divisor| number.unscaled / divisor);
                integer(i64::try_from(whole).map_err(|_| out_of_range(value, to))?, to)
            }
            _ => refuse(),
        },
        Cell::Timestamp(micros) => match to {
            DataType::Timestamp | DataType::DateTime => Ok(value.clone()),
            DataType::Date => Ok(Cell::Date(micros.div_euclid(time::DAY_MICROS))),
            DataType::Time => Ok(Cell::Time(micros.rem_euclid(time::DAY_MICROS))),
            DataType::BigInt => Ok(Cell::BigInt(*micros)),
            _ => refuse(),
        },
        Cell::Date(days) => match to {
            DataType::Date => Ok(value.clone()),
            DataType::Timestamp | DataType::DateTime => {
                days.checked_mul(time::DAY_MICROS).map(Cell::Timestamp).ok_or_else(|| out_of_range(value, to))
            }
            DataType::Int | DataType::BigInt => integer(*days, to),
            _ => refuse(),
        },
        Cell::Time(micros) => match to {
            DataType::Time => Ok(value.clone()),
            DataType::BigInt => Ok(Cell::BigInt(*micros)),
            _ => refuse(),
        },
        Cell::Bytes(_) => {
            if to == DataType::Bytes {
                Ok(value.clone())
            } else {
                refuse()
            }
        }
        Cell::Embedding(values) => embedding(values, to),
    }
}

/// Whether the text of a number, which may be too large for its type, is none for infinity.
fn is_finite(text: &str) -> bool {
    text.contains(|c: char| c.is_ascii_digit())
}

fn to_decimal(number: Decimal, precision: u8, scale: u8, value: &Cell) -> CastResult {
    let fitted = number.rescale(scale).filter(|d| d.fits(precision)).map(Cell::Decimal);
    fitted.ok_or_else(|| out_of_range(value, DataType::Decimal { precision, scale }))
}

fn cast_float(number: f64, value: &Cell, to: DataType) -> CastResult {
    match to {
        DataType::Float => Ok(Cell::Float(number as f32)),
        DataType::Double => Ok(Cell::Double(number)),
        DataType::Boolean => Ok(Cell::Bool(number != 0.0)),
        DataType::Decimal { .. } => {
            let text = value.to_text().unwrap_or_default();
            from_text(&text, to)
        }
        _ if to.is_integer() => {
            // Doubles from 2^63 on have no i64; below, the conversion is exact after cutting off.
            if number.is_nan() || number.trunc().abs() >= 9_223_372_036_854_775_808.0 {
                return Err(out_of_range(value, to));
            }
            integer(number.trunc() as i64, to)
        }
        _ => Err(CastError(format!("cannot cast a number to {to}"))),
    }
}

/// Storing a value into a column: a cast that loses nothing but digits behind a decimal's scale.
pub(crate) fn assign(value: &Cell, to: DataType) -> CastResult {
    let fraction = match value {
        Cell::Float(number) => number.fract() != 0.0,
        Cell::Double(number) => number.fract() != 0.0,
        Cell::Decimal(number) => number.rescale(0).and_then(|d| d.rescale(number.scale)) != Some(*number),
        _ => false,
    };
    if fraction && to.is_integer() {
        return Err(out_of_range(value, to));
    }
    match cast(value, to)? {
        // Answers have no infinity, so it would be read back as NULL.
        Cell::Float(f32::INFINITY | f32::NEG_INFINITY) if matches!(value, Cell::Double(n) if n.is_finite()) => {
            Err(out_of_range(value, to))
        }
        assigned => Ok(assigned),
    }
}

fn kind_name(value: &Cell) -> &'static str {
    match value {
        Cell::Null => "NULL",
        Cell::Bool(_) => "a boolean",
        Cell::Int(_) | Cell::BigInt(_) | Cell::Float(_) | Cell::Double(_) | Cell::Decimal(_) => "a number",
        Cell::Text(_) | Cell::Json(_) | Cell::Uuid(_) | Cell::File(_) => "text",
        Cell::Timestamp(_) => "a timestamp",
        Cell::Date(_) => "a date",
        Cell::Time(_) => "a time",
        Cell::Bytes(_) => "bytes",
        Cell::Embedding(_) => "an embedding",
    }
}

/// What SQLite stores for a cell.
pub(crate) fn to_sqlite(cell: &Cell) -> rusqlite::types::ToSqlOutput<'_> {
    use rusqlite::types::ToSqlOutput::{Borrowed, Owned};
    match cell {
        Cell::Null => Borrowed(ValueRef::Null),
        Cell::Bool(value) => Borrowed(ValueRef::Integer(i64::from(*value))),
        Cell::Int(value)
        | Cell::BigInt(value)
        | Cell::Timestamp(value)
        | Cell::Date(value)
        | Cell::Time(value) => Borrowed(ValueRef::Integer(*value)),
        Cell::Float(value) => Borrowed(ValueRef::Real(f64::from(*value))),
        Cell::Double(value) => Borrowed(ValueRef::Real(*value)),
        Cell::Decimal(value) => Owned(Value::Blob(value.to_bytes().to_vec())),
        Cell::Text(value) | Cell::Json(value) | Cell::Uuid(value) | Cell::File(value) => {
            Borrowed(ValueRef::Text(value.as_bytes()))
        }
        Cell::Bytes(value) => Borrowed(ValueRef::Blob(value)),
        Cell::Embedding(value) => Owned(Value::Blob(value.iter().flat_map(|v| v.to_le_bytes()).collect())),
    }
}

/// Reads a SQLite value as the type that the checked SQL says it has. `None` is a defect of the translation.
pub(crate) fn from_sqlite(value: ValueRef<'_>, data_type: DataType) -> Option<Cell> {
    let text = |bytes: &[u8]| std::str::from_utf8(bytes).ok().map(Arc::<str>::from);
    Some(match (data_type, value) {
        (_, ValueRef::Null) => Cell::Null,
        (DataType::Boolean, ValueRef::Integer(value)) => Cell::Bool(value != 0),
        (DataType::SmallInt | DataType::Int, ValueRef::Integer(value)) => Cell::Int(value),
        (DataType::BigInt, ValueRef::Integer(value)) => Cell::BigInt(value),
        (DataType::Float, ValueRef::Real(value)) => Cell::Float(value as f32),
        (DataType::Double, ValueRef::Real(value)) => Cell::Double(value),
        (DataType::Decimal { scale, .. }, ValueRef::Blob(bytes)) => {
            Cell::Decimal(Decimal::from_bytes(bytes, scale)?)
        }
        (DataType::Text, ValueRef::Text(bytes)) => Cell::Text(text(bytes)?),
        (DataType::Json, ValueRef::Text(bytes)) => Cell::Json(text(bytes)?),
        (DataType::Uuid, ValueRef::Text(bytes)) => Cell::Uuid(text(bytes)?),
        (DataType::File, ValueRef::Text(bytes)) => Cell::File(text(bytes)?),
        (DataType::Timestamp | DataType::DateTime, ValueRef::Integer(value)) => Cell::Timestamp(value),
        (DataType::Date, ValueRef::Integer(value)) => Cell::Date(value),
        (DataType::Time, ValueRef::Integer(value)) => Cell::Time(value),
        (DataType::Bytes, ValueRef::Blob(bytes)) => Cell::Bytes(bytes.into()),
        (DataType::Embedding(_), ValueRef::Blob(bytes)) => {
            let values = bytes.chunks_exact(4).filter_map(|c| c.try_into().ok()).map(f32::from_le_bytes);
            Cell::Embedding(values.collect())
        }
        _ => return None,
    })
}

/// A type as one integer, for the registered SQL functions.
pub(crate) fn type_code(data_type: DataType) -> i64 {
    let (kind, argument) = match data_type {
        DataType::Boolean => (0, 0),
        DataType::SmallInt => (1, 0),
        DataType::Int => (2, 0),
        DataType::BigInt => (3, 0),
        DataType::Float => (4, 0),
        DataType::Double => (5, 0),
        DataType::Decimal { precision, scale } => (6, i64::from(precision) << 8 | i64::from(scale)),
        DataType::Text => (7, 0),
        DataType::Timestamp => (8, 0),
        DataType::DateTime => (9, 0),
        DataType::Date => (10, 0),
        DataType::Time => (11, 0),
        DataType::Json => (12, 0),
        DataType::Bytes => (13, 0),
        DataType::Embedding(n) => (14, i64::from(n)),
        DataType::Uuid => (15, 0),
        DataType::File => (16, 0),
    };
    argument << 8 | kind
}

/// The inverse of [`type_code`].
pub(crate) fn type_of_code(code: i64) -> Option<DataType> {
    let argument = code >> 8;
    Some(match code & 0xff {
        0 => DataType::Boolean,
        1 => DataType::SmallInt,
        2 => DataType::Int,
        3 => DataType::BigInt,
        4 => DataType::Float,
        5 => DataType::Double,
        6 => DataType::Decimal { precision: (argument >> 8) as u8, scale: (argument & 0xff) as u8 },
        7 => DataType::Text,
        8 => DataType::Timestamp,
        9 => DataType::DateTime,
        10 => DataType::Date,
        11 => DataType::Time,
        12 => DataType::Json,
        13 => DataType::Bytes,
        14 => DataType::Embedding(u32::try_from(argument).ok()?),
        15 => DataType::Uuid,
        16 => DataType::File,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const MONEY: DataType = DataType::Decimal { precision: 10, scale: 2 };

    #[test]
    fn text_becomes_what_the_column_asks_for() {
        assert_eq!(from_text("7.5", MONEY).unwrap(), Cell::Decimal(Decimal::new(750, 2)));
        assert_eq!(
            from_text("[0.5, 1, -2.25]", DataType::Embedding(3)).unwrap().to_text().unwrap(),
            "[0.5,1.0,-2.25]"
        );
        assert_eq!(
            from_text("550E8400-E29B-41D4-A716-446655440000", DataType::Uuid).unwrap(),
            Cell::Uuid("550e8400-e29b-41d4-a716-446655440000".into())
        );
        // The message is the recorded one (wire/sql_surface.jsonl).
        assert_eq!(
            from_text("notanumber", DataType::Double).unwrap_err().0,
            "Cannot cast string 'notanumber' to value of Float64 type"
        );
        for (text, to) in [
            ("40000", DataType::SmallInt),
            ("2147483648", DataType::Int),
            ("9223372036854775808", DataType::BigInt),
            ("1.5", DataType::Int),
            ("123456789.00", MONEY),
            ("NaN", DataType::Double),
            ("{", DataType::Json),
            ("[1,2]", DataType::Embedding(3)),
            ("maybe", DataType::Boolean),
        ] {
            assert!(from_text(text, to).is_err(), "{text} as {to}");
        }
    }

    #[test]
    fn json_has_a_depth() {
        let nested = |levels: usize| "[".repeat(levels) + &"]".repeat(levels);
        assert!(from_text(&nested(127), DataType::Json).is_ok());
        assert!(from_text(&nested(128), DataType::Json).unwrap_err().0.contains("nested"));
        assert!(from_text(&nested(100_000), DataType::Json).is_err());
        assert_eq!(json_depth(r#"{"a[{\"[": [1, "]"], "b": {}}"#), 2);
        // What is let in can be read.
        assert!(serde_json::from_str::<serde_json::Value>(&nested(127)).is_ok());
    }

    #[test]
    fn numbers_keep_their_digits() {
        assert_eq!(
            from_number("9007199254740993", DataType::BigInt).unwrap(),
            Cell::BigInt(9_007_199_254_740_993)
        );
        assert_eq!(from_number("1.0", DataType::Int).unwrap(), Cell::Int(1));
        assert!(from_number("1.5", DataType::Int).is_err());
        assert!(from_number("1e30", DataType::BigInt).is_err());
        assert_eq!(from_json(&json!(12.34), MONEY).unwrap(), Cell::Decimal(Decimal::new(1234, 2)));
        assert_eq!(
            from_json(&json!([1, 255]), DataType::Bytes).unwrap(),
            Cell::Bytes(Arc::from([1_u8, 255].as_slice()))
        );
        assert!(from_json(&json!([1, 256]), DataType::Bytes).is_err());
        assert!(from_json(&json!({"a": 1}), DataType::Json).is_err());
    }

    #[test]
    fn casts() {
        assert_eq!(cast(&Cell::Double(-1.9), DataType::Int).unwrap(), Cell::Int(-1));
        assert!(cast(&Cell::Double(1e19), DataType::BigInt).is_err());
        assert_eq!(cast(&Cell::Bool(true), DataType::Text).unwrap(), Cell::Text("true".into()));
        assert_eq!(cast(&Cell::Decimal(Decimal::new(199, 2)), DataType::Int).unwrap(), Cell::Int(1));
        assert_eq!(cast(&Cell::Date(1), DataType::Timestamp).unwrap(), Cell::Timestamp(time::DAY_MICROS));
        assert_eq!(cast(&Cell::Timestamp(-1), DataType::Date).unwrap(), Cell::Date(-1));
        assert!(cast(&Cell::Bool(true), DataType::Date).is_err());
        assert!(assign(&Cell::Double(1.5), DataType::Int).is_err());
        assert_eq!(assign(&Cell::Double(2.0), DataType::Int).unwrap(), Cell::Int(2));
    }

    #[test]
    fn type_codes_and_sqlite_values_round_trip() {
        for data_type in
            [DataType::Boolean, MONEY, DataType::Embedding(8192), DataType::File, DataType::BigInt]
        {
            assert_eq!(type_of_code(type_code(data_type)), Some(data_type));
        }
        for (cell, data_type) in [
            (Cell::Decimal(Decimal::new(-750, 2)), MONEY),
            (Cell::Embedding(Arc::from([0.5_f32, -2.25].as_slice())), DataType::Embedding(2)),
            (Cell::Float(1.1), DataType::Float),
            (Cell::Text("h\u{e9}".into()), DataType::Text),
        ] {
            let value: Value = match to_sqlite(&cell) {
                rusqlite::types::ToSqlOutput::Borrowed(value) => value.try_into().unwrap(),
                rusqlite::types::ToSqlOutput::Owned(value) => value,
                other => panic!("{other:?}"),
            };
            assert_eq!(from_sqlite(ValueRef::from(&value), data_type), Some(cell));
        }
        assert_eq!(from_sqlite(ValueRef::Text(b"x"), DataType::BigInt), None);
    }
}
