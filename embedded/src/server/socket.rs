//! One WebSocket, from the upgrade to the close (`wire/auth.jsonl`, `wire/limits.jsonl`).

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Extension, State};
use axum::http::header::SEC_WEBSOCKET_PROTOCOL;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;
use futures_util::stream::SplitStream;
use tokio::sync::watch;
use tokio::time::{timeout, timeout_at};

use super::app::App;
use super::client_frame::{ClientFrame, Encoding, WishedProtocol};
use super::connections::Membership;
use super::http::failure;
use super::identity::{Identity, Unauthorized};
use super::listen::Peer;
use super::metrics::Limit;
use super::outbox::Outbox;
use super::rate::Bucket;
use super::subscriptions::Subscriptions;
use super::token::TokenKind;
use super::{server_frame, writer};
use crate::wire::Wire;

/// How long the other side may take to answer a close frame.
const CLOSE_ANSWER: Duration = Duration::from_millis(500);

/// Most connections are idle, so their buffers are small.
const READ_BUFFER: usize = 16 << 10;

pub(crate) async fn upgrade(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    headers: HeaderMap,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let upgrade = match upgrade {
        Ok(upgrade) => upgrade,
        Err(rejection) => return rejection.into_response(),
    };
    let offered = browser_token(&headers);
    let identity = match offered {
        Some((_, token)) => app.identity_of(token, TokenKind::Access),
        None => app.identity(&headers),
    };
    let identity = match identity {
        Ok(identity) => Some(identity),
        // The token comes in the first message then.
        Err(Unauthorized::Missing) => None,
        Err(error) => return failure(StatusCode::UNAUTHORIZED, error.code(), error.message()),
    };
    let outbox = Arc::new(Outbox::new(&app.options.limits, app.holes.drop));
    let Some(membership) = app.connections.join(outbox.clone(), peer) else {
        app.metrics.rejected(Limit::Websockets);
        let message = "Too many connections, or the server is stopping: try again later";
        return failure(StatusCode::SERVICE_UNAVAILABLE, "unavailable", message);
    };
    let most = app.options.limits.message_bytes;
    let encoding = Encoding::of_query(uri.query());
    let (upgrade, wire) = match offered {
        Some((protocol, _)) => (upgrade.protocols([protocol.to_owned()]), Wire::V0_8),
        None => (upgrade, app.options.wire),
    };
    let encoding = encoding.on(wire);
    upgrade
        .max_message_size(most)
        .max_frame_size(most)
        .read_buffer_size(READ_BUFFER)
        .on_failed_upgrade(|error| tracing::debug!(%error, "an upgrade failed"))
        .on_upgrade(move |socket| serve(app, socket, outbox, membership, identity, encoding, wire))
}

/// The sub-protocol in which browsers, which can not set headers, send their token from 0.8 on, and that token.
fn browser_token(headers: &HeaderMap) -> Option<(&str, &str)> {
    let offered = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter().filter_map(|value| value.to_str().ok());
    let mut offered = offered.flat_map(|value| value.split(',').map(str::trim));
    offered.find_map(|protocol| protocol.strip_prefix("kalamdb.jwt.").map(|token| (protocol, token)))
}

async fn serve(
    app: Arc<App>,
    socket: WebSocket,
    outbox: Arc<Outbox>,
    membership: Membership,
    identity: Option<Identity>,
    encoding: Encoding,
    wire: Wire,
) {
    let (sink, mut stream) = socket.split();
    let (encoding, wished) = watch::channel(encoding);
    let mut writer = tokio::spawn(writer::run(sink, outbox.clone(), wished));
    let messages = Bucket::new(app.options.limits.messages_per_second, Instant::now());
    let membership = Arc::new(membership);
    let mut session = Session { app, outbox, encoding, membership, messages, subscriptions: None, wire };
    if let Some(identity) = identity {
        session.authenticated(identity);
    }
    let end = session.run(&mut stream).await;
    if session.outbox.has_overflowed() {
        session.app.metrics.rejected(Limit::SlowReader);
        tracing::info!("a WebSocket was closed since it could not keep up");
    }
    // The subscriptions end before the goodbye, which may take a while. The membership ends after it.
    session.subscriptions = None;
    if end == End::Closing {
        // It sends what is queued and the close frame, and gives up on a client that takes nothing. A writer
        // that panicked has logged it, and nothing follows from it here.
        let _ = (&mut writer).await;
    }
    if end != End::Broken {
        // Reading on sends the answer to the client's close frame, or waits for the one to ours.
        let _ = timeout(CLOSE_ANSWER, async { while let Some(Ok(_)) = stream.next().await {} }).await;
    }
    writer.abort();
}

/// How a session ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// We close, and the outbox knows why.
    Closing,
    ClosedByClient,
    /// The connection broke, or the client broke the protocol. A message over the limit is among these: it ends
    /// the connection without a close frame, as recorded in `wire/limits.jsonl`.
    Broken,
}

struct Session {
    app: Arc<App>,
    outbox: Arc<Outbox>,
    encoding: watch::Sender<Encoding>,
    membership: Arc<Membership>,
    messages: Bucket,
    /// There once the client has authenticated.
    subscriptions: Option<Subscriptions>,
    wire: Wire,
}

