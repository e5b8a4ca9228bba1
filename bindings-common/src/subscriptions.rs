//! What a client tells about its open subscriptions.

use kalam_live::{SubscriptionInfo, SubscriptionStage};
use serde_json::{Value as Json, json};

/// A list of objects, oldest subscription first. `lastSeqId` is in digits.
pub(crate) fn subscriptions(open: &[SubscriptionInfo]) -> Json {
    let one = |info: &SubscriptionInfo| {
        json!({
            "id": info.id.as_str(),
            "query": info.query,
            "stage": match info.stage {
                SubscriptionStage::Waiting => "waiting",
                SubscriptionStage::Subscribing => "subscribing",
                SubscriptionStage::Loading => "loading",
                SubscriptionStage::Ready => "ready",
            },
            "lastSeqId": info.last_seq_id.map(|seq| seq.to_string()),
        })
    };
    open.iter().map(one).collect()
}
