//! Limits, and what is told when they are met.

use std::time::Duration;

use futures_util::future::join_all;
use kalam_embedded::{Limits, Options};
use serde_json::json;
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::support::{Got, Server, Ws, insert, is_error, options, request, send, table};

async fn limited(limits: Limits) -> Server {
    let server = Server::with(Options { limits, ..options() }).await;
    table(&server, "SHARED").await;
    server
}

#[tokio::test]
async fn limits_are_announced() {
    let limits = Limits {
        messages_per_second: 7,
        message_bytes: 5000,
        batch_rows: 11,
        subscriptions_per_connection: 3,
        subscriptions_per_user: 4,
        ..Limits::default()
    };
    let server = limited(limits).await;
    let mut ws = Ws::open(server.port(), "/v1/ws", Some(&server.root)).await;
    let expected = json!({
        "messages_per_second": 7, "message_bytes": 5000, "batch_rows": 11,
        "subscriptions_per_connection": 3, "subscriptions_per_user": 4,
    });
    assert_eq!(ws.frame().await["server"]["limits"], expected);
}

#[tokio::test]
async fn subscriptions_are_limited_by_connection_and_user_and_given_back() {
    let limits = Limits { subscriptions_per_connection: 3, subscriptions_per_user: 4, ..Limits::default() };
    let server = limited(limits).await;
    let sql = "SELECT id FROM app.t";
    let (mut first, mut second) = (server.root_ws().await, server.root_ws().await);
    for id in ["a", "b", "c"] {
        first.snapshot(id, sql, json!({})).await;
    }
    first.subscribe("d", sql, json!({})).await;
    assert!(is_error(&first.frame().await, "d", "SUBSCRIPTION_LIMIT_EXCEEDED"));
    second.snapshot("a", sql, json!({})).await;
    second.subscribe("b", sql, json!({})).await;
    assert!(is_error(&second.frame().await, "b", "SUBSCRIPTION_LIMIT_EXCEEDED"));
    second.snapshot("a", sql, json!({})).await;
    server.sql("CREATE TABLE app.own (id INT PRIMARY KEY) WITH (TYPE='USER')").await;
    let ann = server.user("ann", "user").await;
    server.ws(&ann).await.snapshot("a", "SELECT id FROM app.own", json!({})).await;

    first.send(&json!({ "type": "unsubscribe", "subscription_id": "a" })).await;
    first.subscribe("bad", "SELECT nothing FROM app.t", json!({})).await;
    assert_eq!(first.frame().await["type"], "error", "a failed one takes no place");
    first.snapshot("e", sql, json!({})).await;
    first.send_raw(Message::Close(None)).await;
    first.end().await;
    // The connection is gone as soon as its close is answered, and so are its subscriptions.
    for id in ["b", "c"] {
        second.snapshot(id, sql, json!({})).await;
    }
}

#[tokio::test]
async fn the_sql_of_all_subscriptions_is_limited() {
    let server = limited(Limits { message_bytes: 16 << 20, sql_bytes: 16 << 20, ..Limits::default() }).await;
    let mut ws = server.root_ws().await;
    let long = format!("SELECT id FROM app.t WHERE v = 'x' -- {}", "x".repeat(12 << 20));
    for id in ["a", "b"] {
        ws.snapshot(id, &long, json!({})).await;
    }
    ws.subscribe("c", &long, json!({})).await;
    assert!(is_error(&ws.frame().await, "c", "SUBSCRIPTION_LIMIT_EXCEEDED"));
    ws.snapshot("d", "SELECT id FROM app.t", json!({})).await;
    // Replacing one gives its place back.
    ws.snapshot("b", "SELECT id FROM app.t", json!({})).await;
    ws.snapshot("c", &long, json!({})).await;
}

