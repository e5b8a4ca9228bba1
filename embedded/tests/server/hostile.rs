//! Whatever a client sends: an answer or a close, and the server goes on.

use std::io::{Read, Write};
use std::net::TcpStream;

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Got, PATIENCE, Server, Ws, is_error, send, table};

#[tokio::test]
async fn messages_that_are_none_close_with_1011() {
    let server = Server::start().await;
    let deep = format!(r#"{{"type":"ping","x":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for text in [
        "",
        "{",
        "null",
        "[]",
        "\"ping\"",
        "{}",
        r#"{"type":7}"#,
        r#"{"type":"subscribe"}"#,
        r#"{"type":"subscribe","subscription":{"id":"a"}}"#,
        r#"{"type":"subscribe","subscription":{"id":"a","sql":"b","options":{"batch_size":-1}}}"#,
        r#"{"type":"subscribe","subscription":{"id":"a","sql":"b","options":{"from":99999999999999999999}}}"#,
        r#"{"type":"next_batch","subscription_id":null}"#,
        r#"{"type":"ping","type":"ping"}"#,
        r#"{"type":"ping"} trailing"#,
        &deep,
    ] {
        let mut ws = server.root_ws().await;
        ws.send_raw(Message::text(text)).await;
        let Got::Close(1011, reason) = ws.end().await else { panic!("no 1011 for {text:.80}") };
        assert!(reason.starts_with("Invalid message: "), "{reason}");
    }
    server.sql("SELECT 1").await;
}

#[tokio::test]
async fn binary_and_empty_ids_are_answered_and_the_socket_lives() {
    let server = Server::start().await;
    table(&server, "USER").await;
    let mut ws = server.root_ws().await;
    ws.send_raw(Message::binary(vec![0u8, 159, 146, 150])).await;
    assert!(is_error(&ws.frame().await, "protocol", "UNSUPPORTED_DATA"));
    for id in ["", &"x".repeat(300)] {
        ws.subscribe(id, "SELECT * FROM app.t", json!({})).await;
        assert!(is_error(&ws.frame().await, "invalid_subscription", "INVALID_SUBSCRIPTION_ID"));
    }
    let odd = "quote\" \\ \u{0} newline\n \u{1F600} </script>";
    ws.snapshot(odd, "SELECT * FROM app.t", json!({})).await;
    server.sql("INSERT INTO app.t (id, v) VALUES (1, 'x')").await;
    assert_eq!(ws.change().await["subscription_id"], odd);
}

#[tokio::test]
async fn a_giant_message_ends_the_connection() {
    let server = Server::start().await;
    let mut ws = server.root_ws().await;
    // The server may be gone before everything is sent.
    let _ = ws.try_send(Message::text("x".repeat(2 << 20))).await;
    assert_eq!(ws.end().await, Got::Lost, "without a close frame, as recorded");
    server.root_ws().await;
}

/// Speaks the WebSocket protocol by hand, to break it.
fn raw_socket(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let request = format!(
        "GET /v1/ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: \
         13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nAuthorization: Bearer {}\r\n\r\n",
        server.root
    );
    stream.write_all(request.as_bytes()).unwrap();
    stream.write_all(bytes).unwrap();
    let mut answer = Vec::new();
    // A reset is an end too.
    let _ = stream.read_to_end(&mut answer);
    assert!(answer.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&answer));
    answer
}

