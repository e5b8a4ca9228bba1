//! `POST /v1/api/topics/consume` and `/ack` (recorded in `wire/topics.jsonl`).

use std::borrow::Cow;
use std::fmt;
use std::sync::{Arc, LazyLock};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use compact_str::CompactString;
use memchr::memmem::Finder;
use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Serialize};

use super::super::cell::{CellSeed, CellType};
use super::super::decode::shortened;
use super::super::limits::Limits;
use super::error::decode_error;
use crate::error::{Error, ErrorCode, Result};
use crate::row::Row;
use crate::schema::{Column, DataType, Schema, SeqId};
use crate::value::Value;

/// Where a group without a committed offset begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum TopicStart {
    /// After the newest record.
    Latest,
    /// At the oldest record.
    Earliest,
    /// At this offset.
    Offset(u64),
}

/// A wish for records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ConsumeRequest<'a> {
    /// `namespace.topic`.
    pub topic_id: &'a str,
    /// The group of consumers that share the records.
    pub group_id: &'a str,
    /// Ignored once the group has committed an offset.
    pub start: TopicStart,
    /// The most records; 0 only tells where the group is.
    pub limit: u32,
    /// From 0.
    pub partition_id: u32,
    /// How long to wait for records, in whole seconds. KalamDB 0.4 does not wait.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeout_seconds: Option<u64>,
}

/// What there was.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Consumed {
    /// By ascending offset, but for records that are delivered again, which come first.
    pub records: Vec<TopicMessage>,
    /// After the last record; without any, the first offset that the group has not committed.
    pub next_offset: u64,
    /// There may be more at once.
    pub has_more: bool,
}

/// What was done to the row of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RecordOp {
    /// It was inserted.
    Insert,
    /// It was updated.
    Update,
    /// It was deleted.
    Delete,
}

impl RecordOp {
    /// `insert`, `update` or `delete`, the same in every language.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Insert => "insert",
            Self::Update => "update",
            Self::Delete => "delete",
        }
    }
}

impl fmt::Display for RecordOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One record, as the wire has it.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicMessage {
    /// Its place in the partition.
    pub offset: u64,
    /// The primary key of the row, as text.
    pub key: Option<CompactString>,
    /// What was done to the row; an insert when the server does not tell.
    pub op: RecordOp,
    /// When, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// Owner of the row, where it has one.
    pub user: Option<CompactString>,
    /// The bytes.
    pub payload: Arc<[u8]>,
    /// What of the record could not be read; the rest is as good as it gets.
    pub problem: Option<Box<str>>,
    /// The columns of its table. The wire does not have them: whoever can ask for them sets them.
    pub table: Option<Arc<Schema>>,
}

/// The body of a request for records.
pub fn encode_consume(request: &ConsumeRequest<'_>) -> String {
    // Texts and numbers are always JSON.
    serde_json::to_string(request).unwrap_or_default()
}

/// The body of an acknowledgement: the group is done with everything up to and including `upto_offset`.
pub fn encode_ack(topic_id: &str, group_id: &str, partition_id: u32, upto_offset: u64) -> String {
    #[derive(Serialize)]
    struct Ack<'a> {
        topic_id: &'a str,
        group_id: &'a str,
        partition_id: u32,
        upto_offset: u64,
    }
    serde_json::to_string(&Ack { topic_id, group_id, partition_id, upto_offset }).unwrap_or_default()
}

/// The answer to a request for records. One record that can not be read does not spoil the others.
///
/// # Errors
/// The server's error by its code (`not_found`, `permission_denied`, `auth_failed`, `rate_limited`, `unavailable`, ...);
/// `disconnected` for an answer that is cut or empty; `protocol` for what is no answer.
pub fn decode_consumed(status: u16, body: &[u8]) -> Result<Consumed> {
    if !(200..300).contains(&status) {
        return Err(decode_error(status, body));
    }
    // As good as every answer is read in one pass; one that is not, record by record.
    // As text, so that not each string is validated by itself.
    let text = std::str::from_utf8(body).ok();
    if let Some(Ok(answer)) = text.map(serde_json::from_str::<Answer<Message<'_>>>) {
        let mut scratch = Vec::new();
        return Ok(answer.into_consumed(|message| message.read(&mut scratch)));
    }
    match serde_json::from_slice::<Answer<serde_json::Value>>(body) {
        Ok(answer) => Ok(answer.into_consumed(|value: serde_json::Value| read_loosely(&value))),
        Err(e) if e.is_eof() => Err(cut()),
        Err(e) => Err(Error::new(
            ErrorCode::Protocol,
            format!("the answer to a request for records can not be read: {}", shortened(e)),
        )),
    }
}