#[tokio::test]
async fn messages_are_limited_and_the_surplus_is_told_and_lost() {
    let server = limited(Limits { messages_per_second: 1, ..Limits::default() }).await;
    let mut ws = server.root_ws().await;
    for _ in 0..50 {
        ws.send(&json!({ "type": "next_batch", "subscription_id": "x" })).await;
    }
    let mut codes = Vec::new();
    for _ in 0..50 {
        let frame = ws.frame().await;
        assert_eq!(frame["type"], "error");
        codes.push((frame["subscription_id"].clone(), frame["code"].clone()));
    }
    let limited = (json!("rate_limit"), json!("RATE_LIMIT_EXCEEDED"));
    assert_eq!(codes[0], (json!("x"), json!("BATCH_FETCH_FAILED")));
    assert!(codes.contains(&limited), "{codes:?}");
}

#[tokio::test]
async fn a_silent_socket_is_closed_and_a_pinging_one_is_not() {
    let heartbeat_timeout = Duration::from_secs(2);
    let server = Server::with(Options { heartbeat_timeout, ..options() }).await;
    let (mut silent, mut pinging) = (server.root_ws().await, server.root_ws().await);
    let mut rounds = 0;
    let close = loop {
        tokio::select! {
            close = silent.next() => break close,
            () = tokio::time::sleep(heartbeat_timeout / 20) => {
                pinging.send_raw(Message::Ping(Default::default())).await;
                rounds += 1;
            }
        }
    };
    assert_eq!(close, Got::Close(1000, "Heartbeat timeout".into()));
    assert!(rounds > 0);
    pinging.authenticate(&server.root).await;
    assert_eq!(pinging.frame().await["type"], "auth_success");
}

#[tokio::test]
async fn a_reader_that_stops_is_closed_with_1013_and_hurts_nobody() {
    let limits = Limits { queue_bytes: 200_000, websockets: 2, ..Limits::default() };
    let server = limited(limits).await;
    let path = "/v1/ws?compress=false";
    let (mut stopped, mut reading) = (
        Ws::open(server.port(), path, Some(&server.root)).await,
        Ws::open(server.port(), path, Some(&server.root)).await,
    );
    for ws in [&mut stopped, &mut reading] {
        ws.frame().await;
        ws.snapshot("s", "SELECT * FROM app.t", json!({})).await;
    }
    // Written until the stopped one is thrown out, which shows in its place being free: first the buffers of
    // the operating system fill, then the queue, and then it has two seconds to take the close frame. The bound is there
    // for a server that never throws it out.
    let (text, mut written) = ("x".repeat(3000), 0);
    while Ws::try_open(server.port(), path, Some(&server.root)).await.is_err() {
        assert!(written < 400_000, "the connection that stopped to read is still there");
        server.sql(&insert(written..written + 20, &text)).await;
        for id in written..written + 20 {
            assert_eq!(reading.change().await["rows"][0]["id"], id, "the reading one gets everything");
        }
        written += 20;
    }
    // What was under way arrives; a close frame may or may not get through behind it.
    let mut seen = 0;
    let end = loop {
        match stopped.next().await {
            Got::Frame(change) => {
                assert_eq!(change["rows"][0]["id"], seen, "nothing is left out before the end");
                seen += 1;
            }
            end => break end,
        }
    };
    assert!(matches!(end, Got::Close(1013, _) | Got::Lost), "{end:?}");
    assert!(seen < written);
}

#[tokio::test]
async fn an_overflow_while_loading_closes_with_1013() {
    let server = limited(Limits { queue_frames: 100, ..Limits::default() }).await;
    server.sql(&insert(0..10, "x")).await;
    let mut ws = server.root_ws().await;
    ws.subscribe("s", "SELECT * FROM app.t", json!({ "batch_size": 5 })).await;
    ws.frame().await;
    ws.frame().await;
    server.sql(&insert(100..300, "x")).await;
    let Got::Close(1013, reason) = ws.next().await else { panic!("no 1013") };
    assert!(reason.contains("resume"), "{reason}");
}

