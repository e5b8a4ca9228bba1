//! An open WebSocket, driven by polling: reading, an outbox, closing.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream};
use tokio_tungstenite::tungstenite::error::CapacityError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};

use super::link::Socket;
use super::network::root_cause;
use crate::error::{Error, ErrorCode};
use crate::machine::LinkEnd;

/// How long the other side may take to answer a close frame.
const CLOSE_WAIT: Duration = Duration::from_secs(1);

/// An open link.
pub(crate) struct OpenSocket {
    socket: Socket,
    outbox: VecDeque<Message>,
    /// Whether something was handed to the socket that may not have left yet.
    dirty: bool,
}

impl OpenSocket {
    pub(crate) fn new(socket: Socket) -> Self {
        Self { socket, outbox: VecDeque::new(), dirty: false }
    }

    /// Queues a text message.
    pub(crate) fn send(&mut self, text: String) {
        self.outbox.push_back(Message::text(text));
    }

    /// Queues a ping.
    pub(crate) fn ping(&mut self) {
        self.outbox.push_back(Message::Ping(Bytes::new()));
    }

    /// Moves the outbox towards the network. Pending is fine: the task is woken when the socket takes more.
    ///
    /// # Errors
    /// How the link ended.
    pub(crate) fn poll_write(&mut self, cx: &mut Context<'_>) -> Result<(), LinkEnd> {
        while !self.outbox.is_empty() {
            match Pin::new(&mut self.socket).poll_ready(cx) {
                Poll::Pending => return Ok(()),
                Poll::Ready(Err(error)) => return Err(link_end(&error)),
                Poll::Ready(Ok(())) => {}
            }
            let Some(message) = self.outbox.pop_front() else { break };
            Pin::new(&mut self.socket).start_send(message).map_err(|e| link_end(&e))?;
            self.dirty = true;
        }
        if self.dirty {
            match Pin::new(&mut self.socket).poll_flush(cx) {
                Poll::Pending => {}
                Poll::Ready(Ok(())) => self.dirty = false,
                Poll::Ready(Err(error)) => return Err(link_end(&error)),
            }
        }
        Ok(())
    }

    /// The next message.
    pub(crate) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<Message, LinkEnd>> {
        Pin::new(&mut self.socket).poll_next(cx).map(|item| match item {
            Some(Ok(Message::Close(frame))) => Err(LinkEnd::Closed {
                code: frame.as_ref().map(|f| f.code.into()),
                reason: frame.map(|f| f.reason.as_str().to_owned()).unwrap_or_default(),
            }),
            Some(Ok(message)) => Ok(message),
            Some(Err(error)) => Err(link_end(&error)),
            None => Err(LinkEnd::Closed { code: None, reason: String::new() }),
        })
    }

    /// Sends what is queued, a close frame unless `code` is `None`, and waits a moment for the other side's.
    pub(crate) async fn close(mut self, code: Option<u16>) {
        let goodbye = async {
            for message in std::mem::take(&mut self.outbox) {
                self.socket.feed(message).await?;
            }
            if let Some(code) = code {
                let frame = CloseFrame { code: CloseCode::from(code), reason: Default::default() };
                self.socket.send(Message::Close(Some(frame))).await?;
            }
            // Reading on lets the close handshake finish.
            std::future::poll_fn(|cx| {
                loop {
                    match std::task::ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                        Some(Ok(_)) => {}
                        Some(Err(_)) | None => return Poll::Ready(()),
                    }
                }
            })
            .await;
            Ok::<(), WsError>(())
        };
        // Whatever fails here, the connection is over.
        let _ = tokio::time::timeout(CLOSE_WAIT, goodbye).await;
    }
}

fn link_end(error: &WsError) -> LinkEnd {
    LinkEnd::Failed(match error {
        WsError::Capacity(CapacityError::MessageTooLong { size, max_size }) => Error::new(
            ErrorCode::Protocol,
            format!(
                "the server sent a frame of {size} bytes, more than the {max_size} of `max_message_bytes`"
            ),
        ),
        WsError::Utf8(_) => Error::new(ErrorCode::Protocol, "the server sent a text frame that is no UTF-8")
            .with_retryable(true),
        _ => Error::new(ErrorCode::Disconnected, format!("the connection was lost: {}", root_cause(error))),
    })
}
