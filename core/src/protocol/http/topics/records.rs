//! The records of an answer: at a glance where they are written as KalamDB writes them, by serde where they are not.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use compact_str::CompactString;
use serde::Deserialize;

use super::{Consumed, ConsumerRecord, RecordOp};

/// A record that is kept keeps the payloads that came with it: at most so many bytes.
const SHARED: usize = 64 << 10;
/// Records that room is made for before they are read.
const MOST_EXPECTED: usize = 1_000;

/// Where the records of an answer are from: what was asked for, so that this needs not be read of each.
#[derive(Clone, Copy)]
pub(super) struct Source<'a> {
    pub(super) topic: &'a Arc<str>,
    pub(super) partition: u32,
}

impl Source<'_> {
    fn record(self, offset: u64, op: RecordOp) -> ConsumerRecord {
        ConsumerRecord::new(self.topic.clone(), self.partition, offset, op)
    }
}

/// Records as they are read. Payloads are decoded into buffers that many share: an allocation for each would cost more than
/// the decoding.
struct Records {
    records: Vec<ConsumerRecord>,
    /// The length of the answer: payloads take less.
    most: usize,
    /// Payloads of the last records, one behind the other, and where each of them is.
    buffer: Vec<u8>,
    payloads: Vec<Range<usize>>,
}

impl Records {
    fn of(answer: &[u8]) -> Self {
        Self { records: Vec::new(), most: answer.len(), buffer: Vec::new(), payloads: Vec::new() }
    }

    /// One without its payload, which is base64.
    fn push(&mut self, mut record: ConsumerRecord, payload: &[u8]) {
        if self.buffer.len() + payload.len() > SHARED {
            self.share();
        }
        if self.buffer.is_empty() {
            self.buffer.reserve(SHARED.min(self.most));
        }
        let start = self.buffer.len();
        if STANDARD.decode_vec(payload, &mut self.buffer).is_err() {
            // What came, so that somebody can look at it.
            self.buffer.truncate(start);
            self.buffer.extend_from_slice(payload);
            record.problem = Some("the payload is not base64".into());
        }
        self.payloads.push(start..self.buffer.len());
        self.records.push(record);
    }

    fn share(&mut self) {
        let first = self.records.len() - self.payloads.len();
        let shared = Bytes::from(std::mem::take(&mut self.buffer));
        for (record, range) in self.records[first..].iter_mut().zip(self.payloads.drain(..)) {
            record.payload = shared.slice(range);
        }
    }

    fn finish(mut self) -> Vec<ConsumerRecord> {
        self.share();
        self.records
    }
}

