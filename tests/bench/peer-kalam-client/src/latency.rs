//! How late changes reach three readers, first when the two subscribers beside them read too, then when one never does.

use std::time::Duration;

use kalam_client::{ChangeEvent, KalamLinkClient, LiveRowsConfig, SubscriptionManager};
use serde_json::{Value, json};

use crate::control::{Failure, Workload, merged};
use crate::gauges::{now_us, percentiles, resident_bytes};
use crate::{connect, subscription};

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
    let mut live = client.live_with_config(subscription("live", workload), LiveRowsConfig::default()).await?;
    let mut events = open(&client, workload, "events").await?;
    let mut readers = Vec::new();
    for number in 0..READERS {
        let events = open(&client, workload, &format!("reader-{number}")).await?;
        readers.push(tokio::spawn(read(events, workload.changes)));
    }
    // An unread handle is kept, not dropped: that would end its subscription.
    let beside_live = tokio::spawn(async move {
        while unread != Unread::Live && live.next().await.is_some() {}
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
    client.disconnect().await;
    Ok(merged([
        percentiles(latencies),
        json!({"grown_bytes": grown, "expected": READERS * workload.changes}),
    ]))
}

async fn open(
    client: &KalamLinkClient,
    workload: &Workload,
    id: &str,
) -> Result<SubscriptionManager, Failure> {
    Ok(client.live_events_with_config(subscription(id, workload)).await?)
}

/// How late each change was, in microseconds; fewer than were sent if the reader got stuck.
async fn read(mut events: SubscriptionManager, changes: usize) -> Vec<i64> {
    let mut latencies = Vec::with_capacity(changes);
    while latencies.len() < changes {
        let Ok(Some(Ok(event))) = tokio::time::timeout(PATIENCE, events.next()).await else { break };
        if let ChangeEvent::Insert { rows, .. } | ChangeEvent::Update { rows, .. } = event {
            let at = rows.first().and_then(|row| row.get("at")).and_then(|value| value.as_timestamp());
            latencies.extend(at.map(|at| now_us() - at));
        }
    }
    latencies
}
