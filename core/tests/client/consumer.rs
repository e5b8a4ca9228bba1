//! Consumers of topics against the embedded server.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::poll_immediate;
use kalam_embedded::{Embedded, Options};
use kalam_live::{
    AutoOffsetReset, Committed, ConsumerRecord, ErrorCode, FailedAction, KalamClient, RecordOp, RunOptions,
    TopicConsumer, params,
};

use serde_json::json;

use super::builder;
use crate::support::{Answer, Request, Server};

const PASSWORD: &str = "Root-Secret-1";

async fn start(options: Options) -> (Embedded, KalamClient) {
    let options = Options { root_password: Some(PASSWORD.into()), ..options };
    let server = tokio::task::spawn_blocking(|| Embedded::start(options)).await.unwrap().unwrap();
    let client = builder(&server.url()).user("root").password(PASSWORD).build().unwrap();
    for sql in [
        "CREATE NAMESPACE orders",
        "CREATE TABLE orders.list (id BIGINT PRIMARY KEY, item TEXT, at TIMESTAMP)",
        "CREATE TOPIC orders.events",
        "ALTER TOPIC orders.events ADD SOURCE orders.list ON INSERT WITH (payload = 'full')",
        "ALTER TOPIC orders.events ADD SOURCE orders.list ON UPDATE WITH (payload = 'full')",
    ] {
        client.execute(sql, &[]).await.unwrap();
    }
    (server, client)
}

/// A server that delivers again what was not acknowledged within a moment.
async fn impatient() -> (Embedded, KalamClient) {
    start(Options { topic_visibility: Duration::from_millis(300), ..Options::default() }).await
}

fn consumer(client: &KalamClient) -> TopicConsumer {
    let consumer = client.consumer().group_id("g").topic("orders.events");
    consumer
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .enable_auto_commit(false)
        .max_poll_records(3)
        .build()
        .unwrap()
}

async fn insert(client: &KalamClient, ids: std::ops::Range<i64>) {
    for id in ids {
        let sql = "INSERT INTO orders.list (id, item) VALUES ($1, $2)";
        client.execute(sql, &params![id, format!("item {id}")]).await.unwrap();
    }
}

/// The last record that a group has acknowledged.
async fn acked(client: &KalamClient, group: &str) -> Option<i64> {
    let sql = "SELECT last_acked_offset FROM system.topic_offsets WHERE group_id = $1";
    client.query(sql, &params![group]).await.unwrap()[0][0].as_int()
}

fn offsets(records: &[ConsumerRecord]) -> Vec<u64> {
    records.iter().map(|record| record.offset).collect()
}

/// Polls until there are so many records.
async fn take(consumer: &TopicConsumer, count: usize) -> Vec<ConsumerRecord> {
    let mut records = Vec::new();
    while records.len() < count {
        records.extend(consumer.poll().await.unwrap());
    }
    records
}

/// Marks records and commits them.
async fn finish(consumer: &TopicConsumer, records: &[ConsumerRecord]) -> Committed {
    records.iter().for_each(|record| consumer.mark_processed(record));
    consumer.commit_sync().await.unwrap()
}

