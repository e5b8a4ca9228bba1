//! The link to the server: credentials, dialling, reading, writing, goodbyes.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::Message;

use super::Owner;
use crate::error::{Error, ErrorCode, Result};
use crate::machine::{Action, LinkEnd, LinkId, Token};
use crate::protocol::RawFrame;
use crate::runtime::link::{Socket, dial};
use crate::runtime::secret::Secret;
use crate::runtime::socket::OpenSocket;

type Dial = JoinHandle<Result<Socket, LinkEnd>>;

/// As far as it is open.
pub(super) enum Link {
    Opening(LinkId, Dial),
    Open(LinkId, Box<OpenSocket>),
}

impl Link {
    fn id(&self) -> LinkId {
        match self {
            Self::Opening(id, _) | Self::Open(id, _) => *id,
        }
    }
}

impl Owner {
    pub(super) fn poll_network(&mut self, cx: &mut Context<'_>, frames_left: &mut usize) -> bool {
        let fetched = self.poll_credentials(cx);
        let Some(link) = self.link.take() else { return fetched };
        match link {
            Link::Opening(id, task) => self.poll_opening(cx, id, task) | fetched,
            Link::Open(id, socket) => self.poll_socket(cx, id, socket, frames_left) | fetched,
        }
    }

    fn poll_credentials(&mut self, cx: &mut Context<'_>) -> bool {
        let Some((attempt, task)) = &mut self.fetching else { return false };
        let Poll::Ready(result) = Pin::new(task).poll(cx) else { return false };
        let attempt = *attempt;
        self.fetching = None;
        let result = result
            .unwrap_or_else(|_| Err(Error::new(ErrorCode::AuthFailed, "the token provider panicked")))
            .map(|token| {
                token.map(|token| {
                    self.generation = token.generation;
                    Token::new(token.secret.reveal())
                })
            });
        let now = self.now();
        self.machine.handle_credentials(now, attempt, result);
        true
    }

    fn poll_opening(&mut self, cx: &mut Context<'_>, id: LinkId, mut task: Dial) -> bool {
        let result = match Pin::new(&mut task).poll(cx) {
            Poll::Pending => {
                self.link = Some(Link::Opening(id, task));
                return false;
            }
            Poll::Ready(result) => result,
        };
        let now = self.now();
        let end = match result {
            Ok(Ok(socket)) => {
                self.link = Some(Link::Open(id, Box::new(OpenSocket::new(socket))));
                self.machine.handle_opened(now, id);
                return true;
            }
            Ok(Err(end)) => end,
            Err(_) => {
                LinkEnd::Failed(Error::new(ErrorCode::Disconnected, "the attempt to connect was aborted"))
            }
        };
        self.machine.handle_closed(now, id, end);
        true
    }

    fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        id: LinkId,
        mut socket: Box<OpenSocket>,
        frames_left: &mut usize,
    ) -> bool {
        let now = self.now();
        let mut progress = false;
        while *frames_left > 0 {
            match socket.poll_read(cx) {
                Poll::Pending => break,
                Poll::Ready(Err(end)) => {
                    // The close handshake, where there is one, is still to be finished.
                    self.closing.push(tokio::spawn(socket.close(None)));
                    self.machine.handle_closed(now, id, end);
                    return true;
                }
                Poll::Ready(Ok(message)) => match &message {
                    Message::Text(text) => {
                        self.machine.handle_frame(now, id, RawFrame::Text(text));
                        self.route(now, Some(text));
                    }
                    Message::Binary(bytes) => {
                        self.machine.handle_frame(now, id, RawFrame::Binary(bytes));
                        self.route(now, None);
                    }
                    Message::Pong(_) => self.machine.handle_pong(id),
                    Message::Ping(_) | Message::Close(_) | Message::Frame(_) => {}
                },
            }
            *frames_left -= 1;
            progress = true;
        }
        self.link = Some(Link::Open(id, socket));
        progress
    }

    /// Does what the machine wants done.
    pub(super) fn act(&mut self) -> bool {
        let mut acted = false;
        while let Some(action) = self.machine.poll_action() {
            acted = true;
            match action {
                Action::FetchCredentials { attempt, refresh } => {
                    if let Some((_, task)) = self.fetching.take() {
                        task.abort();
                    }
                    let auth = self.auth.clone();
                    let refused = refresh.then_some(self.generation);
                    self.fetching = Some((attempt, tokio::spawn(async move { auth.token(refused).await })));
                }
                Action::OpenLink { link, url, token } => {
                    let token = token.map(|token| Secret::from(token.expose()));
                    let task = tokio::spawn(dial(self.network.clone(), url, token));
                    self.drop_link(Some(1001));
                    self.link = Some(Link::Opening(link, task));
                }
                Action::Send { link, text } => {
                    if let Some(Link::Open(id, socket)) = &mut self.link
                        && *id == link
                    {
                        socket.send(text);
                    }
                }
                Action::Ping { link } => {
                    if let Some(Link::Open(id, socket)) = &mut self.link
                        && *id == link
                    {
                        socket.ping();
                    }
                }
                Action::CloseLink { link, code } => {
                    if self.link.as_ref().is_some_and(|current| current.id() == link) {
                        self.drop_link(Some(code));
                    }
                }
            }
        }
        acted
    }

    fn drop_link(&mut self, code: Option<u16>) {
        match self.link.take() {
            Some(Link::Opening(_, task)) => task.abort(),
            Some(Link::Open(_, socket)) => self.closing.push(tokio::spawn(socket.close(code))),
            None => {}
        }
    }

    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(Link::Open(id, socket)) = &mut self.link else { return false };
        let Err(end) = socket.poll_write(cx) else { return false };
        let id = *id;
        self.link = None;
        let now = self.now();
        self.machine.handle_closed(now, id, end);
        true
    }

    pub(super) fn poll_closing(&mut self, cx: &mut Context<'_>) {
        self.closing.retain_mut(|task| Pin::new(task).poll(cx).is_pending());
        if self.closing.is_empty() {
            for reply in self.quiet_replies.drain(..) {
                let _ = reply.send(());
            }
        }
    }
}
