//! A user never sees or changes another's rows.

use serde_json::json;

use crate::support::{Server, insert, is_error, table};

#[tokio::test]
async fn rows_of_user_tables_are_their_owners() {
    let server = Server::start().await;
    table(&server, "USER").await;
    let (ann, bob) = (server.user("ann", "user").await, server.user("bob", "user").await);
    let sql = "SELECT * FROM app.t";
    let (mut ann_ws, mut bob_ws) = (server.ws(&ann).await, server.ws(&bob).await);
    ann_ws.snapshot("s", sql, json!({})).await;
    bob_ws.snapshot("s", sql, json!({})).await;
    server.sql_as(&ann, &insert(1..4, "of ann")).await;
    server.sql_as(&bob, &insert(1..2, "of bob")).await;
    server.sql_as(&bob, "UPDATE app.t SET v = 'taken'").await;
    server.sql_as(&bob, "DELETE FROM app.t WHERE id >= 2").await;

    let select = "SELECT id, v FROM app.t ORDER BY id";
    let anns = vec![json!([1, "of ann"]), json!([2, "of ann"]), json!([3, "of ann"])];
    assert_eq!(server.rows(&ann, select).await, anns);
    assert_eq!(server.rows(&bob, select).await, vec![json!([1, "taken"])]);
    for id in 1..4 {
        let change = ann_ws.change().await;
        assert_eq!((&change["rows"][0]["id"], &change["rows"][0]["v"]), (&json!(id), &json!("of ann")));
    }
    assert_eq!(bob_ws.change().await["rows"][0]["v"], "of bob");
    assert_eq!(bob_ws.change().await["rows"][0]["v"], "taken");
    // Each hears of the own next write next, so nothing of the other's came in between.
    server.sql_as(&ann, &insert(9..10, "of ann")).await;
    server.sql_as(&bob, &insert(9..10, "of bob")).await;
    assert_eq!(ann_ws.change().await["rows"][0]["v"], "of ann");
    assert_eq!(bob_ws.change().await["rows"][0]["v"], "of bob");

    for (ws, count, text) in [(&mut ann_ws, 4, "of ann"), (&mut bob_ws, 2, "of bob")] {
        let rows = ws.snapshot("again", sql, json!({})).await;
        assert_eq!(rows.len(), count);
        assert!(rows.iter().all(|row| row["v"] == text || row["v"] == "taken"));
        ws.subscribe("resumed", sql, json!({ "from": 1 })).await;
        ws.frame().await;
        ws.frame().await;
        // Deleted rows may be told too, never another's.
        for _ in 0..count {
            let change = ws.change().await;
            let v = &change["rows"][0]["v"];
            assert!(v == text || v == "taken", "{change}");
        }
    }
}

#[tokio::test]
async fn users_do_not_manage() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    let ann = server.user("ann", "user").await;
    for sql in [
        "CREATE NAMESPACE other",
        "CREATE TABLE app.u (id INT PRIMARY KEY)",
        "DROP TABLE app.t",
        "CREATE USER 'eve' WITH PASSWORD 'x' ROLE system",
        "ALTER USER 'ann' SET ROLE system",
        "SELECT * FROM system.users",
    ] {
        let answer = server.try_sql(&ann, sql).await;
        assert!(answer.status >= 400, "{sql}: {}", answer.body);
        assert_eq!(answer.body["status"], "error");
    }
    let mut ws = server.ws(&ann).await;
    ws.subscribe("s", "SELECT * FROM system.users", json!({})).await;
    let frame = ws.frame().await;
    assert!(!is_error(&frame, "s", "") && frame["type"] == "error", "{frame}");
}

#[tokio::test]
async fn the_same_filter_may_mean_another_user() {
    let server = Server::start().await;
    server.sql("CREATE NAMESPACE app").await;
    let create =
        "CREATE TABLE app.t (id INT PRIMARY KEY, v TEXT) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC')";
    server.sql(create).await;
    let (ann, bob) = (server.user("ann", "user").await, server.user("bob", "user").await);
    let (mut ann_ws, mut bob_ws) = (server.ws(&ann).await, server.ws(&bob).await);
    let sql = "SELECT * FROM app.t WHERE v = CURRENT_USER()";
    ann_ws.snapshot("s", sql, json!({})).await;
    bob_ws.snapshot("s", sql, json!({})).await;
    server.sql("INSERT INTO app.t (id, v) VALUES (1, 'ann'), (2, 'bob')").await;
    assert_eq!(ann_ws.change().await["rows"][0]["id"], 1);
    assert_eq!(bob_ws.change().await["rows"][0]["id"], 2);
}
