//! The recordings against `--emulate kalamdb-0.4`: what KalamDB left out is left out here too.
//!
//! Not played here: `topics`, `files` and `sql_surface`, which have no frames and are played by the tests of topics, files and
//! the engine, and `cluster`, since this is one node.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use kalam_embedded::{Holes, Options};
use serde_json::{Value, json};

use crate::replay::{Difference, KEEPS_A_NULL, Player, limits_aside, nothing};
use crate::support::{Server, insert, options, table};

fn emulating(holes: &str) -> Options {
    Options { emulate: Some(holes.parse::<Holes>().unwrap()), ..options() }
}

async fn play(name: &str, differences: Vec<Difference>, prepare: &[String]) {
    let prepare: Vec<&str> = prepare.iter().map(String::as_str).collect();
    Player::play_on(emulating("kalamdb-0.4"), name, differences, &prepare, nothing).await;
}

/// An update of row `id` that shows these columns as well.
fn change(subscription: &str, id: i64, mut row: Value) -> Value {
    row["id"] = json!(id);
    row["_seq"] = json!("*");
    json!({
        "type": "change", "subscription_id": subscription, "change_type": "update",
        "rows": [row], "old_values": [{ "id": id, "_seq": "*" }],
    })
}

#[tokio::test]
async fn live_basic() {
    let rows: Vec<String> = (0..25)
        .map(|n| {
            format!("INSERT INTO w288de9.msg (id,room,body,n) VALUES ('m{n:02}','main','hello {n}',{n})")
        })
        .collect();
    play("live_basic.jsonl", vec![], &rows).await;
}

#[tokio::test]
async fn live_filter() {
    play("live_filter.jsonl", vec![], &[]).await;
}

#[tokio::test]
async fn two_subs() {
    let four_rows = |subscription| Difference {
        subscription,
        after: KEEPS_A_NULL,
        instead: [0, 1, 3, 4].map(|id| change(subscription, id, json!({}))).to_vec(),
        why: "a row whose value stays NULL is updated too",
    };
    let differences = vec![four_rows("watch"), four_rows("or")];
    play("two_subs.jsonl", differences, &[]).await;
}

#[tokio::test]
async fn resume() {
    let rows = ["a", "b", "c", "d", "e", "f"]
        .map(|id| format!("INSERT INTO w288de9.res (id,v) VALUES ('{id}','0')"));
    play("resume.jsonl", vec![], &rows).await;
}

#[tokio::test]
async fn types() {
    play("types.jsonl", vec![], &[]).await;
}

#[tokio::test]
async fn auth() {
    play("auth.jsonl", vec![], &[]).await;
}

#[tokio::test]
async fn live_errors() {
    play("live_errors.jsonl", vec![], &[]).await;
}

#[tokio::test]
async fn wire_types() {
    play("wire_types.jsonl", vec![], &[]).await;
}

#[tokio::test]
async fn msgpack_wire() {
    play("msgpack_wire.jsonl", vec![], &[]).await;
}

#[tokio::test]
async fn tables() {
    Player::play_on(emulating("kalamdb-0.4"), "tables.jsonl", vec![], &[], |player, note| {
        Box::pin(async move {
            if note == "stream ttl passes" {
                let sql = "SELECT * FROM w288de9.ev";
                while !player.server.rows(&player.server.root, sql).await.is_empty() {}
            }
        })
    })
    .await;
}

#[tokio::test]
async fn limits() {
    let differences = vec![Difference {
        subscription: "rate_limit",
        after: "80 messages at once",
        instead: vec![],
        why: "they are counted where the messages are sent",
    }];
    let options = Options { heartbeat_timeout: Duration::from_secs(4), ..emulating("kalamdb-0.4") };
    Player::play_on(options, "limits.jsonl", differences, &[], limits_aside).await;
}

