//! What is open, and ending one by its name.

use kalam_live::{LiveRowsConfig, SubscriptionConfig};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (client, _server) = kalam_examples::open().await?;
    let config = SubscriptionConfig::new("subscription-id", "SELECT * FROM app.tasks");
    let mut tasks = client.live_with_config(config, LiveRowsConfig::default()).await?;
    let _messages = client.live_table("app.messages").await?;

    let subs = client.subscriptions().await;
    for info in subs {
        println!("{} — {}", info.id, info.query);
    }
    client.cancel_subscription("subscription-id").await?;

    while let Some(rows) = tasks.next_rows().await {
        rows?;
    }
    println!("left: {}", client.subscriptions().await.len());
    Ok(())
}
