//! 2,000 connections with one live query each on one SHARED table, and 20 writes a second.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::{SinkExt, StreamExt};
use serde_json::json;
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use crate::http::Connection;
use crate::server::Server;
use crate::statistics::{millis, percentile};
use crate::{Failure, Line, Options};

const WRITES_PER_SECOND: u32 = 20;
/// More than the server would need if it could: a delivery that has not come by then is missing.
const PATIENCE: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

pub(crate) async fn run(options: &Options) -> Result<Vec<Line>, Failure> {
    let (connections, writes) = if options.quick { (100, 10) } else { (2_000, 200) };
    let mut lines = Vec::new();
    for distinct in [false, true] {
        lines.push(measure(options, connections, writes, distinct).await?);
    }
    Ok(lines)
}

async fn measure(
    options: &Options,
    connections: usize,
    writes: usize,
    distinct: bool,
) -> Result<Line, Failure> {
    let server = Server::start(&options.server, None).await?;
    server
        .sql("CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY, room TEXT, body TEXT)")
        .await?;
    let began = Instant::now();
    let subscribed = Arc::new(AtomicUsize::new(0));
    let mut readers = Vec::new();
    for number in 0..connections {
        // Each lets all rows pass, which the server does not know of the distinct ones.
        let filter =
            if distinct { format!("id >= {}", -(number as i64)) } else { "room = 'main'".to_owned() };
        let socket = open(&server, &format!("SELECT id, room, body FROM app.t WHERE {filter}")).await?;
        subscribed.fetch_add(1, Ordering::Relaxed);
        readers.push(tokio::spawn(read(socket, began, writes)));
    }
    let cpu = server.cpu()?;
    let mut writer = Connection::open(server.port).await?;
    let mut ticks = tokio::time::interval(Duration::from_secs(1) / WRITES_PER_SECOND);
    for id in 0..writes {
        ticks.tick().await;
        let body = format!(
            r#"{{"sql":"INSERT INTO app.t (id, room, body) VALUES ($1, $2, $3)","params":[{id},"main","{}."]}}"#,
            began.elapsed().as_micros()
        );
        writer.post("/v1/api/sql", &server.token, &body).await?;
    }
    let mut times = Vec::new();
    for reader in readers {
        times.extend(reader.await??);
    }
    let memory = server.peak_memory()?;
    let cpu = (server.cpu()? - cpu).as_micros() / times.len() as u128;
    let kind = if distinct { "a filter of its own each" } else { "the same filter" };
    Ok(Line {
        what: format!(
            "{connections} connections, one live query each, {kind}, {WRITES_PER_SECOND} writes/s ({} deliveries)",
            times.len()
        ),
        got: format!(
            "all delivered, median {}, p99 {}, worst {}; server {cpu} us a delivery, {} MB",
            millis(percentile(&mut times, 0.5)),
            millis(percentile(&mut times, 0.99)),
            millis(percentile(&mut times, 1.0)),
            memory >> 20
        ),
        wanted: "all, p99 under 250 ms, under 600 MB",
    })
}

async fn open(server: &Server, sql: &str) -> Result<Socket, Failure> {
    let mut request = format!("ws://127.0.0.1:{}/v1/ws", server.port).into_client_request()?;
    request.headers_mut().insert("authorization", format!("Bearer {}", server.token).parse()?);
    let (mut socket, _) = connect_async(request).await?;
    let subscription = json!({ "id": "s", "sql": sql, "options": {} });
    socket
        .send(Message::text(json!({ "type": "subscribe", "subscription": subscription }).to_string()))
        .await?;
    // auth_success, subscription_ack, the empty snapshot
    for _ in 0..3 {
        socket.next().await.ok_or("the socket was closed")??;
    }
    Ok(socket)
}

/// Reads all changes, each once and in order, and how long each took.
async fn read(mut socket: Socket, began: Instant, many: usize) -> Result<Vec<Duration>, Failure> {
    let mut times = Vec::with_capacity(many);
    let mut pings = tokio::time::interval(Duration::from_secs(4));
    while times.len() < many {
        tokio::select! {
            message = tokio::time::timeout(PATIENCE, socket.next()) => {
                let message = message.map_err(|_| format!("{} of {many} changes came", times.len()))?;
                let Message::Text(text) = message.ok_or("the socket was closed")?? else { continue };
                let now = began.elapsed();
                if number(&text, "\"id\":\"") != Some(times.len() as u64) {
                    return Err(format!("change {} is {text}", times.len()).into());
                }
                let sent = number(&text, "\"body\":\"").ok_or("a change without a time")?;
                times.push(now.saturating_sub(Duration::from_micros(sent)));
            }
            _ = pings.tick() => socket.send(Message::Ping(Default::default())).await?,
        }
    }
    Ok(times)
}

/// The digits that follow `name`. Parsing the JSON would take the cores that are to be measured.
fn number(text: &str, name: &str) -> Option<u64> {
    let rest = &text[text.find(name)? + name.len()..];
    rest[..rest.find(|c: char| !c.is_ascii_digit())?].parse().ok()
}
