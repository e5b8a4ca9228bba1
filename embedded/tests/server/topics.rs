//! Topics over HTTP: the recording replayed, and requests that wait.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kalam_embedded::Options;
use serde_json::{Value, json};

use crate::support::{Answer, Server, options, request};

/// A number that no test waits for, and that the server allows.
const LONG: u64 = 60;

async fn post(server: &Server, token: &str, path: &str, body: Value) -> Answer {
    request(server.port(), "POST", &format!("/v1/api/topics/{path}"), Some(token), Some(&body)).await
}

async fn set_up(server: &Server) {
    server
        .sql(
            "CREATE NAMESPACE app; CREATE TABLE app.t (id INT PRIMARY KEY); CREATE TOPIC app.events;
             ALTER TOPIC app.events ADD SOURCE app.t ON INSERT",
        )
        .await;
}

fn wish(group: &str, timeout: u64) -> Value {
    json!({ "topic_id": "app.events", "group_id": group, "start": "Earliest", "limit": 3, "timeout_seconds": timeout })
}

fn offsets(answer: &Answer) -> Vec<i64> {
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["messages"].as_array().unwrap().iter().map(|m| m["offset"].as_i64().unwrap()).collect()
}

/// What no two runs share, and what differs on purpose.
fn normal(mut answer: Value, recorded: bool) -> Value {
    fn payload(bytes: &[u8], recorded: bool) -> Value {
        let mut row: Value = serde_json::from_slice(bytes).unwrap();
        for name in ["_seq", "_commit_seq"] {
            assert!(row[name].is_string());
            row[name] = json!("some");
        }
        // With `payload='key'` KalamDB puts the whole row there, without `_table`; this server the key.
        if recorded && row["_table"].is_null() {
            row = json!({ "id": row["id"], "_seq": "some", "_commit_seq": "some", "_deleted": row["_deleted"] });
        }
        row
    }
    if let Some(messages) = answer["messages"].as_array_mut() {
        for message in messages {
            assert!(message["timestamp_ms"].is_i64());
            message["timestamp_ms"] = json!("some");
            let bytes = STANDARD.decode(message["payload"].as_str().unwrap()).unwrap();
            message["payload"] = payload(&bytes, recorded);
        }
    }
    answer["took"] = Value::Null;
    let Some(results) = answer["results"].as_array_mut() else { return answer };
    for result in results {
        if let Some(message) = result["message"].as_str() {
            result["message"] = json!(message.replace(" via Raft consensus", ""));
        }
        let names: Vec<String> = result["schema"]
            .as_array()
            .map(|columns| columns.iter().map(|c| c["name"].as_str().unwrap().to_owned()).collect())
            .unwrap_or_default();
        let Some(rows) = result["rows"].as_array_mut() else { continue };
        // Topics of another run are in the recording too.
        rows.retain(|row| row[0].as_str().unwrap().starts_with("w288de9."));
        for row in rows.iter_mut() {
            for (at, name) in names.iter().enumerate() {
                match name.as_str() {
                    "created_at" | "updated_at" => {
                        assert!((1..10_000_000_000_000).contains(&row[at].as_i64().unwrap()), "milliseconds");
                        row[at] = json!("some");
                    }
                    "timestamp_ms" => row[at] = json!("some"),
                    "payload" => {
                        let bytes: Vec<u8> = serde_json::from_value(row[at].clone()).unwrap();
                        row[at] = payload(&bytes, recorded);
                    }
                    _ => {}
                }
            }
        }
        result["row_count"] = json!(if names.is_empty() { result["row_count"].as_u64().unwrap() } else { 0 });
    }
    answer
}

#[tokio::test]
async fn the_recording() {
    let server = Server::start().await;
    server.sql("CREATE NAMESPACE w288de9").await;
    let path = format!("{}/../tests/data/wire/topics.jsonl", env!("CARGO_MANIFEST_DIR"));
    let mut compared = 0;
    for line in std::fs::read_to_string(path).unwrap().lines() {
        let exchange: Value = serde_json::from_str(line).unwrap();
        let Some(path) = exchange["path"].as_str().filter(|path| !path.ends_with("login")) else { continue };
        let mut wish = exchange["request"].clone();
        // The recorded server does not wait.
        wish.as_object_mut().unwrap().remove("timeout_seconds");
        let ours = request(server.port(), "POST", path, Some(&server.root), Some(&wish)).await;
        let mut theirs = exchange["response"].clone();
        if path.ends_with("sql") && theirs["error"].is_null() {
            theirs.as_object_mut().unwrap().remove("error");
        }
        assert_eq!(ours.status, exchange["status"].as_u64().unwrap() as u16, "{wish}");
        assert_eq!(normal(ours.body, false), normal(theirs, true), "{wish}");
        compared += 1;
    }
    assert_eq!(compared, 29);
}

