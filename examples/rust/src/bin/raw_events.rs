//! Every change as the server tells it.

use kalam_live::{ChangeEvent, SubscriptionConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (client, _server) = kalam_examples::open().await?;

    let config = SubscriptionConfig::new("raw-inbox", "SELECT * FROM app.messages WHERE room = 'main'");
    let mut events = client.live_events_with_config(config).await?;

    // Somebody talks once the subscription stands; what they take back ends the loop.
    let other = client.clone();
    let mut talk = None;

    while let Some(change) = events.next().await {
        match change? {
            ChangeEvent::Insert { rows, .. } => println!("inserted {}", rows.len()),
            ChangeEvent::Update { rows, .. } => println!("updated {}", rows.len()),
            ChangeEvent::Delete { old_rows, .. } => {
                println!("deleted {}", old_rows.len());
                break;
            }
            other_event => {
                println!("event: {other_event:?}");
                let other = other.clone();
                talk.get_or_insert_with(|| tokio::spawn(async move { kalam_examples::chat(&other).await }));
            }
        }
    }
    events.close().await?;
    if let Some(talk) = talk {
        talk.await??;
    }
    Ok(())
}
