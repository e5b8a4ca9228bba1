//! The short form, for when the defaults are enough.

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (client, _server) = kalam_examples::open().await?;
    client
        .batch(["INSERT INTO app.tasks (id, title, status) VALUES (1, 'write', 'open'), (2, 'ship', 'open')"])
        .await?;

    let mut live = client.live("SELECT * FROM app.tasks WHERE status = 'open'").await?;
    while let Some(rows) = live.next_rows().await {
        let rows = rows?;
        let titles: Vec<_> = rows.iter().map(|row| row["title"].to_string()).collect();
        println!("{} open: {}", rows.len(), titles.join(", "));
        match rows.iter().next() {
            Some(task) => {
                client
                    .execute("UPDATE app.tasks SET status = 'done' WHERE id = $1", &[task["id"].clone()])
                    .await?;
            }
            None => break,
        }
    }
    Ok(())
}
