//! Raw events.

use std::sync::Arc;

use futures_util::FutureExt;
use kalam_live::{
    ChangeEvent, ErrorCode, LiveEventsConfig, LiveRowsConfig, SubscriptionConfig, SubscriptionOptions,
};
use serde_json::json;
use tokio::sync::{Notify, mpsc};

use super::{builder, client};
use crate::support::{Server, delete_text, insert_text, update_text};

const SQL: &str = "SELECT * FROM app.t";

#[tokio::test]
async fn everything_comes_in_order() {
    let server = Server::websocket(|_, mut ws| async move {
        ws.welcome(true).await;
        let Some((id, sql, options)) = ws.subscribe().await else { return };
        assert_eq!(sql, "SELECT id, n FROM app.t WHERE n > 5");
        assert_eq!((&options["last_rows"], &options["batch_size"]), (&json!(2), &json!(7)));
        ws.ack(&id).await;
        ws.batch(&id, &[("a", 6, 1), ("b", 7, 2)]).await;
        ws.insert(&id, ("c", 8, 3)).await;
        ws.send_raw(update_text(&id, "a", Some(9), 4).into()).await;
        ws.send_raw(delete_text(&id, ("b", 7, 5)).into()).await;
        ws.send(json!({"type": "novelty", "subscription_id": id, "x": [1]})).await;
        ws.insert(&id, ("d", 10, 6)).await;
        ws.until_closed().await;
    })
    .await;
    let client = client(&server.url);
    let config = SubscriptionConfig::new("raw", "select id, n from app.t where n > $1")
        .with_params(kalam_live::params![5])
        .with_options(SubscriptionOptions::new().with_last_rows(2).with_batch_size(7));
    let mut events = client.live_events_with_config(config).await.unwrap();
    let mut seen = Vec::new();
    while events.last_seq_id() != Some(6.into()) {
        let event = events.next().await.unwrap().unwrap();
        assert_eq!(event.subscription_id(), "raw");
        seen.push(event);
    }
    let n = |event: &ChangeEvent| event.rows().iter().map(|r| r["n"].as_int().unwrap()).collect::<Vec<_>>();
    assert!(matches!(&seen[0], ChangeEvent::Ack { schema, .. } if schema.columns().len() == 2));
    assert!(matches!(&seen[1], ChangeEvent::InitialDataBatch { has_more: false, .. }));
    assert_eq!(n(&seen[1]), [6, 7]);
    assert!(matches!(&seen[2], ChangeEvent::Insert { .. }));
    assert_eq!(n(&seen[2]), [8]);
    let ChangeEvent::Update { rows, old_rows, .. } = &seen[3] else { panic!("{:?}", seen[3]) };
    assert_eq!((rows[0]["n"].as_int(), old_rows[0].get("n").unwrap().as_int()), (Some(9), Some(0)));
    assert_eq!(rows[0].version(), Some(4.into()));
    assert!(
        matches!(&seen[4], ChangeEvent::Delete { old_rows, .. } if old_rows[0]["id"].as_text() == Some("b"))
    );
    assert!(matches!(&seen[5], ChangeEvent::Insert { .. }), "a frame of an unknown type is skipped");
    assert_eq!(seen.len(), 6);
    assert_eq!(client.counters().connection.unknown_frames, 1);
}

#[tokio::test]
async fn resumes_where_it_was_and_says_so() {
    for (complete, expected) in [
        (true, &["ack", "insert", "resumed", "insert"][..]),
        // It tells no deletes, and here can not be asked for them.
        (false, &["ack", "insert", "resumed", "insert", "gap"]),
    ] {
        let server = Server::websocket(move |number, mut ws| async move {
            ws.welcome(complete).await;
            let Some((id, _, options)) = ws.subscribe().await else { return };
            ws.ack(&id).await;
            if number == 1 {
                ws.batch(&id, &[("a", 1, 1)]).await;
                ws.insert(&id, ("b", 2, 2)).await;
            } else {
                assert_eq!(options["from"], 2);
                ws.batch(&id, &[]).await;
                ws.insert(&id, ("c", 3, 3)).await;
                ws.until_closed().await;
            }
        })
        .await;
        let client = client(&server.url);
        let mut events = client.live_events(SQL).await.unwrap();
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            seen.push(match events.next().await.unwrap().unwrap() {
                ChangeEvent::Ack { .. } => "ack",
                ChangeEvent::InitialDataBatch { .. } => continue,
                ChangeEvent::Insert { .. } => "insert",
                ChangeEvent::Resumed { .. } => "resumed",
                ChangeEvent::GapPossible { reason, .. } => {
                    assert!(reason.contains("deleted"), "{reason}");
                    "gap"
                }
                other => panic!("{other:?}"),
            });
        }
        assert_eq!(seen, expected);
    }
}

