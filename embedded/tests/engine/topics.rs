//! Topics in the engine: what becomes a record, who gets it, and what is left after a crash.

use std::time::Duration;

use crate::common::{caller, error, memory, rows, run, run_as};
use kalam_embedded::engine::{
    ConsumeRequest, Consumed, Data, Engine, EngineOptions, Position, Role, SqlError,
};
use serde_json::{Value, json};

const SHORT: Duration = Duration::from_millis(50);

fn engine_at(data: Data, visibility: Duration) -> Engine {
    let options = EngineOptions { topic_visibility: visibility, ..EngineOptions::new(data) };
    Engine::open(EngineOptions { root_password: Some("secret".into()), ..options }).unwrap()
}

fn set_up(engine: &Engine) {
    run(
        engine,
        "CREATE NAMESPACE app; CREATE TABLE app.t (id INT PRIMARY KEY, v TEXT, n BIGINT);
         CREATE TOPIC app.events; ALTER TOPIC app.events ADD SOURCE app.t ON INSERT WITH (payload = 'full')",
    );
}

fn wish(group: &str, limit: u32) -> ConsumeRequest {
    ConsumeRequest {
        topic: "app.events".into(),
        group: Some(group.into()),
        start: Position::Earliest,
        limit,
        partition: 0,
    }
}

fn consume(engine: &Engine, group: &str, limit: u32) -> Consumed {
    engine.consume(&crate::common::root(), &wish(group, limit)).unwrap()
}

fn offsets(consumed: &Consumed) -> Vec<i64> {
    consumed.records.iter().map(|record| record.offset).collect()
}

fn ack(engine: &Engine, group: &str, upto: u64) -> Result<(), SqlError> {
    engine.acknowledge(&crate::common::root(), "app.events", group, 0, upto)
}

fn payloads(engine: &Engine, group: &str) -> Vec<Value> {
    let records = consume(engine, group, 100).records;
    records.iter().map(|record| serde_json::from_slice(&record.payload).unwrap()).collect()
}

#[test]
fn a_record_exists_if_and_only_if_its_write_is_committed() {
    let engine = memory();
    set_up(&engine);
    run(&engine, "INSERT INTO app.t VALUES (1, 'a', 1), (2, 'b', 2)");
    run(&engine, "BEGIN; INSERT INTO app.t VALUES (3, 'c', 3); INSERT INTO app.t VALUES (4, 'd', 4); COMMIT");
    run(&engine, "BEGIN; INSERT INTO app.t VALUES (5, 'e', 5); ROLLBACK");
    // The second row fails, so the first is not written either.
    error(&engine, "INSERT INTO app.t VALUES (6, 'f', 6), (1, 'twice', 1)");
    error(
        &engine,
        "BEGIN; INSERT INTO app.t VALUES (7, 'g', 7); INSERT INTO app.t VALUES (1, 'twice', 1); COMMIT",
    );
    let ids: Vec<Value> = payloads(&engine, "g").into_iter().map(|row| row["id"].clone()).collect();
    assert_eq!(ids, [1, 2, 3, 4]);
    assert_eq!(offsets(&consume(&engine, "other", 100)), [0, 1, 2, 3], "each group has its own");
}

#[test]
fn payloads_hold_what_their_mode_says() {
    let engine = memory();
    set_up(&engine);
    run(
        &engine,
        "ALTER TOPIC app.events ADD SOURCE app.t ON UPDATE WITH (payload = 'diff');
         ALTER TOPIC app.events ADD SOURCE app.t ON DELETE WITH (payload = 'key');
         INSERT INTO app.t VALUES (1, 'a', 9007199254740993);
         UPDATE app.t SET v = NULL WHERE id = 1;
         DELETE FROM app.t WHERE id = 1",
    );
    let mut records = payloads(&engine, "g");
    for record in &mut records {
        assert!(record["_seq"].is_string() && record["_commit_seq"].is_string(), "{record}");
        let record = record.as_object_mut().unwrap();
        record.remove("_seq");
        record.remove("_commit_seq");
    }
    assert_eq!(
        json!(records),
        json!([
            {"id": 1, "v": "a", "n": "9007199254740993", "_deleted": false, "_table": "app:t"},
            {"id": 1, "v": null, "_old": {"v": "a"}, "_deleted": false, "_table": "app:t"},
            {"id": 1, "_deleted": true},
        ])
    );
}

