//! What goes by itself: rows of STREAM tables, and tombstones.

use std::time::{Duration, Instant};

use crate::common::{Recorder, caller, error, frame, memory, root, rows, run, run_as};
use kalam_embedded::engine::{ChangeKind, Data, Engine, EngineOptions, Role, Start};
use serde_json::json;

const HOUR: i64 = 3_600_000_000;

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    i64::try_from(since.as_micros()).unwrap()
}

fn stream(ttl: u32) -> Engine {
    let engine = memory();
    run(
        &engine,
        &format!(
            "CREATE NAMESPACE n; CREATE TABLE n.ev (id TEXT PRIMARY KEY, v INT) WITH (TYPE='STREAM', TTL_SECONDS={ttl})"
        ),
    );
    engine
}

fn until(what: &str, done: impl Fn() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < Duration::from_secs(60), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn a_row_is_there_until_its_time_is_over_and_never_after() {
    let engine = stream(1);
    run(&engine, "INSERT INTO n.ev VALUES ('a', 1)");
    // Its second began before this.
    let began = Instant::now();
    // Asked all the time, it is never seen after its second, although it is swept only now and then.
    let mut last_seen = began;
    while began.elapsed() < Duration::from_secs(30) {
        let asked = Instant::now();
        match rows(&engine, "SELECT id FROM n.ev") == json!([]) {
            true => break,
            false => last_seen = asked,
        }
    }
    // Two clocks are compared, which may drift.
    assert!(last_seen - began <= Duration::from_millis(1050), "seen after {:?}", last_seen - began);
    assert_eq!(rows(&engine, "SELECT count(*) AS n FROM n.ev"), json!([["0"]]));
    assert_eq!(
        rows(&engine, "SELECT x.n FROM (SELECT count(*) AS n FROM n.ev) AS x JOIN n.ev e ON true"),
        json!([])
    );
    assert_eq!(run(&engine, "UPDATE n.ev SET v = 2")[0].row_count, 0);
    assert_eq!(run(&engine, "DELETE FROM n.ev")[0].row_count, 0);
    // Its key is free at once.
    run(&engine, "INSERT INTO n.ev VALUES ('a', 2)");
    assert_eq!(rows(&engine, "SELECT v FROM n.ev"), json!([[2]]));
    assert!(error(&engine, "INSERT INTO n.ev VALUES ('a', 3)").message.contains("Primary key violation"));
}

#[test]
fn subscribers_are_told_of_what_expires() {
    let engine = stream(3600);
    let recorder = Recorder::install(&engine);
    let query = engine.prepare_live(&root(), "SELECT * FROM n.ev WHERE v < 10").unwrap();
    run(&engine, "INSERT INTO n.ev VALUES ('a', 1), ('b', 2), ('c', 30)");
    recorder.take();
    engine.sweep(now());
    assert!(recorder.take().is_empty(), "nothing is over yet");
    engine.sweep(now() + 2 * HOUR);
    let seen = recorder.seen_by(&query);
    let kinds: Vec<_> = seen.iter().map(|c| c.kind).collect();
    assert_eq!(kinds, [ChangeKind::Delete, ChangeKind::Delete]);
    assert_eq!(frame(&seen[0])["old_values"][0]["id"], "a");
    assert_eq!(rows(&engine, "SELECT id FROM n.ev"), json!([]));
    // And so are those who come back.
    let cursor = seen[0].seq - 1;
    let (start, ()) = engine.start_live(&query, Start::From(cursor), || ()).unwrap();
    assert_eq!(start.replay.len(), 3); // 'c' never matched, and a delete of it harms nobody
    assert!(start.replay.iter().all(|c| c.kind == ChangeKind::Delete));
}

#[test]
fn the_sweeper_comes_by_itself() {
    let engine = stream(1);
    let recorder = Recorder::install(&engine);
    run(&engine, "INSERT INTO n.ev VALUES ('a', 1)");
    until("the row is swept", || {
        recorder.changes.lock().unwrap().iter().any(|c| c.kind == ChangeKind::Delete)
    });
}

#[test]
fn each_user_has_events_of_their_own() {
    let engine = stream(3600);
    let (ada, bo) = (caller("ada", Role::User), caller("bo", Role::User));
    run_as(&engine, &ada, "INSERT INTO n.ev VALUES ('a', 1)", vec![]).unwrap();
    run_as(&engine, &bo, "INSERT INTO n.ev VALUES ('a', 2)", vec![]).unwrap();
    assert_eq!(json!(run_as(&engine, &bo, "SELECT v FROM n.ev", vec![]).unwrap()[0].rows), json!([[2]]));
    let recorder = Recorder::install(&engine);
    let query = engine.prepare_live(&bo, "SELECT * FROM n.ev").unwrap();
    engine.sweep(now() + 2 * HOUR);
    assert_eq!(recorder.seen_by(&query).len(), 1);
}

#[test]
fn tombstones_go_after_their_time_and_old_cursors_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let open = || {
        let data = Data::Directory(directory.path().into());
        Engine::open(EngineOptions { root_password: Some("x".into()), ..EngineOptions::new(data) }).unwrap()
    };
    let engine = open();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY)");
    run(&engine, "CREATE TABLE n.short (id INT PRIMARY KEY) WITH (TYPE='USER', DELETED_RETENTION_HOURS=1)");
    for table in ["n.t", "n.short"] {
        run(&engine, &format!("INSERT INTO {table} VALUES (1), (2), (3); DELETE FROM {table} WHERE id < 3"));
    }
    let dead = |engine: &Engine, table: &str| {
        rows(engine, &format!("SELECT count(*) AS n FROM {table} WHERE _deleted = true"))[0][0].clone()
    };
    let query = engine.prepare_live(&root(), "SELECT * FROM n.short").unwrap();
    let newest = rows(&engine, "SELECT max(_seq) AS m FROM n.short WHERE _deleted IN (true, false)");
    let newest: i64 = newest[0][0].as_str().unwrap().parse().unwrap();
    engine.sweep(now() + HOUR / 2);
    assert_eq!((dead(&engine, "n.t"), dead(&engine, "n.short")), (json!("2"), json!("2")));
    assert!(engine.start_live(&query, Start::From(1), || ()).is_ok());
    engine.sweep(now() + 2 * HOUR);
    assert_eq!((dead(&engine, "n.t"), dead(&engine, "n.short")), (json!("2"), json!("0")));
    assert_eq!(rows(&engine, "SELECT id FROM n.short"), json!([[3]]));
    // Who was away since before can not be told what was deleted: they take a snapshot.
    assert_eq!(engine.start_live(&query, Start::From(1), || ()).unwrap_err().code, "CURSOR_EXPIRED");
    assert!(engine.start_live(&query, Start::From(newest), || ()).is_ok());
    assert!(engine.start_live(&query, Start::Snapshot { last_rows: None }, || ()).is_ok());
    drop((engine, query));
    let engine = open();
    let query = engine.prepare_live(&root(), "SELECT * FROM n.short").unwrap();
    assert_eq!(engine.start_live(&query, Start::From(1), || ()).unwrap_err().code, "CURSOR_EXPIRED");
    engine.sweep(now() + 200 * HOUR);
    assert_eq!(dead(&engine, "n.t"), json!("0"));
}

