//! Against the embedded server: what a program does, from end to end.

use kalam_embedded::{Embedded, Options};
use kalam_fault_proxy::{Direction, FaultProxy, Flow};
use kalam_live::{
    ChangeEvent, Checkpoint, ConnectionState, ErrorCode, KalamClient, LiveRows, LiveRowsConfig, Phase,
    SubscriptionConfig, SubscriptionOptions, Timeouts, Value, params,
};
use tokio::sync::oneshot;

use super::{builder, quick};

const PASSWORD: &str = "Root-Secret-1";

pub(super) async fn start() -> (Embedded, KalamClient) {
    start_with(Options::default()).await
}

async fn start_with(options: Options) -> (Embedded, KalamClient) {
    let options = Options { root_password: Some(PASSWORD.into()), ..options };
    let server = tokio::task::spawn_blocking(|| Embedded::start(options)).await.unwrap().unwrap();
    let client = root(&server);
    client.query("CREATE NAMESPACE app", &[]).await.unwrap();
    client
        .query("CREATE TABLE app.t (id BIGINT PRIMARY KEY, body TEXT, n INT) WITH (TYPE = 'SHARED')", &[])
        .await
        .unwrap();
    (server, client)
}

fn root(server: &Embedded) -> KalamClient {
    builder(&server.url()).user("root").password(PASSWORD).namespace("app").build().unwrap()
}

async fn insert(client: &KalamClient, ids: std::ops::RangeInclusive<i64>) {
    for id in ids {
        let sql = "INSERT INTO t (id, body, n) VALUES ($1, $2, $3)";
        client.execute(sql, &params![id, format!("row {id}"), id as i32 % 10]).await.unwrap();
    }
}

