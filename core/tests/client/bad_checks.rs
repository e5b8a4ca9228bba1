//! Digests, sweeps and watches that are answered badly: the rows become right all the same, and nothing loops.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use kalam_live::{Phase, Timeouts};
use serde_json::{Value as Json, json};
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::Message;

use super::builder;
use super::support::{Answer, Request, Server, Ws, error};

const SQL: &str = "SELECT id, n FROM app.t WHERE n > 0";

fn column(name: &str, data_type: &str, index: usize, key: bool) -> Json {
    let flags = if key { json!(["pk", "nn"]) } else { json!([]) };
    json!({"name": name, "data_type": data_type, "index": index, "flags": flags})
}

fn results(results: &[(Json, Json)], user: &str) -> Answer {
    let results: Vec<String> = results
        .iter()
        .map(|(schema, rows)| {
            let count = rows.as_array().map_or(0, Vec::len);
            format!(r#"{{"schema":{schema},"rows":{rows},"row_count":{count},"as_user":"{user}"}}"#)
        })
        .collect();
    Answer::Text(200, format!(r#"{{"status":"success","results":[{}],"took":0.1}}"#, results.join(",")))
}

/// A table of two rows, `a` at 1 and `b` at 2.
fn table(sql: &str, user: &str) -> Answer {
    let numbers = |names: [&str; 3]| -> Json {
        names.iter().enumerate().map(|(at, name)| column(name, "BigInt", at, false)).collect()
    };
    let whole = json!([
        column("id", "Text", 0, true),
        column("n", "Int", 1, false),
        column("_seq", "BigInt", 2, false)
    ]);
    let keys = json!([column("id", "Text", 0, true), column("_seq", "BigInt", 1, false)]);
    if sql.contains("bit_xor") {
        let digest = (numbers(["n", "m", "x"]), json!([["2", "2", "5"]]));
        return results(&[digest, (whole, json!([["a", 1, "1"]]))], user);
    }
    if sql.contains("_deleted = true") || sql.contains("IS NOT TRUE") {
        return results(&[(keys, json!([]))], user);
    }
    // The first page of all rows, or what is behind it.
    let behind = sql.contains("> 'b'") || sql.contains("_seq >");
    results(&[(whole, if behind { json!([]) } else { json!([["a", 1, "1"], ["b", 2, "2"]]) })], user)
}

/// A KalamDB whose snapshot leaves `b` out. The first `bad` questions that `is_bad` picks are answered by `answer`, the watch
/// by `watch`.
async fn server(bad: usize, is_bad: fn(&str) -> bool, answer: Answers, watch: Frames) -> Server {
    let left = AtomicUsize::new(bad);
    let take = |left: usize| left.checked_sub(1);
    let http = move |request: Request| {
        let sql = request.sql();
        let take_one = || left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok();
        if is_bad(&sql) && take_one() { answer(&sql) } else { table(&sql, "alice") }
    };
    Server::start(http, move |_, mut ws: Ws| async move {
        ws.welcome(false).await;
        while let Some((id, sql, options)) = ws.subscribe().await {
            if options.is_null() {
                assert!(!sql.contains("WHERE"), "{sql}");
                if let Some(frame) = watch(&id) {
                    ws.send_raw(Message::text(frame)).await;
                }
            } else {
                ws.ack(&id).await;
                ws.batch(&id, &[("a", 1, 1)]).await;
            }
        }
    })
    .await
}

fn watched(id: &str) -> Option<String> {
    let ack = json!({"type": "subscription_ack", "subscription_id": id, "total_rows": 0,
        "batch_control": {"batch_num": 0, "has_more": false, "status": "ready", "last_seq_id": null},
        "schema": [column("id", "Text", 0, true)]});
    Some(ack.to_string())
}

fn refused(id: &str, code: &str) -> Option<String> {
    Some(json!({"type": "error", "subscription_id": id, "code": code, "message": "no"}).to_string())
}

/// Waits until `b` was found and nobody doubts the rows. Returns the questions that were asked, and the errors counted.
async fn becomes_right(server: Server) -> (usize, u64) {
    let short = Duration::from_millis(400);
    let timeouts = Timeouts { request: short, subscribe: short, ..Timeouts::default() };
    let client = builder(&server.url).token("t").timeouts(timeouts).build().expect("options");
    let mut live = client.live(SQL).await.expect("a live query");
    loop {
        let rows = live.next_rows().await.expect("it goes on").expect("no error");
        if rows.len() == 2 && rows.phase() == Phase::Live {
            break;
        }
    }
    let questions = server.requests().iter().filter(|request| request.path.ends_with("/sql")).count();
    (questions, client.counters().verify.errors)
}

type Answers = fn(&str) -> Answer;
type Frames = fn(&str) -> Option<String>;

const BAD: [(&str, Answers); 6] = [
    ("an error", |_| error(500, "INTERNAL_ERROR", "no")),
    ("no leader", |_| error(503, "LEADER_NOT_AVAILABLE", "none")),
    ("garbage", |_| Answer::Text(200, "{\"status\":\"success\",\"results\":[{}".into())),
    ("another table's answer", |_| {
        results(&[(json!([column("z", "Text", 0, false)]), json!([["?"]]))], "alice")
    }),
    ("another user's answer", |sql| table(sql, "bob")),
    ("no answer in time", |_| Answer::Silence),
];

#[tokio::test]
async fn digests_and_sweeps_are_asked_again_and_not_too_often() {
    let mut running = Vec::new();
    for (what, answer) in BAD {
        for (step, is_bad) in [
            ("digest", (|sql: &str| sql.contains("bit_xor")) as fn(&str) -> bool),
            ("sweep", |sql: &str| sql.contains("ORDER BY")),
        ] {
            running.push(tokio::spawn(async move {
                let (questions, errors) = becomes_right(server(1, is_bad, answer, watched).await).await;
                assert!(questions < 20, "{step} with {what}: {questions}");
                (format!("{step} with {what}"), errors)
            }));
        }
    }
    for task in running {
        let (what, errors) = task.await.expect("a good end");
        assert!(errors <= 2, "{what}: {errors}");
    }
}

#[tokio::test]
async fn a_watch_is_not_needed() {
    let answers: [(&str, Frames); 4] = [
        ("refused", |id| refused(id, "SUBSCRIPTION_FAILED")),
        ("no slot", |id| refused(id, "SUBSCRIPTION_LIMIT_EXCEEDED")),
        ("garbage", |id| {
            Some(format!(r#"{{"type":"subscription_ack","subscription_id":"{id}","schema":"?"}}"#))
        }),
        ("silence", |_| None),
    ];
    for (what, watch) in answers {
        let (questions, errors) = becomes_right(server(0, |_| false, |_| Answer::Nothing, watch).await).await;
        assert!(questions < 20 && errors == 0, "{what}: {questions}, {errors}");
    }
}

/// The network in which both connections were made is gone. The WebSocket is made anew; checks must not wait for the HTTP
/// connection, nor for what was asked on it.
#[tokio::test]
async fn checks_after_a_loss_use_no_http_connection_from_before() {
    let lost = Arc::new(AtomicBool::new(false));
    let http = {
        let lost = lost.clone();
        move |request: Request| {
            let is_dead = lost.load(Ordering::SeqCst) && request.connection <= 2;
            if is_dead { Answer::Silence } else { table(&request.sql(), "alice") }
        }
    };
    let cut = Arc::new(Notify::new());
    let server = Server::start(http, {
        let cut = cut.clone();
        move |number, mut ws: Ws| {
            let cut = cut.clone();
            async move {
                ws.welcome(false).await;
                while let Some((id, _, options)) = ws.subscribe().await {
                    ws.ack(&id).await;
                    if !options.is_null() {
                        ws.batch(&id, &[("a", 1, 1), ("b", 2, 2)]).await;
                    }
                    if number == 1 {
                        return cut.notified().await;
                    }
                }
            }
        }
    })
    .await;
    let timeouts = Timeouts { request: Duration::from_secs(3600), ..Timeouts::default() };
    let client = builder(&server.url).token("t").timeouts(timeouts).build().expect("options");
    let mut live = client.live("SELECT id, n FROM app.t").await.expect("a live query");
    while client.counters().verify.proven == 0 {
        tokio::task::yield_now().await;
    }
    lost.store(true, Ordering::SeqCst);
    cut.notify_one();
    let again = async {
        let mut reconnected = false;
        loop {
            let rows = live.next_rows().await.expect("it goes on").expect("no error");
            reconnected |= rows.phase() == Phase::Reconnecting;
            if reconnected && rows.phase() == Phase::Live {
                return rows.len();
            }
        }
    };
    let rows =
        tokio::time::timeout(Duration::from_secs(30), again).await.expect("proven on a new connection");
    assert_eq!(rows, 2);
}
