//! How late changes reach three readers, first when the two subscribers beside them read too, then when one never does.

use std::time::Duration;

use kalam_live::{ChangeEvent, LiveEvents, Value as Cell};
use serde_json::{Value, json};

use crate::control::{Failure, Workload, merged};
use crate::gauges::{now_us, percentiles, resident_bytes};
use crate::ours::{connect, open_events, open_live};

const READERS: usize = 3;
/// A reader that has seen nothing for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(3);

/// Which subscription is never read.
#[derive(Clone, Copy, PartialEq)]
enum Unread {
    None,
    Events,
    Live,
}

pub(crate) async fn run(workload: &Workload) -> Result<Value, Failure> {
    Ok(json!({
        "all_read": phase(workload, Unread::None).await?,
        "live_unread": phase(workload, Unread::Live).await?,
        "events_unread": phase(workload, Unread::Events).await?,
    }))
}

async fn phase(workload: &Workload, unread: Unread) -> Result<Value, Failure> {
    let client = connect(workload).await?;
    let mut live = open_live(&client, workload).await?;
    live.next_rows().await.ok_or("the subscription ended")??;
    let mut events = open_events(&client, workload).await?;
    let mut readers = Vec::new();
    for _ in 0..READERS {
        readers.push(tokio::spawn(read(open_events(&client, workload).await?, workload.changes)));
    }
    // An unread handle is kept, not dropped: that would end its subscription.
    let beside_live = tokio::spawn(async move {
        while unread != Unread::Live && live.next_rows().await.is_some() {}
        live
    });
    let beside_events = tokio::spawn(async move {
        while unread != Unread::Events && events.next().await.is_some() {}
        events
    });
    let before = resident_bytes()?;
    workload.go()?;
    let mut latencies = Vec::new();
    for reader in readers {
        latencies.extend(reader.await?);
    }
    let grown = resident_bytes()?.saturating_sub(before);
    beside_live.abort();
    beside_events.abort();
    client.close().await;
    Ok(merged([
        percentiles(latencies),
        json!({"grown_bytes": grown, "expected": READERS * workload.changes}),
    ]))
}

/// How late each change was, in microseconds; fewer than were sent if the reader got stuck.
async fn read(mut events: LiveEvents, changes: usize) -> Vec<i64> {
    let mut latencies = Vec::with_capacity(changes);
    while latencies.len() < changes {
        let Ok(Some(Ok(event))) = tokio::time::timeout(PATIENCE, events.next()).await else { break };
        if let ChangeEvent::Insert { rows, .. } | ChangeEvent::Update { rows, .. } = event
            && let Some(Cell::Timestamp(at)) = rows.first().and_then(|row| row.get("at"))
        {
            latencies.push(now_us() - at);
        }
    }
    latencies
}
