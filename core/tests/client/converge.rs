//! Live rows against a server that leaves out what KalamDB 0.4 leaves out.

use std::time::Duration;

use kalam_embedded::{Embedded, Holes, Options};
use kalam_live::{
    ErrorCode, KalamClient, Lifecycle, LiveRows, LiveRowsConfig, Phase, Reason, SubscriptionConfig,
    SubscriptionOptions, Value, Verify, params,
};

use super::builder;

const PASSWORD: &str = "Root-Secret-1";

struct World {
    _server: Embedded,
    /// Its live queries are tested.
    client: KalamClient,
    /// Writes.
    other: KalamClient,
}

async fn start() -> World {
    let options = Options {
        root_password: Some(PASSWORD.into()),
        emulate: Some(Holes::kalamdb_0_4()),
        ..Options::default()
    };
    let server = tokio::task::spawn_blocking(|| Embedded::start(options)).await.unwrap().unwrap();
    let client = || builder(&server.url()).user("root").password(PASSWORD).namespace("app").build().unwrap();
    let (client, other) = (client(), client());
    other.query("CREATE NAMESPACE app", &[]).await.unwrap();
    other.query("CREATE TABLE app.t (id BIGINT PRIMARY KEY, s TEXT, n INT)", &[]).await.unwrap();
    World { _server: server, client, other }
}

impl World {
    async fn insert(&self, ids: std::ops::Range<i64>) {
        for from in ids.clone().step_by(500) {
            let to = (from + 500).min(ids.end);
            let rows: Vec<String> = (from..to).map(|id| format!("({id}, 'open', {})", id % 10)).collect();
            let sql = format!("INSERT INTO app.t (id, s, n) VALUES {}", rows.join(", "));
            assert_eq!(self.execute(&sql).await, (to - from) as u64);
        }
    }

    async fn execute(&self, sql: &str) -> u64 {
        self.other.execute(sql, &[]).await.expect(sql)
    }

    async fn live(&self, sql: &str) -> LiveRows {
        self.live_with(SubscriptionConfig::unnamed(sql)).await
    }

    async fn live_with(&self, config: SubscriptionConfig) -> LiveRows {
        let rows = LiveRowsConfig { verify: Verify::Every(Duration::from_secs(2)), ..Default::default() };
        self.client.live_with_config(config, rows).await.unwrap()
    }

