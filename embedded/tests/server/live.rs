//! Snapshots and changes: nothing is missing, nothing comes twice.

use std::collections::BTreeMap;

use kalam_embedded::{Limits, Options};
use serde_json::{Value, json};

use crate::support::{Server, insert, is_error, options, table};

/// Rows by key, as a client would keep them.
#[derive(Default)]
struct Held(BTreeMap<i64, (String, String)>);

impl Held {
    fn put(&mut self, row: &Value) {
        let text = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
        self.0.insert(row["id"].as_i64().expect("id"), (text("v"), text("_seq")));
    }

    fn apply(&mut self, change: &Value) {
        match change["change_type"].as_str() {
            Some("insert") => {
                let before = self.0.len();
                self.put(&change["rows"][0]);
                assert_eq!(self.0.len(), before + 1, "an insert of a row that is there: {change}");
            }
            Some("update") => self.put(&change["rows"][0]),
            Some("delete") => {
                let id = change["old_values"][0]["id"].as_i64().expect("id");
                assert!(self.0.remove(&id).is_some(), "a delete of a row that is not there: {change}");
            }
            other => panic!("{other:?}: {change}"),
        }
    }

    async fn equals(&self, server: &Server, token: &str, filter: &str) -> bool {
        let sql = format!("SELECT id, v, _seq FROM app.t {filter} LIMIT 100000");
        let rows = server.rows(token, &sql).await;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rows: BTreeMap<_, _> =
            rows.iter().map(|row| (row[0].as_i64().expect("id"), (text(&row[1]), text(&row[2])))).collect();
        rows == self.0
    }
}

#[tokio::test]
async fn a_snapshot_with_concurrent_writes_ends_as_the_select() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    server.sql(&insert(0..2000, "first")).await;
    let mut ws = server.root_ws().await;
    let (write, token, port) = (server.root.clone(), server.root.clone(), server.port());
    // Writes go on from before the snapshot until after its last batch.
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let writer = tokio::spawn(async move {
        let mut n = 0;
        while !*stopped.borrow() || n < 50 {
            for sql in [
                insert(10_000 + n..10_001 + n, "new"),
                format!("UPDATE app.t SET v = 'changed {n}' WHERE id = {}", n % 2000),
                format!("DELETE FROM app.t WHERE id = {}", (n * 7 + 3) % 2000),
            ] {
                let body = json!({ "sql": sql });
                let answer =
                    crate::support::request(port, "POST", "/v1/api/sql", Some(&write), Some(&body)).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
            }
            n += 1;
        }
        let sql = json!({ "sql": "INSERT INTO app.t (id, v) VALUES (-1, 'last')" });
        crate::support::request(port, "POST", "/v1/api/sql", Some(&write), Some(&sql)).await;
    });
    let mut held = Held::default();
    let filter = "WHERE v <> 'first' OR id >= 1000";
    let sql = format!("SELECT * FROM app.t {filter}");
    for row in ws.snapshot("s", &sql, json!({ "batch_size": 100 })).await {
        held.put(&row);
    }
    stop.send_replace(true);
    loop {
        let change = ws.change().await;
        held.apply(&change);
        if change["rows"][0]["id"] == -1 {
            break;
        }
    }
    writer.await.unwrap();
    assert!(held.equals(&server, &token, filter).await);
}

#[tokio::test]
async fn a_row_that_leaves_the_filter_is_a_delete() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    let mut ws = server.root_ws().await;
    let mut held = Held::default();
    let filter = "WHERE v IN ('open', 'hold') OR lower(v) = 'ready'";
    ws.snapshot("s", &format!("SELECT * FROM app.t {filter}"), json!({})).await;
    for sql in [
        "INSERT INTO app.t (id, v) VALUES (1, 'open'), (2, 'closed'), (3, 'READY')",
        "UPDATE app.t SET v = 'hold' WHERE id = 1",
        "UPDATE app.t SET v = 'closed' WHERE id = 3",
        "UPDATE app.t SET v = 'open' WHERE id = 2",
        "UPDATE app.t SET v = NULL WHERE id = 1",
        "DELETE FROM app.t WHERE id = 3",
        "UPDATE app.t SET v = 'Ready' WHERE id = 1",
    ] {
        server.sql(sql).await;
    }
    let expected = ["insert", "insert", "update", "delete", "update", "delete", "update"];
    for kind in expected {
        let change = ws.change().await;
        assert_eq!(change["change_type"], kind, "{change}");
        held.apply(&change);
    }
    assert!(held.equals(&server, &server.root, filter).await);
}

