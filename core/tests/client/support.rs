//! A server that says what a test tells it to, on a loopback port of its own.

use std::future::Future;
use std::io::Cursor;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures_util::{SinkExt, Stream};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// An HTTP request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    /// Number of the TCP connection, from 1.
    pub(crate) connection: usize,
    pub(crate) path: String,
    /// As received, with lower-case names.
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Request {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")))
    }

    pub(crate) fn sql(&self) -> String {
        let body: Json = serde_json::from_str(&self.body).expect("a JSON body");
        body["sql"].as_str().expect("sql").to_owned()
    }
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Json(u16, Json),
    Text(u16, String),
    /// These bytes, then the end of the connection.
    Raw(Vec<u8>),
    /// The end of the connection.
    Nothing,
    /// No answer; the connection stays.
    Silence,
}

/// A success with one statement's result. As text: the real server sends the schema before the rows.
pub(crate) fn rows(schema: Json, rows: Json) -> Answer {
    let count = rows.as_array().map_or(0, Vec::len);
    Answer::Text(
        200,
        format!(
            r#"{{"status":"success","results":[{{"schema":{schema},"rows":{rows},"row_count":{count},"as_user":"root"}}],"took":0.1}}"#
        ),
    )
}

pub(crate) fn done(row_count: u64) -> Answer {
    Answer::Json(
        200,
        json!({"status": "success", "took": 0.1,
               "results": [{"row_count": row_count, "message": "done", "as_user": "root"}]}),
    )
}

pub(crate) fn error(status: u16, code: &str, message: &str) -> Answer {
    Answer::Json(
        status,
        json!({"status": "error", "results": [], "took": 0.1, "error": {"code": code, "message": message}}),
    )
}

pub(crate) fn login(token: &str) -> Answer {
    Answer::Json(
        200,
        json!({"user": {"id": "alice", "role": "user"}, "admin_ui_access": false,
               "expires_at": "2030-01-01T00:00:00Z", "access_token": token, "refresh_token": format!("refresh-{token}")}),
    )
}

type Handler = Arc<dyn Fn(Request) -> Answer + Send + Sync>;
type Script = Arc<dyn Fn(usize, Ws) -> Pin<Box<dyn Future<Output = ()> + Send>> + Send + Sync>;

