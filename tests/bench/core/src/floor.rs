//! The raw floor: read each frame and skip over its JSON. No client that understands its frames can be faster.

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::control::{Failure, Stopwatch, Workload, merged};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

#[derive(Deserialize)]
struct Batch {
    batch_control: BatchControl,
}

#[derive(Deserialize)]
struct BatchControl {
    has_more: bool,
    last_seq_id: Option<i64>,
}

pub(crate) async fn events(workload: &Workload) -> Result<Value, Failure> {
    let mut socket = open(&workload.url).await?;
    skip(&next_text(&mut socket).await?)?; // auth_success
    let loading = Stopwatch::start()?;
    let batches = load(&mut socket, "bench-1", &workload.sql(), &mut |_| ()).await?;
    let loaded = loading.stop()?;
    let stopwatch = workload.go()?;
    for _ in 1..workload.changes {
        skip(&next_text(&mut socket).await?)?;
    }
    let last = next_text(&mut socket).await?;
    skip(&last)?;
    if !last.contains(&workload.final_seq.to_string()) {
        return Err(format!("the last frame is not the last change: {last}").into());
    }
    let snapshot = json!({"snapshot_seconds": loaded["seconds"], "batches": batches, "rows": workload.rows});
    Ok(merged([stopwatch.stop()?, snapshot, json!({"changes": workload.changes})]))
}

async fn open(url: &str) -> Result<Socket, Failure> {
    let mut request =
        format!("{}/v1/ws?compression=none", url.replacen("http", "ws", 1)).into_client_request()?;
    request.headers_mut().insert("authorization", HeaderValue::from_static("Bearer bench-token"));
    let (socket, _) = connect_async(request).await?;
    Ok(socket)
}

/// All frames of a workload in order, as they go to a subscription with this id: greeting, acknowledgement, snapshot and
/// changes.
pub(crate) async fn record(workload: &Workload, id: &str) -> Result<Vec<Utf8Bytes>, Failure> {
    let mut frames = Vec::new();
    let mut socket = open(&workload.url).await?;
    frames.push(next_text(&mut socket).await?);
    load(&mut socket, id, &workload.sql(), &mut |frame| frames.push(frame)).await?;
    workload.go()?;
    for _ in 0..workload.changes {
        frames.push(next_text(&mut socket).await?);
    }
    Ok(frames)
}

/// Subscribes and reads the snapshot to its end; returns the number of its batches.
async fn load(
    socket: &mut Socket,
    id: &str,
    sql: &str,
    seen: &mut dyn FnMut(Utf8Bytes),
) -> Result<u32, Failure> {
    let options = json!({"batch_size": 1000});
    let subscription = json!({"id": id, "sql": sql, "options": options});
    send(socket, json!({"type": "subscribe", "subscription": subscription})).await?;
    let acknowledgement = next_text(socket).await?;
    skip(&acknowledgement)?;
    seen(acknowledgement);
    let mut batches = 1;
    loop {
        let text = next_text(socket).await?;
        let BatchControl { has_more, last_seq_id } = serde_json::from_str::<Batch>(&text)?.batch_control;
        seen(text);
        if !has_more {
            return Ok(batches);
        }
        batches += 1;
        send(socket, json!({"type": "next_batch", "subscription_id": id, "last_seq_id": last_seq_id}))
            .await?;
    }
}

async fn send(socket: &mut Socket, message: Value) -> Result<(), Failure> {
    Ok(socket.send(Message::text(message.to_string())).await?)
}

async fn next_text(socket: &mut Socket) -> Result<Utf8Bytes, Failure> {
    match socket.next().await {
        Some(Ok(Message::Text(text))) => Ok(text),
        Some(Ok(other)) => Err(format!("unexpected message: {other:?}").into()),
        Some(Err(error)) => Err(error.into()),
        None => Err("the frame server closed the socket".into()),
    }
}

fn skip(text: &str) -> Result<(), Failure> {
    serde_json::from_str::<IgnoredAny>(text)?;
    Ok(())
}