impl Session {
    /// Handles the client's messages until the connection ends.
    async fn run(&mut self, stream: &mut SplitStream<WebSocket>) -> End {
        let auth_deadline = tokio::time::Instant::now() + self.app.options.auth_timeout;
        let heartbeat = self.app.options.heartbeat_timeout;
        loop {
            let authenticated = self.subscriptions.is_some();
            let deadline =
                if authenticated { tokio::time::Instant::now() + heartbeat } else { auth_deadline };
            let received = tokio::select! {
                biased;
                _ = self.outbox.closing() => return End::Closing,
                received = timeout_at(deadline, stream.next()) => received,
            };
            self.membership.heard();
            match received {
                Ok(Some(Ok(Message::Text(text)))) => self.text(&text).await,
                Ok(Some(Ok(Message::Binary(_)))) => self.binary(),
                // Answered by the WebSocket layer; a sign of life like any other.
                Ok(Some(Ok(Message::Ping(_) | Message::Pong(_)))) => {}
                Ok(Some(Ok(Message::Close(_))) | None) => return End::ClosedByClient,
                Ok(Some(Err(error))) => {
                    tracing::debug!(%error, "a WebSocket broke");
                    return End::Broken;
                }
                Err(_) if authenticated => self.outbox.close(1000, "Heartbeat timeout"),
                Err(_) => self.authentication_timeout(),
            }
        }
    }

    fn binary(&mut self) {
        if self.may_send() {
            self.outbox.offer_text(server_frame::error(
                "protocol",
                "UNSUPPORTED_DATA",
                "Binary not supported",
            ));
        }
    }

    async fn text(&mut self, text: &str) {
        if !self.may_send() {
            return;
        }
        let frame = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => return self.outbox.close_invalid(error),
        };
        match (frame, &mut self.subscriptions) {
            (ClientFrame::Ping, _) => {}
            (ClientFrame::Authenticate { .. }, Some(subscriptions)) => {
                let identity = subscriptions.identity().clone();
                self.send_auth_success(&identity);
            }
            (ClientFrame::Authenticate { method, token, protocol }, None) => {
                self.authenticate(method.as_deref(), token.as_deref(), &protocol.unwrap_or_default());
            }
            (ClientFrame::Subscribe { subscription }, Some(subscriptions)) => {
                subscriptions.subscribe(subscription).await;
            }
            (ClientFrame::NextBatch { subscription_id, last_seq_id }, Some(subscriptions)) => {
                subscriptions.next_batch(&subscription_id, last_seq_id).await;
            }
            (ClientFrame::Unsubscribe { subscription_id }, Some(subscriptions)) => {
                subscriptions.unsubscribe(&subscription_id);
            }
            (ClientFrame::Subscribe { .. }, None) => self.auth_required("subscribe", "subscribing"),
            (ClientFrame::NextBatch { .. }, None) => self.auth_required("protocol", "fetching a batch"),
            (ClientFrame::Unsubscribe { .. }, None) => self.auth_required("protocol", "unsubscribing"),
        }
    }

    /// Counts a message; one too many is answered with an error and lost, as recorded.
    fn may_send(&mut self) -> bool {
        let may = self.messages.take(Instant::now());
        if !may {
            self.app.metrics.rejected(Limit::Messages);
            self.outbox.offer_text(server_frame::error(
                "rate_limit",
                "RATE_LIMIT_EXCEEDED",
                "Too many messages",
            ));
        }
        may
    }

    fn authenticate(&mut self, method: Option<&str>, token: Option<&str>, wish: &WishedProtocol) {
        let identity = match (method, token) {
            (Some("jwt") | None, Some(token)) => self.app.identity_of(token, TokenKind::Access),
            _ => Err(Unauthorized::Invalid),
        };
        match identity {
            Ok(identity) => {
                self.encoding.send_replace(wish.encoding().on(self.wire));
                self.authenticated(identity);
            }
            Err(error) => {
                self.outbox.offer_text(server_frame::auth_error(error.message()));
                self.outbox.close(1008, "Authentication failed");
            }
        }
    }

    fn authenticated(&mut self, identity: Identity) {
        self.membership.identify(identity.clone());
        // The user may have been dropped between the check of the token and the line above.
        if !identity.is_valid(&self.app.engine) {
            self.outbox.offer_text(server_frame::auth_error(Unauthorized::Invalid.message()));
            self.outbox.close(1008, "Authentication failed");
            return;
        }
        self.send_auth_success(&identity);
        self.subscriptions = Some(Subscriptions::new(
            self.app.clone(),
            self.outbox.clone(),
            self.membership.clone(),
            identity,
            self.wire,
        ));
    }

    fn send_auth_success(&self, identity: &Identity) {
        let encoding = *self.encoding.borrow();
        let announces = self.app.options.emulate.is_none();
        let announced = announces.then(|| (self.app.engine.epoch(), &self.app.options.limits));
        self.outbox.offer_text(server_frame::auth_success(
            &identity.user,
            identity.role,
            encoding,
            announced,
        ));
    }

    fn auth_required(&self, id: &str, before: &str) {
        let message = format!("Authentication required before {before}");
        self.outbox.offer_text(server_frame::error(id, "AUTH_REQUIRED", message));
    }

    fn authentication_timeout(&self) {
        let seconds = self.app.options.auth_timeout.as_secs_f64();
        self.outbox.offer_text(server_frame::auth_error(&format!(
            "Authentication timeout - no auth message received within {seconds} seconds"
        )));
        self.outbox.close(1008, "Authentication timeout");
    }
}
