//! HTTP and WebSocket over the engine: KalamDB's surface (`tests/data/wire/*.jsonl`).
//!
//! ```text
//! listen      sockets, HTTP/1.1, limits on connections
//! http_*      endpoints
//! identity    bearer token -> user      token, attempts, rate
//! socket      one WebSocket: what the client asks for
//! subscriptions, snapshot, pager            its subscriptions, and how they load
//! subscription, outbox, writer              what it gets, and how fast
//! hub         commits -> subscriptions
//! topic_readers commits -> requests that wait for records
//! connections all WebSockets
//! metrics     what is counted
//! ```

mod app;
mod attempts;
mod client_frame;
mod connections;
mod http;
mod http_auth;
mod http_files;
mod http_health;
mod http_inspection;
mod http_metrics;
mod http_sql;
mod http_topics;
mod http_ui;
mod hub;
mod identity;
mod impatient;
mod listen;
mod metrics;
mod msgpack;
mod multipart;
mod outbox;
mod pager;
mod rate;
mod server_frame;
mod shares;
mod snapshot;
mod socket;
mod subscription;
mod subscriptions;
pub(crate) mod tls;
pub(crate) mod token;
mod topic_readers;
mod version_domain;
mod writer;

use std::sync::{Arc, mpsc};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use self::app::App;
use self::hub::Hub;
use crate::engine::Engine;
use crate::options::Options;

/// Statements that still run when the deadline has passed get so long before they are left behind.
const LEFT_BEHIND_AFTER: Duration = Duration::from_secs(1);

/// Serves on the calling thread until `stop` turns true. Says in `started` that it does, or why not.
pub(crate) fn run(
    engine: Engine,
    listener: std::net::TcpListener,
    tls: Option<TlsAcceptor>,
    options: Options,
    stop: watch::Receiver<bool>,
    started: mpsc::Sender<std::io::Result<()>>,
) {
    let prepared = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(std::thread::available_parallelism().map_or(2, |cores| cores.get().min(4)))
        .thread_name("kalam-server")
        .enable_all()
        .build()
        .and_then(|runtime| {
            let listener = {
                let _inside = runtime.enter();
                TcpListener::from_std(listener)?
            };
            Ok((runtime, listener, Hub::start(engine.clone(), options.emulate.unwrap_or_default())?))
        });
    let (runtime, listener, (hub, hub_thread)) = match prepared {
        Ok(prepared) => prepared,
        Err(error) => {
            let _ = started.send(Err(error));
            return;
        }
    };
    engine.set_observer(Arc::new(hub.clone()));
    let deadline = options.shutdown_deadline;
    let app = Arc::new(App::new(engine.clone(), hub.clone(), options));
    engine.set_live_list(app.connections.clone());
    // The caller waits for this message, so it is there.
    let _ = started.send(Ok(()));
    drop(engine);
    runtime.block_on(serve(app, listener, tls, stop, deadline));
    hub.stop();
    if hub_thread.join().is_err() {
        tracing::error!("the thread of the live queries panicked");
    }
    runtime.shutdown_timeout(LEFT_BEHIND_AFTER);
}

async fn serve(
    app: Arc<App>,
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
    mut stop: watch::Receiver<bool>,
    deadline: Duration,
) {
    let router = http::router(app.clone());
    let mut serving = tokio::spawn(listen::serve(listener, tls, router, app.clone(), stop.clone()));
    listen::stopped(&mut stop).await;
    tracing::info!("stopping");
    app.connections.close_all();
    app.hub.readers.close();
    let finish = async {
        app.connections.empty().await;
        if (&mut serving).await.is_err() {
            tracing::error!("the task that accepts connections panicked");
        }
    };
    if tokio::time::timeout(deadline, finish).await.is_err() {
        tracing::warn!(?deadline, "clients were still connected at the deadline");
    }
}