#[test]
fn a_filter_chooses_and_a_failing_one_stops_the_write() {
    let engine = memory();
    set_up(&engine);
    run(
        &engine,
        "CREATE TOPIC app.big; ALTER TOPIC app.big ADD SOURCE app.t ON INSERT WHERE n > 10 AND v LIKE 'x%';
         INSERT INTO app.t VALUES (1, 'x', 11), (2, 'x', 10), (3, 'y', 12), (4, 'xy', 99), (5, NULL, 50)",
    );
    let big = rows(&engine, "CONSUME FROM app.big FROM EARLIEST");
    let keys: Vec<&Value> = big.as_array().unwrap().iter().map(|row| &row[3]).collect();
    assert_eq!(keys, ["1", "4"]);
    // The filter follows the table's columns.
    run(&engine, "ALTER TABLE app.t ADD COLUMN extra INT; INSERT INTO app.t (id, v, n) VALUES (6, 'x', 20)");
    assert_eq!(rows(&engine, "CONSUME FROM app.big FROM 2")[0][3], "6");
    run(&engine, "ALTER TABLE app.t DROP COLUMN v");
    let refused = error(&engine, "INSERT INTO app.t (id, n) VALUES (7, 20)");
    assert!(refused.message.contains("topic 'app.big'"), "{refused}");
    assert_eq!(rows(&engine, "SELECT count(*) AS n FROM app.t WHERE id = 7"), json!([["0"]]));
    run(&engine, "ALTER TOPIC app.big DROP SOURCE app.t; INSERT INTO app.t (id, n) VALUES (7, 20)");
}

#[test]
fn what_a_consumer_holds_is_nobody_elses_until_its_time_is_over() {
    let engine = engine_at(Data::Memory, SHORT);
    set_up(&engine);
    run(&engine, "INSERT INTO app.t (id) VALUES (0), (1), (2), (3), (4), (5)");
    assert_eq!(offsets(&consume(&engine, "g", 3)), [0, 1, 2]);
    assert_eq!(offsets(&consume(&engine, "g", 3)), [3, 4, 5]);
    let nothing = consume(&engine, "g", 3);
    assert_eq!((offsets(&nothing), nothing.next_offset), (vec![], 0));
    // Who is done with all that came before says so for the whole group.
    ack(&engine, "g", 1).unwrap();
    std::thread::sleep(nothing.again_at.unwrap().saturating_duration_since(std::time::Instant::now()));
    assert_eq!(offsets(&consume(&engine, "g", 3)), [2, 3, 4]);
    assert_eq!(offsets(&consume(&engine, "g", 3)), [5]);
    ack(&engine, "g", 5).unwrap();
    ack(&engine, "g", 0).unwrap();
    let done = consume(&engine, "g", 0);
    assert_eq!((done.next_offset, done.has_more), (6, true), "an older acknowledgement changes nothing");
}

#[test]
fn groups_are_where_they_were_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let open = || engine_at(Data::Directory(directory.path().into()), Duration::from_secs(30));
    let engine = open();
    set_up(&engine);
    run(&engine, "INSERT INTO app.t (id) VALUES (0), (1), (2)");
    // Begins at the end, and takes nothing.
    let latest = ConsumeRequest { start: Position::Latest, ..wish("late", 10) };
    assert_eq!(engine.consume(&crate::common::root(), &latest).unwrap().next_offset, 3);
    assert_eq!(offsets(&consume(&engine, "g", 3)), [0, 1, 2]);
    ack(&engine, "g", 0).unwrap();
    run(&engine, "INSERT INTO app.t (id) VALUES (3)");
    drop(engine);
    let engine = open();
    run(&engine, "INSERT INTO app.t (id) VALUES (4)");
    assert_eq!(offsets(&consume(&engine, "g", 10)), [1, 2, 3, 4], "what was held is delivered again");
    let late = engine.consume(&crate::common::root(), &latest).unwrap();
    assert_eq!(offsets(&late), [3, 4], "what came after it began is its business");
}

#[test]
fn retention_forgets_the_oldest_and_nobody_waits_for_it() {
    let engine = memory();
    set_up(&engine);
    run(&engine, "ALTER TOPIC app.events SET RETENTION WITH (retention_max_bytes = 300)");
    for id in 0..10 {
        run(&engine, &format!("INSERT INTO app.t VALUES ({id}, 'some text', 1)"));
    }
    let kept = consume(&engine, "g", 100);
    assert!(kept.records.len() < 4 && !kept.records.is_empty(), "{}", kept.records.len());
    assert_eq!(kept.next_offset, 10);
    // A group that was at 0 goes on at the oldest that is kept.
    assert_eq!(consume(&engine, "g", 0).next_offset, kept.records[0].offset);
    run(&engine, "CLEAR TOPIC app.events; INSERT INTO app.t VALUES (10, 'x', 1)");
    assert_eq!(offsets(&consume(&engine, "new", 100)), [10], "offsets go on");
    run(&engine, "ALTER TOPIC app.events SET RETENTION WITH (retention_seconds = 1)");
    std::thread::sleep(Duration::from_millis(1100));
    assert!(consume(&engine, "newer", 100).records.is_empty(), "too old, though nothing was written since");
}

