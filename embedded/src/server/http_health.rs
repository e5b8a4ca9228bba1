//! Health, in KalamDB's shapes (`wire/auth.jsonl`). A single node is a cluster of one.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use serde_json::json;

use super::app::App;
use super::http::success;

const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Builds are reproducible, so there is no date unless the builder gives one.
const BUILD_DATE: &str = match option_env!("KALAM_BUILD_DATE") {
    Some(date) => date,
    None => "unknown",
};

/// With the same claim as in `auth_success`, for clients that only query: nothing is left out here.
pub(crate) async fn health(State(app): State<Arc<App>>) -> Response {
    success(&json!({
        "status": "healthy",
        "version": VERSION,
        "api_version": "v1",
        "build_date": BUILD_DATE,
        "server": env!("CARGO_PKG_NAME"),
        "complete": app.options.emulate.is_none(),
    }))
}

pub(crate) async fn cluster(State(app): State<Arc<App>>) -> Response {
    let up = app.started.elapsed().as_secs();
    success(&json!({
        "status": "healthy",
        "version": VERSION,
        "build_date": BUILD_DATE,
        "is_cluster_mode": false,
        "cluster_id": "embedded",
        "node_id": 1,
        "is_leader": true,
        "total_groups": 1,
        "groups_leading": 1,
        "current_term": 1,
        "last_applied": 0,
        "millis_since_quorum_ack": 0,
        "nodes": [{
            "node_id": 1,
            "role": "leader",
            "status": "active",
            "api_addr": null,
            "is_self": true,
            "is_leader": true,
            "replication_lag": null,
            "catchup_progress_pct": null,
            "hostname": null,
            "memory_usage_mb": null,
            "cpu_usage_percent": null,
            "uptime_seconds": up,
            "uptime_human": format!("{}m", up / 60),
        }],
    }))
}
