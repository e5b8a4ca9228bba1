//! `POST /v1/api/topics/consume` and `/ack` (`wire/topics.jsonl`). Unlike KalamDB 0.4, consume waits for records as long
//! as the request allows.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use base64::display::Base64Display;
use base64::engine::general_purpose::STANDARD;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize, Serializer};

use super::app::{App, NotDone};
use super::http::{json, read, success};
use super::server_frame;
use crate::engine::{Caller, ChangeKind, ConsumeRequest, Consumed, Position, SqlError};

/// No request waits longer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Bytes of a request's body: it holds only names and numbers.
const MOST_BYTES: usize = 64 << 10;

#[derive(Deserialize)]
struct Consume {
    topic_id: String,
    #[serde(default)]
    group_id: Option<String>,
    #[serde(default)]
    start: Start,
    #[serde(default = "default_limit")]
    limit: u32,
    #[serde(default)]
    partition_id: u32,
    #[serde(default)]
    timeout_seconds: Option<u64>,
}

fn default_limit() -> u32 {
    100
}

#[derive(Default, Deserialize)]
enum Start {
    #[default]
    Latest,
    Earliest,
    Offset(u64),
}

#[derive(Deserialize)]
struct Ack {
    topic_id: String,
    group_id: String,
    #[serde(default)]
    partition_id: u32,
    upto_offset: u64,
}

#[derive(Serialize)]
struct Records<'a> {
    messages: Vec<Message<'a>>,
    next_offset: i64,
    has_more: bool,
}

#[derive(Serialize)]
struct Message<'a> {
    topic_id: &'a str,
    partition_id: u32,
    offset: i64,
    #[serde(serialize_with = "as_base64")]
    payload: &'a [u8],
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'a str>,
    timestamp_ms: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<&'a str>,
    op: &'static str,
}

#[derive(Serialize)]
struct Acknowledged {
    success: bool,
    acknowledged_offset: u64,
}

fn as_base64<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Base64Display::new(bytes, &STANDARD))
}

pub(crate) async fn consume(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let (caller, wish) = match accept::<Consume>(&app, &headers, body).await {
        Ok(accepted) => accepted,
        Err(response) => return *response,
    };
    let wait = Duration::from_secs(wish.timeout_seconds.unwrap_or(0)).min(LONGEST_WAIT);
    let deadline = Instant::now() + if app.holes.topics { Duration::ZERO } else { wait };
    let request = ConsumeRequest {
        topic: wish.topic_id,
        group: wish.group_id,
        start: match wish.start {
            Start::Latest => Position::Latest,
            Start::Earliest => Position::Earliest,
            Start::Offset(offset) => Position::Offset(offset),
        },
        limit: wish.limit,
        partition: wish.partition_id,
    };
    let request = Arc::new(request);
    loop {
        // Watched before looking, so that what is committed in between is noticed.
        let watched = app.hub.readers.watch(&request.topic);
        let is_stopping = watched.is_none();
        let watched = watched.unwrap_or_default();
        let mut woken = std::pin::pin!(watched.notified());
        woken.as_mut().enable();
        let consumed = {
            let (app, caller, request) = (app.clone(), caller.clone(), request.clone());
            move || app.engine.consume(&caller, &request)
        };
        let consumed = match done(app.statements.run(consumed).await) {
            Ok(consumed) => consumed,
            Err(response) => return *response,
        };
        let now = Instant::now();
        if !consumed.records.is_empty() || request.limit == 0 || now >= deadline || is_stopping {
            return answer(&request, &consumed);
        }
        let until = consumed.again_at.map_or(deadline, |again_at| again_at.min(deadline));
        tokio::select! {
            () = woken => {}
            () = tokio::time::sleep_until(until.max(now).into()) => {}
        }
    }
}

fn answer(request: &ConsumeRequest, consumed: &Consumed) -> Response {
    let messages = consumed
        .records
        .iter()
        .map(|record| Message {
            topic_id: &request.topic,
            partition_id: request.partition,
            offset: record.offset,
            payload: &record.payload,
            key: record.key.as_deref(),
            timestamp_ms: record.timestamp_ms,
            user: record.user.as_deref(),
            op: match record.op {
                ChangeKind::Insert => "Insert",
                ChangeKind::Update => "Update",
                ChangeKind::Delete => "Delete",
            },
        })
        .collect();
    success(&Records { messages, next_offset: consumed.next_offset, has_more: consumed.has_more })
}

pub(crate) async fn ack(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let (caller, ack) = match accept::<Ack>(&app, &headers, body).await {
        Ok(accepted) => accepted,
        Err(response) => return *response,
    };
    let upto = ack.upto_offset;
    let work = {
        let app = app.clone();
        move || app.engine.acknowledge(&caller, &ack.topic_id, &ack.group_id, ack.partition_id, upto)
    };
    match done(app.statements.run(work).await) {
        Ok(()) => success(&Acknowledged { success: true, acknowledged_offset: upto }),
        Err(response) => *response,
    }
}

/// Who asks for what.
async fn accept<T: DeserializeOwned>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
) -> Result<(Caller, T), Box<Response>> {
    let identity = app
        .identity(headers)
        .map_err(|error| failure(StatusCode::UNAUTHORIZED, error.code(), error.message()))?;
    if !app.requests.lock().take(identity.user.clone(), Instant::now()) {
        let message = "Too many requests: try again in a second";
        return Err(failure(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", message));
    }
    let bytes = read(body, MOST_BYTES)
        .await
        .map_err(|error| failure(error.status(), "INVALID_INPUT", &error.message(MOST_BYTES)))?;
    let wish = serde_json::from_slice(&bytes).map_err(|error| {
        let message = format!("The body is not a request about topics: {error}");
        failure(StatusCode::BAD_REQUEST, "INVALID_INPUT", &message)
    })?;
    Ok((identity.caller(), wish))
}

fn done<T>(done: Result<Result<T, SqlError>, NotDone>) -> Result<T, Box<Response>> {
    match done {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => {
            let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            Err(failure(status, error.code, &error.message))
        }
        Err(NotDone::Busy) => {
            let message = "Too many requests are waiting: try again in a second";
            Err(failure(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", message))
        }
        Err(NotDone::Broken) => {
            let message = "The server failed, its log says more";
            Err(failure(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message))
        }
    }
}

/// As recorded: the sentence under `error`, unlike everywhere else.
fn failure(status: StatusCode, code: &str, message: &str) -> Box<Response> {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: &'a str,
        code: &'a str,
    }
    Box::new(json(status, server_frame::encode(&Failure { error: message, code })))
}
