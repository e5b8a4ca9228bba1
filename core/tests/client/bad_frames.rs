//! What a broken or hostile server may send: an error or a new connection, never a panic, never silence.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use kalam_live::{ChangeEvent, ErrorCode};
use tokio_tungstenite::tungstenite::Message;

use super::{builder, client};
use crate::support::{Server, insert_text};

const SQL: &str = "SELECT * FROM app.t";

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// Frames that are broken, made for a subscription.
fn broken(id: &str) -> Vec<(&'static str, Message)> {
    let insert = insert_text(id, ("x", 1, 5));
    let whole = gzip(insert.as_bytes());
    let mut flipped = whole.clone();
    let crc = flipped.len() - 6;
    flipped[crc] ^= 1;
    vec![
        ("no JSON", Message::text("{nonsense")),
        ("no object", Message::text("[1,2,3]")),
        ("no type", Message::text("{}")),
        ("empty", Message::text("")),
        ("cut JSON", Message::text(&insert[..insert.len() - 5])),
        ("trailing garbage", Message::text(format!("{insert} x"))),
        ("wrong cell", Message::text(insert.replace(r#""n":1"#, r#""n":"one""#))),
        ("null key", Message::text(insert.replace(r#""id":"x""#, r#""id":null"#))),
        ("deep", Message::text(insert.replace(r#""n":1"#, &format!(r#""n":{}"#, "[".repeat(100_000))))),
        ("truncated gzip", Message::binary(whole[..whole.len() - 9].to_vec())),
        ("corrupt gzip", Message::binary(flipped)),
        ("no gzip, no msgpack", Message::binary(vec![0xc1; 40])),
        ("empty binary", Message::binary(Vec::new())),
        ("gzip bomb", Message::binary(gzip(&vec![b' '; 8 << 20]))),
    ]
}

#[tokio::test]
async fn a_broken_frame_harms_no_subscription() {
    for at in 0..broken("").len() {
        let server = Server::websocket(move |number, mut ws| async move {
            ws.welcome(true).await;
            // On the first connection, and again if the client subscribes anew on it.
            let mut first = number == 1;
            while let Some((id, ..)) = ws.subscribe().await {
                ws.ack(&id).await;
                ws.batch(&id, &[("a", 1, 1)]).await;
                if std::mem::take(&mut first) {
                    ws.send_raw(broken(&id).swap_remove(at).1).await;
                } else {
                    ws.insert(&id, ("b", 2, 2)).await;
                }
            }
        })
        .await;
        let what = broken("")[at].0;
        let client = builder(&server.url).token("t").max_message_bytes(1 << 20).build().unwrap();
        let mut live = client.live(SQL).await.unwrap();
        loop {
            match live.next_rows().await {
                // The rows end right...
                Some(Ok(rows)) if rows.len() == 2 => break,
                Some(Ok(_)) => {}
                // ... or the subscription with an error that says why.
                Some(Err(failed)) => {
                    assert_eq!(failed.code(), ErrorCode::Protocol, "{what}: {failed}");
                    assert!(live.next_rows().await.is_none());
                    break;
                }
                None => panic!("{what}: ended without a word"),
            }
        }
    }
}

/// Readers decode changes themselves: what they find is as if it had been found on arrival.
#[tokio::test]
async fn a_broken_frame_loses_no_event() {
    for at in 0..broken("").len() {
        let server = Server::websocket(move |number, mut ws| async move {
            ws.welcome(true).await;
            let mut first = number == 1;
            while let Some((id, _, options)) = ws.subscribe().await {
                ws.ack(&id).await;
                // As a complete server: what was written after the cursor comes as changes.
                let from = options["from"].as_i64().unwrap_or(0);
                let snapshot: &[_] = if from == 0 { &[("a", 1, 1)] } else { &[] };
                ws.batch(&id, snapshot).await;
                for (row, seq) in [("b", 2), ("c", 3), ("d", 4)] {
                    if row == "c" && std::mem::take(&mut first) {
                        ws.send_raw(broken(&id).swap_remove(at).1).await;
                    }
                    if seq > from {
                        ws.insert(&id, (row, seq, seq)).await;
                    }
                }
            }
        })
        .await;
        let what = broken("")[at].0;
        let client = builder(&server.url).token("t").max_message_bytes(1 << 20).build().unwrap();
        let mut events = client.live_events(SQL).await.unwrap();
        let mut inserted = Vec::new();
        while inserted.last().is_none_or(|last| last != "d") {
            match events.next().await.unwrap_or_else(|| panic!("{what}: ended without a word")) {
                // Events have no key: one that is NULL is as good as another value.
                Ok(ChangeEvent::Insert { rows, .. }) => {
                    inserted.extend(rows[0]["id"].as_text().map(str::to_owned));
                }
                Ok(ChangeEvent::Ack { .. }) => inserted.clear(),
                Ok(_) => {}
                Err(failed) => panic!("{what}: {failed}"),
            }
        }
        assert_eq!(inserted, ["b", "c", "d"], "{what}");
    }
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_told() {
    let server = Server::websocket(|_, mut ws| async move {
        let id = ws.serve_one(&[("a", 1, 1)]).await;
        ws.insert(&id, (&"x".repeat(5000), 1, 5)).await;
        ws.until_closed().await;
    })
    .await;
    let client = builder(&server.url).token("t").max_message_bytes(4000).build().unwrap();
    let mut live = client.live(SQL).await.unwrap();
    let failed = loop {
        match live.next_rows().await.unwrap() {
            Ok(rows) => assert_eq!(rows.len(), 1),
            Err(failed) => break failed,
        }
    };
    assert_eq!(failed.code(), ErrorCode::Protocol, "{failed}");
    assert!(failed.message().contains("max_message_bytes"), "{failed}");
}

#[tokio::test]
async fn frames_for_nobody_are_ignored() {
    let server = Server::websocket(|_, mut ws| async move {
        ws.welcome(false).await;
        ws.insert("nobody", ("a", 1, 1)).await;
        ws.batch("nobody", &[("a", 1, 1)]).await;
        ws.ack("nobody").await;
        let Some((id, ..)) = ws.subscribe().await else { return };
        ws.ack(&id).await;
        ws.batch(&id, &[("a", 1, 1)]).await;
        ws.insert(&format!("x{id}"), ("b", 1, 1)).await;
        ws.insert(&id, ("c", 1, 2)).await;
        ws.until_closed().await;
    })
    .await;
    let client = client(&server.url);
    let mut live = client.live(SQL).await.unwrap();
    let rows = loop {
        let rows = live.next_rows().await.unwrap().unwrap();
        if rows.len() > 1 {
            break rows;
        }
    };
    assert_eq!(rows.iter().map(|r| r["id"].to_string()).collect::<Vec<_>>(), ["a", "c"]);
    assert_eq!(server.sockets(), 1);
}

/// The first connection is cut after every possible number of bytes from the server; the second is whole.
#[tokio::test]
async fn a_server_that_closes_at_any_byte() {
    let mut cut = 0;
    loop {
        let server = Server::cut_first_socket(cut, |_, mut ws| async move {
            let id = ws.serve_one(&[("a", 1, 1), ("b", 2, 2)]).await;
            ws.insert(&id, ("c", 3, 3)).await;
            ws.send_raw(Message::binary(gzip(insert_text(&id, ("d", 4, 4)).as_bytes()))).await;
            ws.until_closed().await;
        })
        .await;
        let client = client(&server.url);
        let mut live = client.live(SQL).await.unwrap();
        loop {
            let rows = live.next_rows().await.expect("open").unwrap_or_else(|e| panic!("cut at {cut}: {e}"));
            if rows.len() == 4 {
                break;
            }
        }
        if server.sockets() == 1 {
            break;
        }
        cut += 1;
    }
    assert!(cut > 500, "the whole exchange is longer than {cut} bytes");
}