/// The answer to an acknowledgement.
///
/// # Errors
/// As [`decode_consumed`].
pub fn decode_ack(status: u16, body: &[u8]) -> Result<()> {
    #[derive(Deserialize)]
    struct Acknowledged {
        #[serde(default)]
        success: bool,
    }
    if !(200..300).contains(&status) {
        return Err(decode_error(status, body));
    }
    match serde_json::from_slice::<Acknowledged>(body) {
        Ok(Acknowledged { success: true }) => Ok(()),
        Err(e) if e.is_eof() => Err(cut()),
        _ => Err(Error::new(ErrorCode::Protocol, "the server did not confirm the acknowledgement")),
    }
}

fn cut() -> Error {
    Error::new(ErrorCode::Disconnected, "the answer ends too early: the connection was cut")
}

#[derive(Deserialize)]
struct Answer<M> {
    messages: Vec<M>,
    next_offset: u64,
    #[serde(default)]
    has_more: bool,
}

impl<M> Answer<M> {
    fn into_consumed(self, mut read: impl FnMut(M) -> Option<TopicMessage>) -> Consumed {
        Consumed {
            // One without an offset can not even be named.
            records: self.messages.into_iter().filter_map(&mut read).collect(),
            next_offset: self.next_offset,
            has_more: self.has_more,
        }
    }
}

#[derive(Deserialize)]
struct Message<'a> {
    offset: u64,
    #[serde(borrow)]
    payload: Cow<'a, str>,
    #[serde(default)]
    key: Option<CompactString>,
    #[serde(default)]
    timestamp_ms: i64,
    #[serde(default)]
    user: Option<CompactString>,
    #[serde(borrow)]
    op: Cow<'a, str>,
}

impl Message<'_> {
    fn read(self, scratch: &mut Vec<u8>) -> Option<TopicMessage> {
        let (payload, wrong_payload) = bytes(&self.payload, scratch);
        let (op, wrong_op) = operation(&self.op);
        Some(TopicMessage {
            offset: self.offset,
            key: self.key,
            op,
            timestamp_ms: self.timestamp_ms,
            user: self.user,
            payload,
            problem: wrong_payload.or(wrong_op),
            table: None,
        })
    }
}

/// The payload, with room to decode into that is used again.
fn bytes(base64: &str, scratch: &mut Vec<u8>) -> (Arc<[u8]>, Option<Box<str>>) {
    scratch.clear();
    match STANDARD.decode_vec(base64, scratch) {
        Ok(()) => (scratch.as_slice().into(), None),
        // What came, so that somebody can look at it.
        Err(_) => (base64.as_bytes().into(), Some("the payload is not base64".into())),
    }
}

fn operation(name: &str) -> (RecordOp, Option<Box<str>>) {
    for op in [RecordOp::Insert, RecordOp::Update, RecordOp::Delete] {
        if name.eq_ignore_ascii_case(op.as_str()) {
            return (op, None);
        }
    }
    let shown: String = name.chars().take(32).collect();
    (RecordOp::Insert, Some(format!("the operation {shown:?} is not known").into()))
}

fn read_loosely(value: &serde_json::Value) -> Option<TopicMessage> {
    let text = |name: &str| value.get(name).and_then(serde_json::Value::as_str);
    let offset = value.get("offset")?;
    let offset = offset.as_u64().or_else(|| offset.as_str()?.parse().ok())?;
    let (payload, wrong_payload) = match text("payload") {
        Some(base64) => bytes(base64, &mut Vec::new()),
        None => (Arc::default(), Some("there is no payload".into())),
    };
    let (op, wrong_op) = match text("op") {
        Some(name) => operation(name),
        None => (RecordOp::Insert, Some("there is no operation".into())),
    };
    let key = match value.get("key") {
        Some(serde_json::Value::Number(number)) => Some(number.to_string().into()),
        _ => text("key").map(Into::into),
    };
    Some(TopicMessage {
        offset,
        key,
        op,
        timestamp_ms: value.get("timestamp_ms").and_then(serde_json::Value::as_i64).unwrap_or(0),
        user: text("user").map(Into::into),
        payload,
        problem: wrong_payload.or(wrong_op),
        table: None,
    })
}

// Rows

