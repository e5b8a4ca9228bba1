//! `POST /v1/api/topics/consume` and `/ack` (recorded in `wire/topics.jsonl`).

mod record;
mod records;
mod row;

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::super::decode::shortened;
use super::error::decode_error;
use crate::error::{Error, ErrorCode, Result};

pub use record::ConsumerRecord;
#[cfg(any(feature = "runtime", test))]
pub(crate) use row::{fits_table, table_of};

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
    pub records: Vec<ConsumerRecord>,
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

/// The answer to a request for records of a partition of `topic`. One record that can not be read does not spoil the others.
///
/// # Errors
/// The server's error by its code (`not_found`, `permission_denied`, `auth_failed`, `rate_limited`, `unavailable`, ...);
/// `disconnected` for an answer that is cut or empty; `protocol` for what is no answer.
pub fn decode_consumed(status: u16, body: &[u8], topic: &Arc<str>, partition: u32) -> Result<Consumed> {
    if !(200..300).contains(&status) {
        return Err(decode_error(status, body));
    }
    let from = records::Source { topic, partition };
    if let Some(consumed) = records::at_a_glance(body, from).or_else(|| records::strictly(body, from).ok()) {
        return Ok(consumed);
    }
    match records::loosely(body, from) {
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

    fn decode(status: u16, body: &str) -> Result<Consumed> {
        decode_consumed(status, body.as_bytes(), &"a.b".into(), 2)
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
            let consumed = decode(200, &body(message)).unwrap();
            assert_eq!(consumed.records.len(), 2, "{message}");
            assert_eq!(
                (consumed.records[0].op, &*consumed.records[0].payload),
                (RecordOp::Update, &b"{\"}"[..])
            );
            let second = &consumed.records[1];
            assert_eq!((&*second.topic, second.partition, second.offset), ("a.b", 2, offset));
            match (problem, &consumed.records[1].problem) {
                (None, None) => {}
                (Some(expected), Some(told)) if told.contains(expected) => {}
                other => panic!("{message}: {other:?}"),
            }
        }
        let nameless = decode(200, &body("{}")).unwrap();
        assert_eq!(nameless.records.len(), 1);
    }

    #[test]
    fn an_answer_that_is_none_is_an_error() {
        let code = |status, body: &str| decode(status, body).unwrap_err().code();
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
