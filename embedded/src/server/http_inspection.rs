//! Who is connected and how far consumers are, for the inspector and for operators. Only the embedded server has these.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde_json::json;

use super::app::App;
use super::http::{failure, internal_error, success};

/// `GET /v1/api/connections`, for `dba` and `system`.
pub(crate) async fn connections(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match check(&app, &headers) {
        Ok(()) => success(&json!({ "connections": app.connections.list() })),
        Err(refused) => *refused,
    }
}

/// `GET /v1/api/topics/groups`, for `dba` and `system`: for each group and partition what it has acknowledged, and how many
/// records it still has before it.
pub(crate) async fn topic_groups(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    if let Err(refused) = check(&app, &headers) {
        return *refused;
    }
    let work = {
        let app = app.clone();
        move || app.engine.topic_groups()
    };
    match app.statements.run_in_turn(work).await {
        Ok(Ok(groups)) => success(&json!({ "groups": groups })),
        Ok(Err(error)) => failure(StatusCode::INTERNAL_SERVER_ERROR, error.code, &error.message),
        Err(_) => internal_error(),
    }
}

fn check(app: &App, headers: &HeaderMap) -> Result<(), Box<Response>> {
    let refused = match app.identity(headers) {
        Ok(identity) if identity.role.is_admin() => return Ok(()),
        Ok(_) => failure(
            StatusCode::FORBIDDEN,
            "forbidden",
            "What others do is shown to the roles 'dba' and 'system' only",
        ),
        Err(error) => failure(StatusCode::UNAUTHORIZED, error.code(), error.message()),
    };
    Err(Box::new(refused))
}
