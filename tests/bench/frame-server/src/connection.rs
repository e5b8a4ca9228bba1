//! One client connection: a reader that parses commands and a writer that streams frames.

use std::io;
use std::sync::Arc;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use crate::messages::{ClientMessage, SubscriptionRequest, workload_of};
use crate::runs::{PACE, Runs};
use crate::subscription::{Batch, Subscription};
use crate::websocket::{Incoming, Reader, push_binary, push_close, push_pong, push_text};

/// Bytes assembled before they are written: large, so that the server spends less on a frame than any client.
const CHUNK: usize = 256 * 1024;
/// As at the real server.
const GZIP_FROM: usize = 512;

pub(crate) struct Settings {
    pub(crate) runs: Arc<Runs>,
    /// Sent in `auth_success` when set: the embedded server's announcement.
    pub(crate) announcement: Option<&'static str>,
    /// The most rows in a batch of a snapshot.
    pub(crate) batch_rows: usize,
}

/// Serves one WebSocket until either side ends it. `compression` is set when the upgrade request authenticated.
pub(crate) async fn serve<IO>(io: IO, settings: &Settings, compression: Option<bool>) -> io::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin,
{
    let (read, write) = tokio::io::split(io);
    let (sender, receiver) = mpsc::channel(64);
    let mut writer = Writer {
        io: write,
        settings,
        starts: settings.runs.watch_starts(),
        out: Vec::with_capacity(CHUNK + 4096),
        gzip: false,
        authenticated: false,
        subscriptions: Vec::new(),
    };
    if let Some(gzip) = compression {
        writer.authenticate(gzip);
    }
    tokio::select! {
        result = forward(Reader::new(read), sender) => result,
        result = writer.run(receiver) => result,
    }
}

/// Hands what the client sends to the writer; waits for the writer to end when the client has closed.
async fn forward<R: AsyncRead + Unpin>(
    mut reader: Reader<R>,
    sender: mpsc::Sender<Incoming>,
) -> io::Result<()> {
    while let Some(message) = reader.next().await? {
        let close = matches!(message, Incoming::Close);
        if sender.send(message).await.is_err() || close {
            return std::future::pending().await;
        }
    }
    Ok(())
}

struct Writer<'a, W> {
    io: W,
    settings: &'a Settings,
    starts: watch::Receiver<u64>,
    out: Vec<u8>,
    gzip: bool,
    authenticated: bool,
    subscriptions: Vec<Subscription>,
}

