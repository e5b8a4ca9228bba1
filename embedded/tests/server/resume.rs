//! A resume brings everything that was written since, deletes and rows that left the filter included.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::support::{Server, insert, table};

async fn resume(server: &Server, sql: &str, from: i64) -> (Value, Vec<Value>) {
    let mut ws = server.root_ws().await;
    ws.subscribe("r", sql, json!({ "from": from })).await;
    let ack = ws.frame().await;
    assert_eq!(ack["type"], "subscription_ack", "{ack}");
    let batch = ws.frame().await;
    assert_eq!(batch["rows"], json!([]), "a resume begins with an empty batch");
    assert_eq!(batch["batch_control"]["status"], "ready");
    // A change after the replay tells where it ends.
    server.sql("INSERT INTO app.t (id, v) VALUES (-1, 'open')").await;
    let mut changes = Vec::new();
    loop {
        let change = ws.change().await;
        if change["rows"][0]["id"] == -1 {
            break;
        }
        changes.push(change);
    }
    server.sql("DELETE FROM app.t WHERE id = -1").await;
    (batch["batch_control"]["last_seq_id"].clone(), changes)
}

fn seq(value: &Value) -> i64 {
    value.as_str().and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("a _seq, not {value}"))
}

/// `kind id` of a change.
fn told(change: &Value) -> (i64, String) {
    let kind = change["change_type"].as_str().unwrap().to_owned();
    let row = if kind == "delete" { &change["old_values"][0] } else { &change["rows"][0] };
    (row["id"].as_i64().unwrap(), kind)
}

#[tokio::test]
async fn deletes_exits_and_net_effects_are_told() {
    let server = Server::start().await;
    table(&server, "USER").await;
    server.sql(&insert(0..10, "open")).await;
    let mut ws = server.root_ws().await;
    let sql = "SELECT * FROM app.t WHERE v = 'open'";
    let rows = ws.snapshot("s", sql, json!({})).await;
    let from = rows.iter().map(|row| seq(&row["_seq"])).max().unwrap();
    drop(ws);
    for sql in [
        "DELETE FROM app.t WHERE id = 1",
        "UPDATE app.t SET v = 'closed' WHERE id = 2",
        "INSERT INTO app.t (id, v) VALUES (20, 'open')",
        "INSERT INTO app.t (id, v) VALUES (21, 'open')",
        "DELETE FROM app.t WHERE id = 21",
        "DELETE FROM app.t WHERE id = 3",
        "INSERT INTO app.t (id, v) VALUES (3, 'open')",
        "UPDATE app.t SET v = 'x' WHERE id = 4",
        "UPDATE app.t SET v = 'open' WHERE id = 4",
    ] {
        server.sql(sql).await;
    }
    let (last_seq, changes) = resume(&server, sql, from).await;
    let seqs: Vec<i64> = changes
        .iter()
        .map(|change| {
            let row = if change["change_type"] == "delete" { &change["old_values"] } else { &change["rows"] };
            seq(&row[0]["_seq"])
        })
        .collect();
    assert!(seqs.is_sorted() && seqs[0] > from, "{seqs:?} after {from}");
    assert_eq!(last_seq, from, "cut off here, the client would miss nothing");
    let told: BTreeMap<i64, String> = changes.iter().map(told).collect();
    assert_eq!(told.len(), changes.len(), "one frame a key");
    let kinds = |id| told.get(&id).map(String::as_str);
    assert_eq!((kinds(1), kinds(2)), (Some("delete"), Some("delete")));
    assert_eq!(kinds(20), Some("insert"));
    assert!(matches!(kinds(3), Some("insert" | "update")), "{:?}", kinds(3));
    assert_eq!(kinds(4), Some("update"));
    assert!(matches!(kinds(21), None | Some("delete")));
    assert_eq!(kinds(5), None, "what was not written is not told");
}

#[tokio::test]
async fn a_long_replay_is_no_overflow() {
    let limits = kalam_embedded::Limits { queue_bytes: 300_000, queue_frames: 2000, ..Default::default() };
    let server = Server::with(kalam_embedded::Options { limits, ..crate::support::options() }).await;
    table(&server, "USER").await;
    server.sql(&insert(0..1, "open")).await;
    let mut ws = server.root_ws().await;
    let rows = ws.snapshot("s", "SELECT * FROM app.t", json!({})).await;
    drop(ws);
    for n in 0..10 {
        server.sql(&insert(n * 1000 + 1..n * 1000 + 1001, "open")).await;
    }
    let (_, changes) = resume(&server, "SELECT * FROM app.t", seq(&rows[0]["_seq"])).await;
    assert_eq!(changes.len(), 10_000);
    assert!(changes.iter().map(told).map(|(id, _)| id).eq(1..10_001));
}

#[tokio::test]
async fn a_cut_snapshot_resumes_where_it_was_cut() {
    let server = Server::start().await;
    table(&server, "USER").await;
    server.sql(&insert(0..100, "open")).await;
    let mut ws = server.root_ws().await;
    ws.subscribe("s", "SELECT * FROM app.t", json!({ "batch_size": 40 })).await;
    ws.frame().await;
    let batch = ws.frame().await;
    let from = batch["batch_control"]["last_seq_id"].as_i64().unwrap();
    drop(ws);
    server.sql("UPDATE app.t SET v = 'changed' WHERE id = 70").await;
    server.sql("DELETE FROM app.t WHERE id = 0").await;
    let (_, changes) = resume(&server, "SELECT * FROM app.t", from).await;
    let mut ids: Vec<i64> = changes.iter().map(|change| told(change).0).collect();
    ids.sort_unstable();
    let expected: Vec<i64> = std::iter::once(0).chain(40..100).collect();
    assert_eq!(ids, expected);
}
