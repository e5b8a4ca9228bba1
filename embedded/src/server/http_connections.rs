//! Who is connected, for the inspector and for operators.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::app::App;
use super::http::{failure, success};

/// `GET /v1/api/connections`, for `dba` and `system`. Only the embedded server has it.
pub(crate) async fn connections(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match app.identity(&headers) {
        Ok(identity) if identity.role.is_admin() => {
            success(&json!({ "connections": app.connections.list() }))
        }
        Ok(_) => failure(
            StatusCode::FORBIDDEN,
            "forbidden",
            "Connections are shown to the roles 'dba' and 'system' only",
        ),
        Err(error) => failure(StatusCode::UNAUTHORIZED, error.code(), error.message()),
    }
}