/// Runs until it is dropped.
pub(crate) struct Server {
    pub(crate) url: String,
    requests: Arc<Mutex<Vec<Request>>>,
    sockets: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    /// `http` answers requests; `script` talks on each WebSocket, which ends with it.
    pub(crate) async fn start<F: Future<Output = ()> + Send + 'static>(
        http: impl Fn(Request) -> Answer + Send + Sync + 'static,
        script: impl Fn(usize, Ws) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::serve(None, None, Arc::new(http), Arc::new(move |n, ws| Box::pin(script(n, ws)))).await
    }

    /// Only a WebSocket, the first of which ends after so many bytes from the server.
    pub(crate) async fn cut_first_socket<F: Future<Output = ()> + Send + 'static>(
        bytes: usize,
        script: impl Fn(usize, Ws) -> F + Send + Sync + 'static,
    ) -> Self {
        let http = |_| error(500, "INTERNAL_ERROR", "no HTTP here");
        Self::serve(None, Some(bytes), Arc::new(http), Arc::new(move |n, ws| Box::pin(script(n, ws)))).await
    }

    /// Only HTTP; a WebSocket ends at once.
    pub(crate) async fn http(http: impl Fn(Request) -> Answer + Send + Sync + 'static) -> Self {
        Self::start(http, |_, _| async {}).await
    }

    /// Only a WebSocket; requests are refused.
    pub(crate) async fn websocket<F: Future<Output = ()> + Send + 'static>(
        script: impl Fn(usize, Ws) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::start(|_| error(500, "INTERNAL_ERROR", "no HTTP here"), script).await
    }

    /// The same behind TLS.
    pub(crate) async fn tls<F: Future<Output = ()> + Send + 'static>(
        config: Arc<rustls::ServerConfig>,
        http: impl Fn(Request) -> Answer + Send + Sync + 'static,
        script: impl Fn(usize, Ws) -> F + Send + Sync + 'static,
    ) -> Self {
        Self::serve(Some(config), None, Arc::new(http), Arc::new(move |n, ws| Box::pin(script(n, ws)))).await
    }

    async fn serve(
        tls: Option<Arc<rustls::ServerConfig>>,
        cut_first: Option<usize>,
        http: Handler,
        script: Script,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let scheme = if tls.is_some() { "https" } else { "http" };
        let requests = Arc::new(Mutex::new(Vec::new()));
        let sockets = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn({
            let (requests, sockets) = (requests.clone(), sockets.clone());
            async move {
                let mut number = 0;
                while let Ok((tcp, _)) = listener.accept().await {
                    number += 1;
                    let shared = Shared {
                        number,
                        tls: tls.clone(),
                        cut_first,
                        http: http.clone(),
                        script: script.clone(),
                        requests: requests.clone(),
                        sockets: sockets.clone(),
                    };
                    tokio::spawn(connection(tcp, shared));
                }
            }
        });
        Self { url: format!("{scheme}://localhost:{port}"), requests, sockets, task }
    }

    /// What came in by HTTP.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How many WebSockets were opened.
    pub(crate) fn sockets(&self) -> usize {
        self.sockets.load(Ordering::SeqCst)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Shared {
    number: usize,
    tls: Option<Arc<rustls::ServerConfig>>,
    cut_first: Option<usize>,
    http: Handler,
    script: Script,
    requests: Arc<Mutex<Vec<Request>>>,
    sockets: Arc<AtomicUsize>,
}

async fn connection(tcp: TcpStream, shared: Shared) {
    let Shared { number: connection, tls, cut_first, http, script, requests, sockets } = shared;
    tcp.set_nodelay(true).expect("nodelay");
    let mut stream: Box<dyn Io> = match tls {
        None => Box::new(tcp),
        Some(config) => match tokio_rustls::TlsAcceptor::from(config).accept(tcp).await {
            Ok(stream) => Box::new(stream),
            Err(_) => return,
        },
    };
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            match stream.read_u8().await {
                Ok(byte) if head.is_empty() && !byte.is_ascii_uppercase() => {
                    // TLS perhaps; no HTTP.
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").await;
                    return;
                }
                Ok(byte) => head.push(byte),
                Err(_) => return,
            }
        }
        let text = String::from_utf8(head.clone()).expect("an ASCII head");
        let mut lines = text.lines();
        let path = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a request line").to_owned();
        let head_lines: Vec<String> = lines
            .map(|line| match line.split_once(':') {
                Some((name, value)) => format!("{}:{value}", name.to_ascii_lowercase()),
                None => line.to_owned(),
            })
            .collect();
        let mut request = Request { connection, path, head: head_lines.join("\n"), body: String::new() };
        if request.header("upgrade").is_some() {
            requests.lock().unwrap().push(request);
            let number = sockets.fetch_add(1, Ordering::SeqCst) + 1;
            let left = if number == 1 { cut_first } else { None };
            let (read, write) = tokio::io::split(Cut { inner: stream, left: left.unwrap_or(usize::MAX) });
            let stream: Box<dyn Io> = Box::new(tokio::io::join(Cursor::new(head).chain(read), write));
            if let Ok(socket) = tokio_tungstenite::accept_async(stream).await {
                script(number, Ws(socket)).await;
            }
            return;
        }
        let length = request.header("content-length").and_then(|n| n.parse().ok()).unwrap_or(0);
        let mut body = vec![0; length];
        if stream.read_exact(&mut body).await.is_err() {
            return;
        }
        request.body = String::from_utf8(body).expect("a UTF-8 body");
        requests.lock().unwrap().push(request.clone());
        let answer = match http(request) {
            Answer::Json(status, body) => Answer::Text(status, body.to_string()),
            other => other,
        };
        match answer {
            Answer::Json(..) => unreachable!("it is text by now"),
            Answer::Text(status, body) => {
                let head = format!(
                    "HTTP/1.1 {status} X\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
                    body.len()
                );
                if stream.write_all((head + &body).as_bytes()).await.is_err() {
                    return;
                }
            }
            Answer::Raw(bytes) => {
                let _ = stream.write_all(&bytes).await;
                let _ = stream.shutdown().await;
                return;
            }
            Answer::Nothing => return,
            Answer::Silence => std::future::pending().await,
        }
    }
}

/// A stream that ends, both ways, once so many bytes were written.
struct Cut {
    inner: Box<dyn Io>,
    left: usize,
}

impl AsyncRead for Cut {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.left == 0 { Poll::Ready(Ok(())) } else { Pin::new(&mut self.inner).poll_read(cx, buf) }
    }
}

impl AsyncWrite for Cut {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        if self.left == 0 {
            return Poll::Ready(Err(std::io::ErrorKind::BrokenPipe.into()));
        }
        let most = buf.len().min(self.left);
        let written = std::task::ready!(Pin::new(&mut self.inner).poll_write(cx, &buf[..most]))?;
        self.left -= written;
        Poll::Ready(Ok(written))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}

/// The server's end of a WebSocket.
pub(crate) struct Ws(WebSocketStream<Box<dyn Io>>);

impl Ws {
    /// The next JSON message; `None` at the end. Pings are answered and skipped.
    pub(crate) async fn receive(&mut self) -> Option<Json> {
        loop {
            let next = std::future::poll_fn(|cx| Pin::new(&mut self.0).poll_next(cx)).await?;
            match next.ok()? {
                Message::Text(text) => {
                    return Some(serde_json::from_str(&text).expect("JSON from the client"));
                }
                Message::Close(_) => return None,
                _ => {}
            }
        }
    }

