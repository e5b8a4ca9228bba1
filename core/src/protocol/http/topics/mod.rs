//! `POST /v1/api/topics/consume` and `/ack` (recorded in `wire/topics.jsonl`).

mod records;
mod row;

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use compact_str::CompactString;
use serde::{Deserialize, Serialize};

use super::super::decode::shortened;
use super::error::decode_error;
use crate::error::{Error, ErrorCode, Result};
use crate::schema::Schema;

pub(crate) use row::decode_record_row;
#[cfg(any(feature = "runtime", test))]
pub(crate) use row::table_of;

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
    /// The bytes. Payloads that came together share a buffer.
    pub payload: Bytes,
    /// What of the record could not be read; the rest is as good as it gets.
    pub problem: Option<Box<str>>,
    /// The columns of its table. The wire does not have them: whoever can ask for them sets them.
    pub table: Option<Arc<Schema>>,
}

impl TopicMessage {
    /// One of which nothing else is known.
    pub fn new(offset: u64, op: RecordOp) -> Self {
        Self {
            offset,
            key: None,
            op,
            timestamp_ms: 0,
            user: None,
            payload: Bytes::new(),
            problem: None,
            table: None,
        }
    }
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
    if let Some(consumed) = records::at_a_glance(body).or_else(|| records::strictly(body).ok()) {
        return Ok(consumed);
    }
    match records::loosely(body) {
        Ok(consumed) => Ok(consumed),
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

#[cfg(test)]
mod tests {
    use super::*;

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
