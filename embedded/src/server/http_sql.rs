//! `POST /v1/api/sql` (`wire/sql_surface.jsonl`, `wire/auth.jsonl`).

use std::sync::Arc;
use std::time::Instant;

use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::app::{App, NotDone};
use super::http::{json, read};
use super::metrics::{Kind, Limit};
use super::{multipart, server_frame};
use crate::engine::{
    Caller, Cell, Column, MOST_FILES, Role, SqlError, SqlRequest, StatementResult, Submitted, Upload,
};

#[derive(Deserialize)]
struct Request {
    sql: String,
    #[serde(default)]
    params: Option<Vec<serde_json::Value>>,
    #[serde(default)]
    namespace_id: Option<String>,
}

#[derive(Serialize)]
struct Answer<'a> {
    status: &'static str,
    results: Vec<StatementAnswer<'a>>,
    /// Milliseconds.
    took: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<Failure<'a>>,
}

#[derive(Serialize)]
struct StatementAnswer<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a [Column]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rows: Option<&'a [Vec<Cell>]>,
    row_count: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    as_user: &'a str,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<&'a str>,
}

pub(crate) async fn sql(State(app): State<Arc<App>>, headers: HeaderMap, body: Body) -> Response {
    let began = Instant::now();
    let mut kind = Kind::Other;
    let response = answer(&app, headers, body, &mut kind, began).await;
    let (status, took) = (response.status().as_u16(), began.elapsed());
    app.metrics.answered(kind, status, took);
    // The SQL holds what is nobody's business, passwords too.
    tracing::debug!(?kind, status, ?took, "request");
    response
}

