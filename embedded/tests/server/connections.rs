//! Who is connected, and what they follow: `system.live` and `/v1/api/connections`.

use serde_json::json;

use crate::support::{Server, insert, request, table};

const LIVE: &str =
    "SELECT user_id, subscription_id, namespace_id, table_name, query, options, changes FROM system.live";

#[tokio::test]
async fn live_queries_are_listed_while_they_are_open() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    assert!(server.rows(&server.root, LIVE).await.is_empty());
    let mut ws = server.root_ws().await;
    ws.snapshot("a", "SELECT * FROM app.t WHERE id > 0", json!({"batch_size": 7})).await;
    ws.snapshot("b", "SELECT id FROM app.t", json!({})).await;
    server.sql(&insert(1..3, "x")).await;
    for _ in 0..4 {
        ws.change().await;
    }
    let listed = server.rows(&server.root, LIVE).await;
    let row = |id: &str, sql: &str, options: &str| json!(["root", id, "app", "t", sql, options, "2"]);
    let expected = [
        row("a", "SELECT * FROM app.t WHERE id > 0", r#"{"batch_size":7}"#),
        row("b", "SELECT id FROM app.t", "{}"),
    ];
    assert_eq!(listed, expected);

    ws.send(&json!({"type": "unsubscribe", "subscription_id": "a"})).await;
    // The answer to this comes after the unsubscription.
    ws.snapshot("c", "SELECT id FROM app.t", json!({})).await;
    let ids = server.rows(&server.root, "SELECT subscription_id FROM system.live").await;
    assert_eq!(ids, [json!(["b"]), json!(["c"])]);
    let connection =
        "SELECT count(DISTINCT connection_id) AS n FROM system.live WHERE live_id LIKE 'root-%-b'";
    assert_eq!(server.rows(&server.root, connection).await, [json!(["1"])]);
}

#[tokio::test]
async fn connections_are_shown_to_admins_only() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    let mut ws = server.root_ws().await;
    ws.snapshot("a", "SELECT * FROM app.t", json!({})).await;
    let ask = async |token: Option<&str>| {
        let port = server.port();
        request(port, "GET", "/v1/api/connections", token, None).await
    };
    let answer = ask(Some(&server.root)).await;
    let shown = &answer.body["connections"];
    assert_eq!(shown.as_array().map(Vec::len), Some(1), "{shown}");
    assert_eq!((&shown[0]["user_id"], &shown[0]["subscriptions"]), (&json!("root"), &json!(1)));
    assert!(shown[0]["peer"].as_str().is_some_and(|peer| peer.starts_with("127.0.0.1:")), "{shown}");
    assert!(shown[0]["last_ping_at"].as_i64() >= shown[0]["connected_at"].as_i64());

    for role in ["user", "service"] {
        let token = server.user(role, role).await;
        assert_eq!(ask(Some(&token)).await.status, 403);
        let refused = server.try_sql(&token, LIVE).await;
        assert!(refused.body.to_string().contains("'dba' or 'system'"), "{}", refused.body);
    }
    assert_eq!(ask(None).await.status, 401);
    assert_eq!(ask(Some("nonsense")).await.status, 401);
}