    /// The rows, once they are those of the SELECT and nobody doubts them.
    async fn converges(&self, live: &mut LiveRows, select: &str) {
        let expected = self.other.query_all(select, &[]).await.unwrap();
        let mut expected: Vec<Vec<Value>> = expected.iter().map(|row| row.values().to_vec()).collect();
        expected.sort_by_key(|row| row[0].as_int());
        let mut last = Vec::new();
        let arrives = async {
            while let Some(rows) = live.next_rows().await {
                let rows = rows.unwrap();
                last = rows.iter().map(|row| row.values().to_vec()).collect();
                last.sort_by_key(|row| row[0].as_int());
                if rows.phase() == Phase::Live && last == expected {
                    return;
                }
            }
            panic!("the live query has ended");
        };
        let arrived = tokio::time::timeout(Duration::from_secs(60), arrives).await.is_ok();
        assert!(arrived, "{select}: {} rows instead of {}", last.len(), expected.len());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_leave_filters_of_every_kind() {
    let world = start().await;
    for filter in [
        "s = 'open'",
        "s IN ('open', 'hold') AND n BETWEEN 0 AND 9",
        "s LIKE 'op%'",
        "lower(s) = 'open'",
        "s > 'closed'",
        "s IS NOT NULL AND s <> 'closed'",
        "NOT (s = 'closed')",
    ] {
        world.execute("DELETE FROM app.t WHERE id >= 0").await;
        world.insert(0..20).await;
        let select = format!("SELECT id, n FROM app.t WHERE {filter}");
        let mut live = world.live(&select).await;
        world.converges(&mut live, &select).await;
        world.execute("UPDATE app.t SET s = 'closed' WHERE id = 3").await;
        world.execute("UPDATE app.t SET s = NULL WHERE id = 4").await;
        world.execute("DELETE FROM app.t WHERE id = 5").await;
        world.execute("INSERT INTO app.t (id, s, n) VALUES (100, 'open', 1), (101, 'closed', 1)").await;
        world.execute("UPDATE app.t SET s = 'closed' WHERE id = 6").await;
        world.execute("UPDATE app.t SET s = 'open' WHERE id = 6").await;
        world.converges(&mut live, &select).await;
    }
    let counters = world.client.counters().verify;
    assert!(counters.rows_removed > 0 && counters.errors == 0, "{counters:?}");
    assert!(world.client.subscriptions().await.is_empty(), "watches do not show");
    world.client.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_skip_and_bursts_that_drop() {
    let world = start().await;
    world.insert(0..3_000).await;
    world.execute("UPDATE app.t SET s = 'updated' WHERE n = 3").await;
    let mut live = world.live("SELECT * FROM app.t").await;
    world.converges(&mut live, "SELECT id, s, n FROM app.t").await;
    let mut lifecycle = world.client.lifecycle();
    for turn in 0..4 {
        world.execute(&format!("UPDATE app.t SET s = 'turn {turn}' WHERE n < 5")).await;
    }
    world.execute("DELETE FROM app.t WHERE n = 9").await;
    world.converges(&mut live, "SELECT id, s, n FROM app.t").await;
    if world.client.counters().verify.repairs > 0 {
        while let Some(event) = lifecycle.next().await {
            if let Lifecycle::Repaired { repair, .. } = event {
                assert!(repair.queries > 0 && repair.bytes > 0);
                break;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_happens_while_away() {
    let world = start().await;
    world.insert(0..100).await;
    let mut all = world.live("SELECT * FROM app.t").await;
    let mut some = world.live("SELECT id, s FROM app.t WHERE n > 5").await;
    let newest = SubscriptionConfig::unnamed("SELECT id FROM app.t")
        .with_options(SubscriptionOptions::new().with_last_rows(5));
    let mut newest = world.live_with(newest).await;
    world.converges(&mut all, "SELECT id, s, n FROM app.t").await;
    world.converges(&mut some, "SELECT id, s FROM app.t WHERE n > 5").await;
    world.converges(&mut newest, "SELECT id FROM app.t WHERE id >= 95").await;
    world.client.disconnect().await;
    world.execute("DELETE FROM app.t WHERE id = 96 OR id = 6").await;
    world.execute("UPDATE app.t SET n = 0 WHERE id = 7").await;
    world.execute("INSERT INTO app.t (id, s, n) VALUES (200, 'new', 7)").await;
    world.client.connect().await.unwrap();
    world.converges(&mut all, "SELECT id, s, n FROM app.t").await;
    world.converges(&mut some, "SELECT id, s FROM app.t WHERE n > 5").await;
    world.converges(&mut newest, "SELECT id FROM app.t WHERE id >= 95 OR id = 7").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tables_that_change_or_go() {
    let world = start().await;
    world.insert(0..5).await;
    let mut live = world.live("SELECT * FROM app.t").await;
    world.converges(&mut live, "SELECT id, s, n FROM app.t").await;
    world.execute("ALTER TABLE app.t ADD COLUMN extra INT").await;
    world.execute("UPDATE app.t SET extra = 5 WHERE id = 1").await;
    world.converges(&mut live, "SELECT id, s, n, extra FROM app.t").await;
    world.execute("DROP TABLE app.t").await;
    let ended = async {
        loop {
            match live.next_rows().await {
                Some(Ok(_)) => {}
                Some(Err(error)) => return error,
                None => panic!("ended without a word"),
            }
        }
    };
    let error = tokio::time::timeout(Duration::from_secs(60), ended)
        .await
        .unwrap_or_else(|_| panic!("{:?}", world.client.counters()));
    assert_eq!(error.code(), ErrorCode::NotFound);
}

/// The old subscription hears of the new table, of other columns, without a word in between.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_is_made_again() {
    let world = start().await;
    world.insert(0..5).await;
    let mut all = world.live("SELECT * FROM app.t").await;
    let mut open = world.live("SELECT id, s FROM app.t WHERE s = 'open'").await;
    world.converges(&mut all, "SELECT id, s, n FROM app.t").await;
    world.converges(&mut open, "SELECT id, s FROM app.t WHERE s = 'open'").await;
    for columns in ["id BIGINT PRIMARY KEY, s TEXT, n INT", "id BIGINT PRIMARY KEY, s TEXT, n INT, z TEXT"] {
        world.execute("DROP TABLE app.t").await;
        world.execute(&format!("CREATE TABLE app.t ({columns})")).await;
        let id = 3 + columns.len();
        world
            .execute(&format!("INSERT INTO app.t (id, s, n) VALUES ({id}, 'open', 0), (7, 'closed', 1)"))
            .await;
        world.converges(&mut open, "SELECT id, s FROM app.t WHERE s = 'open'").await;
        let more = if columns.contains('z') { ", z" } else { "" };
        world.converges(&mut all, &format!("SELECT id, s, n{more} FROM app.t")).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn watches_give_their_slots_back() {
    let world = start().await;
    world.insert(0..5).await;
    let select = "SELECT id FROM app.t WHERE s = 'open'";
    let mut live = world.live(select).await;
    world.converges(&mut live, select).await;
    // Ten for a user: the live query, its watch, and eight of another device.
    let mut others = Vec::new();
    for _ in 0..8 {
        let mut events = world.other.live_events("SELECT id FROM app.t").await.unwrap();
        events.next().await.unwrap().unwrap();
        others.push(events);
    }
    let mut more = world.live("SELECT id, n FROM app.t").await;
    world.converges(&mut more, "SELECT id, n FROM app.t").await;
    // Without its watch the query is checked instead.
    world.execute("UPDATE app.t SET s = 'closed' WHERE id = 3").await;
    world.converges(&mut live, select).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_checks_the_rows_are_what_the_server_tells() {
    let world = start().await;
    world.insert(0..5).await;
    let rows = LiveRowsConfig { verify: Verify::Off, ..LiveRowsConfig::default() };
    let config = SubscriptionConfig::unnamed("SELECT id FROM app.t WHERE s = 'open'");
    let mut live = world.client.live_with_config(config, rows).await.unwrap();
    world.converges(&mut live, "SELECT id FROM app.t").await;
    world.execute("UPDATE app.t SET s = 'closed' WHERE id = 1").await;
    world.other.execute("INSERT INTO app.t (id, s, n) VALUES ($1, 'open', 1)", &params![9]).await.unwrap();
    world.converges(&mut live, "SELECT id FROM app.t").await;
    assert_eq!(world.client.counters().verify, kalam_live::VerifyCounters::default());
    assert_eq!(Reason::Unconfirmed.as_str(), "unconfirmed");
}
