//! Opening a WebSocket: name look-up, TCP, proxy, TLS, upgrade.

use std::sync::Arc;

use reqwest::Url;
use reqwest::header::{AUTHORIZATION, USER_AGENT};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Error as WsError;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::network::{Network, bearer, unreachable};
use super::secret::Secret;
use super::tcp;
use crate::error::{Error, ErrorCode, Result};
use crate::machine::LinkEnd;

/// TCP, or TLS over it.
pub(crate) trait Transport: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Transport for T {}

/// An open WebSocket.
pub(crate) type Socket = WebSocketStream<Box<dyn Transport>>;

/// Opens a WebSocket within `timeouts.connect`.
pub(crate) async fn dial(network: Network, url: String, token: Option<Secret>) -> Result<Socket, LinkEnd> {
    let wait = network.timeouts.connect;
    tokio::time::timeout(wait, open(&network, &url, token.as_ref())).await.unwrap_or_else(|_| {
        Err(LinkEnd::Failed(Error::new(
            ErrorCode::Timeout,
            format!("no connection to {} within {wait:?} (option `timeouts.connect`)", shown(&url)),
        )))
    })
}

async fn open(network: &Network, url: &str, token: Option<&Secret>) -> Result<Socket, LinkEnd> {
    let transport = connect(network, url).await.map_err(LinkEnd::Failed)?;
    let failed = |e: &WsError| LinkEnd::Failed(unreachable(&shown(url), e));
    let mut request = url.into_client_request().map_err(|e| failed(&e))?;
    let headers = request.headers_mut();
    headers.extend(network.headers.0.clone());
    headers.insert(USER_AGENT, network.user_agent.clone());
    if let Some(token) = token {
        headers.insert(AUTHORIZATION, bearer(token).map_err(LinkEnd::Failed)?);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(network.max_bytes))
        .max_frame_size(Some(network.max_bytes))
        // Frames of this client are small and flushed at once.
        .write_buffer_size(4 << 10);
    match tokio_tungstenite::client_async_with_config(request, transport, Some(config)).await {
        Ok((socket, _)) => Ok(socket),
        Err(WsError::Http(response)) => Err(LinkEnd::Rejected {
            status: response.status().as_u16(),
            message: response.body().as_deref().map(short_text).unwrap_or_default(),
        }),
        Err(error) => Err(failed(&error)),
    }
}

/// A byte stream to the server, through the proxy and TLS where they are asked for.
async fn connect(network: &Network, url: &str) -> Result<Box<dyn Transport>> {
    let shown = shown(url);
    let url = Url::parse(url).map_err(|e| Error::new(ErrorCode::Config, format!("option `url`: {e}")))?;
    let target = host_and_port(&url);
    let (host, port) = network.proxy.as_ref().map_or_else(|| target.clone(), super::proxy::Proxy::address);
    let mut tcp = tcp::connect(&host, port).await.map_err(|e| match &network.proxy {
        Some(proxy) => unreachable(&format!("the proxy {proxy}"), &e),
        None => unreachable(&shown, &e),
    })?;
    // Small frames must leave at once. A socket that refuses the option still works.
    let _ = tcp.set_nodelay(true);
    if let Some(proxy) = &network.proxy {
        let host = url.host_str().unwrap_or_default();
        proxy.tunnel(&mut tcp, &format!("{host}:{}", target.1)).await?;
    }
    if url.scheme() != "wss" {
        return Ok(Box::new(tcp));
    }
    let name = ServerName::try_from(target.0.clone()).map_err(|_| {
        Error::new(ErrorCode::Config, format!("option `url`: {:?} is no host name", target.0))
    })?;
    let mut tls = (*network.tls).clone();
    // A WebSocket starts as HTTP/1.1.
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    let stream =
        TlsConnector::from(Arc::new(tls)).connect(name, tcp).await.map_err(|e| unreachable(&shown, &e))?;
    Ok(Box::new(stream))
}

/// Host (IPv6 without brackets) and port, the scheme's own where the URL has none.
pub(super) fn host_and_port(url: &Url) -> (String, u16) {
    let host = url.host_str().unwrap_or_default();
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    (host.to_owned(), url.port_or_known_default().unwrap_or(80))
}

/// What a person can read of a body, if it is short.
fn short_text(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        Ok(text) if text.len() <= 200 => text.trim().to_owned(),
        _ => String::new(),
    }
}

/// The address without the path that the client added.
fn shown(url: &str) -> &str {
    url.split("v1/ws").next().unwrap_or(url).trim_end_matches('/')
}
