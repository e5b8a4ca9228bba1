//! The HTTP side: what clients ask before and beside the socket, the upgrade, and the benchmark's own controls.

use std::collections::HashMap;
use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tungstenite::handshake::derive_accept_key;

use crate::connection::{Settings, serve};
use crate::spec::{MARKER_ID, Spec};
use crate::topics;
use crate::workload::SCHEMA;

type Shared = State<Arc<Settings>>;
type Parameters = Query<HashMap<String, String>>;

pub(crate) fn router(settings: Arc<Settings>) -> Router {
    Router::new()
        .route("/v1/ws", get(upgrade))
        .route("/v1/api/auth/login", post(async || Json(login())))
        .route("/v1/api/auth/refresh", post(async || Json(login())))
        .route("/v1/api/auth/me", get(async || Json(json!({"user": user(), "admin_ui_access": false}))))
        .route("/v1/api/sql", post(sql))
        .route("/v1/api/topics/consume", post(topics::consume))
        .route("/v1/api/topics/ack", post(topics::ack))
        .route("/health", get(async || Json(health())))
        .route("/v1/api/healthcheck", get(async || Json(health())))
        .route("/bench/prepare", post(prepare))
        .route("/bench/go", post(go))
        .route("/bench/requests", post(requests))
        .with_state(settings)
}

fn user() -> Value {
    let at = "2026-01-01T00:00:00.000+00:00";
    json!({"id": "bench", "role": "user", "email": null, "created_at": at, "updated_at": at})
}

/// Shape of `wire/auth.jsonl`. Any user is welcome and the tokens mean nothing: this server holds no data.
fn login() -> Value {
    let expires = "2099-01-01T00:00:00.000000000+00:00";
    json!({
        "user": user(), "admin_ui_access": false, "expires_at": expires, "access_token": "bench-token",
        "refresh_token": "bench-refresh-token", "refresh_expires_at": expires,
    })
}

fn health() -> Value {
    json!({"status": "healthy", "version": "0.4.3-rc.4", "api_version": "v1", "build_date": "2026-01-01 00:00:00 UTC"})
}

/// A SELECT tells the columns of the workloads, which is what clients look a primary key up with, and no rows. Other
/// statements are answered, not executed.
async fn sql(Json(request): Json<Value>) -> impl IntoResponse {
    let text = request["sql"].as_str().unwrap_or_default().trim_start();
    let selects = text.get(..6).is_some_and(|word| word.eq_ignore_ascii_case("select"));
    let result = if selects {
        // As the server writes it: the schema first, so that a client can read the rows as they come.
        format!(r#"{{"schema":{SCHEMA},"rows":[],"row_count":0,"as_user":"bench"}}"#)
    } else {
        r#"{"row_count":0,"message":"The frame server executes nothing","as_user":"bench"}"#.to_owned()
    };
    let body = format!(r#"{{"status":"success","results":[{result}],"took":0.01}}"#);
    ([(header::CONTENT_TYPE, "application/json")], body)
}

/// How many requests a group of consumers has made.
async fn requests(Query(parameters): Parameters) -> Json<Value> {
    Json(json!({"requests": topics::requests(parameters.get("group").map_or("", String::as_str))}))
}

fn spec_of(parameters: &HashMap<String, String>) -> Result<Spec, (StatusCode, String)> {
    let table = parameters.get("table").map_or("", String::as_str);
    table.parse().map_err(|message| (StatusCode::BAD_REQUEST, message))
}

/// Encodes a workload, so that the first subscription does not pay for it.
async fn prepare(
    State(settings): Shared,
    Query(parameters): Parameters,
) -> Result<Json<Value>, (StatusCode, String)> {
    let spec = spec_of(&parameters)?;
    settings.runs.prepare(spec);
    Ok(Json(json!({
        "table": format!("bench.{spec}"), "rows": spec.rows, "changes": spec.changes,
        "final_seq": spec.final_seq(), "marker_id": MARKER_ID,
    })))
}

async fn go(
    State(settings): Shared,
    Query(parameters): Parameters,
) -> Result<Json<Value>, (StatusCode, String)> {
    let start = settings.runs.go(spec_of(&parameters)?);
    Ok(Json(json!({"generation": start.generation})))
}

async fn upgrade(
    State(settings): Shared,
    Query(parameters): Parameters,
    headers: HeaderMap,
    mut request: Request,
) -> Response {
    let refuse = |reason: &'static str| (StatusCode::BAD_REQUEST, reason).into_response();
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return refuse("a WebSocket upgrade is expected here");
    };
    if parameters.get("serialization").is_some_and(|serialization| serialization != "json") {
        return refuse("only JSON is spoken here");
    }
    let accept = derive_accept_key(key.as_bytes());
    let parameter = |name: &str, value: &str| parameters.get(name).is_some_and(|given| given == value);
    let gzip = !parameter("compress", "false") && !parameter("compression", "none");
    let compression = headers.contains_key(header::AUTHORIZATION).then_some(gzip);
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        match upgrade.await {
            // A client that just goes away is no news.
            Ok(upgraded) => _ = serve(TokioIo::new(upgraded), &settings, compression).await,
            Err(error) => eprintln!("frame-server: upgrade failed: {error}"),
        }
    });
    let answer = [
        (header::CONNECTION, "Upgrade".to_owned()),
        (header::UPGRADE, "websocket".to_owned()),
        (header::SEC_WEBSOCKET_ACCEPT, accept),
    ];
    (StatusCode::SWITCHING_PROTOCOLS, answer).into_response()
}