/// A masked frame with a mask of zeros.
fn masked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first, 0x80 | payload.len() as u8, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_websocket_frames_end_the_connection() {
    let server = Server::start().await;
    for bytes in [
        masked(0x81, b"\xff\xfe not UTF-8"),
        masked(0xF1, b"reserved bits"),
        masked(0x83, b"unknown opcode"),
        masked(0x80, b"continues nothing"),
        vec![0x81, 3, b'a', b'b', b'c'],
        vec![0x81, 0xFF, 0x7F, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0, 0, 0],
        masked(0x88, b"\x03"),
        b"GET / HTTP/1.1\r\n\r\n".repeat(10),
    ] {
        tokio::task::block_in_place(|| raw_socket(&server, &bytes));
    }
    server.root_ws().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_requests_are_refused() {
    let server = Server::start().await;
    for request in [
        "garbage\r\n\r\n".to_owned(),
        "GET / HTTP/9.9\r\n\r\n".to_owned(),
        format!("GET /health HTTP/1.1\r\nHost: x\r\n{}\r\n", "A: b\r\n".repeat(10_000)),
        format!("GET /{} HTTP/1.1\r\nHost: x\r\n\r\n", "x".repeat(1 << 20)),
        "POST /v1/api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: nine\r\n\r\n".to_owned(),
    ] {
        let answer = tokio::task::block_in_place(|| {
            let mut stream = TcpStream::connect(("127.0.0.1", server.port())).unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            // The server may refuse before everything is sent.
            let _ = stream.write_all(request.as_bytes());
            let mut answer = Vec::new();
            let _ = stream.read_to_end(&mut answer);
            String::from_utf8_lossy(&answer).into_owned()
        });
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{request:.60}: {answer}");
    }
    server.sql("SELECT 1").await;
}

#[tokio::test]
async fn bodies_that_are_none_are_refused() {
    let server = Server::start().await;
    let deep = format!(r#"{{"sql":"SELECT 1","params":{}{}}}"#, "[".repeat(100_000), "]".repeat(100_000));
    for body in ["", "{", "[]", "{}", r#"{"sql":1}"#, r#"{"sql":"SELECT 1","params":{}}"#, "\u{0}", &deep] {
        let (path, kind) = ("/v1/api/sql", "application/json");
        let sent = send(server.port(), "POST", path, Some(&server.root), kind, body.to_owned().into()).await;
        let answer = sent.expect("an answer");
        assert_eq!((answer.status, answer.error_code()), (400, "INVALID_INPUT"), "{body:.60}");
    }
    for token in ["", "x", "a.b.c", &"x".repeat(5000)] {
        let answer = server.try_sql(token, "SELECT 1").await;
        assert_eq!((answer.status, answer.error_code()), (401, "INVALID_CREDENTIALS"), "{token:.60}");
    }
}

#[tokio::test]
async fn sql_in_subscriptions_can_not_break_out() {
    let server = Server::start().await;
    table(&server, "USER").await;
    let mut ws = server.root_ws().await;
    let deep = format!("SELECT * FROM app.t WHERE {}1 = 1{}", "(".repeat(50_000), ")".repeat(50_000));
    for sql in [
        "SELECT * FROM app.t; DROP TABLE app.t",
        "SELECT * FROM sqlite_master",
        "PRAGMA journal_mode = OFF",
        "ATTACH DATABASE 'x' AS y",
        "SELECT * FROM app.t WHERE load_extension('x') = 1",
        "SELECT \u{0} FROM app.t",
        "SELECT * FROM app.t WHERE id = 99999999999999999999999999999",
        "SELECT * FROM app.t WHERE v = 'open",
        "SELECT * FROM app.t WHERE id = $1",
        &deep,
    ] {
        ws.subscribe("s", sql, json!({})).await;
        let frame = ws.frame().await;
        // A filter may be accepted when it is harmless; then it must have a snapshot.
        match frame["type"].as_str() {
            Some("error") => {}
            Some("subscription_ack") => {
                assert_eq!(ws.frame().await["type"], "initial_data_batch", "{sql:.60}")
            }
            other => panic!("{other:?} for {sql:.60}"),
        }
    }
    ws.snapshot("s", "SELECT * FROM app.t", json!({})).await;
}

#[tokio::test]
async fn a_stranger_can_do_nothing() {
    let server = Server::start().await;
    let mut ws = Ws::open(server.port(), "/v1/ws", None).await;
    for (kind, id) in [("subscribe", "subscribe"), ("unsubscribe", "protocol"), ("next_batch", "protocol")] {
        let subscription = json!({ "id": "a", "sql": "SELECT 1" });
        ws.send(&json!({ "type": kind, "subscription": subscription, "subscription_id": "a" })).await;
        assert!(is_error(&ws.frame().await, id, "AUTH_REQUIRED"));
    }
    ws.send(&json!({ "type": "authenticate", "method": "basic", "token": server.root })).await;
    assert_eq!(ws.frame().await["type"], "auth_error");
    assert_eq!(ws.next().await, Got::Close(1008, "Authentication failed".into()));
}