#[tokio::test]
async fn a_burst_reaches_every_subscriber_completely_and_in_order() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    let mut sockets = Vec::new();
    for n in 0..3 {
        let mut ws = server.root_ws().await;
        ws.snapshot(&format!("sub{n}"), "SELECT id FROM app.t", json!({})).await;
        ws.snapshot("other", "SELECT id, v FROM app.t WHERE id % 2 = 0", json!({})).await;
        sockets.push(ws);
    }
    for n in 0..10 {
        server.sql(&insert(n * 500..(n + 1) * 500, "x")).await;
    }
    for (n, ws) in sockets.iter_mut().enumerate() {
        let (mut all, mut even) = (0, 0);
        let mut newest = BTreeMap::new();
        while all < 5000 || even < 2500 {
            let change = ws.change().await;
            let id = change["subscription_id"].as_str().unwrap().to_owned();
            let seq: i64 = change["rows"][0]["_seq"].as_str().unwrap().parse().unwrap();
            let before = newest.insert(id.clone(), seq);
            assert!(before < Some(seq), "{id} went back from {before:?} to {seq}");
            match id.as_str() {
                "other" => even += 1,
                _ => all += 1,
            }
            assert!(id == "other" || id == format!("sub{n}"));
        }
        assert_eq!((all, even), (5000, 2500));
    }
}

#[tokio::test]
async fn last_rows_are_the_newest_in_order() {
    let server = Server::start().await;
    table(&server, "USER").await;
    server.sql(&insert(0..30, "x")).await;
    server.sql("UPDATE app.t SET v = 'y' WHERE id IN (4, 2)").await;
    let mut ws = server.root_ws().await;
    let ids = |rows: Vec<Value>| rows.iter().map(|row| row["id"].as_i64().unwrap()).collect::<Vec<_>>();
    let rows = ws.snapshot("a", "SELECT id FROM app.t", json!({ "last_rows": 4 })).await;
    assert!(rows.is_sorted_by_key(|row| row["_seq"].as_str().unwrap().parse::<i64>().unwrap()));
    let mut newest = ids(rows);
    newest.sort_unstable();
    assert_eq!(newest, [2, 4, 28, 29]);
    assert_eq!(ids(ws.snapshot("b", "SELECT id FROM app.t", json!({ "last_rows": 0 })).await), [0i64; 0]);
    assert_eq!(ws.snapshot("c", "SELECT id FROM app.t", json!({ "last_rows": 5000 })).await.len(), 30);
}

#[tokio::test]
async fn batch_sizes_have_bounds() {
    let limits = Limits { batch_rows: 20, ..Limits::default() };
    let server = Server::with(Options { limits, ..options() }).await;
    table(&server, "USER").await;
    server.sql(&insert(0..50, "x")).await;
    let mut ws = server.root_ws().await;
    ws.subscribe("a", "SELECT id FROM app.t", json!({ "batch_size": 4000 })).await;
    ws.frame().await;
    assert_eq!(ws.frame().await["rows"].as_array().unwrap().len(), 20);
    ws.subscribe("b", "SELECT id FROM app.t", json!({ "batch_size": 0 })).await;
    assert!(is_error(&ws.frame().await, "b", "UNSUPPORTED"));
    assert_eq!(ws.snapshot("c", "SELECT id FROM app.t", json!({})).await.len(), 50);
    ws.send(&json!({ "type": "next_batch", "subscription_id": "c" })).await;
    assert!(is_error(&ws.frame().await, "c", "BATCH_FETCH_FAILED"));
}

#[tokio::test]
async fn unsubscribed_and_replaced_subscriptions_are_silent() {
    let server = Server::start().await;
    table(&server, "USER").await;
    let mut ws = server.root_ws().await;
    ws.snapshot("gone", "SELECT * FROM app.t", json!({})).await;
    ws.snapshot("same", "SELECT * FROM app.t", json!({})).await;
    ws.snapshot("same", "SELECT id FROM app.t", json!({})).await;
    ws.send(&json!({ "type": "unsubscribe", "subscription_id": "gone" })).await;
    ws.subscribe("last", "SELECT id FROM app.t", Value::Null).await;
    let ack = ws.frame().await;
    assert_eq!((&ack["type"], &ack["subscription_id"]), (&json!("subscription_ack"), &json!("last")));
    server.sql(&insert(1..3, "x")).await;
    let mut seen = Vec::new();
    for _ in 0..4 {
        let change = ws.change().await;
        assert!(change["rows"][0].get("v").is_none(), "the replaced subscription spoke: {change}");
        seen.push(format!("{} {}", change["subscription_id"].as_str().unwrap(), change["rows"][0]["id"]));
    }
    seen.sort();
    assert_eq!(seen, ["last 1", "last 2", "same 1", "same 2"]);
}

#[tokio::test]
async fn a_subscription_begins_while_its_table_is_altered() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    let altering = async {
        for n in 0..60 {
            server.sql(&format!("ALTER TABLE app.t ADD COLUMN c{n} INT")).await;
        }
    };
    let mut ws = server.root_ws().await;
    let subscribing = async {
        for n in 0.. {
            let id = format!("s{n}");
            ws.subscribe(&id, "SELECT * FROM app.t", json!({})).await;
            loop {
                let frame = ws.frame().await;
                // One that was registered may end by the next change. One that was not begins, whatever happens meanwhile.
                assert!(frame["type"] != "error" || frame["code"] == "SCHEMA_CHANGED", "{frame}");
                if frame["subscription_id"] == id.as_str() && frame["type"] != "subscription_ack" {
                    break;
                }
            }
        }
    };
    tokio::select! {
        () = altering => {}
        () = subscribing => {}
    }
}

