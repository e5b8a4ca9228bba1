//! The current rows of a query, again whenever they change.

use kalam_live::{LiveRowsConfig, LiveRowsEvent, SubscriptionConfig, SubscriptionOptions};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (client, _server) = kalam_examples::open().await?;

    client.connect().await?;
    let mut config =
        SubscriptionConfig::new("inbox", "SELECT id, room, body FROM app.messages WHERE room = 'main'");
    config.options = Some(SubscriptionOptions::new().with_last_rows(20).with_batch_size(50));
    let mut live = client
        .live_with_config(config, LiveRowsConfig { limit: Some(20), ..LiveRowsConfig::default() })
        .await?;

    let other = client.clone();
    let talk = tokio::spawn(async move { kalam_examples::chat(&other).await });

    while let Some(event) = live.next().await {
        match event? {
            LiveRowsEvent::Rows { rows, last_seq_id, .. } => {
                println!("{} rows, last_seq_id={last_seq_id:?}", rows.len());
                // What was said in the end, so that this example has one too.
                let end = rows.len() == 2
                    && rows.iter().any(|row| row["body"].as_text() == Some("how is everybody?"));
                for row in rows {
                    println!("{}", row.get("body").and_then(|v| v.as_text()).unwrap_or(""));
                }
                if end {
                    break;
                }
            }
            LiveRowsEvent::Error { code, message, .. } => {
                eprintln!("live error {code}: {message}");
                break;
            }
        }
    }
    live.close().await?;
    talk.await??;
    Ok(())
}