    /// Waits for the end, answering pings.
    pub(crate) async fn until_closed(&mut self) {
        while self.receive().await.is_some() {}
    }

    pub(crate) async fn send(&mut self, frame: Json) {
        self.send_raw(Message::text(frame.to_string())).await;
    }

    pub(crate) async fn send_raw(&mut self, message: Message) {
        // The client may be gone, which some tests want.
        let _ = self.0.send(message).await;
    }

    /// Queues without flushing, for many frames at once.
    pub(crate) async fn feed(&mut self, frame: &str) {
        let _ = self.0.feed(Message::text(frame)).await;
    }

    pub(crate) async fn flush(&mut self) {
        let _ = self.0.flush().await;
    }

    pub(crate) async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        let _ = self.0.close(Some(frame)).await;
        self.until_closed().await;
    }

    /// `auth_success`, of a KalamDB, or of a server that announces itself complete.
    pub(crate) async fn welcome(&mut self, complete: bool) {
        let mut frame = json!({"type": "auth_success", "user": "alice", "role": "user",
                               "protocol": {"serialization": "json", "compression": "gzip"}});
        if complete {
            frame["server"] = json!({"name": "scripted", "version": "0", "complete": true,
                                     "limits": {"messages_per_second": 1000}});
        }
        self.send(frame).await;
    }

    /// Waits for a subscribe; its id, SQL and options.
    pub(crate) async fn subscribe(&mut self) -> Option<(String, String, Json)> {
        loop {
            let frame = self.receive().await?;
            if frame["type"] == "subscribe" {
                let subscription = &frame["subscription"];
                let text = |name: &str| subscription[name].as_str().expect(name).to_owned();
                return Some((text("id"), text("sql"), subscription["options"].clone()));
            }
        }
    }

    /// Acknowledges a subscription to `id TEXT PRIMARY KEY, n INT`.
    pub(crate) async fn ack(&mut self, id: &str) {
        self.send(json!({"type": "subscription_ack", "subscription_id": id, "total_rows": 0,
                         "batch_control": {"batch_num": 0, "has_more": false, "status": "ready", "last_seq_id": null},
                         "schema": schema()}))
            .await;
    }

    /// The only page of a snapshot, of rows `(id, n, seq)`.
    pub(crate) async fn batch(&mut self, id: &str, rows: &[(&str, i64, i64)]) {
        let last = rows.iter().map(|row| row.2).max();
        let rows: Vec<Json> = rows.iter().map(|row| row_json(*row)).collect();
        self.send(json!({"type": "initial_data_batch", "subscription_id": id, "rows": rows,
                         "batch_control": {"batch_num": 0, "has_more": false, "status": "ready", "last_seq_id": last}}))
            .await;
    }

    /// Welcome, one subscribe, its ack and snapshot.
    pub(crate) async fn serve_one(&mut self, rows: &[(&str, i64, i64)]) -> String {
        self.welcome(true).await;
        let Some((id, ..)) = self.subscribe().await else { return String::new() };
        self.ack(&id).await;
        self.batch(&id, rows).await;
        id
    }

    pub(crate) async fn insert(&mut self, id: &str, row: (&str, i64, i64)) {
        self.send_raw(Message::text(insert_text(id, row))).await;
    }
}

pub(crate) fn schema() -> Json {
    json!([{"name": "id", "data_type": "Text", "index": 0, "flags": ["pk", "nn", "uq"]},
           {"name": "n", "data_type": "Int", "index": 1}])
}

pub(crate) fn row_json((id, n, seq): (&str, i64, i64)) -> Json {
    json!({"id": id, "n": n, "_seq": seq.to_string()})
}

pub(crate) fn insert_text(id: &str, row: (&str, i64, i64)) -> String {
    json!({"type": "change", "subscription_id": id, "change_type": "insert", "rows": [row_json(row)]})
        .to_string()
}

/// An update of `n`; `None` sets it to NULL.
pub(crate) fn update_text(id: &str, row: &str, n: Option<i64>, seq: i64) -> String {
    let mut new = json!({"id": row, "_seq": seq.to_string()});
    if let Some(n) = n {
        new["n"] = n.into();
    }
    json!({"type": "change", "subscription_id": id, "change_type": "update", "rows": [new],
           "old_values": [{"id": row, "_seq": "1", "n": 0}]})
    .to_string()
}

pub(crate) fn delete_text(id: &str, row: (&str, i64, i64)) -> String {
    json!({"type": "change", "subscription_id": id, "change_type": "delete", "old_values": [row_json(row)]})
        .to_string()
}