#[tokio::test]
async fn a_dropped_or_altered_table_ends_its_subscriptions() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    let mut ws = server.root_ws().await;
    ws.snapshot("s", "SELECT * FROM app.t", json!({})).await;
    server.sql("DROP TABLE app.t").await;
    assert!(is_error(&ws.frame().await, "s", "NOT_FOUND"));
    table(&server, "SHARED").await;
    ws.snapshot("s", "SELECT * FROM app.t", json!({})).await;
    server.sql(&insert(1..2, "x")).await;
    assert_eq!(ws.change().await["rows"][0]["id"], 1);

    ws.snapshot("named", "SELECT id, v FROM app.t", json!({})).await;
    server.sql("ALTER TABLE app.t ADD COLUMN more TEXT").await;
    assert!(is_error(&ws.frame().await, "s", "SCHEMA_CHANGED"));
    let rows = ws.snapshot("s", "SELECT * FROM app.t", json!({})).await;
    assert_eq!(rows[0]["more"], Value::Null);
    server.sql("UPDATE app.t SET more = 'x' WHERE id = 1").await;
    let mut changes = [ws.change().await, ws.change().await];
    changes.sort_by_key(|change| change["subscription_id"].to_string());
    assert_eq!(changes[0]["subscription_id"], "named", "the columns of this one are as before");
    assert_eq!(changes[1]["rows"][0]["more"], "x");
}

#[tokio::test]
async fn frames_are_compressed_only_for_those_who_want_it() {
    let server = Server::start().await;
    table(&server, "USER").await;
    server.sql(&insert(0..100, "some text")).await;
    for (path, compressed) in
        [("/v1/ws", true), ("/v1/ws?compress=false", false), ("/v1/ws?compression=none", false)]
    {
        let mut ws = crate::support::Ws::open(server.port(), path, Some(&server.root)).await;
        let protocol = ws.frame().await["protocol"].clone();
        let compression = if compressed { "gzip" } else { "none" };
        assert_eq!(protocol, json!({ "serialization": "json", "compression": compression }), "{path}");
        ws.subscribe("s", "SELECT id FROM app.t", json!({})).await;
        ws.frame().await;
        assert!(!ws.compressed, "a short frame is never compressed");
        ws.frame().await;
        assert_eq!(ws.compressed, compressed, "{path}");
    }
    let mut ws = crate::support::Ws::open(server.port(), "/v1/ws", None).await;
    let protocol = json!({ "serialization": "cbor", "compression": "none" });
    ws.send(&json!({ "type": "authenticate", "token": server.root, "protocol": protocol })).await;
    let protocol = ws.frame().await["protocol"].clone();
    assert_eq!(protocol, json!({ "serialization": "json", "compression": "none" }));
    ws.snapshot("s", "SELECT id FROM app.t", json!({})).await;
    assert!(!ws.compressed);
}

/// They share the evaluation of a change, and its encoding where they show the same; what each is sent is its own.
#[tokio::test]
async fn queries_that_mean_the_same_in_other_words_each_get_their_own() {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    let mut ws = server.root_ws().await;
    let texts = [
        ("a", "SELECT id, v FROM app.t WHERE id > 5"),
        ("b", "select id, v from app.t where (id > 5);"),
        ("c", "SELECT id FROM app.t WHERE id > 5"),
        ("d", "SELECT * FROM app.t WHERE id > 5"),
        ("e", "SELECT id, v FROM app.t WHERE id > 6"),
    ];
    for (id, sql) in texts {
        ws.snapshot(id, sql, json!({})).await;
    }
    let mut told = async |many: usize| {
        let mut told = BTreeMap::new();
        for _ in 0..many {
            let frame = ws.frame().await;
            let id = frame["subscription_id"].as_str().unwrap().to_owned();
            assert!(told.insert(id, frame).is_none(), "told twice");
        }
        told
    };
    server.sql("INSERT INTO app.t (id, v) VALUES (6, 'x')").await;
    let inserts = told(4).await;
    assert_eq!(inserts["a"]["rows"], inserts["b"]["rows"]);
    let names = |id: &str| inserts[id]["rows"][0].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(names("a"), ["_seq", "id", "v"]);
    assert_eq!(names("c"), ["_seq", "id"]);
    assert_eq!(names("d"), ["_deleted", "_seq", "id", "v"]);

    // A query on all columns has others from here on; the rest go on with what they have.
    server.sql("ALTER TABLE app.t ADD COLUMN w INT").await;
    let ended = told(1).await;
    assert!(is_error(&ended["d"], "d", "SCHEMA_CHANGED"), "{ended:?}");
    server.sql("INSERT INTO app.t (id, v, w) VALUES (7, 'y', 1)").await;
    let inserts = told(4).await;
    assert_eq!(inserts.keys().collect::<Vec<_>>(), ["a", "b", "c", "e"]);
    assert_eq!(inserts["b"]["rows"][0].as_object().unwrap().len(), 3);
    server.sql("DELETE FROM app.t WHERE id = 6").await;
    let deletes = told(3).await;
    assert_eq!(deletes.keys().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(deletes.values().all(|frame| frame["change_type"] == "delete"));
}
