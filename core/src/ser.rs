//! Rows and values out to JSON and other formats, by serde.

use serde::ser::{Serialize, SerializeMap, Serializer};

use crate::row::Row;
use crate::value::Value;

/// As a person expects it in JSON:
///
/// | value | JSON |
/// |---|---|
/// | SMALLINT, INT, BIGINT | number, also beyond 2<sup>53</sup> |
/// | FLOAT, DOUBLE | number; `null` for what is not finite |
/// | DECIMAL | string with its digits |
/// | TEXT, UUID | string |
/// | TIMESTAMP, DATETIME | string, RFC 3339 in UTC: `2026-01-02T03:04:05Z` |
/// | DATE, TIME | string, ISO 8601 |
/// | JSON | the JSON itself; a string when it does not parse |
/// | BYTES | array of numbers, as KalamDB writes them (bytes in formats that have them) |
/// | EMBEDDING | array of numbers |
/// | FILE | object |
impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Boolean(b) => serializer.serialize_bool(*b),
            Self::Int(n) => serializer.serialize_i64(*n),
            Self::Float(x) => serializer.serialize_f64(*x),
            Self::Decimal(d) => serializer.serialize_str(d.as_str()),
            Self::Text(s) => serializer.serialize_str(s),
            Self::Timestamp(_) | Self::Date(_) | Self::Time(_) | Self::Uuid(_) => {
                serializer.collect_str(self)
            }
            Self::Json(text) => match self.as_json() {
                Some(json) => json.serialize(serializer),
                None => serializer.serialize_str(text),
            },
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::Embedding(numbers) => numbers.serialize(serializer),
            Self::File(file) => file.serialize(serializer),
        }
    }
}

/// An object of the visible columns, in their order.
impl Serialize for Row {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cells = self.iter();
        let mut map = serializer.serialize_map(Some(cells.len()))?;
        for (name, value) in cells {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Column, DataType, Schema};
    use crate::value::{Decimal, FileRef, Uuid};

    #[test]
    fn a_row_is_the_json_that_a_person_expects() {
        let file = FileRef {
            id: "1".into(),
            sub: "f0001".into(),
            name: "a.txt".into(),
            size: 3,
            mime: "text/plain".into(),
            sha256: "00".into(),
        };
        let cells = vec![
            ("z", Value::Int(9_007_199_254_740_993)),
            ("b", Value::Boolean(true)),
            ("f", Value::Float(1.5)),
            ("nan", Value::Float(f64::NAN)),
            ("dec", Value::Decimal(Decimal::parse("12.3400").expect("a decimal"))),
            ("t", Value::from("é\"")),
            ("ts", Value::Timestamp(1_767_323_045_000_001)),
            ("da", Value::Date(20_455)),
            ("ti", Value::Time(11_045_000_000)),
            ("u", Value::Uuid(Uuid([0x55; 16]))),
            ("j", Value::Json(r#"{"k":[1,null]}"#.into())),
            ("broken", Value::Json("{".into())),
            ("by", Value::from(vec![0_u8, 255])),
            ("e", Value::Embedding([0.5].into())),
            ("fi", Value::File(Box::new(file))),
            ("n", Value::Null),
            ("hidden", Value::Int(1)),
        ];
        let columns: Vec<_> = cells.iter().map(|(name, _)| Column::new(*name, DataType::Text)).collect();
        let visible = columns.len() - 1;
        let values: Vec<_> = cells.into_iter().map(|(_, value)| value).collect();
        let row = Row::new(Schema::with_hidden(columns, visible), values, None);
        assert_eq!(
            serde_json::to_string(&row).expect("JSON"),
            concat!(
                r#"{"z":9007199254740993,"b":true,"f":1.5,"nan":null,"dec":"12.3400","t":"é\"","ts":"2026-01-02T03:04:05.000001Z","#,
                r#""da":"2026-01-02","ti":"03:04:05","u":"55555555-5555-5555-5555-555555555555","j":{"k":[1,null]},"broken":"{","#,
                r#""by":[0,255],"e":[0.5],"fi":{"id":"1","sub":"f0001","name":"a.txt","size":3,"mime":"text/plain","sha256":"00"},"n":null}"#
            )
        );
    }
}