/// The ids shown, once they are what `wanted` says.
async fn until(live: &mut LiveRows, wanted: impl Fn(&[i64]) -> bool) -> Vec<i64> {
    loop {
        let rows = live.next_rows().await.expect("open").expect("rows");
        let ids: Vec<_> = rows.iter().map(|row| row["id"].as_int().unwrap()).collect();
        if rows.phase() == Phase::Live && wanted(&ids) {
            return ids;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_execute_batch() {
    let (_server, client) = start().await;
    insert(&client, 1..=3).await;
    let rows = client
        .query("SELECT id, body FROM t WHERE id >= $1 ORDER BY id DESC LIMIT 5", &params![2])
        .await
        .unwrap();
    assert_eq!(rows.iter().map(|r| r["id"].as_int().unwrap()).collect::<Vec<_>>(), [3, 2]);
    assert_eq!(client.execute("UPDATE t SET n = 7 WHERE id < 3", &[]).await.unwrap(), 2);
    let changed = client
        .batch([
            ("DELETE FROM t WHERE id = $1", params![1]),
            ("UPDATE t SET n = $1 WHERE id = 2", params![8]),
        ])
        .await
        .unwrap();
    assert_eq!(changed, 2);
    let failed = client.batch(["DELETE FROM t", "INSERT INTO nowhere (a) VALUES (1)"]).await.unwrap_err();
    assert!(matches!(failed.code(), ErrorCode::NotFound | ErrorCode::InvalidSql), "{failed}");
    assert!(failed.message().starts_with("Statement 2 failed:"), "BEGIN is not the caller's: {failed}");
    let left = client.query_one("SELECT count(*) AS n FROM t", &[]).await.unwrap().unwrap();
    assert_eq!(left["n"], Value::from(2), "the transaction was rolled back");
    for (sql, code) in [
        ("SELEKT", ErrorCode::InvalidSql),
        ("SELECT nothing FROM t", ErrorCode::InvalidSql),
        ("SELECT * FROM app.nowhere", ErrorCode::NotFound),
        ("INSERT INTO t (id) VALUES (2)", ErrorCode::AlreadyExists),
        ("CREATE TABLE t (id BIGINT PRIMARY KEY)", ErrorCode::AlreadyExists),
        ("CREATE NAMESPACE app", ErrorCode::AlreadyExists),
    ] {
        assert_eq!(client.query(sql, &[]).await.unwrap_err().code(), code, "{sql}");
    }
    assert_eq!(client.health().await.unwrap().status, "healthy");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_parameters() {
    let (_server, client) = start().await;
    client.execute("CREATE TABLE b (id BIGINT PRIMARY KEY, x BYTES, note TEXT)", &[]).await.unwrap();
    let bytes = Value::Bytes([0, 39, 255].into());
    let params = [Value::from(1), bytes.clone(), Value::from("it's $1")];
    client.execute("INSERT INTO b (id, x, note) VALUES ($1, $2, $3)", &params).await.unwrap();
    let row =
        client.query_one("SELECT x, note FROM b WHERE x = $1", std::slice::from_ref(&bytes)).await.unwrap();
    assert_eq!(row.unwrap().values(), [bytes, Value::from("it's $1")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn query_all_and_paged_snapshot_are_complete() {
    let (_server, client) = start().await;
    let rows = (1..=2500).map(|id| format!("({id}, 'row', {})", id % 7)).collect::<Vec<_>>().join(", ");
    assert_eq!(
        client.execute(&format!("INSERT INTO t (id, body, n) VALUES {rows}"), &[]).await.unwrap(),
        2500
    );
    // Known without a WebSocket: this server leaves nothing out, at 50 rows neither.
    let fifty = client.query("SELECT id FROM t WHERE id <= 50", &[]).await.unwrap();
    assert_eq!((fifty.len(), fifty.is_truncated()), (50, false));
    let all = client.query_all("SELECT body FROM t WHERE n < 5", &[]).await.unwrap();
    assert_eq!(all.len(), (1..=2500).filter(|id| id % 7 < 5).count());
    let config = SubscriptionConfig::unnamed("SELECT * FROM t")
        .with_options(SubscriptionOptions::new().with_batch_size(100));
    let mut live = client.live_with_config(config, LiveRowsConfig::default()).await.unwrap();
    let rows = live.next_rows().await.unwrap().unwrap();
    assert_eq!((rows.len(), rows.phase()), (2500, Phase::Live), "the first rows are all rows");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn live_follows_every_change() {
    let (_server, client) = start().await;
    insert(&client, 1..=3).await;
    let mut live = client.live("SELECT body, id FROM t WHERE n < 5").await.unwrap();
    assert_eq!(until(&mut live, |ids| ids.len() == 3).await, [1, 2, 3]);
    client.execute("UPDATE t SET n = 9 WHERE id = 2", &[]).await.unwrap();
    assert_eq!(until(&mut live, |ids| ids.len() == 2).await, [1, 3], "it left the filter");
    client.execute("UPDATE t SET n = 1 WHERE id = 2", &[]).await.unwrap();
    client.execute("DELETE FROM t WHERE id = 1", &[]).await.unwrap();
    assert_eq!(until(&mut live, |ids| ids == [3, 2]).await, [3, 2], "it came back, at the end");
    client.execute("UPDATE t SET body = NULL WHERE id = 3", &[]).await.unwrap();
    let rows = live.next_rows().await.unwrap().unwrap();
    assert!(rows[0]["body"].is_null());
    live.close().await.unwrap();
    assert!(live.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_resume_from_a_checkpoint() {
    let (_server, client) = start().await;
    insert(&client, 1..=3).await;
    let mut events = client.live_events("SELECT * FROM t").await.unwrap();
    let mut snapshot = 0;
    while snapshot < 3 {
        snapshot += events.next().await.unwrap().unwrap().rows().len();
    }
    let checkpoint = events.checkpoint().unwrap();
    drop(events);
    client.execute("DELETE FROM t WHERE id = 1", &[]).await.unwrap();
    insert(&client, 4..=4).await;
    // Its text is what is kept. A bare number does not say whose it is.
    let kept: Checkpoint = checkpoint.to_string().parse().unwrap();
    for (from, gaps) in [(kept, 0), (checkpoint.seq().into(), 1)] {
        let options = SubscriptionOptions::new().with_from(from);
        let config = SubscriptionConfig::unnamed("SELECT * FROM t").with_options(options);
        let mut events = client.live_events_with_config(config).await.unwrap();
        let (mut deleted, mut inserted, mut unproven) = (Vec::new(), Vec::new(), 0);
        while deleted.is_empty() || inserted.is_empty() {
            match events.next().await.unwrap().unwrap() {
                ChangeEvent::Delete { old_rows, .. } => deleted.extend(old_rows),
                ChangeEvent::Insert { rows, .. } | ChangeEvent::Update { rows, .. } => inserted.extend(rows),
                ChangeEvent::InitialDataBatch { rows, .. } => assert!(rows.is_empty()),
                ChangeEvent::Ack { .. } => {}
                ChangeEvent::GapPossible { .. } => unproven += 1,
                other => panic!("{other:?}"),
            }
        }
        assert_eq!((deleted[0]["id"].as_int(), inserted[0]["id"].as_int()), (Some(1), Some(4)));
        assert_eq!(unproven, gaps);
    }
}

#[tokio::test]
async fn a_checkpoint_of_other_data_loads_everything() {
    let (_server, client) = start().await;
    insert(&client, 1..=2).await;
    let foreign: Checkpoint = "another:1".parse().unwrap();
    let config = || {
        SubscriptionConfig::unnamed("SELECT * FROM t")
            .with_options(SubscriptionOptions::new().with_from(foreign.clone()))
    };
    let mut events = client.live_events_with_config(config()).await.unwrap();
    assert!(matches!(events.next().await, Some(Ok(ChangeEvent::Ack { .. }))));
    let Some(Ok(ChangeEvent::GapPossible { reason, .. })) = events.next().await else { panic!("no word") };
    assert!(reason.contains("another server"), "{reason}");
    assert_eq!(events.next().await.unwrap().unwrap().rows().len(), 2);
    assert_ne!(events.checkpoint().unwrap().epoch(), foreign.epoch());

    let mut live = client.live_with_config(config(), LiveRowsConfig::default()).await.unwrap();
    let rows = live.next_rows().await.unwrap().unwrap();
    assert_eq!((rows.len(), rows.phase()), (2, Phase::Live));
    let options = SubscriptionOptions::new().with_from(rows.checkpoint().unwrap());
    let config = SubscriptionConfig::unnamed("SELECT * FROM t").with_options(options);
    let mut live = client.live_with_config(config, LiveRowsConfig::default()).await.unwrap();
    let rows = live.next_rows().await.unwrap().unwrap();
    assert_eq!((rows.len(), rows.phase()), (0, Phase::Partial));
    insert(&client, 3..=3).await;
    let rows = live.next_rows().await.unwrap().unwrap();
    assert_eq!((rows.len(), rows.phase()), (1, Phase::Partial));
}

/// Writers, readers that come and go, a network that fails: in the end every reader sees what a SELECT sees.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn right_in_the_end_whatever_happens() {
    let (server, client) = start().await;
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into()).await.unwrap();
    let ms = std::time::Duration::from_millis;
    let timeouts = Timeouts {
        keepalive: ms(50),
        pong: ms(100),
        connect: ms(500),
        auth: ms(500),
        subscribe: ms(500),
        ..Timeouts::default()
    };
    let shaky = builder(&format!("http://{}", proxy.address()))
        .timeouts(timeouts)
        .user("root")
        .password(PASSWORD)
        .namespace("app")
        .build()
        .unwrap();
    let mut live = shaky.live("SELECT * FROM t WHERE n < 8").await.unwrap();
    assert!(until(&mut live, |_| true).await.is_empty());
    let mut state = shaky.watch_state();
    let (stop, mut stopped) = oneshot::channel::<()>();
    let reader = tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = &mut stopped => return live,
                rows = live.next_rows() => drop(rows.expect("open").expect("rows")),
            }
        }
    });
    for round in 0..20_i64 {
        insert(&client, round * 10 + 1..=round * 10 + 10).await;
        client.execute("DELETE FROM t WHERE id = $1", &params![round * 10 + 3]).await.unwrap();
        client.execute("UPDATE t SET n = n + 1 WHERE id = $1", &params![round * 10 + 7]).await.unwrap();
        match round % 5 {
            0 => proxy.cut(),
            1 => proxy.set_flow(Flow::Sliced(3)),
            2 => proxy.cut_after(Direction::ToClient, 700),
            3 => {
                // A connection that looks alive, until a ping is not answered.
                assert!(state.wait_for(|state| *state == ConnectionState::Connected).await);
                proxy.set_flow(Flow::BlackHole);
                assert!(state.wait_for(|state| *state != ConnectionState::Connected).await);
            }
            _ => {
                // What a black hole took does not come back, as on no real connection that goes on.
                proxy.cut();
                proxy.set_flow(Flow::Open);
                assert!(state.wait_for(|state| *state == ConnectionState::Connected).await);
            }
        }
    }
    stop.send(()).unwrap();
    let mut live = reader.await.unwrap();
    insert(&client, 1000..=1000).await;
    let mut wanted: Vec<_> = client
        .query_all("SELECT id FROM t WHERE n < 8", &[])
        .await
        .unwrap()
        .iter()
        .map(|row| row["id"].as_int().unwrap())
        .collect();
    wanted.sort_unstable();
    let sorted = |ids: &[i64]| {
        let mut ids = ids.to_vec();
        ids.sort_unstable();
        ids
    };
    until(&mut live, |ids| sorted(ids) == wanted).await;
    assert!(shaky.counters().connection.connects > 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn survives_an_expired_token_and_a_restart() {
    let directory = std::env::temp_dir().join(format!("kalam-live-test-{}", std::process::id()));
    let options = Options {
        data: kalam_embedded::Data::Directory(directory.clone()),
        access_token_lifetime: std::time::Duration::from_secs(1),
        ..Options::default()
    };
    let (server, client) = start_with(options.clone()).await;
    let port = server.port();
    let mut live = client.live("SELECT * FROM t").await.unwrap();
    insert(&client, 1..=2).await;
    until(&mut live, |ids| ids == [1, 2]).await;
    server.shutdown().await;
    let options = Options { port, root_password: Some(PASSWORD.into()), ..options };
    let server = tokio::task::spawn_blocking(|| Embedded::start(options)).await.unwrap().unwrap();
    // By now the first token is no longer good, here or on the WebSocket.
    loop {
        match client.execute("INSERT INTO t (id) VALUES (3)", &[]).await {
            Ok(_) => break,
            Err(failed) => assert!(matches!(failed.code(), ErrorCode::Disconnected), "{failed}"),
        }
    }
    until(&mut live, |ids| ids == [1, 2, 3]).await;
    client.close().await;
    server.shutdown().await;
    std::fs::remove_dir_all(directory).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn users_see_only_their_own() {
    let (server, root) = start().await;
    root.query("CREATE TABLE app.notes (id BIGINT PRIMARY KEY, body TEXT) WITH (TYPE = 'USER')", &[])
        .await
        .unwrap();
    let mut clients = Vec::new();
    for name in ["alice", "bob"] {
        root.query(&format!("CREATE USER {name} WITH PASSWORD 'Secret-{name}-1' ROLE user"), &[])
            .await
            .unwrap();
        let client =
            builder(&server.url()).user(name).password(format!("Secret-{name}-1")).reconnect(quick());
        clients.push(client.namespace("app").build().unwrap());
    }
    let mut live = Vec::new();
    for client in &clients {
        live.push(client.live_table("notes").await.unwrap());
    }
    for (id, client) in clients.iter().enumerate() {
        client
            .execute("INSERT INTO notes (id, body) VALUES ($1, 'mine')", &params![id as i64])
            .await
            .unwrap();
    }
    for (id, live) in live.iter_mut().enumerate() {
        assert_eq!(until(live, |ids| !ids.is_empty()).await, [id as i64]);
    }
    let seen = root.as_user("alice").query("SELECT id FROM app.notes", &[]).await.unwrap();
    assert_eq!(seen.iter().map(|row| row["id"].as_int().unwrap()).collect::<Vec<_>>(), [0]);
    let failed =
        clients[0].live("SELECT * FROM app.nowhere").await.unwrap().next_rows().await.unwrap().unwrap_err();
    assert_eq!(failed.code(), ErrorCode::NotFound, "{failed}");
    let failed =
        builder(&server.url()).user("alice").password("wrong").build().unwrap().connect().await.unwrap_err();
    assert_eq!(failed.code(), ErrorCode::AuthFailed);
}

#[tokio::test]
async fn tables_are_altered_and_dropped_while_they_are_watched() {
    let (_server, client) = start().await;
    insert(&client, 1..=2).await;
    let mut all = client.live("SELECT * FROM t").await.unwrap();
    let mut events = client.live_events("SELECT * FROM t").await.unwrap();
    let columns = |rows: &kalam_live::Rows| rows.schema().columns().len();
    let before = columns(&all.next_rows().await.unwrap().unwrap());
    for more in 1..=5 {
        client.execute(&format!("ALTER TABLE t ADD COLUMN extra{more} INT"), &[]).await.unwrap();
        client.execute(&format!("UPDATE t SET extra{more} = {more} WHERE id = 1"), &[]).await.unwrap();
        let rows = loop {
            let rows = all.next_rows().await.unwrap().unwrap();
            let value =
                rows.iter().find(|row| row["id"].as_int() == Some(1)).map(|row| row.values().last().cloned());
            if columns(&rows) == before + more && value == Some(Some(Value::from(more as i64))) {
                break rows;
            }
        };
        assert_eq!((rows.len(), rows.phase()), (2, Phase::Live));
        // Whoever follows the events is told the new columns before the first row that has them.
        loop {
            if let ChangeEvent::Ack { schema, .. } = events.next().await.unwrap().unwrap()
                && schema.columns().len() == before + more
            {
                break;
            }
        }
    }
    client.execute("DROP TABLE t", &[]).await.unwrap();
    let ended = loop {
        if let Err(error) = all.next_rows().await.unwrap() {
            break error;
        }
    };
    assert_eq!(ended.code(), ErrorCode::NotFound, "{ended}");
    assert!(all.next_rows().await.is_none());
}