/// An answer as KalamDB and the embedded server write it: compact, with its fields in this order and its texts without
/// escapes (recorded in `wire/topics.jsonl`). `None` for any other, which is to be decoded.
pub(super) fn at_a_glance(answer: &[u8], from: Source<'_>) -> Option<Consumed> {
    let mut cursor = Cursor(answer);
    let mut records = Records::of(answer);
    cursor.pass(br#"{"messages":["#)?;
    while cursor.pass(b"]").is_none() {
        if !records.records.is_empty() {
            cursor.pass(b",")?;
        }
        let (record, payload) = cursor.record(from)?;
        if records.records.is_empty() {
            // The others may be about as long.
            records.records.reserve((answer.len() / (answer.len() - cursor.0.len())).min(MOST_EXPECTED));
        }
        records.push(record, payload);
    }
    cursor.pass(br#","next_offset":"#)?;
    let next_offset = cursor.number()?;
    cursor.pass(br#","has_more":"#)?;
    let has_more = cursor.pass(b"true").is_some();
    if !has_more {
        cursor.pass(b"false")?;
    }
    cursor.pass(b"}")?;
    cursor.0.is_empty().then(|| Consumed { records: records.finish(), next_offset, has_more })
}

/// What is still to be read.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn pass(&mut self, bytes: &[u8]) -> Option<()> {
        self.0 = self.0.strip_prefix(bytes)?;
        Some(())
    }

    /// A text whose opening quote is passed.
    fn bytes(&mut self) -> Option<&'a [u8]> {
        let (text, rest) = self.0.split_at(memchr::memchr2(b'"', b'\\', self.0)?);
        self.0 = rest.strip_prefix(b"\"")?;
        Some(text)
    }

    fn text(&mut self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        let mut digits = 0;
        for digit in self.0.iter().take_while(|byte| byte.is_ascii_digit()) {
            number = number.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
            digits += 1;
        }
        self.0 = &self.0[digits..];
        (digits > 0).then_some(number)
    }

    /// A record without its payload, and that.
    fn record(&mut self, from: Source<'_>) -> Option<(ConsumerRecord, &'a [u8])> {
        self.pass(br#"{"topic_id":""#)?;
        self.bytes()?;
        self.pass(br#","partition_id":"#)?;
        self.number()?;
        self.pass(br#","offset":"#)?;
        let offset = self.number()?;
        self.pass(br#","payload":""#)?;
        let payload = self.bytes()?;
        let key = self.pass(br#","key":""#).and_then(|()| self.text());
        self.pass(br#","timestamp_ms":"#)?;
        let timestamp_ms = self.number()?.try_into().ok()?;
        let user = self.pass(br#","user":""#).and_then(|()| self.text());
        self.pass(br#","op":""#)?;
        let (op, problem) = operation(self.text()?);
        self.pass(b"}")?;
        let (key, user) = (key.map(Into::into), user.map(Into::into));
        Some((ConsumerRecord { key, timestamp_ms, user, problem, ..from.record(offset, op) }, payload))
    }
}

#[derive(Deserialize)]
struct Answer<M> {
    messages: Vec<M>,
    next_offset: u64,
    #[serde(default)]
    has_more: bool,
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

/// An answer whose records are as they should be, written in whatever way.
pub(super) fn strictly(answer: &[u8], from: Source<'_>) -> serde_json::Result<Consumed> {
    let mut records = Records::of(answer);
    let answer: Answer<Message<'_>> = serde_json::from_slice(answer)?;
    for message in answer.messages {
        let (op, problem) = operation(&message.op);
        let Message { offset, payload, key, timestamp_ms, user, .. } = message;
        records.push(
            ConsumerRecord { key, timestamp_ms, user, problem, ..from.record(offset, op) },
            payload.as_bytes(),
        );
    }
    Ok(Consumed { records: records.finish(), next_offset: answer.next_offset, has_more: answer.has_more })
}

/// Any answer, with what there is of each record.
pub(super) fn loosely(answer: &[u8], from: Source<'_>) -> serde_json::Result<Consumed> {
    let mut records = Records::of(answer);
    let answer: Answer<serde_json::Value> = serde_json::from_slice(answer)?;
    for message in &answer.messages {
        // One without an offset can not even be named.
        if let Some((record, payload)) = read_loosely(message, from) {
            records.push(record, payload.as_bytes());
        }
    }
    Ok(Consumed { records: records.finish(), next_offset: answer.next_offset, has_more: answer.has_more })
}

fn read_loosely<'a>(message: &'a serde_json::Value, from: Source<'_>) -> Option<(ConsumerRecord, &'a str)> {
    let text = |name: &str| message.get(name).and_then(serde_json::Value::as_str);
    let offset = message.get("offset")?;
    let offset = offset.as_u64().or_else(|| offset.as_str()?.parse().ok())?;
    let (op, wrong_op) = match text("op") {
        Some(name) => operation(name),
        None => (RecordOp::Insert, Some("there is no operation".into())),
    };
    let payload = text("payload");
    let key = match message.get("key") {
        Some(serde_json::Value::Number(number)) => Some(number.to_string().into()),
        _ => text("key").map(Into::into),
    };
    let record = ConsumerRecord {
        key,
        timestamp_ms: message.get("timestamp_ms").and_then(serde_json::Value::as_i64).unwrap_or(0),
        user: text("user").map(Into::into),
        problem: if payload.is_none() { Some("there is no payload".into()) } else { wrong_op },
        ..from.record(offset, op)
    };
    Some((record, payload.unwrap_or_default()))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Random;

    fn glance(answer: &[u8]) -> Option<Consumed> {
        at_a_glance(answer, Source { topic: &"a.b".into(), partition: 0 })
    }

    fn read(answer: &[u8]) -> serde_json::Result<Consumed> {
        strictly(answer, Source { topic: &"a.b".into(), partition: 0 })
    }

    fn answer(messages: &str) -> String {
        format!(r#"{{"messages":[{messages}],"next_offset":7,"has_more":true}}"#)
    }

    #[test]
    fn what_a_server_writes_needs_no_second_look() {
        // Recorded, but for the length of the payload; without key and user as the embedded server writes it.
        let recorded = r#"{"topic_id":"w288de9.orders_events","partition_id":0,"offset":3,"payload":"eyJpZCI6IjMifQ==","key":"3","timestamp_ms":1795560345894,"user":"root","op":"Insert"}"#;
        let bare =
            r#"{"topic_id":"a.b","partition_id":2,"offset":4,"payload":"","timestamp_ms":0,"op":"Delete"}"#;
        for messages in [String::new(), recorded.to_owned(), format!("{recorded},{bare}")] {
            let answer = answer(&messages);
            let seen = glance(answer.as_bytes()).expect("as the server writes it");
            assert_eq!(seen, read(answer.as_bytes()).unwrap());
            assert_eq!((seen.next_offset, seen.has_more), (7, true));
            if let Some(first) = seen.records.first() {
                assert_eq!((first.offset, first.timestamp_ms), (3, 1_795_560_345_894));
                assert_eq!((first.key.as_deref(), first.user.as_deref()), (Some("3"), Some("root")));
                assert_eq!(&*first.payload, br#"{"id":"3"}"#);
            }
        }
    }

    #[test]
    fn a_glance_never_sees_something_else() {
        let mut random = Random::new(7);
        let mut pick = |n: u64| random.up_to(std::time::Duration::from_nanos(n - 1)).as_nanos() as usize;
        let (mut seen, mut unseen) = (0, 0);
        for _ in 0..3_000 {
            let messages: Vec<String> = (0..pick(4))
                .map(|offset| {
                    let topic = ["a.b", "a.bc", r#"a.\"b"#][pick(9) / 4];
                    let payload = ["", "eyJ9", "%%%", r"e\u0079J9", "AAA"][pick(5)];
                    let key = ["", r#","key":"k""#, r#","key":null"#, r#","key":"\"k""#, r#","key":"ß""#][pick(5)];
                    let time = ["5", "-5", "18446744073709551615", "9223372036854775807"][pick(4)];
                    let user = ["", r#","user":"u""#, r#","user":null"#][pick(3)];
                    let op = ["Insert", "DELETE", "Truncate", r"Upd\u0061te"][pick(4)];
                    let offset = [offset.to_string(), "18446744073709551616".into()][pick(12) / 11].clone();
                    format!(
                        r#"{{"topic_id":"{topic}","partition_id":0,"offset":{offset},"payload":"{payload}"{key},"timestamp_ms":{time}{user},"op":"{op}"}}"#
                    )
                })
                .collect();
            let mut answer = answer(&messages.join([",", ", "][pick(5) / 4]));
            answer.truncate(answer.len() - pick(60) / 57);
            match glance(answer.as_bytes()) {
                Some(glance) => {
                    assert_eq!(
                        glance,
                        read(answer.as_bytes()).expect("what a glance sees can be read"),
                        "{answer}"
                    );
                    seen += 1;
                }
                None => unseen += 1,
            }
        }
        assert!(seen > 300 && unseen > 300, "{seen} {unseen}");
    }

    #[test]
    fn payloads_share_buffers_that_are_not_large() {
        let large = STANDARD.encode([b'x'; 3 * SHARED]);
        let messages: Vec<String> = (0..900)
            .map(|offset| {
                let payload = match offset {
                    500 => large.clone(),
                    _ => STANDARD.encode(format!("{offset}").repeat(60)),
                };
                format!(
                    r#"{{"topic_id":"a.b","partition_id":0,"offset":{offset},"payload":"{payload}","timestamp_ms":0,"op":"Insert"}}"#
                )
            })
            .collect();
        let records = glance(answer(&messages.join(",")).as_bytes()).unwrap().records;
        let mut buffers = 1;
        let mut in_buffer = 0;
        for (offset, record) in records.iter().enumerate() {
            match offset {
                500 => assert_eq!(record.payload.len(), 3 * SHARED),
                _ => assert_eq!(record.payload, format!("{offset}").repeat(60)),
            }
            let follows =
                offset > 0 && records[offset - 1].payload.as_ptr_range().end == record.payload.as_ptr();
            buffers += usize::from(!follows);
            in_buffer = if follows { in_buffer + record.payload.len() } else { record.payload.len() };
            assert!(in_buffer <= SHARED || offset == 500, "{in_buffer} bytes with record {offset}");
        }
        assert!(buffers < 10, "{buffers}");
    }
}
