//! A server that speaks enough of the KalamDB protocol to feed clients scripted workloads as fast as they can read.
//!
//! ```text
//! bench-frame-server [PLAIN_PORT [COMPLETE_PORT]]
//! ```
//!
//! It listens on two loopback ports (0 or absent: any free one) and prints one JSON line that names them. `plain`
//! announces nothing, like KalamDB 0.4; `complete` announces itself as the embedded server does, so that our client
//! sends no verification traffic. It ends when its standard input does, so that no benchmark leaves it behind.
//!
//! A client subscribes to `SELECT id, room, sender, body, n, at FROM bench.WORKLOAD` (see [`spec`]) and gets the
//! snapshot. Changes flow after `POST /bench/go?table=WORKLOAD`; `POST /bench/prepare?table=WORKLOAD` encodes them
//! beforehand and tells what to expect.

mod connection;
mod http;
mod messages;
mod random;
mod runs;
mod spec;
mod subscription;
mod topics;
mod websocket;
mod workload;

use std::io::Read;
use std::sync::Arc;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;

use connection::Settings;
use runs::Runs;

const ANNOUNCEMENT: &str = concat!(
    r#"{"name":"kalam-embedded","version":"0.1.0","complete":true,"limits":{"messages_per_second":1000,"#,
    r#""message_bytes":1048576,"batch_rows":5000,"subscriptions_per_connection":1000,"subscriptions_per_user":10000}}"#
);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let ports: Vec<u16> = std::env::args().skip(1).map(|text| text.parse()).collect::<Result<_, _>>()?;
    let port = |at: usize| ports.get(at).copied().unwrap_or(0);
    let runs = Arc::new(Runs::default());
    let plain = Settings { runs: runs.clone(), announcement: None, batch_rows: 1000 };
    let complete = Settings { runs, announcement: Some(ANNOUNCEMENT), batch_rows: 5000 };

    let plain_listener = TcpListener::bind(("127.0.0.1", port(0))).await?;
    let complete_listener = TcpListener::bind(("127.0.0.1", port(1))).await?;
    println!(
        r#"{{"plain":"http://{}","complete":"http://{}"}}"#,
        plain_listener.local_addr()?,
        complete_listener.local_addr()?
    );
    std::thread::spawn(|| {
        let mut ignored = [0; 256];
        while std::io::stdin().read(&mut ignored).is_ok_and(|count| count > 0) {}
        std::process::exit(0);
    });
    tokio::try_join!(listen(plain_listener, plain), listen(complete_listener, complete))?;
    Ok(())
}

async fn listen(listener: TcpListener, settings: Settings) -> std::io::Result<()> {
    let listener = listener.tap_io(|stream| {
        // Paced frames must not wait for an acknowledgement.
        if let Err(error) = stream.set_nodelay(true) {
            eprintln!("frame-server: {error}");
        }
    });
    axum::serve(listener, http::router(Arc::new(settings))).await
}
