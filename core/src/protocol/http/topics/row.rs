//! What the payload of a record says of its row.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;
#[cfg(any(feature = "runtime", test))]
use std::sync::LazyLock;

#[cfg(any(feature = "runtime", test))]
use memchr::memmem::Finder;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};

use super::super::super::cell::{CellSeed, CellType};
use super::super::super::decode::shortened;
use super::super::super::limits::Limits;
use crate::error::{Error, ErrorCode, Result};
use crate::row::Row;
use crate::schema::{Column, DataType, Schema, SeqId};
use crate::value::Value;

/// What a payload holds beside columns.
const NOT_COLUMNS: [&str; 4] = ["_commit_seq", "_deleted", "_table", "_old"];

#[cfg(any(feature = "runtime", test))]
static TABLE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(r#""_table":"#));

/// The table that a payload names, `namespace:table`. Found without reading the rest.
#[cfg(any(feature = "runtime", test))]
pub(crate) fn table_of(payload: &[u8]) -> Option<&str> {
    // In a text of the user's the quotation marks would be escaped.
    let at = TABLE.find(payload)? + TABLE.needle().len();
    let rest = payload[at..].trim_ascii_start().strip_prefix(b"\"")?;
    let name = &rest[..memchr::memchr2(b'"', b'\\', rest)?];
    std::str::from_utf8(name).ok().filter(|name| name.contains(':'))
}

/// The row of a payload: its columns by the types of `schema`, those that the schema does not have as JSON. Columns that
/// the payload leaves out are not in the row.
///
/// # Errors
/// `protocol` when the payload is not the JSON of such a row.
pub(crate) fn decode_record_row(payload: &[u8], schema: &Arc<Schema>) -> Result<Row> {
    let mut json = serde_json::Deserializer::from_slice(payload);
    PayloadSeed { schema, depth: Limits::default().depth }
        .deserialize(&mut json)
        .and_then(|row| json.end().map(|()| row))
        .map_err(|e| {
            Error::new(
                ErrorCode::Protocol,
                format!("the payload is not a row of its table: {}", shortened(e)),
            )
        })
}

/// Whether the columns of `schema` are those that the row of a payload has, or more.
#[cfg(any(feature = "runtime", test))]
pub(crate) fn fits_table(payload: &[u8], schema: &Arc<Schema>) -> bool {
    let known = |row: Row| {
        Arc::ptr_eq(row.schema(), schema) || row.iter().all(|(name, _)| schema.index_of(name).is_some())
    };
    decode_record_row(payload, schema).is_ok_and(known)
}

struct PayloadSeed<'a> {
    schema: &'a Arc<Schema>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for PayloadSeed<'_> {
    type Value = Row;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Row, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for PayloadSeed<'_> {
    type Value = Row;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with the columns of a row")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Row, A::Error> {
        let mut cells: Vec<Option<Value>> = vec![None; self.schema.columns().len()];
        let mut others = Vec::new();
        let mut version = None;
        while let Some(name) = map.next_key::<Cow<'_, str>>()? {
            if let Some(position) = self.schema.index_of(&name) {
                let cell = CellType::new(&self.schema.columns()[position].data_type, false);
                let slot = cells[position].insert(Value::Null);
                map.next_value_seed(CellSeed { cell, depth: self.depth, slot })?;
            // The second as of 0.8.
            } else if matches!(&*name, "_seq" | "_version") {
                let mut slot = Value::Null;
                map.next_value_seed(CellSeed { cell: CellType::Int, depth: self.depth, slot: &mut slot })?;
                version = slot.as_int().map(SeqId::from);
            } else if NOT_COLUMNS.contains(&&*name) {
                map.next_value::<IgnoredAny>()?;
            } else {
                let mut slot = Value::Null;
                map.next_value_seed(CellSeed { cell: CellType::Other, depth: self.depth, slot: &mut slot })?;
                others.push((Column::new(&*name, DataType::Other("unknown".into())), slot));
            }
        }
        if cells.iter().all(Option::is_none) && others.is_empty() {
            return Err(de::Error::custom("it has no columns"));
        }
        if others.is_empty() && cells.iter().all(Option::is_some) {
            let cells: Vec<Value> = cells.into_iter().flatten().collect();
            return Ok(Row::new(self.schema.clone(), cells, version));
        }
        let known = self.schema.columns().iter().cloned().zip(cells);
        let present = known.filter_map(|(column, cell)| Some((column, cell?)));
        let (columns, cells): (Vec<Column>, Vec<Value>) = present.chain(others).unzip();
        Ok(Row::new(Schema::new(columns), cells, version))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ROW: &[u8] = br#"{"item":"i0","_deleted":false,"_commit_seq":"290652277","id":"9007199254740993","_seq":"383750067692867584","qty":0,"_table":"w288de9:orders"}"#;

    fn schema() -> Arc<Schema> {
        Schema::new(vec![
            Column::new("id", DataType::BigInt).primary_key(),
            Column::new("item", DataType::Text),
            Column::new("qty", DataType::Int),
        ])
    }

    #[test]
    fn a_payload_becomes_a_row_by_the_types_of_its_table() {
        assert_eq!(table_of(ROW), Some("w288de9:orders"));
        let schema = schema();
        let row = decode_record_row(ROW, &schema).unwrap();
        assert!(Arc::ptr_eq(row.schema(), &schema), "shared, since the row has every column");
        assert_eq!(row["id"].as_int(), Some(9_007_199_254_740_993));
        assert_eq!(row["item"].as_text(), Some("i0"));
        assert_eq!(row.version().map(SeqId::get), Some(383_750_067_692_867_584));
    }

    #[test]
    fn the_version_of_0_8_is_no_column() {
        let row = decode_record_row(
            br#"{"id":"7","item":null,"qty":1,"_version":"5","_deleted":false}"#,
            &schema(),
        );
        assert_eq!(row.unwrap().version().map(SeqId::get), Some(5));
    }

    #[test]
    fn columns_may_be_missing_or_new() {
        let row = decode_record_row(br#"{"id":"7","extra":[1,2],"_old":{"qty":1}}"#, &schema()).unwrap();
        assert_eq!(row.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["id", "extra"]);
        assert_eq!(row["extra"].as_json_text(), Some("[1,2]"));
        assert!(fits_table(ROW, &schema()) && fits_table(br#"{"id":"7"}"#, &schema()));
        assert!(
            !fits_table(br#"{"id":"7","extra":1}"#, &schema()) && !fits_table(br#"{"id":"x"}"#, &schema())
        );
        for bad in [&b"[]"[..], b"{}", b"{\"id\":\"x\"}", b"{\"id\":\"7\"", b"not json"] {
            assert_eq!(decode_record_row(bad, &schema()).unwrap_err().code(), ErrorCode::Protocol);
        }
    }

    #[test]
    fn a_text_does_not_name_a_table() {
        assert_eq!(table_of(br#"{"item":"\"_table\":\"a:b\""}"#), None);
        assert_eq!(table_of(br#"{"_table": "a:b"}"#), Some("a:b"));
        assert_eq!(table_of(br#"{"_table":7}"#), None);
        assert_eq!(table_of(br#"{"_table":"no colon"}"#), None);
    }
}