#[tokio::test]
async fn alter() {
    let differs = |subscription, after, id, columns, why| Difference {
        subscription,
        after,
        instead: vec![change(subscription, id, columns)],
        why,
    };
    let old = "the old value of a column that was added later is NULL here; there it is not shown";
    let dropped = "the value of a dropped column is gone here; there it still comes";
    let mut differences = vec![
        differs("star", "SET extra=5", 1, json!({ "s": "a", "extra": 5 }), old),
        differs("star", "SET extra=6", 2, json!({ "extra": 6 }), dropped),
        differs("cols", "SET extra=6", 2, json!({}), dropped),
    ];
    for difference in &mut differences[..2] {
        difference.instead[0]["old_values"][0]["extra"] = json!(null);
    }
    play("alter.jsonl", differences, &[]).await;
}

fn recorded(name: &str) -> Vec<Value> {
    let path = format!("{}/../tests/data/wire/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Every recorded result, row for row. The 300 rows themselves were not recorded; those that show in a result are
/// taken from there, and the others are smaller than all that show.
#[tokio::test]
async fn order_limit() {
    let server = Server::with(emulating("kalamdb-0.4")).await;
    let exchanges = recorded("order_limit");
    let selects: Vec<(&str, &Value)> = exchanges
        .iter()
        .filter_map(|event| {
            Some((event["request"]["sql"].as_str()?, &event["response"]["results"][0]["rows"]))
        })
        .filter(|(sql, _)| sql.starts_with("SELECT"))
        .collect();
    let mut rows: BTreeMap<i64, i64> = BTreeMap::new();
    for row in selects.iter().flat_map(|(_, rows)| rows.as_array().unwrap()) {
        rows.insert(row[0].as_i64().unwrap(), row[1].as_i64().unwrap());
    }
    let taken: HashSet<i64> = rows.values().copied().collect();
    let mut free = (0..300).filter(|n| !taken.contains(n));
    for id in 0..300 {
        rows.entry(id).or_insert_with(|| free.next().unwrap());
    }
    for event in &exchanges {
        match event["request"]["sql"].as_str() {
            Some(sql) if sql.starts_with("CREATE") => drop(server.sql(sql).await),
            _ => {}
        }
    }
    let values: Vec<String> = rows.iter().map(|(id, n)| format!("({id},{n})")).collect();
    server.sql(&format!("INSERT INTO w7a336b.ol (id, n) VALUES {}", values.join(","))).await;
    assert!(selects.len() >= 6);
    for (sql, rows) in selects {
        assert_eq!(Value::Array(server.rows(&server.root, sql).await), *rows, "{sql}");
    }
}

/// Batches, rows, distinct rows, batches out of order, batches whose `last_seq_id` is not their greatest.
async fn counted(server: &Server, batch_size: Option<u32>) -> [usize; 5] {
    let mut ws = server.root_ws().await;
    let options = batch_size.map_or_else(|| json!({}), |size| json!({ "batch_size": size }));
    ws.subscribe("s", "SELECT id FROM app.t", options).await;
    assert_eq!(ws.frame().await["type"], "subscription_ack");
    let (mut counts, mut ids) = ([0; 5], HashSet::new());
    loop {
        let batch = ws.frame().await;
        let seqs: Vec<i64> = batch["rows"]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["_seq"].as_str().unwrap().parse().unwrap())
            .collect();
        ids.extend(batch["rows"].as_array().unwrap().iter().map(|row| row["id"].as_i64().unwrap()));
        let last = batch["batch_control"]["last_seq_id"].as_i64().unwrap();
        assert_eq!(Some(&last), seqs.last());
        counts[0] += 1;
        counts[1] += seqs.len();
        counts[3] += usize::from(!seqs.is_sorted());
        counts[4] += usize::from(seqs.iter().max() != Some(&last));
        if batch["batch_control"]["has_more"] == false {
            counts[2] = ids.len();
            return counts;
        }
        ws.send(&json!({ "type": "next_batch", "subscription_id": "s", "last_seq_id": last })).await;
    }
}

/// The notes of `snapshots.jsonl`. How many rows come twice depends on the order in which one UPDATE numbers its rows,
/// which was not recorded.
#[tokio::test]
async fn snapshots() {
    let server = Server::with(emulating("kalamdb-0.4")).await;
    table(&server, "USER").await;
    server.sql(&insert(0..1500, "v")).await;
    let root = &server.root;
    for (sql, rows) in [
        ("SELECT id FROM app.t", 50),
        ("SELECT id FROM app.t LIMIT 1200", 1000),
        ("SELECT id FROM app.t ORDER BY id LIMIT 1200", 1000),
    ] {
        assert_eq!(server.rows(root, sql).await.len(), rows, "{sql}");
    }
    assert_eq!(counted(&server, None).await, [1, 1000, 1000, 0, 0]);
    assert_eq!(counted(&server, Some(100)).await, [15, 1500, 1500, 0, 0]);
    assert_eq!(counted(&server, Some(400)).await, [4, 1500, 1500, 0, 0]);
    assert_eq!(counted(&server, Some(1000)).await, [1, 1000, 1000, 0, 0]);

    server.sql("UPDATE app.t SET v='u' WHERE id % 3 = 0").await;
    assert_eq!(counted(&server, None).await, [1, 1000, 1000, 1, 1]);
    let [batches, rows, distinct, unsorted, not_greatest] = counted(&server, Some(100)).await;
    // Recorded: 22, 2166, 1496, 13, 13.
    assert!((16..=30).contains(&batches) && rows > 1600, "{batches} batches, {rows} rows");
    assert!((1490..1500).contains(&distinct), "{distinct} distinct");
    assert_eq!((unsorted, not_greatest), (batches - 9, batches - 9));
    // Recorded: 5, 1802, 1499, 3, 3.
    let [batches, rows, distinct, unsorted, _] = counted(&server, Some(400)).await;
    assert!((5..=6).contains(&batches), "{batches} batches");
    assert_eq!((distinct, unsorted), (1499, batches - 2));
    assert!(rows > 1600, "{rows} rows");

    // As many as asked for, descending by key, but not the newest ones only: recorded 1 of 1, 2 of 3, 19 of 20.
    let mut newest: Vec<(i64, i64)> = Vec::new();
    for from in [0, 500, 1000] {
        let sql = format!("SELECT id, _seq FROM app.t WHERE id >= {from} AND id < {} LIMIT 500", from + 500);
        newest.extend(
            server
                .rows(root, &sql)
                .await
                .iter()
                .map(|row| (row[1].as_str().unwrap().parse::<i64>().unwrap(), row[0].as_i64().unwrap())),
        );
    }
    newest.sort_unstable_by(|a, b| b.cmp(a));
    for (last_rows, right) in [(1, 1), (3, 2), (20, 19)] {
        let mut ws = server.root_ws().await;
        let rows = ws.snapshot("l", "SELECT id FROM app.t", json!({ "last_rows": last_rows })).await;
        let ids: Vec<i64> = rows.iter().map(|row| row["id"].as_i64().unwrap()).collect();
        assert_eq!(ids.len(), last_rows);
        assert!(ids.is_sorted_by(|a, b| a > b));
        let among = newest[..last_rows].iter().filter(|(_, id)| ids.contains(id)).count();
        // The row with the greatest key of one row more is left out: it may be that one.
        assert!(among == right || among == last_rows, "{among} of the newest {last_rows}");
    }

    let digest = "SELECT count(*) AS n FROM app.t WHERE (v = 'u') IS NOT TRUE";
    assert_eq!(server.rows(root, digest).await, [json!(["1000"])]);
}

/// The notes of `burst.jsonl`: single rows all arrive, of statements with 500 rows many are lost, and what arrives is in
/// order.
#[tokio::test]
async fn burst() {
    let server = Server::with(emulating("kalamdb-0.4")).await;
    table(&server, "USER").await;
    let mut ws = server.root_ws().await;
    ws.snapshot("b", "SELECT * FROM app.t", json!({})).await;
    for id in 0..50 {
        server.sql(&insert(id..id + 1, "v")).await;
        assert_eq!(ws.change().await["rows"][0]["id"], id);
    }
    for start in (1000..6000).step_by(500) {
        server.sql(&insert(start..start + 500, "v")).await;
    }
    // A row that is written once nothing waits any more is not lost: it marks the end.
    let mut seen = Vec::new();
    let mut marks = 100_000..;
    let mut mark = -1;
    loop {
        let next = tokio::time::timeout(Duration::from_millis(500), ws.change()).await;
        match next.map(|change| change["rows"][0]["id"].as_i64().unwrap()) {
            Ok(id) if id == mark => break,
            Ok(id) => seen.push(id),
            Err(_) => {
                mark = marks.next().unwrap();
                server.sql(&insert(mark..mark + 1, "mark")).await;
            }
        }
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "in order, and none twice");
    assert!(!seen.is_empty() && seen.len() < 5000, "{} of 5000 arrived", seen.len());
}

#[tokio::test]
async fn a_switch_closes_one_hole() {
    // Only this one: everything else is as without emulation.
    let server = Server::with(emulating("exits")).await;
    table(&server, "USER").await;
    server.sql(&insert(0..1500, "in")).await;
    let mut ws = server.root_ws().await;
    let rows = ws.snapshot("s", "SELECT * FROM app.t WHERE v = 'in'", json!({})).await;
    assert_eq!(rows.len(), 1500);
    server.sql("UPDATE app.t SET v = 'out' WHERE id = 1").await;
    server.sql("DELETE FROM app.t WHERE id = 2").await;
    let change = ws.change().await;
    assert_eq!((&change["change_type"], &change["old_values"][0]["id"]), (&json!("delete"), &json!(2)));

    let server = Server::with(emulating("kalamdb-0.4,-exits,-caps")).await;
    table(&server, "USER").await;
    server.sql(&insert(0..100, "in")).await;
    assert_eq!(server.rows(&server.root, "SELECT id FROM app.t").await.len(), 100);
    let mut ws = server.root_ws().await;
    ws.snapshot("s", "SELECT * FROM app.t WHERE v = 'in'", json!({})).await;
    server.sql("UPDATE app.t SET v = 'out' WHERE id = 1").await;
    let change = ws.change().await;
    assert_eq!((&change["change_type"], &change["old_values"][0]["id"]), (&json!("delete"), &json!(1)));
}

#[tokio::test]
async fn while_a_snapshot_loads_the_newest_changes_are_kept() {
    let server = Server::with(emulating("kalamdb-0.4,-drop")).await;
    table(&server, "USER").await;
    server.sql(&insert(0..20, "v")).await;
    let mut ws = server.root_ws().await;
    ws.subscribe("s", "SELECT id FROM app.t WHERE id < 20 OR id >= 100", json!({ "batch_size": 10 })).await;
    assert_eq!(ws.frame().await["type"], "subscription_ack");
    assert_eq!(ws.frame().await["rows"].as_array().unwrap().len(), 10);
    // All at once, deleted again so that the next batch does not have them.
    server.sql(&insert(100..1200, "w")).await;
    server.sql("DELETE FROM app.t WHERE id >= 100").await;
    // Another subscription of the same query tells when they have come this far.
    let mut other = server.root_ws().await;
    other.snapshot("o", "SELECT id FROM app.t", json!({})).await;
    server.sql(&insert(50..51, "x")).await;
    assert_eq!(other.change().await["rows"][0]["id"], 50);
    ws.send(&json!({ "type": "next_batch", "subscription_id": "s" })).await;
    assert_eq!(ws.frame().await["batch_control"]["has_more"], false);
    server.sql(&insert(5000..5001, "end")).await;
    let mut kept = 0;
    loop {
        let change = ws.change().await;
        if change["change_type"] == "insert" && change["rows"][0]["id"] == 5000 {
            break;
        }
        assert_eq!(change["change_type"], "delete", "the oldest are lost");
        kept += 1;
    }
    assert_eq!(kept, 1024);
}

#[tokio::test]
async fn nodes_number_apart() {
    let number = async |node: u16| {
        let server = Server::with(Options { node, ..options() }).await;
        table(&server, "USER").await;
        server.sql(&insert(1..2, "v")).await;
        let rows = server.rows(&server.root, "SELECT _seq FROM app.t").await;
        rows[0][0].as_str().unwrap().parse::<i64>().unwrap()
    };
    assert_eq!(number(473).await >> 12 & 1023, 473);
    assert_eq!(number(0).await >> 12 & 1023, 0);
    let error = kalam_embedded::Embedded::start(Options { node: 1024, ..options() }).unwrap_err();
    assert_eq!(error.code(), "config");
}
