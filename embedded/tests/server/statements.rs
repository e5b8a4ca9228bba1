//! Statements that reach beyond a request: they end, cause or describe what WebSockets see.

use serde_json::{Value, json};

use crate::support::{Server, is_error};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribers_hear_of_rows_whose_time_is_over() {
    let server = Server::start().await;
    server
        .sql("CREATE NAMESPACE e; CREATE STREAM TABLE e.ev (id TEXT PRIMARY KEY, v INT) WITH (TTL_SECONDS=1)")
        .await;
    let mut ws = server.root_ws().await;
    assert_eq!(ws.snapshot("ev", "SELECT * FROM e.ev", json!({})).await, Vec::<Value>::new());
    server.sql("INSERT INTO e.ev VALUES ('a', 1)").await;
    let inserted = ws.change().await;
    assert_eq!((&inserted["change_type"], &inserted["rows"][0]["id"]), (&json!("insert"), &json!("a")));
    // Nobody does anything: it comes when the row is over.
    let deleted = ws.change().await;
    assert_eq!((&deleted["change_type"], &deleted["old_values"][0]["id"]), (&json!("delete"), &json!("a")));
    assert_eq!(server.rows(&server.root, "SELECT * FROM e.ev").await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_query_is_listed_and_killed() {
    let server = Server::start().await;
    server.sql("CREATE NAMESPACE k; CREATE TABLE k.t (id INT PRIMARY KEY) WITH (TYPE='USER')").await;
    let ada = server.user("ada", "user").await;
    let (mut killed, mut other) = (server.ws(&ada).await, server.root_ws().await);
    killed.snapshot("one", "SELECT * FROM k.t", json!({})).await;
    other.snapshot("two", "SELECT * FROM k.t", json!({})).await;
    let listed =
        server.rows(&server.root, "SELECT live_id, query FROM system.live WHERE user_id = 'ada'").await;
    assert_eq!(listed[0][1], "SELECT * FROM k.t");
    let kill = format!("KILL LIVE QUERY '{}'", listed[0][0].as_str().unwrap());
    assert_eq!(server.try_sql(&ada, &kill).await.status, 403);
    server.sql(&kill).await;
    let end = killed.frame().await;
    assert!(is_error(&end, "one", "SUBSCRIPTION_FAILED"), "{end}");
    assert_eq!(server.try_sql(&server.root, &kill).await.status, 400);
    server.sql("INSERT INTO k.t VALUES (1)").await;
    assert_eq!(other.change().await["rows"][0]["id"], 1);
    // The connection goes on.
    assert_eq!(killed.snapshot("again", "SELECT * FROM k.t", json!({})).await, Vec::<Value>::new());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn subscribe_to_says_where_to_connect() {
    let server = Server::start().await;
    server.sql("CREATE NAMESPACE k; CREATE TABLE k.t (id INT PRIMARY KEY, v TEXT) WITH (TYPE='USER')").await;
    let row =
        &server.rows(&server.root, "SUBSCRIBE TO k.t WHERE v = 'it''s' OPTIONS (last_rows = 5)").await[0];
    assert_eq!(row[1], format!("ws://127.0.0.1:{}/v1/ws", server.port()));
    let subscription: Value = serde_json::from_str(row[2].as_str().unwrap()).unwrap();
    // What it says works.
    let mut ws = server.root_ws().await;
    let (id, sql) = (subscription["id"].as_str().unwrap(), subscription["sql"].as_str().unwrap());
    server.sql("INSERT INTO k.t VALUES (1, 'it''s'), (2, 'not')").await;
    let rows = ws.snapshot(id, sql, subscription["options"].clone()).await;
    assert_eq!(rows.iter().map(|row| &row["id"]).collect::<Vec<_>>(), [&json!(1)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_live_query_has_no_sub_queries() {
    let server = Server::start().await;
    server
        .sql("CREATE NAMESPACE k; CREATE TABLE k.t (id INT PRIMARY KEY, v JSON) WITH (ACCESS_LEVEL='PUBLIC')")
        .await;
    let mut ws = server.root_ws().await;
    for filter in [
        "id IN (SELECT id FROM k.t)",
        "EXISTS (SELECT 1)",
        "id = (SELECT 1)",
        "now() - now() < INTERVAL '1 day'",
    ] {
        ws.subscribe("s", &format!("SELECT * FROM k.t WHERE {filter}"), json!({})).await;
        let refused = ws.frame().await;
        assert!(is_error(&refused, "s", "SUBSCRIPTION_FAILED"), "{filter}: {refused}");
    }
    // But the operators of a row's own values are there, and followed.
    ws.snapshot("s", "SELECT id FROM k.t WHERE v ->> 'kind' ~* '^a' AND v @> '{\"n\":1}'", json!({})).await;
    server
        .sql("INSERT INTO k.t VALUES (1, '{\"kind\":\"b\",\"n\":1}'), (2, '{\"kind\":\"Ab\",\"n\":1}')")
        .await;
    assert_eq!(ws.change().await["rows"][0]["id"], 2);
    server.sql("UPDATE k.t SET v = '{\"kind\":\"x\"}' WHERE id = 2").await;
    assert_eq!(ws.change().await["change_type"], "delete");
}