#[test]
fn a_sweep_of_many_rows_ends() {
    let engine = stream(3600);
    for part in 0..5 {
        let values: Vec<String> = (0..500).map(|n| format!("('{part}-{n}', {n})")).collect();
        run(&engine, &format!("INSERT INTO n.ev VALUES {}", values.join(",")));
    }
    engine.sweep(now() + 2 * HOUR);
    assert_eq!(rows(&engine, "SELECT count(*) AS n FROM n.ev WHERE _deleted = true"), json!([["2500"]]));
    engine.sweep(now() + 300 * HOUR);
    assert_eq!(rows(&engine, "SELECT count(*) AS n FROM n.ev WHERE _deleted = true"), json!([["0"]]));
}

#[test]
fn what_expires_is_no_record_of_a_topic() {
    let engine = stream(1);
    run(&engine, "CREATE TOPIC n.gone; ALTER TOPIC n.gone ADD SOURCE n.ev ON DELETE");
    let records = |engine: &Engine| run(engine, "CONSUME FROM n.gone FROM EARLIEST").pop().unwrap().row_count;
    run(&engine, "INSERT INTO n.ev VALUES ('a', 1), ('b', 2); DELETE FROM n.ev WHERE id = 'a'");
    assert_eq!(records(&engine), 1);
    until("the row is over", || rows(&engine, "SELECT * FROM n.ev") == json!([]));
    // Swept, or taken out by the next write.
    run(&engine, "INSERT INTO n.ev VALUES ('b', 3)");
    engine.sweep(now() + 2 * HOUR);
    assert_eq!(records(&engine), 1);
}
