//! `GET /v1/api/inspect/connections`: who is connected and what they watch, for administrators. Our own, for the inspector
//! page.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use serde::Serialize;

use super::app::App;
use super::connections::OpenConnection;
use super::http::{failure, success};
use crate::engine::Role;

#[derive(Serialize)]
struct Answer {
    connections: Vec<OpenConnection>,
}

pub(crate) async fn connections(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    match app.identity(&headers) {
        Ok(identity) if identity.role >= Role::Dba => {
            success(&Answer { connections: app.connections.list() })
        }
        Ok(_) => {
            failure(StatusCode::FORBIDDEN, "forbidden", "Connections are shown to the roles dba and system")
        }
        Err(error) => failure(StatusCode::UNAUTHORIZED, "unauthorized", error.message()),
    }
}
