//! Where records go that failed for good. Topics are written to by tables only, so a dead letter is a row.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::client::KalamClient;
use crate::consumer::Failed;
use crate::error::{Error, ErrorCode, Result};
use crate::value::Value;

/// The table, and the topic that it feeds.
pub(super) struct DeadLetters {
    client: KalamClient,
    /// `namespace.name`, checked to be plain words.
    name: String,
    group: String,
}

impl DeadLetters {
    /// # Errors
    /// `config` for what is no name of a topic.
    pub(super) fn new(client: KalamClient, name: &str, group: &str) -> Result<Self> {
        let plain = |word: &str| {
            !word.is_empty()
                && word.chars().all(|c| c.is_alphanumeric() || c == '_')
                && !word.starts_with(|c: char| c.is_ascii_digit())
        };
        match name.split_once('.') {
            Some((namespace, own)) if plain(namespace) && plain(own) => {
                Ok(Self { client, name: name.to_owned(), group: group.to_owned() })
            }
            _ => Err(Error::new(
                ErrorCode::Config,
                format!("option `dead_letter_topic`: {name:?} is not namespace.name"),
            )),
        }
    }

    /// Puts a record there. Twice is once.
    pub(super) async fn put(&self, failed: &Failed) -> Result<()> {
        match self.insert(failed).await {
            Err(error) if is_missing(&error) => {
                self.make().await?;
                self.insert(failed).await
            }
            done => done,
        }
    }

    async fn insert(&self, failed: &Failed) -> Result<()> {
        let record = &failed.record;
        let number = |n: u64| Value::Int(i64::try_from(n).unwrap_or(i64::MAX));
        let optional = |text: Option<&str>| text.map_or(Value::Null, Value::from);
        let id = format!("{}/{}/{}/{}", self.group, record.topic, record.partition, record.offset);
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let values = [
            Value::from(id.as_str()),
            Value::from(&*record.topic),
            Value::Int(i64::from(record.partition)),
            number(record.offset),
            Value::from(self.group.as_str()),
            optional(record.key.as_deref()),
            Value::from(record.op.as_str()),
            Value::from(&*String::from_utf8_lossy(&record.payload)),
            Value::from(failed.error.as_str()),
            Value::Int(i64::from(failed.attempts)),
            Value::Timestamp(i64::try_from(since.as_micros()).unwrap_or(i64::MAX)),
        ];
        let sql = format!(
            "INSERT INTO {} (id, source_topic, source_partition, source_offset, group_id, record_key, op, payload, error, \
             attempts, failed_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)",
            self.name
        );
        match self.client.execute(&sql, &values).await {
            // An earlier attempt that got no answer.
            Err(error) if error.message().contains("already exists") => Ok(()),
            done => done.map(drop),
        }
    }

    async fn make(&self) -> Result<()> {
        let name = &self.name;
        let table = format!(
            "CREATE TABLE IF NOT EXISTS {name} (id TEXT PRIMARY KEY, source_topic TEXT, source_partition INT, source_offset \
             BIGINT, group_id TEXT, record_key TEXT, op TEXT, payload TEXT, error TEXT, attempts INT, failed_at TIMESTAMP)"
        );
        self.client.execute(&table, &[]).await?;
        // The topic may be there already, which KalamDB has no other word for than an error.
        for sql in [
            format!("CREATE TOPIC {name}"),
            format!("ALTER TOPIC {name} ADD SOURCE {name} ON INSERT WITH (payload = 'full')"),
        ] {
            match self.client.execute(&sql, &[]).await {
                Err(error) if error.message().to_lowercase().contains("already") => {}
                done => drop(done?),
            }
        }
        Ok(())
    }
}

fn is_missing(error: &Error) -> bool {
    let message = error.message();
    error.code() == ErrorCode::NotFound
        || (message.contains("not found") && message.to_lowercase().contains("table"))
}
