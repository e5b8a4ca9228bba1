//! Frames as MessagePack (`wire/msgpack_wire.jsonl`).

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::support::{Server, Ws, insert, table};

/// The next frame, and whether it was JSON.
async fn frame(ws: &mut Ws) -> (Value, bool) {
    match ws.message().await {
        Message::Text(text) => (serde_json::from_str(&text).unwrap(), true),
        Message::Binary(bytes) if bytes.starts_with(&[0x1f, 0x8b]) => {
            let gzip = flate2::read::GzDecoder::new(&bytes[..]);
            (rmp_serde::from_read(gzip).unwrap(), false)
        }
        Message::Binary(bytes) => (rmp_serde::from_slice(&bytes).unwrap(), false),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn all_frames_but_authentication_are_messagepack() {
    let server = Server::start().await;
    table(&server, "USER").await;
    server.sql(&insert(0..50, "a text of some length")).await;
    for compression in ["none", "gzip"] {
        let mut ws = Ws::open(server.port(), "/v1/ws", None).await;
        let protocol = json!({ "serialization": "msgpack", "compression": compression });
        let authenticate =
            json!({ "type": "authenticate", "method": "jwt", "token": server.root, "protocol": protocol });
        ws.send(&authenticate).await;
        let (first, is_json) = frame(&mut ws).await;
        assert!(is_json && first["protocol"] == protocol, "{first}");
        ws.subscribe("m", "SELECT * FROM app.t", json!({ "batch_size": 30 })).await;
        for (kind, rows) in [("subscription_ack", 0), ("initial_data_batch", 30)] {
            let (got, is_json) = frame(&mut ws).await;
            assert!(!is_json && got["type"] == kind, "{got}");
            assert_eq!(got["rows"].as_array().map_or(0, Vec::len), rows);
        }
        ws.send(&json!({ "type": "next_batch", "subscription_id": "m" })).await;
        let (last, _) = frame(&mut ws).await;
        assert_eq!(
            (last["rows"].as_array().unwrap().len(), &last["batch_control"]["has_more"]),
            (20, &json!(false))
        );
        server.sql("UPDATE app.t SET v = NULL WHERE id = 3").await;
        let (change, is_json) = frame(&mut ws).await;
        assert!(!is_json);
        assert_eq!((&change["change_type"], &change["rows"][0]["id"]), (&json!("update"), &json!(3)));
        server.sql("UPDATE app.t SET v = 'back' WHERE id = 3").await;
        frame(&mut ws).await;
        ws.subscribe("n", "SELECT nothing FROM app.t", json!({})).await;
        let (error, is_json) = frame(&mut ws).await;
        assert!(!is_json && error["type"] == "error", "{error}");
    }
    let mut ws = Ws::open(server.port(), "/v1/ws?serialization=msgpack", Some(&server.root)).await;
    assert!(frame(&mut ws).await.1);
    ws.subscribe("m", "SELECT id FROM app.t", json!({})).await;
    assert!(!frame(&mut ws).await.1);
}