#[tokio::test]
async fn without_initial_data_nothing_is_asked_for() {
    let server = Server::websocket(|_, mut ws| async move {
        ws.welcome(true).await;
        let Some((id, _, options)) = ws.subscribe().await else { return };
        assert!(options.is_null(), "{options}");
        ws.ack(&id).await;
        ws.insert(&id, ("a", 1, 7)).await;
        ws.until_closed().await;
    })
    .await;
    let client = client(&server.url);
    let config = SubscriptionConfig::unnamed(SQL).without_initial_data();
    let mut events = client.live_events_with_config(config).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(ChangeEvent::Ack { .. }))));
    assert!(matches!(events.next().await, Some(Ok(ChangeEvent::Insert { .. }))));
    let config = SubscriptionConfig::unnamed(SQL)
        .with_options(SubscriptionOptions::new().with_from(kalam_live::SeqId::from(42_i64)))
        .without_initial_data();
    assert_eq!(client.live_events_with_config(config).await.unwrap_err().code(), ErrorCode::InvalidArgument);
}

/// A wait that is given up has taken nothing: every event arrives once, in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_wait_loses_nothing() {
    const EVENTS: i64 = 5_000;
    let server = Server::websocket(|_, mut ws| async move {
        let id = ws.serve_one(&[]).await;
        for seq in 1..=EVENTS {
            ws.feed(&insert_text(&id, ("a", seq, seq))).await;
            if seq % 7 == 0 {
                ws.flush().await;
            }
        }
        ws.flush().await;
        ws.until_closed().await;
    })
    .await;
    let client = client(&server.url);
    let mut events = client.live_events(SQL).await.unwrap();
    let mut expected = 1;
    let mut given_up = 0;
    while expected <= EVENTS {
        // Polled once; what is not there at that moment is given up.
        let Some(event) = events.next().now_or_never() else {
            given_up += 1;
            events.ready().await;
            continue;
        };
        if let ChangeEvent::Insert { rows, .. } = event.unwrap().unwrap() {
            assert_eq!(rows[0]["n"].as_int(), Some(expected));
            expected += 1;
        }
    }
    assert!(given_up > 0);
}

#[tokio::test]
async fn take_gives_what_is_there() {
    let server = Server::websocket(|_, mut ws| async move {
        let id = ws.serve_one(&[("a", 1, 1)]).await;
        for seq in 2..=10 {
            ws.insert(&id, ("a", seq, seq)).await;
        }
        ws.until_closed().await;
    })
    .await;
    let client = client(&server.url);
    let events = client.live_events(SQL).await.unwrap();
    assert!(events.take(0).is_empty());
    let mut taken = Vec::new();
    while events.last_seq_id() != Some(10.into()) {
        events.ready().await;
        let some = events.take(3);
        assert!(some.len() <= 3);
        taken.extend(some);
    }
    assert_eq!(taken.len(), 1 + 1 + 9);
}