/// The program of KalamDB's documentation, with only the names changed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_documented_program() -> kalam_live::Result<()> {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..2).await;
    let mut consumer = client
        .consumer()
        .group_id("billing-workers")
        .topic("orders.events")
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .enable_auto_commit(false)
        .poll_timeout(Duration::from_secs(10))
        .build()?;
    let records = consumer.poll().await?;
    for record in &records {
        // process record.payload
        consumer.mark_processed(record);
    }
    consumer.commit_sync().await?;
    consumer.close().await?;

    assert_eq!(offsets(&records), [0, 1]);
    assert_eq!(acked(&client, "billing-workers").await, Some(1));
    assert_eq!(consumer.poll().await.unwrap_err().code(), ErrorCode::Closed);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_is_a_typed_row() {
    let (_server, client) = start(Options::default()).await;
    let sql = "INSERT INTO orders.list VALUES (9007199254740993, 'tea', '2026-01-02T03:04:05Z')";
    client.execute(sql, &[]).await.unwrap();
    client.execute("UPDATE orders.list SET item = NULL", &[]).await.unwrap();
    let records = take(&consumer(&client), 2).await;
    let [inserted, updated] = &records[..] else { panic!() };
    assert_eq!((inserted.op, updated.op), (RecordOp::Insert, RecordOp::Update));
    assert_eq!((&*inserted.topic, inserted.partition, inserted.offset), ("orders.events", 0, 0));
    assert_eq!((inserted.key.as_deref(), inserted.user.as_deref()), (Some("9007199254740993"), None));
    assert!(inserted.timestamp_ms > 1_600_000_000_000 && inserted.problem.is_none());
    let row = inserted.row().unwrap().unwrap();
    assert_eq!(row["id"].as_int(), Some(9_007_199_254_740_993));
    assert_eq!(row["at"].as_timestamp(), Some(1_767_323_045_000_000));
    assert_eq!(row.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["id", "item", "at"]);
    assert!(updated.row().unwrap().unwrap()["item"].is_null());
    assert_eq!(inserted.json().unwrap()["item"], "tea");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_may_be_altered_between_records() {
    let (_server, client) = start(Options::default()).await;
    let begins = client.consumer().group_id("g").topic("orders.events");
    let consumer = begins.auto_offset_reset(AutoOffsetReset::Earliest).build().unwrap();
    for column in ["first", "second"] {
        insert(&client, 0..1).await;
        take(&consumer, 1).await;
        client.execute(&format!("ALTER TABLE orders.list ADD COLUMN {column} BIGINT"), &[]).await.unwrap();
        let sql = format!("UPDATE orders.list SET {column} = 9007199254740993");
        client.execute(&sql, &[]).await.unwrap();
        let records = take(&consumer, 1).await;
        assert_eq!(records[0].row().unwrap().unwrap()[column].as_int(), Some(9_007_199_254_740_993));
        client.execute("DELETE FROM orders.list", &[]).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_poll_loses_nothing_and_two_at_once_are_refused() {
    let (_server, client) = start(Options::default()).await;
    let consumer = consumer(&client);
    {
        let mut waiting = Box::pin(consumer.poll());
        assert!(poll_immediate(&mut waiting).await.is_none());
        assert_eq!(consumer.poll().await.unwrap_err().code(), ErrorCode::InvalidArgument);
    }
    insert(&client, 0..3).await;
    assert_eq!(offsets(&take(&consumer, 3).await), [0, 1, 2]);
    assert_eq!(consumer.poll_with_timeout(Duration::from_millis(1)).await.unwrap(), []);
    let offsets = consumer.offsets();
    assert_eq!((offsets.position, offsets.committed, offsets.unfinished), (3, 0, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_a_poll_that_is_given_up_is_woken() {
    let (_server, client) = start(Options::default()).await;
    let consumer = consumer(&client);
    let polling = Arc::new(consumer.polling(Some(Duration::from_secs(3600))).unwrap());
    let waiting = tokio::spawn({
        let polling = polling.clone();
        async move { std::future::poll_fn(|cx| polling.poll_ready(cx)).await }
    });
    tokio::task::yield_now().await;
    polling.close();
    tokio::time::timeout(Duration::from_secs(60), waiting).await.expect("woken").unwrap();
    assert_eq!(polling.take(10).unwrap(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_dead_worker_held_is_not_lost_when_another_finished_what_follows() {
    let (_server, client) = impatient().await;
    insert(&client, 0..6).await;
    let (a, b) = (consumer(&client), consumer(&client));
    assert_eq!(offsets(&take(&a, 3).await), [0, 1, 2]);
    let records = take(&b, 3).await;
    assert_eq!(offsets(&records), [3, 4, 5]);
    records.iter().for_each(|record| b.mark_processed(record));
    assert_eq!(b.commit_sync().await.unwrap(), Committed { next_offset: 0, held_back: 3 });
    drop(a);
    let again = take(&b, 3).await;
    assert_eq!(offsets(&again), [0, 1, 2], "and what is finished is not handed out again");
    again.iter().for_each(|record| b.mark_processed(record));
    assert_eq!(b.commit_sync().await.unwrap(), Committed { next_offset: 6, held_back: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_healthy_workers_share_a_topic_and_handle_nothing_twice() {
    let (_server, client) = start(Options::default()).await;
    let handled: Arc<Mutex<Vec<u64>>> = Arc::default();
    let work = |name: &'static str| {
        let (consumer, handled) = (consumer(&client), handled.clone());
        let options = RunOptions::default().with_concurrency(4);
        let stop = options.stop();
        let task = tokio::spawn(async move {
            let handler = async |record: Arc<ConsumerRecord>| {
                handled.lock().unwrap().push(record.offset);
                Ok::<_, String>(())
            };
            let summary = consumer.run(handler, options).await.unwrap();
            // Together they commit what they have finished alternately, however slow this machine is.
            consumer.finish(Duration::from_secs(60)).await;
            (name, summary.handled)
        });
        (task, stop)
    };
    let workers = [work("a"), work("b")];
    insert(&client, 0..200).await;
    while handled.lock().unwrap().len() < 200 {
        tokio::task::yield_now().await;
    }
    workers.iter().for_each(|(_, stop)| stop.stop());
    let mut total = 0;
    for (task, _) in workers {
        total += task.await.unwrap().1;
    }
    let handled = handled.lock().unwrap().clone();
    assert_eq!(total, 200);
    assert_eq!(handled.iter().collect::<BTreeSet<_>>().len(), 200, "each once");
    assert_eq!(acked(&client, "g").await, Some(199));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_keeps_the_order_of_keys_tries_again_and_buries_what_fails() {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..20).await;
    client.execute("UPDATE orders.list SET item = 'changed'", &[]).await.unwrap();
    let seen: Arc<Mutex<HashMap<String, Vec<u64>>>> = Arc::default();
    let attempts: Arc<Mutex<BTreeMap<u64, u32>>> = Arc::default();
    let options = RunOptions::default()
        .with_concurrency(8)
        .with_max_attempts(3)
        .with_backoff(Duration::from_millis(1), Duration::from_millis(5))
        .with_dead_letter_topic("orders.dead");
    let stop = options.stop();
    let run = {
        let (consumer, seen, attempts) = (consumer(&client), seen.clone(), attempts.clone());
        tokio::spawn(async move {
            let handler = async |record: Arc<ConsumerRecord>| {
                let attempt = {
                    let mut attempts = attempts.lock().unwrap();
                    let attempt = attempts.entry(record.offset).or_default();
                    *attempt += 1;
                    *attempt
                };
                match record.offset {
                    3 => return Err("never".to_owned()),
                    5 => panic!("on purpose"),
                    7 if attempt < 3 => return Err("not yet".to_owned()),
                    _ => {}
                }
                tokio::task::yield_now().await;
                seen.lock()
                    .unwrap()
                    .entry(record.key.clone().unwrap().into())
                    .or_default()
                    .push(record.offset);
                Ok(())
            };
            consumer.run(handler, options).await
        })
    };
    while seen.lock().unwrap().values().map(Vec::len).sum::<usize>() < 38 {
        tokio::task::yield_now().await;
    }
    stop.stop();
    let summary = run.await.unwrap().unwrap();
    assert_eq!((summary.handled, summary.failed), (38, 2));
    assert!(seen.lock().unwrap().values().all(|offsets| offsets.is_sorted()));
    assert_eq!(attempts.lock().unwrap()[&7], 3);
    let dead = client
        .query("SELECT source_offset, error, attempts, payload FROM orders.dead ORDER BY source_offset", &[]);
    let dead = dead.await.unwrap();
    let told: Vec<_> = dead
        .iter()
        .map(|row| (row[0].as_int().unwrap(), row[1].as_text().unwrap(), row[2].as_int().unwrap()))
        .collect();
    assert_eq!(told, [(3, "never", 3), (5, "the handler panicked", 3)]);
    assert!(dead[0]["payload"].as_text().unwrap().contains("item 3"));
    // They are records too.
    let letters =
        client.consumer().topic("orders.dead").group_id("g").auto_offset_reset(AutoOffsetReset::Earliest);
    assert_eq!(take(&letters.build().unwrap(), 2).await.len(), 2);
    let acked = client.query(
        "SELECT last_acked_offset AS n FROM system.topic_offsets WHERE topic_id = 'orders.events'",
        &[],
    );
    assert_eq!(acked.await.unwrap()[0]["n"].as_int(), Some(39));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_record_is_never_passed_unless_told_so() {
    let (_server, client) = impatient().await;
    insert(&client, 0..5).await;
    let refusals: Arc<Mutex<u32>> = Arc::default();
    let decided: Arc<Mutex<u32>> = Arc::default();
    let (count, errors) = (decided.clone(), Arc::<Mutex<Vec<String>>>::default());
    let told = errors.clone();
    let options = RunOptions::default()
        .with_max_attempts(1)
        .with_timeout(Duration::from_millis(50))
        .with_on_failed(move |failed| {
            let mut count = count.lock().unwrap();
            *count += 1;
            errors.lock().unwrap().push(failed.error);
            // Held once, which has it delivered again; then told to go on.
            let action = if *count == 1 { FailedAction::Hold } else { FailedAction::Skip };
            async move { Some(action) }
        });
    let stop = options.stop();
    let consumer = consumer(&client);
    let run = consumer.run(
        async |record: Arc<ConsumerRecord>| {
            if record.offset == 2 {
                *refusals.lock().unwrap() += 1;
                std::future::pending::<()>().await;
            }
            Ok::<_, String>(())
        },
        options,
    );
    let watch = async {
        while *decided.lock().unwrap() < 1 {
            tokio::task::yield_now().await;
        }
        consumer.commit_sync().await.unwrap();
        assert!(consumer.offsets().committed <= 2);
        while consumer.offsets().committed < 5 {
            tokio::task::yield_now().await;
            consumer.commit_sync().await.unwrap();
        }
        stop.stop();
    };
    let (summary, ()) = tokio::join!(run, watch);
    assert_eq!(*refusals.lock().unwrap(), 2);
    assert!(told.lock().unwrap().iter().all(|error| error.contains("longer than")), "{told:?}");
    assert_eq!(summary.unwrap().failed, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_that_is_dropped_has_committed_what_it_finished() {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..5).await;
    let mut consumer = consumer(&client);
    {
        let hangs = tokio::sync::Notify::new();
        let handler = async |record: Arc<ConsumerRecord>| {
            if record.offset == 2 {
                hangs.notify_one();
                std::future::pending::<()>().await;
            }
            Ok::<_, String>(())
        };
        let mut run = Box::pin(consumer.run(handler, RunOptions::default()));
        tokio::select! {
            ended = &mut run => panic!("{ended:?}"),
            () = hangs.notified() => {}
        }
    }
    consumer.close().await.unwrap();
    assert_eq!(acked(&client, "g").await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_worker_runs_at_a_time_and_another_after_it_at_once() {
    let (_server, client) = start(Options::default()).await;
    let consumer = consumer(&client);
    let idle = async |_: Arc<ConsumerRecord>| Ok::<_, String>(());
    for round in 0..100 {
        let mut run = Box::pin(consumer.run(idle, RunOptions::default()));
        assert!(poll_immediate(&mut run).await.is_none(), "round {round}");
        // Polls or not: when it has enough records to handle, it does not.
        for _ in 0..round % 4 {
            tokio::task::yield_now().await;
        }
        assert_eq!(
            consumer.run(idle, RunOptions::default()).await.unwrap_err().code(),
            ErrorCode::InvalidArgument
        );
        assert_eq!(consumer.poll().await.unwrap_err().code(), ErrorCode::InvalidArgument);
        assert_eq!(consumer.seek(0).await.unwrap_err().code(), ErrorCode::InvalidArgument);
        assert!(poll_immediate(&mut run).await.is_none(), "round {round}");
    }
    insert(&client, 0..1).await;
    let options = RunOptions::default();
    let stop = options.stop();
    let handler = async |_: Arc<ConsumerRecord>| {
        stop.stop();
        Ok::<_, String>(())
    };
    assert_eq!(consumer.run(handler, options).await.unwrap().handled, 1);
    assert_eq!(offsets(&consumer.poll_with_timeout(Duration::ZERO).await.unwrap()), [0; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stopped_worker_begins_nothing_more() {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..5).await;
    let (consumer, options) = (consumer(&client), RunOptions::default());
    let stop = options.stop();
    let handler = async |record: Arc<ConsumerRecord>| {
        if record.offset == 1 {
            stop.stop();
        }
        Ok::<_, String>(())
    };
    assert_eq!(consumer.run(handler, options).await.unwrap().handled, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_another_moves_back_is_handled_again() {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..3).await;
    let consumer = consumer(&client);
    let records = take(&consumer, 3).await;
    finish(&consumer, &records).await;
    // It waits for records, for the next ones.
    let waiting = consumer.polling(None).unwrap();
    client.execute("RESET CONSUMER GROUP 'g' ON orders.events TO 1", &[]).await.unwrap();
    insert(&client, 3..4).await;
    std::future::poll_fn(|cx| waiting.poll_ready(cx)).await;
    let mut records = waiting.take(10).unwrap();
    while records.len() < 3 {
        records.extend(consumer.poll().await.unwrap());
    }
    assert_eq!(offsets(&records), [1, 2, 3]);
    assert_eq!(finish(&consumer, &records).await, Committed { next_offset: 4, held_back: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_topic_that_is_made_anew_is_read_from_its_beginning() {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..3).await;
    let consumer = consumer(&client);
    let records = take(&consumer, 3).await;
    finish(&consumer, &records).await;
    for (count, sql) in [
        (0, "DROP TOPIC orders.events"),
        (0, "CREATE TOPIC orders.events"),
        // More than there were, so that where the group was is in the middle.
        (5, "ALTER TOPIC orders.events ADD SOURCE orders.list ON INSERT WITH (payload = 'full')"),
    ] {
        client.execute(sql, &[]).await.unwrap();
        insert(&client, 10..10 + count).await;
    }
    let records = take(&consumer, 5).await;
    assert_eq!(offsets(&records), [0, 1, 2, 3, 4]);
    assert_eq!(records[0].key.as_deref(), Some("10"));
    assert_eq!(finish(&consumer, &records).await, Committed { next_offset: 5, held_back: 0 });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_loop_marks_a_record_when_it_asks_for_the_next() {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..5).await;
    let mut consumer = consumer(&client);
    for offset in 0..4 {
        assert_eq!(consumer.next_record().await.unwrap().unwrap().offset, offset);
    }
    assert_eq!(consumer.commit_sync().await.unwrap().next_offset, 3, "the fourth is being handled");
    consumer.close().await.unwrap();
    assert_eq!(consumer.next_record().await.unwrap(), None, "nothing is begun that can not be committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auto_commit_and_close_commit_what_was_marked() {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..3).await;
    let open = || {
        client.consumer().topic("orders.events").group_id("g").auto_offset_reset(AutoOffsetReset::Earliest)
    };
    let mut consumer = open().auto_commit_interval(Duration::from_millis(10)).build().unwrap();
    let records = take(&consumer, 3).await;
    consumer.mark_processed(&records[0]);
    while consumer.offsets().committed < 1 {
        tokio::task::yield_now().await;
    }
    consumer.close().await.unwrap();
    let mut consumer = open().auto_commit_interval(Duration::from_secs(3600)).build().unwrap();
    assert!(consumer.poll_with_timeout(Duration::from_millis(1)).await.unwrap().is_empty());
    consumer.mark_offset(1);
    consumer.close().await.unwrap();
    assert_eq!(acked(&client, "g").await, Some(1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_can_be_moved() {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..3).await;
    let consumer = consumer(&client);
    let records = take(&consumer, 3).await;
    finish(&consumer, &records).await;
    consumer.seek(1).await.unwrap();
    assert_eq!(consumer.position(), 1);
    assert_eq!(offsets(&take(&consumer, 2).await), [1, 2]);
    // Also while a request waits at the server, which would hold up the next one.
    assert!(consumer.poll_with_timeout(Duration::from_millis(50)).await.unwrap().is_empty());
    drop(poll_immediate(&mut Box::pin(consumer.poll_with_timeout(Duration::from_secs(60)))).await);
    consumer.seek(0).await.unwrap();
    let moved = tokio::time::timeout(Duration::from_secs(10), take(&consumer, 3)).await;
    assert_eq!(offsets(&moved.expect("no wait for the old request")), [0, 1, 2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_move_after_a_poll_that_timed_out_gives_the_records_at_once() {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..3).await;
    let consumer = consumer(&client);
    let records = take(&consumer, 3).await;
    records.iter().for_each(|record| consumer.mark_processed(record));
    for round in 0..50 {
        // Leaves a request at the server that waits for records.
        let none = consumer.poll_with_timeout(Duration::from_millis(round % 5)).await.unwrap();
        assert!(none.is_empty(), "{none:?}");
        consumer.seek(0).await.unwrap();
        let moved = tokio::time::timeout(Duration::from_secs(5), take(&consumer, 3)).await;
        let records = moved.unwrap_or_else(|_| panic!("round {round} gets nothing"));
        assert_eq!(offsets(&records), [0, 1, 2]);
        records.iter().for_each(|record| consumer.mark_processed(record));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_is_not_moved_while_its_member_waits_nor_beyond_the_end() {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..3).await;
    let mut consumer = consumer(&client);
    assert_eq!(consumer.next_record().await.unwrap().unwrap().offset, 0);
    assert_eq!((consumer.position(), consumer.offsets().position), (1, 1));
    consumer.seek(2).await.unwrap();
    assert_eq!(consumer.position(), 2, "what the loop had is forgotten");
    assert_eq!(consumer.next_record().await.unwrap().unwrap().offset, 2);
    consumer.seek(2).await.unwrap();
    assert_eq!(consumer.next_record().await.unwrap().unwrap().offset, 2, "and not finished by asking");
    let waiting = consumer.polling(None).unwrap();
    assert_eq!(consumer.seek(0).await.unwrap_err().code(), ErrorCode::InvalidArgument);
    waiting.close();
    consumer.seek(1000).await.unwrap();
    assert_eq!(consumer.position(), 3);
    insert(&client, 3..4).await;
    assert_eq!(consumer.next_record().await.unwrap().unwrap().offset, 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn latest_begins_with_what_comes_and_an_expired_token_is_renewed() {
    let options = Options { access_token_lifetime: Duration::from_secs(1), ..Options::default() };
    let (_server, client) = start(options).await;
    insert(&client, 0..2).await;
    let consumer = client.consumer().topic("orders.events").group_id("late").build().unwrap();
    // Longer than the token lives.
    assert!(consumer.poll_with_timeout(Duration::from_millis(2100)).await.unwrap().is_empty());
    insert(&client, 2..3).await;
    assert_eq!(offsets(&take(&consumer, 1).await), [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_clearly() {
    let (server, client) = start(Options::default()).await;
    let none = client.consumer().topic("orders.none").group_id("g").build().unwrap();
    let error = none.poll().await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), (ErrorCode::NotFound, false));
    client.execute("CREATE USER 'amy' WITH PASSWORD 'Secret-123' ROLE user", &[]).await.unwrap();
    let amy = builder(&server.url()).user("amy").password("Secret-123").build().unwrap();
    let theirs = amy.consumer().topic("orders.events").group_id("g").build().unwrap();
    assert_eq!(theirs.poll().await.unwrap_err().code(), ErrorCode::PermissionDenied);
    let run = theirs.run(async |_| Ok::<_, String>(()), RunOptions::default());
    assert_eq!(run.await.unwrap_err().code(), ErrorCode::PermissionDenied);
    // As recorded, a partition that does not exist is empty.
    let nowhere = client.consumer().topic("orders.events").group_id("g").partition_id(9).build().unwrap();
    assert!(nowhere.poll_with_timeout(Duration::from_millis(50)).await.unwrap().is_empty());
    for builder in [
        client.consumer().group_id("g"),
        client.consumer().topic("a.b"),
        client.consumer().topic("a.b").group_id("g").max_poll_records(0),
    ] {
        assert_eq!(builder.build().unwrap_err().code(), ErrorCode::Config);
    }
    let options = RunOptions::default().with_dead_letter_topic("no namespace");
    let consumer = consumer(&client);
    let run = consumer.run(async |_| Ok::<_, String>(()), options).await;
    assert_eq!(run.unwrap_err().code(), ErrorCode::Config);
    client.close().await;
    assert_eq!(client.consumer().topic("a.b").group_id("g").build().unwrap_err().code(), ErrorCode::Closed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn consumers_end_with_their_client_and_commit_what_is_finished() {
    let (server, watcher) = start(Options::default()).await;
    insert(&watcher, 0..5).await;
    let client = builder(&server.url()).user("root").password(PASSWORD).build().unwrap();
    let mut looped = client
        .consumer()
        .topic("orders.events")
        .group_id("g")
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .build()
        .unwrap();
    // The second is being handled when the client is closed; the others were fetched with it.
    for offset in 0..2 {
        assert_eq!(looped.next_record().await.unwrap().unwrap().offset, offset);
    }
    let idle = client.consumer().topic("orders.events").group_id("idle").build().unwrap();
    let waiting = idle.polling(None).unwrap();
    client.close().await;
    assert_eq!(looped.next_record().await.unwrap(), None);
    assert_eq!(looped.poll().await.unwrap_err().code(), ErrorCode::Closed);
    std::future::poll_fn(|cx| waiting.poll_ready(cx)).await;
    assert_eq!(waiting.take(10).unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(acked(&watcher, "g").await, Some(0), "and nothing that was only fetched, or not finished");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_whose_client_is_closed_finishes_what_it_handles_and_says_so() {
    let (server, watcher) = start(Options::default()).await;
    insert(&watcher, 0..5).await;
    let client = builder(&server.url()).user("root").password(PASSWORD).build().unwrap();
    let consumer = consumer(&client);
    let handled = AtomicUsize::new(0);
    let handler = async |record: Arc<ConsumerRecord>| {
        if record.offset == 2 {
            client.close().await;
        }
        handled.fetch_add(1, Ordering::SeqCst);
        Ok::<_, String>(())
    };
    let ended = consumer.run(handler, RunOptions::default()).await;
    assert_eq!(ended.unwrap_err().code(), ErrorCode::Closed);
    assert_eq!(handled.load(Ordering::SeqCst), 3, "nothing more is begun");
    assert_eq!(
        acked(&watcher, "g").await,
        Some(1),
        "without auto-commit too, what was finished when it was closed"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_record_whose_on_failed_panics_is_held() {
    let (_server, client) = start(Options::default()).await;
    insert(&client, 0..3).await;
    let options = RunOptions::default().with_max_attempts(1).with_on_failed(async |_| panic!("on purpose"));
    let stop = options.stop();
    let consumer = consumer(&client);
    let handler = async |record: Arc<ConsumerRecord>| {
        if record.offset == 2 {
            stop.stop();
        }
        if record.offset == 1 { Err("never") } else { Ok(()) }
    };
    let summary = consumer.run(handler, options).await.unwrap();
    assert_eq!((summary.handled, summary.failed), (2, 1));
    assert_eq!(consumer.commit_sync().await.unwrap(), Committed { next_offset: 1, held_back: 1 });
}

/// A consume request that asks for records, not only where the group is.
fn wants_records(request: &Request) -> bool {
    let body: serde_json::Value = serde_json::from_str(&request.body).unwrap_or_default();
    request.path.ends_with("consume") && body["limit"] != 0
}

#[tokio::test]
async fn trouble_is_waited_out_and_a_payload_that_is_no_base64_spoils_nothing() {
    let (fetches, acks) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let server = Server::http(move |request| {
        if request.path.ends_with("ack") {
            return match acks.fetch_add(1, Ordering::SeqCst) {
                0 => Answer::Nothing,
                1 => Answer::Json(503, json!({"error": "not now", "code": "SERVICE_UNAVAILABLE"})),
                _ => Answer::Json(200, json!({"success": true, "acknowledged_offset": 2})),
            };
        }
        if !wants_records(&request) {
            return Answer::Json(200, json!({"messages": [], "next_offset": 0, "has_more": true}));
        }
        let message = |offset: u64, payload: &str| {
            json!({"topic_id": "a.b", "partition_id": 0, "offset": offset, "payload": payload, "key": "k",
                   "timestamp_ms": 1, "op": "Insert"})
        };
        match fetches.fetch_add(1, Ordering::SeqCst) {
            0 => Answer::Nothing,
            1 => Answer::Json(503, json!({"error": "not now", "code": "SERVICE_UNAVAILABLE"})),
            2 => Answer::Json(429, json!({"error": "slow down", "code": "RATE_LIMIT_EXCEEDED"})),
            3 => Answer::Raw(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{\"messages\": [".to_vec()),
            _ => {
                let messages = [message(0, "e30="), message(1, "*** no base64 ***"), message(2, "e30=")];
                Answer::Json(200, json!({"messages": messages, "next_offset": 3, "has_more": false}))
            }
        }
    })
    .await;
    let client = builder(&server.url).token("t").build().unwrap();
    let consumer = client.consumer().topic("a.b").group_id("g").enable_auto_commit(false).build().unwrap();
    let records = take(&consumer, 3).await;
    assert_eq!(offsets(&records), [0, 1, 2]);
    assert_eq!(records.iter().map(|r| r.problem.is_some()).collect::<Vec<_>>(), [false, true, false]);
    assert_eq!(&*records[1].payload, b"*** no base64 ***");
    assert_eq!(finish(&consumer, &records).await, Committed { next_offset: 3, held_back: 0 });
    let requests = server.requests();
    let acks = requests.iter().filter(|request| request.path.ends_with("ack"));
    assert!(acks.clone().count() == 3 && acks.clone().all(|ack| ack.body.contains("\"upto_offset\":2")));
}

#[tokio::test]
async fn what_does_not_pass_is_told_when_the_poll_is_over() {
    let server = Server::http(|request| match wants_records(&request) {
        true => Answer::Nothing,
        false => Answer::Json(200, json!({"messages": [], "next_offset": 0, "has_more": true})),
    })
    .await;
    let client = builder(&server.url).token("t").build().unwrap();
    let consumer = client.consumer().topic("a.b").group_id("g").build().unwrap();
    let error = consumer.poll_with_timeout(Duration::from_millis(300)).await.unwrap_err();
    assert_eq!((error.code(), error.retryable()), (ErrorCode::Disconnected, true));
    drop(server);
    let error = consumer.poll_with_timeout(Duration::from_millis(300)).await.unwrap_err();
    assert!(error.retryable(), "{error}");
}
