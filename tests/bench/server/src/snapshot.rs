//! A snapshot of 100,000 rows over a WebSocket, by our own client.

use std::time::Instant;

use kalam_live::KalamClient;

use crate::server::Server;
use crate::statistics::{millis, percentile};
use crate::{Failure, Line, Options};

pub(crate) async fn run(options: &Options) -> Result<Vec<Line>, Failure> {
    let (rows, rounds) = if options.quick { (2_000, 1) } else { (100_000, 5) };
    let directory = tempfile::tempdir()?;
    let server = Server::start(&options.server, Some(directory.path())).await?;
    server
        .sql("CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY, room TEXT, body TEXT)")
        .await?;
    for start in (0..rows).step_by(1000) {
        let values: Vec<String> =
            (start..start + 1000).map(|id| format!("({id},'main','the body of message {id}')")).collect();
        server.sql(&format!("INSERT INTO app.t (id, room, body) VALUES {}", values.join(","))).await?;
    }
    let mut times = Vec::new();
    for _ in 0..rounds {
        let client = KalamClient::builder().url(server.url()).token(server.token.clone()).build()?;
        client.connect().await?;
        let began = Instant::now();
        let mut live = client.live("SELECT id, room, body FROM app.t").await?;
        let got = live.next_rows().await.ok_or("no rows")??;
        times.push(began.elapsed());
        if got.len() != rows {
            return Err(format!("{} rows instead of {rows}", got.len()).into());
        }
    }
    Ok(vec![Line {
        what: format!("snapshot of {rows} rows over a WebSocket, by kalam-live"),
        got: format!(
            "median {}, worst {}",
            millis(percentile(&mut times, 0.5)),
            millis(percentile(&mut times, 1.0))
        ),
        wanted: "under 1 s",
    }])
}
