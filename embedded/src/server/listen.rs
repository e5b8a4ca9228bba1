//! Accepts connections and serves HTTP/1.1 on them, with bounds on their number, on slow headers and on clients that do not read.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio_rustls::TlsAcceptor;
use tower_service::Service;

use super::app::App;
use super::impatient::Impatient;
use super::metrics::Limit;

/// The client's address, an extension of each request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer(pub(crate) SocketAddr);

/// A client must send the head of a request within this time, and so may keep an idle connection.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// A client that takes nothing of an answer for so long is gone.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// How long to wait when a connection can not be accepted, mostly since there are too many open files.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves until `stop` turns true, then lets the open requests finish. Upgraded connections are not waited for.
pub(crate) async fn serve(
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    router: Router,
    app: Arc<App>,
    mut stop: watch::Receiver<bool>,
) {
    let most_connections = app.options.limits.http_connections;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = app.http_places.clone().try_acquire_owned() else {
            app.metrics.rejected(Limit::HttpConnections);
            tracing::warn!(most_connections, "too many connections, one was closed");
            continue;
        };
        // Frames are small and waited for: Nagle's delay helps nobody here.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
        let (router, stop) = (router.clone(), stop.clone());
        match &tls {
            None => drop(tokio::spawn(connection(stream, peer, router, stop, place))),
            Some(tls) => {
                let accepting = tls.accept(stream);
                tokio::spawn(async move {
                    match tokio::time::timeout(HEADER_TIMEOUT, accepting).await {
                        Ok(Ok(stream)) => connection(stream, peer, router, stop, place).await,
                        Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
                        Err(_) => tracing::debug!("a TLS handshake took too long"),
                    }
                });
            }
        }
    }
    drop(listener);
    // All places are free when the last connection is done. The semaphore is never closed.
    let all = u32::try_from(app.http_places_in_all()).unwrap_or(u32::MAX);
    let _ = app.http_places.acquire_many(all).await;
}

/// Serves one connection until the client or the server has enough of it.
async fn connection(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: SocketAddr,
    router: Router,
    mut stop: watch::Receiver<bool>,
    _place: OwnedSemaphorePermit,
) {
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(Peer(peer));
        router.clone().call(request)
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .serve_connection(TokioIo::new(Impatient::new(stream, READ_TIMEOUT)), service)
            .with_upgrades()
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = stopped(&mut stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Waits for the wish to stop. The handle being gone is one too.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    let _ = stop.wait_for(|stop| *stop).await;
}