impl<W: AsyncWrite + Unpin> Writer<'_, W> {
    async fn run(&mut self, mut commands: mpsc::Receiver<Incoming>) -> io::Result<()> {
        loop {
            while let Ok(command) = commands.try_recv() {
                if !self.handle(command) {
                    return self.flush().await;
                }
            }
            self.starts.mark_unchanged();
            let paced = self.stream();
            if !self.out.is_empty() {
                self.flush().await?;
                continue;
            }
            let next_change =
                async { if paced { tokio::time::sleep(PACE).await } else { std::future::pending().await } };
            tokio::select! {
                command = commands.recv() => {
                    if !command.is_some_and(|command| self.handle(command)) {
                        return self.flush().await;
                    }
                }
                _ = self.starts.changed() => {}
                () = next_change => {}
            }
        }
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.io.write_all(&self.out).await?;
        self.io.flush().await?;
        self.out.clear();
        Ok(())
    }

    /// Appends changes that are due, the subscriptions taking turns; true if more of them will be due later.
    fn stream(&mut self) -> bool {
        let now = Instant::now();
        let share = CHUNK / self.subscriptions.len().max(1);
        let mut later = false;
        for subscription in &mut self.subscriptions {
            later |= subscription.append_changes(&mut self.out, share, now);
        }
        later
    }

    /// Whether the connection goes on.
    fn handle(&mut self, message: Incoming) -> bool {
        match message {
            Incoming::Ping(payload) => push_pong(&mut self.out, &payload),
            Incoming::Close => {
                push_close(&mut self.out, 1000);
                return false;
            }
            Incoming::Text(text) => match serde_json::from_slice(&text) {
                Ok(message) => return self.handle_message(message),
                Err(error) => {
                    eprintln!("frame-server: closing on a message that it does not know: {error}");
                    push_close(&mut self.out, 1011);
                    return false;
                }
            },
        }
        true
    }

    fn handle_message(&mut self, message: ClientMessage) -> bool {
        match message {
            ClientMessage::Authenticate { protocol } => self.authenticate(protocol.compression == "gzip"),
            ClientMessage::Ping => {}
            _ if !self.authenticated => {
                let error = r#"{"type":"error","subscription_id":"subscribe","code":"AUTH_REQUIRED","message":"Authenticate first"}"#;
                push_text(&mut self.out, &[error.as_bytes()]);
            }
            ClientMessage::Subscribe { subscription } => self.subscribe(subscription),
            ClientMessage::NextBatch { subscription_id, last_seq_id } => {
                if let Some(at) = self.position(&subscription_id) {
                    let batch = self.subscriptions[at].next_batch(last_seq_id);
                    self.push_batch(at, &batch);
                }
            }
            ClientMessage::Unsubscribe { subscription_id } => {
                self.subscriptions.retain(|subscription| subscription.id != subscription_id);
            }
        }
        true
    }

    fn authenticate(&mut self, gzip: bool) {
        (self.gzip, self.authenticated) = (gzip, true);
        let compression = if gzip { "gzip" } else { "none" };
        let server =
            self.settings.announcement.map(|server| format!(r#","server":{server}"#)).unwrap_or_default();
        let text = format!(
            r#"{{"type":"auth_success","user":"bench","role":"user","protocol":{{"serialization":"json","compression":"{compression}"}}{server}}}"#
        );
        push_text(&mut self.out, &[text.as_bytes()]);
    }

    fn position(&self, id: &str) -> Option<usize> {
        self.subscriptions.iter().position(|subscription| subscription.id == id)
    }

    fn subscribe(&mut self, request: SubscriptionRequest) {
        let spec = match workload_of(&request.sql) {
            Ok(spec) => spec,
            Err(message) => {
                let error = serde_json::json!({
                    "type": "error", "subscription_id": request.id, "code": "UNSUPPORTED", "message": message,
                });
                return push_text(&mut self.out, &[error.to_string().as_bytes()]);
            }
        };
        let run = self.settings.runs.prepare(spec);
        self.subscriptions.retain(|subscription| subscription.id != request.id);
        let (mut subscription, wants_snapshot) = Subscription::new(request, run, self.settings.batch_rows);
        let batch = subscription.first_batch();
        push_text(&mut self.out, &[subscription.acknowledgement(&batch).as_bytes()]);
        self.subscriptions.push(subscription);
        if wants_snapshot {
            self.push_batch(self.subscriptions.len() - 1, &batch);
        }
    }

    fn push_batch(&mut self, at: usize, batch: &Batch) {
        let subscription = &self.subscriptions[at];
        let pieces = subscription.batch_frame(batch);
        let pieces = [pieces.0.as_bytes(), subscription.rows(batch), pieces.1.as_bytes()];
        let length: usize = pieces.iter().map(|piece| piece.len()).sum();
        if !(self.gzip && subscription.compresses() && length >= GZIP_FROM) {
            return push_text(&mut self.out, &pieces);
        }
        // Writing into a Vec can not fail.
        let mut encoder = GzEncoder::new(Vec::with_capacity(length / 4), Compression::fast());
        let written = pieces.iter().try_for_each(|piece| io::Write::write_all(&mut encoder, piece));
        if let Ok(compressed) = written.and_then(|()| encoder.finish()) {
            push_binary(&mut self.out, &compressed);
        }
    }
}
