//! Live rows.

use std::sync::Arc;

use kalam_live::{
    Changes, ErrorCode, KalamClient, LiveRowsConfig, LiveRowsEvent, Phase, Rows, SubscriptionConfig,
    SubscriptionOptions, Value, params,
};
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use super::{builder, client};
use crate::support::{Answer, Server, delete_text, error, rows, schema, update_text};

const SQL: &str = "SELECT * FROM app.t";

fn shown(rows: &Rows) -> Vec<(String, Option<i64>)> {
    rows.iter().map(|row| (row["id"].to_string(), row["n"].as_int())).collect()
}

/// Takes rows until they are these.
async fn until(live: &mut kalam_live::LiveRows, wanted: &[(&str, Option<i64>)]) -> Rows {
    let wanted: Vec<_> = wanted.iter().map(|(id, n)| ((*id).to_owned(), *n)).collect();
    loop {
        let rows = live.next_rows().await.expect("open").expect("rows");
        if shown(&rows) == wanted {
            return rows;
        }
    }
}

#[tokio::test]
async fn rows_come_complete_and_then_change() {
    let seen = Arc::new(Notify::new());
    let server = Server::websocket({
        let seen = seen.clone();
        move |_, mut ws| {
            let seen = seen.clone();
            async move {
                let id = ws.serve_one(&[("a", 1, 10), ("b", 2, 11)]).await;
                seen.notified().await;
                ws.insert(&id, ("c", 3, 12)).await;
                ws.send_raw(update_text(&id, "a", None, 13).into()).await;
                ws.send_raw(delete_text(&id, ("b", 2, 14)).into()).await;
                ws.until_closed().await;
            }
        }
    })
    .await;
    let client = client(&server.url);
    let mut live = client.live(SQL).await.unwrap();
    let Some(Ok(LiveRowsEvent::Rows { rows, last_seq_id, subscription_id, .. })) = live.next().await else {
        panic!()
    };
    assert_eq!(rows.phase(), Phase::Live);
    assert_eq!(shown(&rows), [("a".into(), Some(1)), ("b".into(), Some(2))]);
    assert!(matches!(rows.changes(), Changes::Reset));
    assert_eq!(last_seq_id, Some(11.into()));
    assert_eq!(&subscription_id, live.id());
    seen.notify_one();
    let rows = until(&mut live, &[("a", None), ("c", Some(3))]).await;
    assert_eq!(rows.last_seq_id(), Some(14.into()));
    assert_eq!(server.requests()[0].header("authorization"), Some("Bearer t"));
    assert_eq!(server.requests()[0].path, "/v1/ws");
    live.close().await.unwrap();
    assert!(live.next().await.is_none());
    assert!(live.next().await.is_none());
}

#[tokio::test]
async fn is_a_stream() {
    use futures_util::StreamExt;
    let server = Server::websocket(|_, mut ws| async move {
        ws.serve_one(&[("a", 1, 10)]).await;
        ws.close(1000, "").await;
    })
    .await;
    let client = client(&server.url);
    let live = client.live(SQL).await.unwrap();
    let first = live.map(|event| event.unwrap()).next().await.unwrap();
    assert!(matches!(first, LiveRowsEvent::Rows { rows, .. } if rows.len() == 1));
}

#[tokio::test]
async fn comes_back_after_every_loss() {
    // Even connections end without a close frame, odd ones with; the last two are of a server that is not complete.
    let server = Server::websocket(|number, mut ws| async move {
        ws.welcome(number < 4).await;
        let Some((id, _, options)) = ws.subscribe().await else { return };
        ws.ack(&id).await;
        if options["from"].is_null() {
            ws.batch(&id, &[("a", number as i64, 10 * number as i64), ("b", 0, 1)]).await;
        } else {
            assert_eq!(options["from"], 10 * (number as i64 - 1));
            ws.batch(&id, &[]).await;
            ws.send_raw(update_text(&id, "a", Some(number as i64), 10 * number as i64).into()).await;
        }
        match number {
            6 => ws.until_closed().await,
            n if n % 2 == 1 => ws.close(1000, "Heartbeat timeout").await,
            _ => {}
        }
    })
    .await;
    let client = client(&server.url);
    let mut live = client.live(SQL).await.unwrap();
    let rows = until(&mut live, &[("a", Some(6)), ("b", Some(0))]).await;
    assert_eq!(rows.phase(), Phase::Live);
    assert_eq!(server.sockets(), 6);
    assert_eq!(client.counters().connection.connects, 6);
}

