//! Single-row inserts over HTTP from 64 connections.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use crate::http::Connection;
use crate::server::Server;
use crate::statistics::{millis, percentile};
use crate::{Failure, Line, Options};

const CONNECTIONS: usize = 64;

pub(crate) async fn run(options: &Options) -> Result<Vec<Line>, Failure> {
    let directory = tempfile::tempdir()?;
    let durable = Server::start(&options.server, Some(directory.path())).await?;
    let mut lines = vec![measure(options, &durable, "durable", "5,000/s").await?];
    drop(durable);
    let memory = Server::start(&options.server, None).await?;
    lines.push(measure(options, &memory, "in memory", "10,000/s").await?);
    Ok(lines)
}

async fn measure(
    options: &Options,
    server: &Server,
    place: &str,
    wanted: &'static str,
) -> Result<Line, Failure> {
    let time = Duration::from_millis(if options.quick { 300 } else { 5_000 });
    server
        .sql("CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY, room TEXT, body TEXT)")
        .await?;
    let next = Arc::new(AtomicI64::new(0));
    let cpu = server.cpu()?;
    let (began, token) = (Instant::now(), Arc::new(server.token.clone()));
    let mut tasks = Vec::new();
    for _ in 0..CONNECTIONS {
        let (next, token) = (next.clone(), token.clone());
        let mut connection = Connection::open(server.port).await?;
        tasks.push(tokio::spawn(async move {
            let mut times = Vec::new();
            while began.elapsed() < time {
                let id = next.fetch_add(1, Ordering::Relaxed);
                let body = format!(
                    r#"{{"sql":"INSERT INTO app.t (id, room, body) VALUES ($1, $2, $3)","params":[{id},"main","hello"]}}"#
                );
                let sent = Instant::now();
                connection.post("/v1/api/sql", &token, &body).await?;
                times.push(sent.elapsed());
            }
            Ok::<_, Failure>(times)
        }));
    }
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await??);
    }
    let rate = times.len() as f64 / began.elapsed().as_secs_f64();
    let cpu = (server.cpu()? - cpu).as_micros() / times.len() as u128;
    let count = server.sql("SELECT count(*) AS n FROM app.t").await?;
    let there = count["results"][0]["rows"][0][0].as_str().map(str::to_owned);
    if there != Some(times.len().to_string()) {
        return Err(format!("{} inserts were answered, {count}", times.len()).into());
    }
    Ok(Line {
        what: format!("single-row inserts over HTTP, {CONNECTIONS} connections, {place}"),
        got: format!(
            "{rate:.0}/s, median {}, p99 {}; server {cpu} us each",
            millis(percentile(&mut times, 0.5)),
            millis(percentile(&mut times, 0.99))
        ),
        wanted,
    })
}
