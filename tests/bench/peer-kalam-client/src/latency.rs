//! How late changes reach three readers beside a subscriber that never reads, and, at the same time and in the same process,
//! how late they reach three whose neighbours all read: what the machine does meanwhile befalls both alike.

use std::time::Duration;

use kalam_client::{ChangeEvent, KalamLinkClient, LiveRowsConfig, LiveRowsSubscription, SubscriptionManager};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::control::{Failure, Workload};
use crate::gauges::{now_us, percentiles, resident_bytes};
use crate::{connect, subscription};

const READERS: usize = 3;
/// A reader that has seen nothing for this long is stuck.
const PATIENCE: Duration = Duration::from_secs(3);

/// Which subscription is never read.
#[derive(Clone, Copy, PartialEq)]
enum Unread {
    Events,
    Live,
}

pub(crate) async fn run(workload: &Workload) -> Result<Value, Failure> {
    Ok(json!({
        "live_unread": phase(workload, Unread::Live).await?,
        "events_unread": phase(workload, Unread::Events).await?,
    }))
}

/// Two connections get the same changes at once; on the second one subscription is never read.
async fn phase(workload: &Workload, unread: Unread) -> Result<Value, Failure> {
    let (reading, beside) = (Group::open(workload, None).await?, Group::open(workload, Some(unread)).await?);
    let before = resident_bytes()?;
    workload.go()?;
    let (reading, beside) = tokio::join!(reading.latencies(), beside.latencies());
    let grown = resident_bytes()?.saturating_sub(before);
    Ok(json!({
        "all_read": percentiles(reading?), "beside": percentiles(beside?),
        "grown_bytes": grown, "expected": READERS * workload.changes,
    }))
}

/// One connection with three readers of events, and a subscription to live rows and one to events beside them.
struct Group {
    client: KalamLinkClient,
    readers: Vec<JoinHandle<Vec<i64>>>,
    /// Unread handles are kept, not dropped: that would end their subscriptions.
    live: JoinHandle<LiveRowsSubscription>,
    events: JoinHandle<SubscriptionManager>,
}

impl Group {
    async fn open(workload: &Workload, unread: Option<Unread>) -> Result<Self, Failure> {
        let client = connect(workload).await?;
        let mut live =
            client.live_with_config(subscription("live", workload), LiveRowsConfig::default()).await?;
        let mut events = open(&client, workload, "events").await?;
        let mut readers = Vec::new();
        for number in 0..READERS {
            readers.push(tokio::spawn(read(
                open(&client, workload, &format!("reader-{number}")).await?,
                workload.changes,
            )));
        }
        let live = tokio::spawn(async move {
            while unread != Some(Unread::Live) && live.next().await.is_some() {}
            live
        });
        let events = tokio::spawn(async move {
            while unread != Some(Unread::Events) && events.next().await.is_some() {}
            events
        });
        Ok(Group { client, readers, live, events })
    }

    async fn latencies(self) -> Result<Vec<i64>, Failure> {
        let mut latencies = Vec::new();
        for reader in self.readers {
            latencies.extend(reader.await?);
        }
        self.live.abort();
        self.events.abort();
        self.client.disconnect().await;
        Ok(latencies)
    }
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