#[tokio::test]
async fn adds_and_hides_what_it_needs() {
    let server = Server::start(
        |request| {
            assert_eq!(request.sql(), "SELECT * FROM app.t LIMIT 1");
            rows(
                json!([{"name": "k1", "data_type": "Int", "index": 0, "flags": ["pk"]},
                       {"name": "body", "data_type": "Text", "index": 1},
                       {"name": "k2", "data_type": "Int", "index": 2, "flags": ["pk"]},
                       {"name": "at", "data_type": "BigInt", "index": 3}]),
                json!([]),
            )
        },
        |_, mut ws| async move {
            ws.welcome(true).await;
            while let Some((id, sql, _)) = ws.subscribe().await {
                assert_eq!(sql, "SELECT body, k1, k2, at FROM app.t WHERE body <> 'it''s'");
                ws.send(json!({"type": "subscription_ack", "subscription_id": id, "total_rows": 0,
                    "batch_control": {"batch_num": 0, "has_more": false, "status": "ready", "last_seq_id": 9},
                    "schema": [{"name": "body", "data_type": "Text", "index": 0},
                               {"name": "k1", "data_type": "Int", "index": 1, "flags": ["pk"]},
                               {"name": "k2", "data_type": "Int", "index": 2, "flags": ["pk"]},
                               {"name": "at", "data_type": "BigInt", "index": 3}]}))
                    .await;
                ws.send(json!({"type": "initial_data_batch", "subscription_id": id,
                    "rows": [{"body": "x", "k1": 1, "k2": 1, "at": "7", "_seq": "8"},
                             {"body": "x", "k1": 1, "k2": 2, "at": "6", "_seq": "9"}],
                    "batch_control": {"batch_num": 0, "has_more": false, "status": "ready", "last_seq_id": 9}}))
                    .await;
                ws.send_raw(
                    json!({"type": "change", "subscription_id": id, "change_type": "update",
                           "rows": [{"body": "y", "k1": 1, "k2": 1, "at": "7", "_seq": "10"}],
                           "old_values": [{"body": "x", "k1": 1, "k2": 1, "_seq": "8"}]})
                    .to_string()
                    .into(),
                )
                .await;
            }
        },
    )
    .await;
    let client = builder(&server.url).token("t").namespace("app").build().unwrap();
    for _ in 0..2 {
        let config =
            SubscriptionConfig::unnamed("select body from T where body <> $1").with_params(params!["it's"]);
        let rows_config = LiveRowsConfig { order_by: Some("at".into()), ..LiveRowsConfig::default() };
        let mut live = client.live_with_config(config, rows_config).await.unwrap();
        let rows = loop {
            let rows = live.next_rows().await.unwrap().unwrap();
            if rows[1]["body"] == Value::from("y") {
                break rows;
            }
        };
        assert_eq!(rows.len(), 2);
        assert_eq!(rows[0]["body"], Value::from("x"));
        assert_eq!(rows[0].values().len(), 1);
        assert_eq!(rows[0].get("k1"), None);
    }
    let lookups = server.requests().iter().filter(|r| r.path == "/v1/api/sql").count();
    assert_eq!(lookups, 1, "the key is asked once");
}

