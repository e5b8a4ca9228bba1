//! Our client, used as a program uses it.

use std::time::Duration;

use kalam_live::{
    AutoOffsetReset, ChangeEvent, KalamClient, LiveEvents, LiveRows, LiveRowsConfig, SubscriptionConfig,
    SubscriptionOptions,
};
use serde_json::{Value, json};

use crate::control::{Failure, Stopwatch, Workload, merged, post};
use crate::gauges::resident_bytes;

/// Rows a batch of the snapshot; the same for every client.
const BATCH: u32 = 1000;
/// How long a consumer is idle.
const IDLE: Duration = Duration::from_secs(10);

pub(crate) async fn connect(workload: &Workload) -> Result<KalamClient, Failure> {
    let client = KalamClient::builder().url(&workload.url).token("bench-token").build()?;
    client.connect().await?;
    Ok(client)
}

fn subscription(workload: &Workload) -> SubscriptionConfig {
    SubscriptionConfig::unnamed(workload.sql())
        .with_options(SubscriptionOptions::new().with_batch_size(BATCH))
}

/// An events handle whose snapshot has been read.
pub(crate) async fn open_events(client: &KalamClient, workload: &Workload) -> Result<LiveEvents, Failure> {
    let mut events = client.live_events_with_config(subscription(workload)).await?;
    loop {
        if let ChangeEvent::InitialDataBatch { has_more: false, .. } = next_event(&mut events).await? {
            return Ok(events);
        }
    }
}

/// A handle of live rows and nothing taken from it.
pub(crate) async fn open_live(client: &KalamClient, workload: &Workload) -> Result<LiveRows, Failure> {
    Ok(client.live_with_config(subscription(workload), LiveRowsConfig::default()).await?)
}

async fn next_event(events: &mut LiveEvents) -> Result<ChangeEvent, Failure> {
    Ok(events.next().await.ok_or("the subscription ended")??)
}

/// Every change once. A reader that falls behind is told so and gets what it missed again: that costs time, and is counted.
pub(crate) async fn events(workload: &Workload) -> Result<Value, Failure> {
    let client = connect(workload).await?;
    let mut events = open_events(&client, workload).await?;
    let stopwatch = workload.go()?;
    let (mut seen, mut lagged) = (0, 0);
    while seen < workload.changes {
        match next_event(&mut events).await? {
            ChangeEvent::Insert { .. } | ChangeEvent::Update { .. } | ChangeEvent::Delete { .. } => seen += 1,
            ChangeEvent::Lagged { .. } => lagged += 1,
            ChangeEvent::Resumed { .. } | ChangeEvent::InitialDataBatch { .. } if lagged > 0 => {}
            other => return Err(format!("unexpected event after {seen} changes: {other:?}").into()),
        }
    }
    let time = stopwatch.stop()?;
    if events.last_seq_id().map(|seq| seq.get()) != Some(workload.final_seq) {
        return Err("the last event is not the last change".into());
    }
    Ok(merged([time, json!({"changes": seen, "lagged": lagged})]))
}

/// Every record of a topic, committed batch by batch as the documentation has it, or by itself and in the end.
pub(crate) async fn consume(workload: &Workload, by_batch: bool) -> Result<Value, Failure> {
    let client = connect(workload).await?;
    let stopwatch = Stopwatch::start()?;
    let mut consumer = client
        .consumer()
        .topic(format!("bench.records_{}", workload.changes))
        .group_id(format!("ours-{}", std::process::id()))
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
    if consumer.offsets().committed != workload.changes as u64 {
        return Err("not everything is committed".into());
    }
    consumer.close().await?;
    Ok(merged([time, json!({"changes": seen})]))
}

/// A consumer that waits for records which never come, at a server that answers at once.
pub(crate) async fn idle(workload: &Workload) -> Result<Value, Failure> {
    let client = connect(workload).await?;
    let group = format!("idle-{}", std::process::id());
    let consumer = client.consumer().topic("bench.records_0").group_id(&group).build()?;
    let stopwatch = Stopwatch::start()?;
    if !consumer.poll_with_timeout(IDLE).await?.is_empty() {
        return Err("a record of a topic that has none".into());
    }
    let time = stopwatch.stop()?;
    Ok(merged([time, post(&workload.url, &format!("/bench/requests?group={group}"))?]))
}

/// Time and memory until the snapshot is complete, then time until the last change is in the rows. The loop takes rows as
/// often as it gets them; one that is behind gets the newest.
pub(crate) async fn live(workload: &Workload) -> Result<Value, Failure> {
    let client = connect(workload).await?;
    let before = resident_bytes()?;
    let loading = Stopwatch::start()?;
    let mut live = open_live(&client, workload).await?;
    let mut rows = live.next_rows().await.ok_or("the subscription ended")??;
    let loaded = loading.stop()?;
    let held = resident_bytes()?.saturating_sub(before);
    if rows.len() != workload.rows {
        return Err(format!("{} rows after a snapshot of {}", rows.len(), workload.rows).into());
    }
    let stopwatch = workload.go()?;
    let mut takes = 0;
    while rows.last_seq_id().map(|seq| seq.get()) != Some(workload.final_seq) {
        rows = live.next_rows().await.ok_or("the subscription ended")??;
        takes += 1;
    }
    let snapshot = json!({"snapshot_seconds": loaded["seconds"], "snapshot_bytes": held});
    Ok(merged([stopwatch.stop()?, snapshot, json!({"changes": workload.changes, "takes": takes})]))
}
