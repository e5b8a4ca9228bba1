//! A WebSocket client that reads frames as JSON.

use std::io::Read;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::PATIENCE;

pub(crate) struct Ws {
    stream: WebSocketStream<MaybeTlsStream<TcpStream>>,
    /// Whether the last frame came compressed.
    pub(crate) compressed: bool,
}

/// What came next.
#[derive(Debug, PartialEq)]
pub(crate) enum Got {
    Frame(Value),
    Close(u16, String),
    /// The connection ended without a close frame.
    Lost,
}

impl Ws {
    pub(crate) async fn open(port: u16, path: &str, token: Option<&str>) -> Self {
        Self::try_open(port, path, token).await.expect("an upgrade")
    }

    pub(crate) async fn try_open(port: u16, path: &str, token: Option<&str>) -> Result<Self, Error> {
        let header = token.map(|token| ("authorization", format!("Bearer {token}")));
        Self::try_open_with(port, path, header).await
    }

    /// As a browser of 0.8: the token is in the name of the sub-protocol, which the server must take up.
    pub(crate) async fn try_open_as_browser(port: u16, token: &str) -> Result<Self, Error> {
        let protocol = format!("kalamdb.jwt.{token}");
        Self::try_open_with(port, "/v1/ws", Some(("sec-websocket-protocol", protocol))).await
    }

    async fn try_open_with(
        port: u16,
        path: &str,
        header: Option<(&'static str, String)>,
    ) -> Result<Self, Error> {
        let mut request = format!("ws://127.0.0.1:{port}{path}").into_client_request()?;
        if let Some((name, value)) = header {
            request.headers_mut().insert(name, value.parse().expect("a header value"));
        }
        let (stream, _) = timeout(PATIENCE, connect_async(request)).await.expect("an upgrade in time")?;
        Ok(Self { stream, compressed: false })
    }

    pub(crate) async fn send(&mut self, frame: &Value) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        self.try_send(message).await.expect("a message is sent");
    }

    pub(crate) async fn try_send(&mut self, message: Message) -> Result<(), Error> {
        timeout(PATIENCE, self.stream.send(message)).await.expect("a message is sent in time")
    }

    pub(crate) async fn authenticate(&mut self, token: &str) {
        self.send(&json!({ "type": "authenticate", "method": "jwt", "token": token })).await;
    }

    pub(crate) async fn subscribe(&mut self, id: &str, sql: &str, options: Value) {
        let subscription = json!({ "id": id, "sql": sql, "options": options });
        self.send(&json!({ "type": "subscribe", "subscription": subscription })).await;
    }

    /// The next message that holds data, as it came.
    pub(crate) async fn message(&mut self) -> Message {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await.expect("a frame in time");
            match message.expect("no end").expect("no error") {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }

    pub(crate) async fn next(&mut self) -> Got {
        loop {
            let message = timeout(PATIENCE, self.stream.next()).await.expect("a frame in time");
            let text = match message {
                Some(Ok(Message::Text(text))) => {
                    self.compressed = false;
                    text.as_str().to_owned()
                }
                Some(Ok(Message::Binary(bytes))) if !bytes.starts_with(&[0x1f, 0x8b]) => {
                    self.compressed = false;
                    return Got::Frame(rmp_serde::from_slice(&bytes).expect("a MessagePack frame"));
                }
                Some(Ok(Message::Binary(bytes))) => {
                    self.compressed = true;
                    let mut text = String::new();
                    let mut decoder = flate2::read::GzDecoder::new(&bytes[..]);
                    decoder.read_to_string(&mut text).expect("a gzip frame");
                    text
                }
                Some(Ok(Message::Close(Some(close)))) => {
                    return Got::Close(close.code.into(), close.reason.as_str().to_owned());
                }
                Some(Ok(Message::Close(None))) | Some(Err(_)) | None => return Got::Lost,
                Some(Ok(_)) => continue,
            };
            return Got::Frame(serde_json::from_str(&text).expect("a JSON frame"));
        }
    }

    /// The next frame, which must not be the end.
    pub(crate) async fn frame(&mut self) -> Value {
        match self.next().await {
            Got::Frame(frame) => frame,
            end => panic!("{end:?} instead of a frame"),
        }
    }

    /// The next frame that is a change.
    pub(crate) async fn change(&mut self) -> Value {
        let frame = self.frame().await;
        assert_eq!(frame["type"], "change", "{frame}");
        frame
    }

    /// Reads until the connection ends.
    pub(crate) async fn end(&mut self) -> Got {
        loop {
            match self.next().await {
                Got::Frame(_) => {}
                end => return end,
            }
        }
    }

    /// Subscribes and reads the whole snapshot, batch by batch.
    pub(crate) async fn snapshot(&mut self, id: &str, sql: &str, options: Value) -> Vec<Value> {
        self.subscribe(id, sql, options).await;
        let ack = self.frame().await;
        assert_eq!(ack["type"], "subscription_ack", "{ack}");
        let mut rows = Vec::new();
        loop {
            let batch = self.frame().await;
            assert_eq!(batch["type"], "initial_data_batch", "{batch}");
            rows.extend(batch["rows"].as_array().expect("rows").clone());
            if batch["batch_control"]["has_more"] == false {
                return rows;
            }
            let last = &batch["batch_control"]["last_seq_id"];
            self.send(&json!({ "type": "next_batch", "subscription_id": id, "last_seq_id": last })).await;
        }
    }
}

/// `error` frame of this id and code.
pub(crate) fn is_error(frame: &Value, id: &str, code: &str) -> bool {
    frame["type"] == "error" && frame["subscription_id"] == id && frame["code"] == code
}