#[tokio::test]
async fn refuses_what_can_not_be_live_before_anything_is_sent() {
    let server = Server::websocket(|_, _| async {}).await;
    let client = client(&server.url);
    for (sql, code, hint) in [
        ("SELECT * FROM app.t ORDER BY id", ErrorCode::InvalidSql, "order_by"),
        ("SELECT * FROM app.t LIMIT 5", ErrorCode::InvalidSql, "limit"),
        ("SELECT a.id FROM app.t a", ErrorCode::InvalidSql, ""),
        ("SELECT n + 1 FROM app.t", ErrorCode::InvalidSql, ""),
        ("SELECT * FROM t", ErrorCode::InvalidSql, "namespace"),
        ("DELETE FROM app.t", ErrorCode::InvalidSql, "SELECT"),
        ("SELECT * FROM app.t WHERE n = $1", ErrorCode::InvalidArgument, "$1"),
    ] {
        let error = client.live(sql).await.unwrap_err();
        assert_eq!(error.code(), code, "{sql}: {error}");
        assert!(error.message().contains(hint), "{sql}: {error}");
        assert_eq!(client.live_events(sql).await.unwrap_err(), error);
    }
    for table in ["", "a b", "app.t WHERE true", "a.b.c", "app.", "'x'"] {
        assert_eq!(client.live_table(table).await.unwrap_err().code(), ErrorCode::InvalidArgument, "{table}");
    }
    for options in [
        SubscriptionOptions::new().with_last_rows(0),
        SubscriptionOptions::new().with_batch_size(0),
        SubscriptionOptions::new().with_last_rows(20).with_batch_size(10),
    ] {
        let config = SubscriptionConfig::unnamed(SQL).with_options(options);
        let error = client.live_with_config(config, LiveRowsConfig::default()).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
    }
    for rows_config in [
        LiveRowsConfig { limit: Some(0), ..LiveRowsConfig::default() },
        LiveRowsConfig { order_by: Some("lower(id)".into()), ..LiveRowsConfig::default() },
    ] {
        let error = client.live_with_config(SubscriptionConfig::unnamed(SQL), rows_config).await.unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument, "{error}");
    }
    let error = client
        .live_with_config(SubscriptionConfig::unnamed(SQL).without_initial_data(), LiveRowsConfig::default())
        .await
        .unwrap_err();
    assert!(error.message().contains("live_events"), "{error}");
    assert!(client.subscriptions().await.is_empty());
}

#[tokio::test]
async fn a_missing_order_column_ends_it_with_a_clear_error() {
    let server = Server::websocket(|_, mut ws| async move {
        ws.serve_one(&[("a", 1, 10)]).await;
        assert_eq!(ws.receive().await.unwrap()["type"], "unsubscribe");
        ws.until_closed().await;
    })
    .await;
    let client = client(&server.url);
    let rows_config = LiveRowsConfig { order_by: Some("nothing".into()), ..LiveRowsConfig::default() };
    let mut live = client.live_with_config(SubscriptionConfig::new("x", SQL), rows_config).await.unwrap();
    let error = live.next().await.unwrap().unwrap_err();
    assert!(error.message().contains("nothing"), "{error}");
    assert!(live.next().await.is_none());
    assert!(client.subscriptions().await.is_empty());
}

#[tokio::test]
async fn what_the_server_says_about_it_is_its_last_event() {
    let server = Server::websocket(|_, mut ws| async move {
        ws.welcome(false).await;
        while let Some((id, ..)) = ws.subscribe().await {
            ws.send(json!({"type": "error", "subscription_id": id, "code": "SUBSCRIPTION_FAILED",
                           "message": "Table not found: app.t"}))
                .await;
        }
    })
    .await;
    let client = client(&server.url);
    let mut live = client.live(SQL).await.unwrap();
    let Some(Ok(LiveRowsEvent::Error { code, message, server_code, .. })) = live.next().await else {
        panic!()
    };
    assert_eq!(code, ErrorCode::NotFound);
    assert!(message.contains("app.t"));
    assert_eq!(server_code.as_deref(), Some("SUBSCRIPTION_FAILED"));
    assert!(live.next().await.is_none());
    let error = client.live(SQL).await.unwrap().next_rows().await.unwrap().unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    assert!(client.subscriptions().await.is_empty());
}

