//! Random frames and bodies: each is answered or ends its connection, the server goes on, and grows within bounds.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Got, Server, send, table};

static RUNTIME: LazyLock<tokio::runtime::Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
});

/// JSON of any shape, with the names and the values that the server knows among others.
fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop::sample::select(vec![
            "a",
            "",
            "SELECT * FROM app.t",
            "SELECT * FROM app.t WHERE id > 3",
            "jwt",
            "DELETE FROM app.t",
            "SELECT"
        ])
        .prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..6)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => prop::sample::select(vec![
            "type", "subscription", "subscription_id", "id", "sql", "options", "batch_size", "last_rows", "from", "last_seq_id",
            "token", "method", "protocol", "params", "namespace_id", "user", "password",
        ]).prop_map(str::to_owned),
        1 => any::<String>(),
    ]
}

/// Frames that are nearly right.
fn frame() -> impl Strategy<Value = Value> {
    let kind =
        prop::sample::select(vec!["authenticate", "subscribe", "next_batch", "unsubscribe", "ping", "bogus"]);
    let near =
        (kind, json_value(), json_value(), prop::option::of(-3_i64..5000), prop::option::of(-3_i64..5000))
            .prop_map(|(kind, any, sql, batch_size, last_rows)| {
                let options = json!({ "batch_size": batch_size, "last_rows": last_rows, "from": null });
                json!({ "type": kind, "subscription_id": "a", "token": any,
                    "subscription": { "id": "a", "sql": sql, "options": options } })
            });
    prop_oneof![3 => near, 1 => json_value()]
}

fn message() -> impl Strategy<Value = Message> {
    prop_oneof![
        4 => frame().prop_map(|frame| Message::text(frame.to_string())),
        1 => any::<String>().prop_map(Message::text),
        1 => prop::collection::vec(any::<u8>(), 0..300).prop_map(Message::binary),
        // A frame of which a piece is missing.
        1 => (frame(), any::<prop::sample::Index>()).prop_map(|(frame, at)| {
            let mut text = frame.to_string();
            let mut end = at.index(text.len() + 1);
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            text.truncate(end);
            Message::text(text)
        }),
    ]
}

fn runner(cases: u32) -> TestRunner {
    TestRunner::new(Config { cases, failure_persistence: None, ..Config::default() })
}

/// What a client can make the server keep for good is far below this, whatever the cases before have sent.
const MOST_GROWTH: u64 = 300 << 20;

/// Memory of this process, which the server is in; 0 where that is not told.
fn resident() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().split(' ').next()?.parse::<u64>().ok()).unwrap_or(0) * 1024
}

async fn started() -> Server {
    let server = Server::start().await;
    table(&server, "SHARED").await;
    server.sql("INSERT INTO app.t (id, v) VALUES (1, 'x'), (2, 'y'), (3, 'z'), (4, 'a')").await;
    server
}

#[test]
fn frames_of_any_kind() {
    let server = RUNTIME.block_on(started());
    let before = resident();
    let ran = runner(300).run(&prop::collection::vec(message(), 1..8), |messages| {
        RUNTIME.block_on(async {
            let mut ws = server.root_ws().await;
            for message in messages {
                // It may have been closed after the one before.
                if ws.try_send(message).await.is_err() {
                    break;
                }
            }
            // Whatever came before, a broken frame ends it: the client hears of everything until then.
            let _ = ws.try_send(Message::text("{")).await;
            match ws.end().await {
                Got::Close(1011 | 1008, _) | Got::Lost => Ok(()),
                other => Err(TestCaseError::fail(format!("{other:?}"))),
            }
        })
    });
    ran.unwrap();
    assert!(resident().saturating_sub(before) < MOST_GROWTH, "from {before} to {} bytes", resident());
    RUNTIME.block_on(async {
        // A DELETE may be in a subscription, and is not carried out there.
        assert_eq!(server.rows(&server.root, "SELECT id FROM app.t").await.len(), 4);
        server.root_ws().await;
    });
}

#[test]
fn bodies_of_any_kind() {
    let server = RUNTIME.block_on(started());
    let body = prop_oneof![
        3 => json_value().prop_map(|value| value.to_string().into_bytes()),
        2 => (json_value(), json_value()).prop_map(|(params, namespace)| {
            json!({ "sql": "SELECT id FROM app.t WHERE id = $1", "params": params, "namespace_id": namespace })
                .to_string()
                .into_bytes()
        }),
        1 => prop::collection::vec(any::<u8>(), 0..500),
    ];
    let path = prop::sample::select(vec![
        "/v1/api/sql",
        "/v1/api/auth/login",
        "/v1/api/auth/setup",
        "/v1/api/auth/refresh",
    ]);
    let kind = prop::sample::select(vec![
        "application/json",
        "multipart/form-data; boundary=x",
        "text/plain",
        "multipart/form-data",
    ]);
    let ran = runner(400).run(&(path, kind, body), |(path, kind, body)| {
        RUNTIME.block_on(async {
            let answer = send(server.port(), "POST", path, Some(&server.root), kind, body.into()).await;
            let answer = answer.map_err(|error| TestCaseError::fail(format!("{path}: {error}")))?;
            prop_assert!((200..500).contains(&answer.status), "{path}: {} {}", answer.status, answer.body);
            Ok(())
        })
    });
    ran.unwrap();
    RUNTIME.block_on(server.sql("SELECT 1"));
}