/// `kind` is set as soon as it is known.
async fn answer(app: &Arc<App>, headers: HeaderMap, body: Body, kind: &mut Kind, began: Instant) -> Response {
    let refuse =
        |status, code, message: &str| failed(began, status, Failure { code, message, details: None });

    let identity = match app.identity(&headers) {
        Ok(identity) => identity,
        Err(error) => return refuse(StatusCode::UNAUTHORIZED, error.code(), error.message()),
    };
    if !app.requests.lock().take(identity.user.clone(), Instant::now()) {
        app.metrics.rejected(Limit::Requests);
        let message = "Too many requests: try again in a second";
        return refuse(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", message);
    }
    let limits = &app.options.limits;
    let form = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).and_then(multipart::boundary);
    let most_bytes = if form.is_some() { limits.upload_bytes } else { limits.request_bytes };
    let bytes = match read(body, most_bytes).await {
        Ok(bytes) => bytes,
        Err(error) => {
            app.metrics.rejected(Limit::RequestBytes);
            return refuse(error.status(), "INVALID_INPUT", &error.message(most_bytes));
        }
    };
    let understood = match &form {
        Some(boundary) => of_form(&bytes, boundary, limits.file_bytes),
        None => of_json(&bytes),
    };
    let Form { request, files } = match understood {
        Ok(form) => form,
        Err(error) => return engine_failed(began, &error),
    };
    drop(bytes);
    *kind = Kind::of(&request.sql);

    let may_change_users = identity.role >= Role::Dba && names_users(&request.sql);
    let request = SqlRequest {
        sql: request.sql,
        params: request.params.unwrap_or_default(),
        namespace: request.namespace_id,
    };
    app.hub.caught_up().await;
    let queued = match files.is_empty() {
        true => submitted(app, &identity.caller(), &request).await,
        false => Queued::NotAWrite,
    };
    match queued {
        Queued::Done(Ok(results)) => return succeeded(began, &results),
        Queued::Done(Err(error)) => return engine_failed(began, &error),
        Queued::Full => {
            app.metrics.rejected(Limit::WaitingRequests);
            return refuse(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", BUSY);
        }
        Queued::NotAWrite => {}
    }
    let user = identity.user.clone();
    let execute = {
        let app = app.clone();
        move || {
            let executed = app.engine.execute_with_files(&identity.caller(), &request, &files);
            if may_change_users {
                app.close_revoked();
            }
            // Encoding a large result takes time too, so it is done here.
            match executed {
                Ok(results) => succeeded(began, &results),
                Err(error) => engine_failed(began, &error),
            }
        }
    };
    match app.statements.run_for(&user, execute).await {
        Ok(response) => response,
        Err(NotDone::Busy) => {
            app.metrics.rejected(Limit::WaitingRequests);
            refuse(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMIT_EXCEEDED", BUSY)
        }
        Err(NotDone::Broken) => {
            let message = "The server failed, its log says more";
            refuse(StatusCode::INTERNAL_SERVER_ERROR, "INTERNAL_ERROR", message)
        }
    }
}

const BUSY: &str = "Too many requests are waiting: try again in a second";

enum Queued {
    Done(Result<Vec<StatementResult>, SqlError>),
    /// Too many writes are waiting already.
    Full,
    NotAWrite,
}

/// A single write waits for the next commit without holding a thread meanwhile.
async fn submitted(app: &App, caller: &Caller, request: &SqlRequest) -> Queued {
    let limits = &app.options.limits;
    let most = limits.concurrent_requests.saturating_add(limits.waiting_requests);
    if app.engine.commit_counts().waiting >= most {
        return Queued::Full;
    }
    let (tell, told) = oneshot::channel();
    // Nobody waits for the answer when the client has gone.
    if !app.engine.submit(caller, request, move |submitted| drop(tell.send(submitted))) {
        return Queued::NotAWrite;
    }
    match told.await {
        Ok(Submitted::Done(done)) => Queued::Done(done),
        Ok(Submitted::Again) => Queued::NotAWrite,
        // It may have been written, so it is not tried again.
        Err(_) => Queued::Done(Err(SqlError::broken())),
    }
}

/// A request, and what was uploaded with it.
struct Form {
    request: Request,
    files: Vec<Upload>,
}

fn of_json(bytes: &[u8]) -> Result<Form, SqlError> {
    match serde_json::from_slice(bytes) {
        Ok(request) => Ok(Form { request, files: Vec::new() }),
        Err(error) => Err(invalid(format!(
            r#"The body must be JSON, {{"sql": "...", "params": [...], "namespace_id": "..."}}: {error}"#
        ))),
    }
}

/// `sql`, `params` (JSON text), `namespace_id` and `file:name` parts (recorded in `wire/files.jsonl`).
fn of_form(bytes: &[u8], boundary: &str, most_bytes: usize) -> Result<Form, SqlError> {
    let parts = multipart::parts(bytes, boundary)
        .map_err(|what| invalid(format!("The form can not be read: {what}")))?;
    let text = |body: &[u8], name: &str| {
        String::from_utf8(body.to_vec()).map_err(|_| invalid(format!("The field '{name}' is not UTF-8")))
    };
    let (mut sql, mut params, mut namespace_id, mut files) = (None, None, None, Vec::new());
    for part in parts {
        match (&*part.name, part.name.strip_prefix("file:")) {
            ("sql", _) => sql = Some(text(part.body, "sql")?),
            ("namespace_id", _) => namespace_id = Some(text(part.body, "namespace_id")?),
            ("params", _) => {
                let list = serde_json::from_slice(part.body);
                params =
                    Some(list.map_err(|e| invalid(format!("The field 'params' must be a JSON list: {e}")))?);
            }
            (_, Some(placeholder)) => {
                if part.body.len() > most_bytes {
                    let message = format!("The file '{placeholder}' is longer than {most_bytes} bytes");
                    return Err(SqlError::with_code("FILE_TOO_LARGE", message));
                }
                if files.len() == MOST_FILES {
                    let message = format!("More than {MOST_FILES} files in one request");
                    return Err(SqlError::with_code("TOO_MANY_FILES", message));
                }
                let name = part.file_name.as_deref().unwrap_or(placeholder);
                let mime = part.content_type.as_deref().unwrap_or("application/octet-stream");
                files.push(Upload::new(placeholder, name, mime, part.body.into())?);
            }
            (other, None) => {
                let shown: String = other.chars().take(64).collect();
                return Err(invalid(format!(
                    "The form has a field '{shown}': there are sql, params, namespace_id and file:name"
                )));
            }
        }
    }
    let sql = sql.ok_or_else(|| invalid("The form has no field 'sql'"))?;
    Ok(Form { request: Request { sql, params, namespace_id }, files })
}

fn invalid(message: impl Into<String>) -> SqlError {
    SqlError::with_code("INVALID_INPUT", message)
}

/// Every statement that changes a user has this word; a statement that has it otherwise costs a look at the
/// open connections.
fn names_users(sql: &str) -> bool {
    sql.as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"user"))
}

fn succeeded(began: Instant, results: &[StatementResult]) -> Response {
    let results = results
        .iter()
        .map(|result| StatementAnswer {
            schema: result.columns.as_deref(),
            rows: result.columns.as_ref().map(|_| result.rows.as_slice()),
            row_count: result.row_count,
            message: result.message.as_deref(),
            as_user: &result.as_user,
        })
        .collect();
    let answer = Answer { status: "success", results, took: took(began), error: None };
    json(StatusCode::OK, server_frame::encode(&answer))
}

fn engine_failed(began: Instant, error: &SqlError) -> Response {
    let status = StatusCode::from_u16(error.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let details = error.details.as_deref();
    failed(began, status, Failure { code: error.code, message: &error.message, details })
}

fn failed(began: Instant, status: StatusCode, error: Failure<'_>) -> Response {
    let answer = Answer { status: "error", results: Vec::new(), took: took(began), error: Some(error) };
    json(status, server_frame::encode(&answer))
}

fn took(began: Instant) -> f64 {
    began.elapsed().as_micros() as f64 / 1000.0
}