#[tokio::test]
async fn inspect_and_cancel() {
    let server = Server::websocket(|_, mut ws| async move {
        ws.serve_one(&[("a", 1, 10)]).await;
        ws.until_closed().await;
    })
    .await;
    let client = client(&server.url);
    assert!(client.subscriptions().await.is_empty());
    assert_eq!(client.cancel_subscription("inbox").await.unwrap_err().code(), ErrorCode::NotFound);
    let config = SubscriptionConfig::new("inbox", "SELECT id, n FROM app.t WHERE n > 0");
    let rows_config = LiveRowsConfig { key_columns: Some(vec!["id".into()]), ..LiveRowsConfig::default() };
    let mut live = client.live_with_config(config.clone(), rows_config.clone()).await.unwrap();
    let error = client.live_with_config(config, rows_config).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::InvalidArgument, "the name is taken");
    live.next().await.unwrap().unwrap();
    let subscriptions = client.subscriptions().await;
    assert_eq!(subscriptions.len(), 1);
    assert_eq!(&*subscriptions[0].id, "inbox");
    assert_eq!(subscriptions[0].query, "SELECT id, n FROM app.t WHERE n > 0");
    assert_eq!(subscriptions[0].last_seq_id, Some(10.into()));
    let waiting = tokio::spawn(async move { live.next().await.is_none() });
    client.cancel_subscription("inbox").await.unwrap();
    assert!(waiting.await.unwrap(), "the waiter is told");
    assert!(client.subscriptions().await.is_empty());
    assert_eq!(client.cancel_subscription("inbox").await.unwrap_err().code(), ErrorCode::NotFound);
}

/// A server that stops at one of these points.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Stage {
    NoServer,
    Connecting,
    Authenticated,
    Acknowledged,
    Live,
    Lost,
    Failed,
}

async fn stopped_at(stage: Stage) -> Server {
    Server::websocket(move |number, mut ws| async move {
        if stage == Stage::Connecting || number > 1 {
            return ws.until_closed().await;
        }
        ws.welcome(true).await;
        if stage == Stage::Authenticated {
            return ws.until_closed().await;
        }
        let Some((id, ..)) = ws.subscribe().await else { return };
        if stage == Stage::Failed {
            ws.send(
                json!({"type": "error", "subscription_id": id, "code": "INTERNAL_ERROR", "message": "no"}),
            )
            .await;
            return ws.until_closed().await;
        }
        ws.ack(&id).await;
        if stage != Stage::Acknowledged {
            ws.batch(&id, &[("a", 1, 1)]).await;
        }
        if stage != Stage::Lost {
            ws.until_closed().await;
        }
    })
    .await
}

/// Everything that ends a subscription, wherever it is: nobody waits for ever, nothing is left.
#[tokio::test]
async fn ends_in_every_state() {
    #[derive(Clone, Copy, Debug, PartialEq)]
    enum By {
        Close,
        Drop,
        Cancel,
        ClientClose,
        ClientDrop,
    }
    use Stage::*;
    for stage in [NoServer, Connecting, Authenticated, Acknowledged, Live, Lost, Failed] {
        for by in [By::Close, By::Drop, By::Cancel, By::ClientClose, By::ClientDrop] {
            let server = stopped_at(stage).await;
            let url = if stage == NoServer { "http://localhost:1" } else { &server.url };
            let client: KalamClient = builder(url).token("t").build().unwrap();
            let mut live = client
                .live_with_config(SubscriptionConfig::new("x", SQL), LiveRowsConfig::default())
                .await
                .unwrap();
            match stage {
                Live | Lost => drop(live.next().await.unwrap().unwrap()),
                Authenticated | Acknowledged => {
                    assert!(
                        client.watch_state().wait_for(|s| *s == kalam_live::ConnectionState::Connected).await
                    );
                }
                NoServer | Connecting | Failed => {}
            }
            let live = Arc::new(live);
            let waiter = tokio::spawn({
                let live = live.clone();
                async move {
                    while !live.is_over() {
                        drop(live.take());
                        live.ready().await;
                    }
                }
            });
            // Let it wait first, most of the time.
            tokio::task::yield_now().await;
            let what = format!("{stage:?} {by:?}");
            match by {
                By::Close => {
                    live.close().await.unwrap();
                    live.close().await.unwrap();
                }
                By::Drop => {
                    waiter.abort();
                    let _ = waiter.await;
                    drop(live);
                    while !client.subscriptions().await.is_empty() {
                        tokio::task::yield_now().await;
                    }
                    continue;
                }
                By::Cancel => {
                    let result = client.cancel_subscription("x").await;
                    assert!(result.is_ok() || stage == Failed, "{what}: {result:?}");
                }
                By::ClientClose => {
                    client.close().await;
                    client.close().await;
                    assert_eq!(client.live(SQL).await.unwrap_err().code(), ErrorCode::Closed, "{what}");
                    assert_eq!(client.connect().await.unwrap_err().code(), ErrorCode::Closed, "{what}");
                }
                By::ClientDrop => {
                    // The handle goes on without the client.
                    drop(client);
                    if matches!(stage, Live | Acknowledged) {
                        assert!(!live.is_over(), "{what}");
                    }
                    live.close().await.unwrap();
                    waiter.await.unwrap();
                    continue;
                }
            }
            waiter.await.unwrap();
            assert!(live.is_over(), "{what}");
            assert!(client.subscriptions().await.is_empty(), "{what}");
        }
    }
}

