//! Go on where an earlier run stopped: keep the checkpoint, and give it back.

use kalam_live::{ChangeEvent, Checkpoint, SubscriptionConfig, SubscriptionOptions, params};

const SQL: &str = "SELECT id, body FROM app.messages";

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (client, _server) = kalam_examples::open().await?;
    let insert = "INSERT INTO app.messages (id, room, body) VALUES ($1, 'main', $2)";
    client.execute(insert, &params![1, "hello"]).await?;
    client.execute(insert, &params![2, "how are you?"]).await?;

    // The first run reads what there is, and keeps the place. A real program would write its text to a file or a database.
    let mut events = client.live_events(SQL).await?;
    let kept: String = loop {
        if let Some(ChangeEvent::InitialDataBatch { rows, has_more: false, .. }) =
            events.next().await.transpose()?
        {
            println!("first run: {} rows", rows.len());
            break events.checkpoint().ok_or("no rows")?.to_string();
        }
    };
    drop(events);

    client.execute(insert, &params![3, "while you were away"]).await?;
    client.execute("DELETE FROM app.messages WHERE id = 1", &[]).await?;

    // The second run sees only what was written since; at a server with other data it would see all rows, and be told.
    let options = SubscriptionOptions::new().with_from(kept.parse::<Checkpoint>()?);
    let mut events =
        client.live_events_with_config(SubscriptionConfig::new("again", SQL).with_options(options)).await?;
    let mut expected = 2;
    while expected > 0 {
        match events.next().await.ok_or("closed")?? {
            ChangeEvent::Insert { rows, .. } => println!("since then: inserted {}", rows[0]["body"]),
            ChangeEvent::Delete { old_rows, .. } => println!("since then: deleted {}", old_rows[0]["body"]),
            _ => continue,
        }
        expected -= 1;
    }
    Ok(())
}
