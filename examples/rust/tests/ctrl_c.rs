//! Ctrl-C at a worker, as `billing_worker` has it, in the middle of its work: what it is at is finished and committed, nothing
//! more is begun, and the next worker gets the rest.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use kalam_embedded::{Embedded, Options};
use kalam_live::{
    AutoOffsetReset, ConsumerRecord, KalamClient, Result, RunOptions, RunSummary, TopicConsumer,
};
use tokio::sync::watch;

const URL: &str = "KALAM_WORKER_URL";
const PASSWORD: &str = "Root-Secret-1";
/// A worker that works longer has not heard of it.
const PATIENCE: Duration = Duration::from_secs(30);
const RECORDS: u64 = 6;
/// Records that are handled when Ctrl-C is pressed: 1, 2 and 3.
const TOGETHER: u64 = 3;

fn client(url: &str) -> Result<KalamClient> {
    KalamClient::builder().url(url).user("root").password(PASSWORD).build()
}

fn consumer(client: &KalamClient) -> Result<TopicConsumer> {
    client.consumer().topic("app.events").group_id("g").auto_offset_reset(AutoOffsetReset::Earliest).build()
}

/// Not a test of its own: the process that is interrupted.
#[tokio::test]
async fn worker() -> Result<()> {
    let Ok(url) = std::env::var(URL) else { return Ok(()) };
    let mut consumer = consumer(&client(&url)?)?;
    let options = RunOptions::default().with_concurrency(TOGETHER as usize);
    let stop = options.stop();
    let (interrupt, interrupted) = watch::channel(());
    tokio::spawn(async move {
        tokio::signal::ctrl_c().await.expect("signals are there");
        stop.stop();
        interrupt.send_replace(());
    });
    let handler = async |record: Arc<ConsumerRecord>| {
        println!("begun {}", record.offset);
        if record.offset > 0 {
            interrupted.clone().changed().await.map_err(|e| e.to_string())?;
        }
        println!("finished {}", record.offset);
        Ok::<_, String>(())
    };
    let summary = consumer.run(handler, options).await?;
    consumer.close().await?;
    println!("handled {} of {}", summary.handled, summary.handled + summary.failed);
    Ok(())
}

fn numbers(lines: &[String], what: &str) -> Vec<u64> {
    // What the test runner says may stand before it.
    lines.iter().filter_map(|line| line.split_once(what)?.1.trim().parse().ok()).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ctrl_c_ends_a_worker_when_what_it_is_at_is_finished()
-> std::result::Result<(), Box<dyn std::error::Error>> {
    let server = Embedded::start(Options {
        root_password: Some(PASSWORD.into()),
        topic_visibility: Duration::from_secs(1),
        ..Options::default()
    })?;
    let client = client(&server.url())?;
    for sql in [
        "CREATE NAMESPACE app",
        "CREATE TABLE app.orders (id BIGINT PRIMARY KEY)",
        "CREATE TOPIC app.events",
        "ALTER TOPIC app.events ADD SOURCE app.orders ON INSERT WITH (payload = 'full')",
        "INSERT INTO app.orders VALUES (0), (1), (2), (3), (4), (5)",
    ] {
        client.execute(sql, &[]).await?;
    }

    let mut working = Command::new(std::env::current_exe()?)
        .args(["worker", "--exact", "--nocapture"])
        .env(URL, server.url())
        .stdout(Stdio::piped())
        .spawn()?;
    let pid = working.id().to_string();
    let output = BufReader::new(working.stdout.take().ok_or("no output")?);
    let lines = tokio::task::spawn_blocking(move || -> std::io::Result<Vec<String>> {
        let mut lines = Vec::new();
        for line in output.lines() {
            lines.push(line?);
            if lines.last().is_some_and(|line| line.contains(&format!("begun {TOGETHER}"))) {
                assert!(Command::new("kill").args(["-INT", &pid]).status()?.success());
            }
        }
        Ok(lines)
    });
    let Ok(lines) = tokio::time::timeout(PATIENCE, lines).await else {
        working.kill()?;
        return Err("the worker does not end".into());
    };
    let lines = lines??;
    assert!(working.wait()?.success(), "{lines:?}");
    let handled: Vec<u64> = (0..=TOGETHER).collect();
    assert_eq!(numbers(&lines, "begun "), handled);
    let mut finished = numbers(&lines, "finished ");
    finished.sort_unstable();
    assert_eq!(finished, handled);
    assert!(lines.iter().any(|line| line.contains("handled 4 of 4")), "{lines:?}");

    let acked = async || -> Result<_> {
        let sql = "SELECT last_acked_offset FROM system.topic_offsets WHERE topic_id = 'app.events'";
        let row = client.query_one(sql, &[]).await?;
        Ok(row.and_then(|row| row[0].as_int()))
    };
    assert_eq!(acked().await?, Some(TOGETHER as i64));

    // The next worker gets what was not begun, and nothing else.
    let mut next = consumer(&client)?;
    let options = RunOptions::default();
    let stop = options.stop();
    let left = Mutex::new(BTreeSet::new());
    let handler = async |record: Arc<ConsumerRecord>| {
        left.lock().unwrap().insert(record.offset);
        if record.offset + 1 == RECORDS {
            stop.stop();
        }
        Ok::<_, String>(())
    };
    let summary = next.run(handler, options).await?;
    next.close().await?;
    assert_eq!(summary, RunSummary { handled: RECORDS - TOGETHER - 1, failed: 0 });
    assert!(left.into_inner()?.into_iter().eq(TOGETHER + 1..RECORDS));
    assert_eq!(acked().await?, Some(RECORDS as i64 - 1));
    Ok(())
}