#[tokio::test]
async fn how_far_groups_are() {
    let server = Server::start().await;
    set_up(&server).await;
    server.sql("INSERT INTO app.t VALUES (1), (2), (3), (4)").await;
    let groups = async || {
        let answer = request(server.port(), "GET", "/v1/api/topics/groups", Some(&server.root), None).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        answer.body["groups"].clone()
    };
    assert_eq!(groups().await, json!([]));
    let group = |acked: Option<i64>, lag: i64| {
        json!([{ "topic_id": "app.events", "group_id": "g", "partition_id": 0, "last_acked_offset": acked,
                 "next_offset": 4, "lag": lag }])
    };
    assert_eq!(offsets(&post(&server, &server.root, "consume", wish("g", 0)).await), [0, 1, 2]);
    assert_eq!(groups().await, group(None, 4));
    let ack = json!({ "topic_id": "app.events", "group_id": "g", "upto_offset": 1 });
    assert_eq!(post(&server, &server.root, "ack", ack).await.status, 200);
    assert_eq!(groups().await, group(Some(1), 2));
    server.sql("CLEAR TOPIC app.events").await;
    assert_eq!(groups().await, group(Some(1), 0), "only records that are there can be late");
}

#[tokio::test]
async fn a_request_waits_for_the_commit_that_brings_a_record() {
    let server = Server::start().await;
    set_up(&server).await;
    let (answer, ()) = tokio::join!(post(&server, &server.root, "consume", wish("g", LONG)), async {
        // An answered request: the other is at the server by now, or will find the record anyway.
        server.sql("SELECT 1 AS x").await;
        server.sql("INSERT INTO app.t VALUES (1)").await;
    });
    assert_eq!(offsets(&answer), [0]);
    assert_eq!(answer.body["messages"][0]["op"], "Insert");
    assert!(answer.body["messages"][0].get("user").is_none(), "nobody owns a row of a shared table");
}

#[tokio::test]
async fn a_request_waits_for_what_is_delivered_again() {
    let server = Server::with(Options { topic_visibility: Duration::from_millis(100), ..options() }).await;
    set_up(&server).await;
    server.sql("INSERT INTO app.t VALUES (1)").await;
    assert_eq!(offsets(&post(&server, &server.root, "consume", wish("g", 0)).await), [0]);
    assert_eq!(offsets(&post(&server, &server.root, "consume", wish("g", LONG)).await), [0]);
}

#[tokio::test]
async fn a_stopping_server_lets_nobody_wait() {
    let server = Server::start().await;
    set_up(&server).await;
    let port = server.port();
    let token = server.root.clone();
    let waiting = tokio::spawn(async move {
        request(port, "POST", "/v1/api/topics/consume", Some(&token), Some(&wish("g", LONG))).await
    });
    // Requests on connections that were made later are answered: this one has arrived.
    for _ in 0..20 {
        server.sql("SELECT 1 AS x").await;
    }
    server.embedded.shutdown().await;
    assert_eq!(offsets(&waiting.await.unwrap()), Vec::<i64>::new());
}

#[tokio::test]
async fn what_is_refused() {
    let server = Server::start().await;
    set_up(&server).await;
    let amy = server.user("amy", "user").await;
    for (token, path, body, status, code) in [
        (&server.root, "consume", json!({ "topic_id": "app.none", "group_id": "g" }), 404, "NOT_FOUND"),
        (&amy, "consume", wish("g", 0), 403, "FORBIDDEN"),
        (&server.root, "consume", json!({ "group_id": "g" }), 400, "INVALID_INPUT"),
        (
            &server.root,
            "consume",
            json!({ "topic_id": "app.events", "start": "Middle" }),
            400,
            "INVALID_INPUT",
        ),
        (&server.root, "consume", json!({ "topic_id": "app.events", "group_id": "" }), 400, "INVALID_INPUT"),
        (
            &server.root,
            "ack",
            json!({ "topic_id": "app.events", "group_id": "g", "upto_offset": 0 }),
            400,
            "INVALID_INPUT",
        ),
        (
            &server.root,
            "ack",
            json!({ "topic_id": "app.events", "group_id": "g", "upto_offset": -1 }),
            400,
            "INVALID_INPUT",
        ),
    ] {
        let answer = post(&server, token, path, body.clone()).await;
        assert_eq!(
            (answer.status, answer.body["code"].as_str()),
            (status, Some(code)),
            "{body}: {}",
            answer.body
        );
        assert!(answer.body["error"].is_string());
    }
    let stranger =
        request(server.port(), "POST", "/v1/api/topics/consume", Some("nonsense"), Some(&wish("g", 0))).await;
    assert_eq!(stranger.status, 401);
}
