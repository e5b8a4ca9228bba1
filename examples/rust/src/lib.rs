//! What the examples have in common: a server to talk to, and something that happens on it.
//!
//! With `KALAM_URL` (and `KALAM_USER`, `KALAM_PASSWORD`) they use that server, otherwise an embedded one of their own, in
//! memory.

use kalam_embedded::{Embedded, Options};
use kalam_live::KalamClient;

/// A client, and the server if the example has started one. The tables are there, and empty.
pub async fn open() -> Result<(KalamClient, Option<Embedded>), Box<dyn std::error::Error>> {
    let variable = |name: &str| std::env::var(name).ok();
    let (url, user, password, server) = match variable("KALAM_URL") {
        Some(url) => {
            let user = variable("KALAM_USER").unwrap_or_else(|| "root".into());
            (url, user, variable("KALAM_PASSWORD").unwrap_or_default(), None)
        }
        None => {
            let server = Embedded::start(Options::default())?;
            let password = server.root_password().unwrap_or_default().to_owned();
            (server.url(), "root".into(), password, Some(server))
        }
    };
    let client = KalamClient::builder().url(url).user(user).password(password).build()?;
    client.query("CREATE NAMESPACE IF NOT EXISTS app", &[]).await?;
    for table in [
        "messages (id BIGINT PRIMARY KEY, room TEXT, body TEXT)",
        "tasks (id BIGINT PRIMARY KEY, title TEXT, status TEXT)",
    ] {
        let name = table.split(' ').next().unwrap_or_default();
        client.query(&format!("DROP TABLE IF EXISTS app.{name}"), &[]).await?;
        client.query(&format!("CREATE TABLE app.{table} WITH (TYPE = 'SHARED')"), &[]).await?;
    }
    Ok((client, server))
}

/// Somebody who talks in the room `main`: says three things, corrects the second, takes back the third.
pub async fn chat(client: &KalamClient) -> kalam_live::Result<()> {
    for (id, body) in [(1, "hello"), (2, "how are you?"), (3, "never mind")] {
        let sql = "INSERT INTO app.messages (id, room, body) VALUES ($1, 'main', $2)";
        client.execute(sql, &kalam_live::params![id, body]).await?;
    }
    client.execute("UPDATE app.messages SET body = 'how is everybody?' WHERE id = 2", &[]).await?;
    client.execute("DELETE FROM app.messages WHERE id = 3", &[]).await?;
    Ok(())
}

/// Compiles the programs of the README.
#[cfg(doctest)]
#[doc = include_str!("../../../README.md")]
struct Readme;
