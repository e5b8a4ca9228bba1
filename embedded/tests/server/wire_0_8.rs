//! What 0.8 is documented to do otherwise: the version of a row is `_version`, cursors are strings and belong to a domain.

use kalam_embedded::{Embedded, Holes, Options, Wire};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;

use crate::support::{Got, Server, Ws, insert, is_error, options, table};

async fn browser(server: &Server, token: &str) -> Ws {
    let mut ws = Ws::try_open_as_browser(server.port(), token).await.expect("an upgrade");
    assert_eq!(ws.frame().await["type"], "auth_success");
    ws
}

/// Sorted.
fn names(row: &Value) -> Vec<&str> {
    row.as_object().expect("a row").keys().map(String::as_str).collect()
}

/// Acknowledgement and first batch of a subscription.
async fn begin(ws: &mut Ws, id: &str, sql: &str, options: Value) -> (Value, Value) {
    ws.subscribe(id, sql, options).await;
    let ack = ws.frame().await;
    assert_eq!(ack["type"], "subscription_ack", "{ack}");
    (ack, ws.frame().await)
}

#[tokio::test]
async fn a_browser_is_served_as_in_0_8_beside_others() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    server.sql(&insert(0..30, "x")).await;
    let mut newer = browser(&server, &server.root).await;
    let mut older = server.root_ws().await;
    let sql = "SELECT * FROM app.t";
    let (ack, batch) = begin(&mut newer, "n", sql, json!({ "batch_size": 20 })).await;
    let schema: Vec<&Value> =
        ack["schema"].as_array().unwrap().iter().map(|column| &column["name"]).collect();
    assert_eq!(schema, ["id", "v", "_version", "_deleted"]);
    assert_eq!(names(&batch["rows"][0]), ["_deleted", "_version", "id", "v"]);
    let control = &batch["batch_control"];
    assert!(control["last_seq_id"].is_string() && control["has_more"] == true, "{control}");
    assert!(control["version_domain"].is_object() && control == &ack["batch_control"], "{control}");
    let next = json!({ "type": "next_batch", "subscription_id": "n", "last_seq_id": control["last_seq_id"] });
    newer.send(&next).await;
    assert_eq!(newer.frame().await["rows"].as_array().unwrap().len(), 10);
    let (_, batch) = begin(&mut older, "o", sql, json!({})).await;
    assert_eq!(names(&batch["rows"][0]), ["_deleted", "_seq", "id", "v"]);
    assert!(batch["batch_control"]["last_seq_id"].is_i64());
    assert_eq!(batch["batch_control"].get("version_domain"), None);

    server.sql("UPDATE app.t SET v = 'y' WHERE id = 3").await;
    let (new, old) = (newer.change().await, older.change().await);
    assert_eq!(new["rows"][0]["_version"], old["rows"][0]["_seq"]);
    assert_eq!(new["old_values"][0]["_version"], old["old_values"][0]["_seq"]);
    assert!(new["rows"][0].get("_seq").is_none() && old["rows"][0].get("_version").is_none());
    server.sql("DELETE FROM app.t WHERE id = 3").await;
    let (new, old) = (newer.change().await, older.change().await);
    assert_eq!(new["old_values"][0]["_version"], old["old_values"][0]["_seq"]);
}

