//! The makers' own client, as published, measured as the peer of ours.
//!
//! ```text
//! bench-peer-kalam-client events|live|consume|consume_auto|latency URL TABLE
//! ```
//!
//! Prints one JSON line. It is a process of its own, so that its memory is its own and so that a build of the project
//! never compiles the makers' crates.

#[path = "../../core/src/control.rs"]
mod control;
#[path = "../../core/src/gauges.rs"]
mod gauges;
mod latency;

use control::{Failure, Stopwatch, Workload, merged};
use gauges::resident_bytes;
use kalam_client::{
    AuthProvider, AutoOffsetReset, ChangeEvent, ConnectionOptions, KalamLinkClient, LiveRowsConfig,
    LiveRowsEvent, SubscriptionConfig, SubscriptionOptions,
};
use serde_json::{Value, json};

/// Rows a batch of the snapshot; the same for every client.
const BATCH: usize = 1000;

#[tokio::main]
async fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments[..] {
        ["events", url, table] => events(&Workload::prepare(url, table)?).await?,
        ["consume", url, table] => consume(&Workload::prepare(url, table)?, true).await?,
        ["consume_auto", url, table] => consume(&Workload::prepare(url, table)?, false).await?,
        ["live", url, table] => live(&Workload::prepare(url, table)?).await?,
        ["latency", url, table] => latency::run(&Workload::prepare(url, table)?).await?,
        _ => return Err("usage: events|live|consume|consume_auto|latency URL TABLE".into()),
    };
    println!("{result}");
    Ok(())
}

async fn connect(workload: &Workload) -> Result<KalamLinkClient, Failure> {
    let client = KalamLinkClient::builder()
        .base_url(&workload.url)
        .auth(AuthProvider::jwt_token("bench-token".to_owned()))
        .connection_options(ConnectionOptions::new().with_disable_compression(true))
        .build()?;
    client.connect().await?;
    Ok(client)
}

fn subscription(id: &str, workload: &Workload) -> SubscriptionConfig {
    let mut config = SubscriptionConfig::new(id, workload.sql());
    config.options = Some(SubscriptionOptions::new().with_batch_size(BATCH));
    config
}

async fn events(workload: &Workload) -> Result<Value, Failure> {
    let client = connect(workload).await?;
    let mut events = client.live_events_with_config(subscription("events", workload)).await?;
    let mut held = 0;
    while held < workload.rows {
        if let ChangeEvent::InitialDataBatch { rows, .. } = next(events.next().await)? {
            held += rows.len();
        }
    }
    let stopwatch = workload.go()?;
    let mut seen = 0;
    while seen < workload.changes {
        match next(events.next().await)? {
            ChangeEvent::Insert { .. } | ChangeEvent::Update { .. } | ChangeEvent::Delete { .. } => seen += 1,
            ChangeEvent::Error { code, message, .. } => return Err(format!("{code}: {message}").into()),
            _ => {}
        }
    }
    Ok(merged([stopwatch.stop()?, json!({"changes": seen})]))
}

/// Every record of a topic, committed batch by batch as the documentation has it, or by itself and in the end.
async fn consume(workload: &Workload, by_batch: bool) -> Result<Value, Failure> {
    let client = connect(workload).await?;
    let stopwatch = Stopwatch::start()?;
    let mut consumer = client
        .consumer()
        .topic(&format!("bench.records_{}", workload.changes))
        .group_id(&format!("peer-{}", std::process::id()))
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .enable_auto_commit(!by_batch)
        .build()?;
    let mut seen = 0;
    while seen < workload.changes {
        let records = consumer.poll().await?;
        for record in &records {
            consumer.mark_processed(record);
        }
        seen += records.len();
        if by_batch || seen == workload.changes {
            consumer.commit_sync().await?;
        }
    }
    let time = stopwatch.stop()?;
    consumer.close().await?;
    Ok(merged([time, json!({"changes": seen})]))
}

/// Time and memory until the snapshot is complete, then time until the last change is in the rows.
async fn live(workload: &Workload) -> Result<Value, Failure> {
    let client = connect(workload).await?;
    let before = resident_bytes()?;
    let loading = Stopwatch::start()?;
    let mut live = client.live_with_config(subscription("live", workload), LiveRowsConfig::default()).await?;
    let mut events = 0;
    let mut held = 0;
    while held < workload.rows {
        held = rows_of(next(live.next().await)?)?.0;
    }
    let loaded = loading.stop()?;
    let after = resident_bytes()?;
    let stopwatch = workload.go()?;
    let mut last_seq = None;
    while last_seq != Some(workload.final_seq) {
        last_seq = rows_of(next(live.next().await)?)?.1;
        events += 1;
    }
    let snapshot =
        json!({"snapshot_seconds": loaded["seconds"], "snapshot_bytes": after.saturating_sub(before)});
    Ok(merged([stopwatch.stop()?, snapshot, json!({"changes": workload.changes, "takes": events})]))
}

fn rows_of(event: LiveRowsEvent) -> Result<(usize, Option<i64>), Failure> {
    match event {
        LiveRowsEvent::Rows { rows, last_seq_id, .. } => {
            Ok((rows.len(), last_seq_id.map(|seq| seq.as_i64())))
        }
        LiveRowsEvent::Error { code, message, .. } => Err(format!("{code}: {message}").into()),
    }
}

fn next<T>(event: Option<kalam_client::Result<T>>) -> Result<T, Failure> {
    Ok(event.ok_or("the subscription ended")??)
}
