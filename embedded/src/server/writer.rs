//! The task that writes one WebSocket: takes what is queued, compresses it, sends it, and says goodbye.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket};
use flate2::Compression;
use flate2::write::GzEncoder;
use futures_util::SinkExt;
use futures_util::stream::SplitSink;
use tokio::sync::watch;
use tokio::time::timeout;

use super::client_frame::Encoding;
use super::msgpack;
use super::outbox::{Closing, Frame, Next, Outbox};
use super::server_frame::{AUTH_START, COMPRESS_FROM};

/// A client that takes nothing for so long is gone.
const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that fell behind gets so long to take the close frame.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// From here on compressing takes long enough to be in the way of other connections.
const COMPRESS_ASIDE_FROM: usize = 64 << 10;

/// Bytes of a close reason that fit into a control frame.
const CLOSE_REASON_BYTES: usize = 123;

/// Writes until the connection is closed or broken.
pub(crate) async fn run(
    mut sink: SplitSink<WebSocket, Message>,
    outbox: Arc<Outbox>,
    encoding: watch::Receiver<Encoding>,
) {
    loop {
        match outbox.next().await {
            Next::Frames(frames) => {
                let written = tokio::select! {
                    // Mostly it is written at once, and nothing else has to be looked at.
                    biased;
                    written = write(&mut sink, &frames, &encoding) => written,
                    () = outbox.overflow() => continue,
                };
                outbox.release(&frames);
                if written.is_err() {
                    // No close frame would get through.
                    outbox.close(1006, "Connection lost");
                    return;
                }
            }
            Next::Close(Closing { code, reason }) => {
                let reason = Utf8Bytes::from(shortened(reason));
                let close = sink.send(Message::Close(Some(CloseFrame { code, reason })));
                if !matches!(timeout(CLOSE_TIMEOUT, close).await, Ok(Ok(()))) {
                    tracing::debug!(code, "the close frame was not taken");
                }
                return;
            }
        }
    }
}

/// The connection broke, or the client takes nothing.
struct Lost;

async fn write(
    sink: &mut SplitSink<WebSocket, Message>,
    frames: &[Frame],
    encoding: &watch::Receiver<Encoding>,
) -> Result<(), Lost> {
    for frame in frames {
        let text = match frame {
            Frame::Whole(text) => text.clone(),
            Frame::Change { head, tail } => [&**head, &**tail].concat().into(),
        };
        let Encoding { gzip, msgpack } = *encoding.borrow();
        let message = if msgpack && !text.starts_with(AUTH_START) {
            let bytes = msgpack::from_json(&text);
            let gzip = gzip && bytes.len() >= COMPRESS_FROM;
            Message::Binary(if gzip { compressed(&bytes).into() } else { bytes.into() })
        } else if text.len() < COMPRESS_FROM || !gzip {
            Message::Text(text)
        } else if text.len() < COMPRESS_ASIDE_FROM {
            Message::Binary(compressed(text.as_bytes()).into())
        } else {
            let aside = tokio::task::spawn_blocking(move || compressed(text.as_bytes()));
            Message::Binary(aside.await.map_err(|_| Lost)?.into())
        };
        in_time(sink.feed(message)).await?;
    }
    in_time(sink.flush()).await
}

async fn in_time(sent: impl Future<Output = Result<(), axum::Error>>) -> Result<(), Lost> {
    match timeout(WRITE_TIMEOUT, sent).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(Lost),
    }
}

fn compressed(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::with_capacity(bytes.len() / 4), Compression::fast());
    let written = encoder.write_all(bytes);
    written.and_then(|()| encoder.finish()).expect("a vector takes all that is written")
}

fn shortened(mut reason: String) -> String {
    if reason.len() > CLOSE_REASON_BYTES {
        let end = (0..=CLOSE_REASON_BYTES).rev().find(|&end| reason.is_char_boundary(end));
        reason.truncate(end.unwrap_or(0));
    }
    reason
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn a_compressed_frame_is_one_gzip_member() {
        let text = "departures ".repeat(100);
        let compressed = compressed(text.as_bytes());
        assert!(compressed.len() < text.len() / 4);
        let mut back = String::new();
        flate2::read::GzDecoder::new(&compressed[..]).read_to_string(&mut back).unwrap();
        assert_eq!(back, text);
    }

    #[test]
    fn a_close_reason_fits_and_stays_text() {
        assert_eq!(shortened("short".into()), "short");
        assert_eq!(shortened("x".repeat(200)).len(), CLOSE_REASON_BYTES);
        assert_eq!(shortened("é".repeat(100)), "é".repeat(61));
    }
}
