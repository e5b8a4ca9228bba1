//! `GET /metrics`: for whoever is on this machine, and for administrators.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::Response;

use super::app::App;
use super::http::{failure, json};
use super::listen::Peer;
use super::metrics;
use crate::engine::Role;

/// A proxy on this machine says so by one of these headers, and asks for others.
const PROXIES: [&str; 4] = ["x-forwarded-for", "x-real-ip", "forwarded", "via"];

pub(crate) async fn metrics(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
) -> Response {
    let is_local = peer.ip().is_loopback() && PROXIES.iter().all(|name| !headers.contains_key(*name));
    let is_admin = app.identity(&headers).is_ok_and(|identity| identity.role >= Role::Dba);
    if !is_local && !is_admin {
        let message = "Metrics are for this machine, and for the roles dba and system";
        return failure(StatusCode::FORBIDDEN, "forbidden", message);
    }
    let mut response = json(StatusCode::OK, metrics::render(&app));
    let plain = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
