//! The first program: write a row, read it.

use kalam_live::params;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (client, _server) = kalam_examples::open().await?;

    client
        .execute(
            "INSERT INTO app.messages (id, room, body) VALUES ($1, $2, $3)",
            &params![1, "main", "hello"],
        )
        .await?;
    let rows = client.query("SELECT id, body FROM app.messages WHERE room = $1", &params!["main"]).await?;
    for row in &rows {
        println!("{} {}", row["id"], row["body"]);
    }
    Ok(())
}