/// One reader that reads nothing: it is told once, resumes after what it took, and its neighbours see nothing of it.
#[tokio::test]
async fn a_slow_reader_lags_alone() {
    const EVENTS: i64 = 500;
    let (resumed, mut resumes) = mpsc::unbounded_channel();
    let server = Server::websocket(move |_, mut ws| {
        let resumed = resumed.clone();
        async move {
            ws.welcome(true).await;
            let mut ids = Vec::new();
            while ids.len() < 3 {
                let Some((id, ..)) = ws.subscribe().await else { return };
                ws.ack(&id).await;
                ws.batch(&id, &[("s", 0, 1)]).await;
                ids.push(id);
            }
            for seq in 2..=EVENTS {
                for id in &ids {
                    ws.feed(&insert_text(id, ("a", seq, seq))).await;
                }
            }
            ws.flush().await;
            while let Some((id, _, options)) = ws.subscribe().await {
                let from = options["from"].as_i64().unwrap();
                resumed.send(from).unwrap();
                ws.ack(&id).await;
                ws.batch(&id, &[]).await;
                for seq in from + 1..=EVENTS {
                    ws.feed(&insert_text(&id, ("a", seq, seq))).await;
                }
                ws.flush().await;
            }
        }
    })
    .await;
    let client = client(&server.url);
    let bounds = LiveEventsConfig { max_events: 100, ..LiveEventsConfig::default() };
    let mut slow =
        client.live_events_with_bounds(SubscriptionConfig::new("slow", SQL), bounds).await.unwrap();
    // Only the first: the snapshot has been seen, so there is a point to resume from.
    while slow.last_seq_id().is_none() {
        slow.next().await.unwrap().unwrap();
    }
    let mut quick = client.live_events(SQL).await.unwrap();
    let mut live =
        client.live_with_config(SubscriptionConfig::unnamed(SQL), LiveRowsConfig::default()).await.unwrap();
    while quick.last_seq_id() != Some(EVENTS.into()) {
        quick.next().await.unwrap().unwrap();
    }
    while live.next_rows().await.unwrap().unwrap().last_seq_id() != Some(EVENTS.into()) {}
    assert_eq!(client.counters().lagged, 1);
    assert!(resumes.try_recv().is_err(), "nothing is asked for before the reader is back");

    let mut expected = 2;
    let mut lagged = 0;
    while expected <= EVENTS {
        match slow.next().await.unwrap().unwrap() {
            ChangeEvent::Insert { rows, .. } => {
                assert_eq!(rows[0]["n"].as_int(), Some(expected), "nothing is missing, nothing comes twice");
                expected += 1;
            }
            // All that is left comes at once, for a reader that holds 100.
            ChangeEvent::Lagged { resumes_from, dropped, .. } => {
                assert_eq!(resumes_from, Some((expected - 1).into()));
                assert!(dropped as i64 <= EVENTS + 2 - expected, "{dropped} of {EVENTS} after {expected}");
                lagged += 1;
            }
            ChangeEvent::Ack { .. } | ChangeEvent::Resumed { .. } | ChangeEvent::InitialDataBatch { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(client.counters().lagged, lagged);
    assert!((4..=6).contains(&lagged), "{lagged}");
}

#[tokio::test]
async fn closing_wakes_who_waits_and_keeps_what_is_there() {
    let go = Arc::new(Notify::new());
    let server = Server::websocket({
        let go = go.clone();
        move |_, mut ws| {
            let go = go.clone();
            async move {
                let id = ws.serve_one(&[]).await;
                go.notified().await;
                ws.insert(&id, ("a", 1, 1)).await;
                ws.until_closed().await;
            }
        }
    })
    .await;
    let client = builder(&server.url).token("t").build().unwrap();
    let events = Arc::new(client.live_events(SQL).await.unwrap());
    let mut held = Vec::new();
    while held.len() < 2 {
        events.ready().await;
        held.extend(events.take(10));
    }
    let waiters: Vec<_> = (0..3)
        .map(|_| {
            let events = events.clone();
            tokio::spawn(async move { events.ready().await })
        })
        .collect();
    go.notify_one();
    for waiter in waiters {
        waiter.await.unwrap();
    }
    events.close().await.unwrap();
    assert!(!events.is_over(), "the event is still there");
    assert!(matches!(events.take(10)[..], [Ok(ChangeEvent::Insert { .. })]));
    assert!(events.is_over());
    events.ready().await;
}

#[tokio::test]
async fn what_the_server_says_about_it_is_its_last_event() {
    let server = Server::websocket(|_, mut ws| async move {
        ws.welcome(false).await;
        let Some((id, ..)) = ws.subscribe().await else { return };
        ws.send(
            json!({"type": "error", "subscription_id": id, "code": "PERMISSION_DENIED", "message": "no"}),
        )
        .await;
        ws.until_closed().await;
    })
    .await;
    let client = client(&server.url);
    let mut events = client.live_events(SQL).await.unwrap();
    let Some(Ok(ChangeEvent::Error { code, message, server_code, .. })) = events.next().await else {
        panic!()
    };
    assert_eq!(
        (code, message.as_str(), server_code.as_deref()),
        (ErrorCode::PermissionDenied, "no", Some("PERMISSION_DENIED"))
    );
    assert!(events.next().await.is_none());
}
