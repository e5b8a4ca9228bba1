//! The routes, and how answers and bodies are made.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::header::{CACHE_CONTROL, CONTENT_TYPE};
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;

use super::app::App;
use super::{
    http_auth, http_files, http_health, http_inspection, http_metrics, http_sql, http_topics, http_ui,
    server_frame, socket,
};

/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(30);

pub(crate) fn router(app: Arc<App>) -> Router {
    let page = if app.options.ui { http_ui::routes() } else { Router::new() };
    Router::new()
        .merge(page)
        .route("/v1/api/auth/login", post(http_auth::login))
        .route("/v1/api/auth/refresh", post(http_auth::refresh))
        .route("/v1/api/auth/me", get(http_auth::me))
        .route("/v1/api/auth/logout", post(http_auth::logout))
        .route("/v1/api/auth/status", get(http_auth::status))
        .route("/v1/api/auth/setup", post(http_auth::setup))
        .route("/v1/api/connections", get(http_inspection::connections))
        .route("/v1/api/sql", post(http_sql::sql))
        .route("/v1/api/topics/consume", post(http_topics::consume))
        .route("/v1/api/topics/ack", post(http_topics::ack))
        .route("/v1/api/topics/groups", get(http_inspection::topic_groups))
        .route("/v1/files/{namespace}/{table}/{folder}/{name}", get(http_files::download))
        .route("/health", get(http_health::health))
        .route("/v1/api/healthcheck", get(http_health::health))
        .route("/v1/api/cluster/health", get(http_health::cluster))
        .route("/metrics", get(http_metrics::metrics))
        .route("/v1/ws", get(socket::upgrade))
        .route("/ws", get(socket::upgrade))
        .fallback(|| async { failure(StatusCode::NOT_FOUND, "not_found", "There is nothing at this path") })
        .method_not_allowed_fallback(|| async {
            failure(
                StatusCode::METHOD_NOT_ALLOWED,
                "method_not_allowed",
                "This path is asked with another method",
            )
        })
        .with_state(app)
}

/// A JSON answer.
pub(crate) fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    let mut response = Response::new(body.into());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // Answers hold rows and tokens.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

pub(crate) fn success(body: &impl Serialize) -> Response {
    json(StatusCode::OK, server_frame::encode(body))
}

/// An error of everything but SQL: `{"error": code, "message": sentence}`, as recorded in `wire/auth.jsonl`.
pub(crate) fn failure(status: StatusCode, error: &str, message: &str) -> Response {
    #[derive(Serialize)]
    struct Failure<'a> {
        error: &'a str,
        message: &'a str,
    }
    json(status, server_frame::encode(&Failure { error, message }))
}

pub(crate) fn internal_error() -> Response {
    failure(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "The server failed, its log says more")
}

/// Why a body was not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyError {
    TooLong,
    TooSlow,
}

pub(crate) async fn read(body: Body, most_bytes: usize) -> Result<Bytes, BodyError> {
    match tokio::time::timeout(BODY_TIMEOUT, axum::body::to_bytes(body, most_bytes)).await {
        Ok(Ok(bytes)) => Ok(bytes),
        // The connection broke or the limit was met; who broke the connection reads no answer.
        Ok(Err(_)) => Err(BodyError::TooLong),
        Err(_) => Err(BodyError::TooSlow),
    }
}

impl BodyError {
    pub(crate) fn status(self) -> StatusCode {
        match self {
            Self::TooLong => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow => StatusCode::REQUEST_TIMEOUT,
        }
    }

    pub(crate) fn message(self, most_bytes: usize) -> String {
        match self {
            Self::TooLong => format!("The request body is longer than {most_bytes} bytes"),
            Self::TooSlow => "The request body did not arrive in time".to_owned(),
        }
    }
}