/// What a payload holds beside columns.
const NOT_COLUMNS: [&str; 4] = ["_commit_seq", "_deleted", "_table", "_old"];

#[cfg(any(feature = "runtime", test))]
static TABLE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(r#""_table":"#));

/// The table that a payload names, `namespace:table`, as `(namespace, table)`. Found without reading the rest.
#[cfg(any(feature = "runtime", test))]
pub(crate) fn table_of(payload: &[u8]) -> Option<(&str, &str)> {
    // In a text of the user's the quotation marks would be escaped.
    let at = TABLE.find(payload)? + TABLE.needle().len();
    let rest = payload[at..].trim_ascii_start().strip_prefix(b"\"")?;
    let name = &rest[..memchr::memchr2(b'"', b'\\', rest)?];
    std::str::from_utf8(name).ok()?.split_once(':')
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
        assert_eq!(table_of(ROW), Some(("w288de9", "orders")));
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
        for bad in [&b"[]"[..], b"{}", b"{\"id\":\"x\"}", b"{\"id\":\"7\"", b"not json"] {
            assert_eq!(decode_record_row(bad, &schema()).unwrap_err().code(), ErrorCode::Protocol);
        }
    }

    #[test]
    fn a_text_does_not_name_a_table() {
        assert_eq!(table_of(br#"{"item":"\"_table\":\"a:b\""}"#), None);
        assert_eq!(table_of(br#"{"_table": "a:b"}"#), Some(("a", "b")));
        assert_eq!(table_of(br#"{"_table":7}"#), None);
        assert_eq!(table_of(br#"{"_table":"no colon"}"#), None);
    }

    #[test]
    fn one_bad_record_does_not_spoil_the_others() {
        let good = r#"{"topic_id":"a.b","partition_id":0,"offset":3,"payload":"eyJ9","key":"1","timestamp_ms":5,"op":"Update"}"#;
        let body =
            |message: &str| format!(r#"{{"messages":[{good},{message}],"next_offset":5,"has_more":false}}"#);
        for (message, offset, problem) in [
            (r#"{"offset":4,"payload":"%%%","op":"Insert"}"#, 4, Some("not base64")),
            (r#"{"offset":4,"payload":"AAAA","op":"Truncate"}"#, 4, Some("Truncate")),
            (r#"{"offset":4,"payload":7,"op":"Insert"}"#, 4, Some("no payload")),
            (r#"{"offset":"4","payload":"AAAA","op":"Delete","key":9}"#, 4, None),
            (r#"{"offset":4,"payload":null}"#, 4, Some("no payload")),
        ] {
            let consumed = decode_consumed(200, body(message).as_bytes()).unwrap();
            assert_eq!(consumed.records.len(), 2, "{message}");
            assert_eq!(
                (consumed.records[0].op, &*consumed.records[0].payload),
                (RecordOp::Update, &b"{\"}"[..])
            );
            assert_eq!(consumed.records[1].offset, offset);
            match (problem, &consumed.records[1].problem) {
                (None, None) => {}
                (Some(expected), Some(told)) if told.contains(expected) => {}
                other => panic!("{message}: {other:?}"),
            }
        }
        let nameless = decode_consumed(200, body("{}").as_bytes()).unwrap();
        assert_eq!(nameless.records.len(), 1);
    }

    #[test]
    fn an_answer_that_is_none_is_an_error() {
        let code = |status, body: &str| decode_consumed(status, body.as_bytes()).unwrap_err().code();
        assert_eq!(code(200, ""), ErrorCode::Disconnected, "not offset 0");
        assert_eq!(code(200, r#"{"messages":[{"offset":1"#), ErrorCode::Disconnected);
        assert_eq!(code(200, r#"{"status":"ok"}"#), ErrorCode::Protocol);
        let gone = r#"{"error":"Topic 'no.topic' does not exist","code":"NOT_FOUND"}"#;
        assert_eq!(code(404, gone), ErrorCode::NotFound);
        assert_eq!(code(403, r#"{"error":"no","code":"FORBIDDEN"}"#), ErrorCode::PermissionDenied);
        assert_eq!(code(503, "busy"), ErrorCode::Unavailable);
        assert!(decode_ack(200, br#"{"success":true,"acknowledged_offset":2}"#).is_ok());
        assert_eq!(decode_ack(200, br#"{"success":false}"#).unwrap_err().code(), ErrorCode::Protocol);
        assert_eq!(decode_ack(200, b"").unwrap_err().code(), ErrorCode::Disconnected);
    }
}