#[tokio::test]
async fn the_last_handle_closes_the_connection() {
    let (ended, mut end) = mpsc::unbounded_channel();
    let server = Server::websocket(move |_, mut ws| {
        let ended = ended.clone();
        async move {
            ws.serve_one(&[]).await;
            let mut types = Vec::new();
            while let Some(frame) = ws.receive().await {
                types.push(frame["type"].as_str().unwrap().to_owned());
            }
            ended.send(types).unwrap();
        }
    })
    .await;
    let client = client(&server.url);
    let mut live = client.live(SQL).await.unwrap();
    drop(client);
    assert!(live.next_rows().await.unwrap().unwrap().is_empty());
    drop(live);
    assert_eq!(end.recv().await.unwrap(), ["unsubscribe"]);
}

#[tokio::test]
async fn partial_rows_show_progress() {
    let server = Server::websocket(|_, mut ws| async move {
        ws.welcome(true).await;
        let Some((id, ..)) = ws.subscribe().await else { return };
        ws.send(json!({"type": "subscription_ack", "subscription_id": id, "total_rows": 0, "schema": schema(),
                       "batch_control": {"batch_num": 0, "has_more": true, "status": "loading", "last_seq_id": 1}}))
            .await;
        ws.send(json!({"type": "initial_data_batch", "subscription_id": id, "rows": [{"id": "a", "n": 1, "_seq": "1"}],
                       "batch_control": {"batch_num": 0, "has_more": true, "status": "loading", "last_seq_id": 1}}))
            .await;
        assert_eq!(ws.receive().await.unwrap()["type"], "next_batch");
        ws.until_closed().await;
    })
    .await;
    let client = client(&server.url);
    let rows_config = LiveRowsConfig { partial: true, ..LiveRowsConfig::default() };
    let mut live = client.live_with_config(SubscriptionConfig::unnamed(SQL), rows_config).await.unwrap();
    let rows = live.next_rows().await.unwrap().unwrap();
    assert!(matches!(rows.phase(), Phase::Loading { .. }), "{:?}", rows.phase());
}

#[tokio::test]
async fn a_key_lookup_that_fails_says_why() {
    let server = Server::start(
        |_| error(400, "TABLE_NOT_FOUND", "Table not found: app.t"),
        |_, mut ws| async move { ws.until_closed().await },
    )
    .await;
    let error = client(&server.url).live("SELECT n FROM app.t").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::NotFound);
    let server =
        Server::http(|_| rows(json!([{"name": "n", "data_type": "Int", "index": 0}]), json!([]))).await;
    let error = client(&server.url).live("SELECT n FROM app.t").await.unwrap_err();
    assert!(error.message().contains("key_columns"), "{error}");
    let server = Server::http(|_| Answer::Json(200, json!({"odd": 1}))).await;
    let error = client(&server.url).live("SELECT n FROM app.t").await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::Protocol, "{error}");
}
