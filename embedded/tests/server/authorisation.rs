//! Every endpoint, as every role and as nobody.

use std::collections::BTreeSet;

use kalam_embedded::Options;
use serde_json::{Value, json};

use crate::support::{Server, options, request, table};

/// What nobody, a user, a service, a dba and root are answered.
type Statuses = [u16; 5];

const ANYBODY: Statuses = [200; 5];
const KNOWN: Statuses = [401, 200, 200, 200, 200];

/// All endpoints. Those of topics and files have tests of their own for what a role may do.
fn endpoints() -> Vec<(&'static str, &'static str, Option<Value>, Statuses)> {
    let sql = |sql: &str| Some(json!({ "sql": sql }));
    vec![
        ("GET", "/health", None, ANYBODY),
        ("GET", "/v1/api/healthcheck", None, ANYBODY),
        ("GET", "/v1/api/cluster/health", None, ANYBODY),
        ("GET", "/metrics", None, ANYBODY),
        ("GET", "/v1/api/auth/status", None, ANYBODY),
        ("POST", "/v1/api/auth/setup", Some(json!({})), [409; 5]),
        ("POST", "/v1/api/auth/logout", None, ANYBODY),
        ("POST", "/v1/api/auth/login", Some(json!({ "user": "ann", "password": "wrong" })), [401; 5]),
        // With an access token, which is no refresh token.
        ("POST", "/v1/api/auth/refresh", None, [401; 5]),
        ("GET", "/v1/api/auth/me", None, KNOWN),
        ("POST", "/v1/api/sql", sql("SELECT 1"), KNOWN),
        ("POST", "/v1/api/sql", sql("SELECT * FROM app.t"), [401, 403, 200, 200, 200]),
        ("POST", "/v1/api/sql", sql("DELETE FROM app.t"), [401, 403, 200, 200, 200]),
        ("POST", "/v1/api/sql", sql("SELECT * FROM system.users"), [401, 403, 403, 200, 200]),
        ("POST", "/v1/api/sql", sql("CREATE NAMESPACE IF NOT EXISTS other"), [401, 403, 403, 200, 200]),
        ("POST", "/v1/api/sql", sql("DROP USER IF EXISTS 'nobody'"), [401, 403, 403, 200, 200]),
        ("POST", "/v1/api/sql", sql("DROP USER 'root'"), [401, 403, 403, 403, 400]),
        // No upgrade is asked for.
        ("GET", "/v1/api/connections", None, [401, 403, 403, 200, 200]),
        ("GET", "/v1/api/topics/groups", None, [401, 403, 403, 200, 200]),
        ("GET", "/v1/ws", None, [400; 5]),
        ("GET", "/ws", None, [400; 5]),
    ]
}

#[tokio::test]
async fn every_endpoint_knows_who_may() {
    let server = Server::with(Options { ui: true, ..options() }).await;
    table(&server, "SHARED").await;
    let tokens = [
        None,
        Some(server.user("ann", "user").await),
        Some(server.user("svc", "service").await),
        Some(server.user("dora", "dba").await),
        Some(server.root.clone()),
    ];
    for (method, path, body, expected) in endpoints() {
        let mut statuses = [0; 5];
        for (status, token) in statuses.iter_mut().zip(&tokens) {
            *status = request(server.port(), method, path, token.as_deref(), body.as_ref()).await.status;
        }
        assert_eq!(statuses, expected, "{method} {path} {body:?}");
        for bad in ["", "nonsense", "a.b.c", &format!("{}x", server.root)] {
            let status = request(server.port(), method, path, Some(bad), body.as_ref()).await.status;
            assert_eq!(status, expected[0], "{method} {path} with the token '{bad}'");
        }
    }
}

/// A route that is added has to be added above, or to those that are tested elsewhere.
#[test]
fn no_endpoint_is_forgotten() {
    let source = include_str!("../../src/server/http.rs");
    let routes: BTreeSet<&str> =
        source.split(".route(\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let tested: BTreeSet<&str> = endpoints().iter().map(|endpoint| endpoint.1).collect();
    let elsewhere =
        |path: &&&str| ["/v1/api/topics/", "/v1/files/"].iter().any(|start| path.starts_with(start));
    let forgotten: Vec<_> = routes.difference(&tested).filter(|path| !elsewhere(path)).collect();
    assert!(forgotten.is_empty(), "{forgotten:?}");
    assert!(routes.len() >= 10);
}