#[tokio::test]
async fn unfetched_snapshots_are_limited() {
    let server = limited(Limits { unfetched_rows: 100, ..Limits::default() }).await;
    server.sql(&insert(0..80, "x")).await;
    let mut ws = server.root_ws().await;
    ws.subscribe("a", "SELECT * FROM app.t", json!({ "batch_size": 10 })).await;
    ws.frame().await;
    ws.frame().await;
    ws.subscribe("b", "SELECT * FROM app.t", json!({ "batch_size": 10 })).await;
    assert!(is_error(&ws.frame().await, "b", "SUBSCRIPTION_FAILED"));
    assert_eq!(ws.snapshot("c", "SELECT * FROM app.t", json!({})).await.len(), 80, "fetched at once");
}

#[tokio::test]
async fn requests_have_limits() {
    let limits = Limits { request_bytes: 10_000, sql_bytes: 1000, ..Limits::default() };
    let server = limited(limits).await;
    let long = format!("SELECT '{}'", "x".repeat(2000));
    let answer = server.try_sql(&server.root, &long).await;
    assert_eq!((answer.status, answer.error_code()), (400, "INVALID_SQL"));
    let longer = json!({ "sql": "SELECT 1", "namespace_id": "x".repeat(20_000) }).to_string();
    let path = "/v1/api/sql";
    let answer =
        send(server.port(), "POST", path, Some(&server.root), "application/json", longer.into()).await;
    let answer = answer.expect("an answer");
    assert_eq!((answer.status, answer.error_code()), (413, "INVALID_INPUT"));
    let mut ws = server.root_ws().await;
    ws.subscribe("s", &format!("SELECT * FROM app.t WHERE v = '{}'", "x".repeat(2000)), json!({})).await;
    assert!(is_error(&ws.frame().await, "s", "INVALID_SQL"));
}

#[tokio::test]
async fn requests_are_rate_limited_by_user() {
    let server = limited(Limits { requests_per_second: 5, ..Limits::default() }).await;
    let ann = {
        // root used up its own requests, which is another bucket.
        let mut token = None;
        while token.is_none() {
            let sql = "CREATE USER 'ann' WITH PASSWORD 'secret' ROLE user";
            if server.try_sql(&server.root, sql).await.status != 429 {
                token = Some(crate::support::login(server.port(), "ann", "secret").await);
            }
        }
        token.unwrap()
    };
    let answers = join_all((0..30).map(|_| server.try_sql(&server.root, "SELECT 1"))).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 429).collect();
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|answer| answer.error_code() == "RATE_LIMIT_EXCEEDED"));
    assert_eq!(server.try_sql(&ann, "SELECT 1").await.status, 200);
}

#[tokio::test]
async fn sockets_are_limited() {
    let server = limited(Limits { websockets: 2, ..Limits::default() }).await;
    let (_first, second) = (server.root_ws().await, server.root_ws().await);
    let Err(Error::Http(response)) = Ws::try_open(server.port(), "/v1/ws", Some(&server.root)).await else {
        panic!("one more than the limit");
    };
    assert_eq!(response.status(), 503);
    let mut second = second;
    second.send_raw(Message::Close(None)).await;
    second.end().await;
    // The place is free once the server has seen the end, shortly after the client has.
    while Ws::try_open(server.port(), "/v1/ws", Some(&server.root)).await.is_err() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn other_paths_and_methods_are_refused() {
    let server = limited(Limits { upload_bytes: 1000, ..Limits::default() }).await;
    let answer = request(server.port(), "GET", "/v1/api/sql", Some(&server.root), None).await;
    assert_eq!(answer.status, 405);
    assert_eq!(request(server.port(), "GET", "/nothing", None, None).await.status, 404);
    let kind = "multipart/form-data; boundary=x";
    let long = "x".repeat(2000);
    let answer =
        send(server.port(), "POST", "/v1/api/sql", Some(&server.root), kind, long.into()).await.unwrap();
    assert_eq!((answer.status, answer.error_code()), (413, "INVALID_INPUT"));
}
