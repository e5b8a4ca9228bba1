//! A topic that has as many records as its name says: `bench.records_N`. Each group begins at the first; nothing is kept but
//! where groups are.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{LazyLock, Mutex, PoisonError};

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, body::Bytes};
use serde_json::{Value, json};

/// By topic and group.
type Groups = HashMap<(String, String), Group>;

#[derive(Default)]
struct Group {
    cursor: u64,
    /// The first offset that is not acknowledged.
    base: u64,
    /// Requests about it, of every kind.
    requests: u64,
}

static GROUPS: LazyLock<Mutex<Groups>> = LazyLock::new(Mutex::default);

/// A record but for its offset, shaped as in `wire/topics.jsonl`: a row of 160 bytes.
const HEAD: &str = r#"{"topic_id":"bench.records","partition_id":0,"offset":"#;
const TAIL: &str = concat!(
    r#","payload":"eyJpdGVtIjoiaTAiLCJfZGVsZXRlZCI6ZmFsc2UsIl9jb21taXRfc2VxIjoiMjkwNjUyMjc3IiwiaWQiOiIwIiwiX3NlcSI6IjM4Mz"#,
    r#"c1MDA2NzY5Mjg2NzU4NCIsInF0eSI6MCwiX3RhYmxlIjoiYmVuY2g6aXRlbXMifQ==","key":"#
);
const END: &str = r#","timestamp_ms":1795560345870,"user":"root","op":"Insert"}"#;

fn text<'a>(request: &'a Value, name: &str) -> &'a str {
    request[name].as_str().unwrap_or_default()
}

fn number(request: &Value, name: &str) -> u64 {
    request[name].as_u64().unwrap_or_default()
}

pub(crate) async fn consume(body: Bytes) -> Response {
    let Ok(request) = serde_json::from_slice::<Value>(&body) else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let topic = text(&request, "topic_id");
    let end = topic.rsplit('_').next().and_then(|n| n.parse().ok()).unwrap_or(0_u64);
    let limit = number(&request, "limit");
    let (range, base) = {
        let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
        let group = groups.entry((topic.to_owned(), text(&request, "group_id").to_owned())).or_default();
        let range = group.cursor..end.min(group.cursor + limit);
        group.cursor = range.end;
        group.requests += 1;
        (range, group.base)
    };
    let mut out = String::with_capacity(400 * (range.end - range.start) as usize + 64);
    out.push_str(r#"{"messages":["#);
    for offset in range.clone() {
        if offset > range.start {
            out.push(',');
        }
        let _ = write!(out, "{HEAD}{offset}{TAIL}\"{offset}\"{END}");
    }
    let next = if range.is_empty() { base } else { range.end };
    let more = range.end - range.start >= limit;
    let _ = write!(out, r#"],"next_offset":{next},"has_more":{more}}}"#);
    ([(header::CONTENT_TYPE, "application/json")], out).into_response()
}

pub(crate) async fn ack(Json(request): Json<Value>) -> Json<Value> {
    let upto = number(&request, "upto_offset");
    let mut groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    let group = groups
        .entry((text(&request, "topic_id").to_owned(), text(&request, "group_id").to_owned()))
        .or_default();
    group.base = group.base.max(upto + 1);
    group.requests += 1;
    Json(json!({"success": true, "acknowledged_offset": upto}))
}

/// How many requests a group has made, of all topics.
pub(crate) fn requests(group: &str) -> u64 {
    let groups = GROUPS.lock().unwrap_or_else(PoisonError::into_inner);
    groups.iter().filter(|((_, name), _)| name == group).map(|(_, group)| group.requests).sum()
}
