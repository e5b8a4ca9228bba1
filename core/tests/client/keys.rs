//! Rows that leave a filter, or go while the connection is lost, by keys of every type: what the client asks for them by
//! is SQL that it writes itself.

use std::time::Duration;

use kalam_embedded::{Embedded, Holes, Options};
use kalam_live::{KalamClient, LiveRows, Phase, Value};

use super::builder;

const PASSWORD: &str = "Root-Secret-1";

/// A type, and four keys of it as SQL.
const KEYS: [(&str, [&str; 4]); 9] = [
    ("TEXT", ["'it''s; -- \"quoted\"'", "'%_\\'", "''", "'züri 🦉 \u{301}'"]),
    ("BIGINT", ["-9223372036854775808", "9223372036854775807", "0", "-1"]),
    ("INT", ["-2147483648", "2147483647", "0", "-1"]),
    ("SMALLINT", ["-32768", "32767", "0", "-1"]),
    (
        "UUID",
        [
            "'00000000-0000-0000-0000-000000000000'",
            "'ffffffff-ffff-ffff-ffff-ffffffffffff'",
            "'018f3c2a-7b1e-7c3d-8e4f-0123456789ab'",
            "'7f000000-0000-4000-8000-000000000000'",
        ],
    ),
    ("DATE", ["'1969-12-31'", "'1970-01-01'", "'2024-02-29'", "'2100-01-01'"]),
    (
        "TIMESTAMP",
        [
            "'1969-12-31T23:59:59.999999'",
            "'1970-01-01T00:00:00'",
            "'2024-02-29T12:34:56.000001'",
            "'2100-01-01T00:00:00'",
        ],
    ),
    ("DECIMAL(20,4)", ["'-0.0001'", "'1234567890123456.7890'", "'0'", "'-1.5'"]),
    ("BOOLEAN", ["true", "false", "", ""]),
];

async fn until(live: &mut LiveRows, client: &KalamClient, select: &str) {
    let answer = client.query_all(select, &[]).await.expect(select);
    let values = |rows: &mut dyn Iterator<Item = &kalam_live::Row>| {
        let mut rows: Vec<Vec<Value>> = rows.map(|row| row.values().to_vec()).collect();
        rows.sort_by_key(|row| format!("{row:?}"));
        rows
    };
    let expected = values(&mut answer.iter());
    let mut last = Vec::new();
    let arrives = async {
        loop {
            let rows = live.next_rows().await.expect("it goes on").expect("no error");
            last = values(&mut rows.iter());
            if rows.phase() == Phase::Live && last == expected {
                return;
            }
        }
    };
    let arrived = tokio::time::timeout(Duration::from_secs(40), arrives).await.is_ok();
    assert!(arrived, "{select}: {last:?} instead of {expected:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_of_every_type_are_looked_up() {
    let options = Options {
        root_password: Some(PASSWORD.into()),
        emulate: Some(Holes::kalamdb_0_4()),
        ..Options::default()
    };
    let server = tokio::task::spawn_blocking(|| Embedded::start(options)).await.unwrap().unwrap();
    let new = || builder(&server.url()).user("root").password(PASSWORD).build().unwrap();
    let other = new();
    other.query("CREATE NAMESPACE app", &[]).await.unwrap();
    for (kind, keys) in KEYS {
        let client = new();
        let table = format!("app.k_{}", kind.split('(').next().unwrap().to_lowercase());
        let run = async |sql: String| {
            let done = other.execute(&sql, &[]).await;
            assert!(done.is_ok(), "{sql}: {done:?}");
        };
        run(format!("CREATE TABLE {table} (k {kind} PRIMARY KEY, s TEXT)")).await;
        let keys: Vec<&str> = keys.into_iter().filter(|key| !key.is_empty()).collect();
        for key in &keys {
            run(format!("INSERT INTO {table} (k, s) VALUES ({key}, 'open')")).await;
        }
        let select = format!("SELECT k, s FROM {table} WHERE s = 'open'");
        let all = format!("SELECT k, s FROM {table}");
        let (mut open, mut everything) =
            (client.live(&select).await.unwrap(), client.live(&all).await.unwrap());
        until(&mut open, &other, &select).await;
        // The first leaves the filter without a word, and comes back.
        run(format!("UPDATE {table} SET s = 'closed' WHERE k = {}", keys[0])).await;
        until(&mut open, &other, &select).await;
        run(format!("UPDATE {table} SET s = 'open' WHERE k = {}", keys[0])).await;
        until(&mut open, &other, &select).await;
        client.disconnect().await;
        run(format!("DELETE FROM {table} WHERE k = {}", keys[0])).await;
        run(format!("UPDATE {table} SET s = 'closed' WHERE k = {}", keys[1])).await;
        client.connect().await.unwrap();
        until(&mut open, &other, &select).await;
        until(&mut everything, &other, &all).await;
        let counters = client.counters().verify;
        assert!(counters.rows_removed > 0 && counters.errors == 0, "{kind}: {counters:?}");
        client.close().await;
    }
}