#[test]
fn keys_stay_in_their_partition() {
    let engine = memory();
    run(
        &engine,
        "CREATE NAMESPACE app; CREATE TABLE app.t (id INT PRIMARY KEY, v TEXT); CREATE TOPIC app.events PARTITIONS 3;
         ALTER TOPIC app.events ADD SOURCE app.t ON INSERT; ALTER TOPIC app.events ADD SOURCE app.t ON UPDATE",
    );
    for id in 0..30 {
        run(&engine, &format!("INSERT INTO app.t VALUES ({id}, 'a')"));
    }
    run(&engine, "UPDATE app.t SET v = 'b'");
    let mut total = 0;
    for partition in 0..3 {
        let wish = ConsumeRequest { partition, ..wish("g", 1000) };
        let records = engine.consume(&crate::common::root(), &wish).unwrap().records;
        assert!(records.iter().map(|r| r.offset).eq(0..records.len() as i64));
        for record in &records {
            assert_eq!(records.iter().filter(|r| r.key == record.key).count(), 2, "both of {:?}", record.key);
        }
        total += records.len();
    }
    assert_eq!(total, 60);
    let nowhere = ConsumeRequest { partition: 3, ..wish("g", 10) };
    let nothing = engine.consume(&crate::common::root(), &nowhere).unwrap();
    assert_eq!((nothing.records.len(), nothing.next_offset), (0, 0), "as recorded");
    assert_eq!(
        engine.acknowledge(&crate::common::root(), "app.events", "g", 3, 0).unwrap_err().code,
        "INVALID_INPUT"
    );
}

#[test]
fn by_sql() {
    let engine = memory();
    set_up(&engine);
    run(&engine, "INSERT INTO app.t (id) VALUES (0), (1), (2), (3)");
    assert_eq!(
        rows(&engine, "CONSUME FROM app.events GROUP 'g' FROM EARLIEST LIMIT 2").as_array().unwrap().len(),
        2
    );
    assert_eq!(
        rows(&engine, "SELECT group_id, last_acked_offset FROM system.topic_offsets"),
        json!([["g", "1"]])
    );
    // What another of the group holds is not passed.
    assert_eq!(offsets(&consume(&engine, "mixed", 1)), [0]);
    assert_eq!(rows(&engine, "CONSUME FROM app.events GROUP 'mixed' LIMIT 2")[0][2], "1");
    assert_eq!(rows(&engine, "SELECT * FROM system.topic_offsets WHERE group_id = 'mixed'"), json!([]));
    run(&engine, "ACK app.events GROUP 'g' UPTO OFFSET 2");
    assert_eq!(rows(&engine, "CONSUME FROM app.events GROUP 'g'")[0][2], "3");
    run(&engine, "RESET CONSUMER GROUP 'g' ON app.events TO 1");
    assert_eq!(rows(&engine, "CONSUME FROM app.events GROUP 'g' LIMIT 1")[0][2], "1");
    run(&engine, "DROP TOPIC app.events");
    assert_eq!(rows(&engine, "SELECT * FROM system.topics"), json!([]));
    assert_eq!(rows(&engine, "SELECT * FROM system.topic_offsets"), json!([]));
}

#[test]
fn what_is_refused() {
    let engine = memory();
    set_up(&engine);
    run(&engine, "INSERT INTO app.t (id) VALUES (0)");
    for (sql, what) in [
        ("CREATE TOPIC app.events", "already exists"),
        ("CREATE TOPIC nowhere.events", "Namespace 'nowhere' not found"),
        ("CREATE TOPIC events", "with its namespace"),
        ("CREATE TOPIC app.many PARTITIONS 0", "partitions"),
        ("ALTER TOPIC app.none ADD SOURCE app.t ON INSERT", "'app.none' does not exist"),
        ("ALTER TOPIC app.events ADD SOURCE app.none ON INSERT", "Table not found: app:none"),
        ("ALTER TOPIC app.events ADD SOURCE app.t ON INSERT", "already"),
        ("ALTER TOPIC app.events ADD SOURCE app.t ON UPDATE WHERE nothing = 1", "filter"),
        ("ALTER TOPIC app.events ADD SOURCE app.t ON UPDATE WHERE v = CURRENT_USER()", "CURRENT_USER"),
        ("CONSUME FROM app.none", "'app.none' does not exist"),
        ("ACK app.events GROUP 'g' UPTO OFFSET 1", "beyond the end"),
        ("BEGIN; CONSUME FROM app.events; COMMIT", "inside a transaction"),
    ] {
        let error = error(&engine, sql);
        assert!(error.message.contains(what), "{sql}: {error}");
    }
    assert_eq!(ack(&engine, "g", u64::MAX).unwrap_err().code, "INVALID_INPUT");
    run(
        &engine,
        "CREATE USER 'amy' WITH PASSWORD 'Secret-123' ROLE user; CREATE USER 'sam' WITH PASSWORD 'Secret-123' ROLE service",
    );
    let amy = caller("amy", Role::User);
    assert_eq!(engine.consume(&amy, &wish("g", 1)).unwrap_err().code, "FORBIDDEN");
    assert!(run_as(&engine, &amy, "CONSUME FROM app.events", vec![]).is_err());
    let sam = caller("sam", Role::Service);
    assert_eq!(engine.consume(&sam, &wish("g", 1)).unwrap().records.len(), 1);
    assert!(run_as(&engine, &sam, "CREATE TOPIC app.mine", vec![]).is_err());
    // A topic goes with its namespace.
    run(&engine, "DROP NAMESPACE app");
    assert_eq!(engine.consume(&sam, &wish("g", 1)).unwrap_err().code, "NOT_FOUND");
}
