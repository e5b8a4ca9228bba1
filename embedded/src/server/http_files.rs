//! `GET /v1/files/{namespace}/{table}/{folder}/{id}-{name}` (`wire/files.jsonl`).

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, RawQuery, State};
use axum::http::header::{
    CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;
use serde::Serialize;

use super::app::{App, NotDone};
use super::http::json;
use super::server_frame;
use crate::engine::{FileAddress, FileContent, SqlError};

pub(crate) async fn download(
    State(app): State<Arc<App>>,
    Path((namespace, table, folder, stored_name)): Path<(String, String, String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Response {
    let identity = match app.identity(&headers) {
        Ok(identity) => identity,
        Err(error) => return failed(StatusCode::UNAUTHORIZED, error.code(), error.message()),
    };
    let read = {
        let app = app.clone();
        let user = query.as_deref().and_then(user_id);
        move || {
            let address = FileAddress {
                namespace: &namespace,
                table: &table,
                folder: &folder,
                stored_name: &stored_name,
                user: user.as_deref(),
            };
            app.engine.file(&identity.caller(), &address)
        }
    };
    match app.statements.run(read).await {
        Ok(Ok(file)) => content(file),
        Ok(Err(SqlError { code, message, status, .. })) => {
            failed(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), code, &message)
        }
        Err(NotDone::Busy) => failed(
            StatusCode::TOO_MANY_REQUESTS,
            "RATE_LIMIT_EXCEEDED",
            "Too many requests are waiting: try again in a second",
        ),
        Err(NotDone::Broken) => failed(
            StatusCode::INTERNAL_SERVER_ERROR,
            "INTERNAL_ERROR",
            "The server failed, its log says more",
        ),
    }
}

/// `user_id=...` of a query, decoded.
fn user_id(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("user_id="))?;
    let (mut bytes, mut rest) = (Vec::new(), value.as_bytes());
    while let Some((first, after)) = rest.split_first() {
        let encoded = match (first, after) {
            (b'%', [high, low, ..]) => std::str::from_utf8(&[*high, *low])
                .ok()
                .and_then(|digits| u8::from_str_radix(digits, 16).ok()),
            _ => None,
        };
        match encoded {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(if *first == b'+' { b' ' } else { *first });
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).ok()
}

fn content(file: FileContent) -> Response {
    let FileContent { stored_name, mime, bytes } = file;
    // What a browser would run must not run as if it were the server's own page.
    let runs = ["html", "xml", "svg", "javascript"].iter().any(|kind| mime.contains(kind));
    let how = if runs { "attachment" } else { "inline" };
    let name: String =
        stored_name.chars().map(|c| if c.is_ascii_graphic() && c != '"' { c } else { '_' }).collect();
    let mut response = Response::new(Body::from(bytes));
    let headers = response.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static("inline"));
    headers.insert(CONTENT_TYPE, value(&mime));
    headers.insert(CONTENT_DISPOSITION, value(&format!("{how}; filename=\"{name}\"")));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
    response
}

/// As recorded: `{"code": ..., "error": sentence}`.
fn failed(status: StatusCode, code: &str, error: &str) -> Response {
    #[derive(Serialize)]
    struct Failure<'a> {
        code: &'a str,
        error: &'a str,
    }
    json(status, server_frame::encode(&Failure { code, error }))
}

#[cfg(test)]
mod tests {
    use super::user_id;

    #[test]
    fn the_user_is_decoded() {
        assert_eq!(user_id("a=1&user_id=al%C3%A9+x%2").as_deref(), Some("alé x%2"));
        assert_eq!(user_id("user_id=").as_deref(), Some(""));
        assert_eq!(user_id("user_id=%ff"), None);
        assert_eq!(user_id("x=1"), None);
    }
}