#[tokio::test]
async fn a_browser_with_a_wrong_token_is_refused() {
    let server = Server::start().await;
    let Err(Error::Http(answer)) = Ws::try_open_as_browser(server.port(), "wrong").await else {
        panic!("a wrong token was accepted");
    };
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn a_cursor_is_only_valid_in_its_domain() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    server.sql("CREATE TABLE app.own (id INT PRIMARY KEY, v TEXT) WITH (TYPE = 'USER')").await;
    server.sql("INSERT INTO app.own VALUES (1, 'x')").await;
    server.sql(&insert(0..3, "x")).await;
    let mut ws = browser(&server, &server.root).await;
    let (shared, own) = ("SELECT * FROM app.t", "SELECT * FROM app.own");
    let (ack, _) = begin(&mut ws, "s", shared, json!({})).await;
    let (from, domain) = (&ack["batch_control"]["last_seq_id"], &ack["batch_control"]["version_domain"]);
    let (ack, _) = begin(&mut ws, "o", own, json!({})).await;
    let (own_from, own_domain) =
        (&ack["batch_control"]["last_seq_id"], &ack["batch_control"]["version_domain"]);
    assert_ne!(domain, own_domain);
    drop(ws);
    server.sql("DELETE FROM app.t WHERE id = 1").await;
    server.sql("DELETE FROM app.own WHERE id = 1").await;

    let mut ws = browser(&server, &server.root).await;
    for (id, options) in [
        ("none", json!({ "from": from })),
        ("other", json!({ "from": from, "version_domain": own_domain })),
        ("garbage", json!({ "from": from, "version_domain": 7 })),
    ] {
        ws.subscribe(id, shared, options).await;
        let error = ws.frame().await;
        assert!(is_error(&error, id, "VERSION_DOMAIN_MISMATCH"), "{error}");
    }
    // A user's own rows have one history, so their cursor may come alone.
    begin(&mut ws, "own", own, json!({ "from": own_from })).await;
    assert_eq!(ws.change().await["change_type"], "delete");
    let options = json!({ "from": from, "version_domain": domain });
    begin(&mut ws, "shared", shared, options.clone()).await;
    let change = ws.change().await;
    assert_eq!((&change["change_type"], &change["old_values"][0]["id"]), (&json!("delete"), &json!(1)));

    // Who sends a domain speaks 0.8, whatever the connection said.
    let mut plain = server.root_ws().await;
    begin(&mut plain, "p", shared, options).await;
    assert!(plain.change().await["old_values"][0]["_version"].is_string());
    ws.subscribe("number", shared, json!({ "from": 5, "version_domain": domain })).await;
    let Got::Close(1011, reason) = ws.end().await else { panic!("an integer was accepted") };
    assert!(reason.contains("decimal string"), "{reason}");
}

#[tokio::test]
async fn a_server_of_0_8_speaks_it_to_all() {
    let server = Server::with(Options { wire: Wire::V0_8, ..options() }).await;
    table(&server, "SHARED").await;
    server.sql(&insert(0..3, "x")).await;
    let rows = server.rows(&server.root, "SELECT * FROM app.t WHERE _version > 0 ORDER BY _version").await;
    assert_eq!(rows.len(), 3);
    let columns = server.sql("SELECT * FROM app.t").await[0]["schema"].clone();
    let columns: Vec<&Value> = columns.as_array().unwrap().iter().map(|column| &column["name"]).collect();
    assert_eq!(columns, ["id", "v", "_version", "_deleted"]);
    for sql in
        ["SELECT _seq FROM app.t", "UPDATE app.t SET _version = 1", "INSERT INTO app.t (_version) VALUES (1)"]
    {
        let answer = server.try_sql(&server.root, sql).await;
        assert_eq!(answer.status, 400, "{sql}: {}", answer.body);
    }
    let described = server.rows(&server.root, "DESCRIBE TABLE app.t").await;
    assert!(described.iter().any(|row| row[0] == "_version") && described.iter().all(|row| row[0] != "_seq"));

    server.sql("CREATE TOPIC app.changes; ALTER TOPIC app.changes ADD SOURCE app.t ON INSERT").await;
    server.sql(&insert(7..8, "x")).await;
    let consumed = server.rows(&server.root, "CONSUME FROM app.changes FROM EARLIEST LIMIT 1").await;
    let bytes: Vec<u8> = serde_json::from_value(consumed[0][4].clone()).expect("bytes");
    let payload: Value = serde_json::from_slice(&bytes).expect("JSON");
    assert!(payload["_version"].is_string() && payload.get("_commit_seq").is_none(), "{payload}");

    let mut ws = server.root_ws().await;
    let (_, batch) = begin(&mut ws, "s", "SELECT id FROM app.t", json!({})).await;
    assert_eq!(names(&batch["rows"][0]), ["_version", "id"]);
    assert!(batch["batch_control"]["version_domain"].is_object());
}

#[tokio::test]
async fn the_new_name_is_known_to_an_older_server_too() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    server.sql(&insert(0..2, "x")).await;
    let both = server.rows(&server.root, "SELECT _seq, _version FROM app.t WHERE _version = _seq").await;
    assert_eq!(both.len(), 2);
    assert!(both.iter().all(|row| row[0] == row[1]));
    let joined = "SELECT a.id, b.* FROM app.t a JOIN app.t b ON a._version = b._version";
    let columns = server.sql(joined).await[0]["schema"].as_array().unwrap().len();
    assert_eq!(columns, 5);
}

#[test]
fn only_0_4_is_emulated() {
    let both = Options { emulate: Some(Holes::kalamdb_0_4()), wire: Wire::V0_8, ..options() };
    let error = Embedded::start(both).expect_err("refused");
    assert_eq!(error.code(), "config");
    assert!(error.to_string().contains("0.4"), "{error}");
}
