//! Live queries: shapes of the changes, starts, errors. Frames are those of wire/live_basic, live_filter, live_errors.

use crate::common::{Recorder, caller, frame, memory, root, run};
use kalam_embedded::engine::{ChangeKind, Engine, LiveQuery, LiveStart, Role, Start};
use serde_json::{Value, json};
use std::sync::Arc;

fn set_up() -> (Engine, Arc<Recorder>) {
    let engine = memory();
    run(
        &engine,
        "CREATE NAMESPACE n; CREATE TABLE n.msg (id TEXT PRIMARY KEY, room TEXT, body TEXT, n INT) WITH (TYPE='USER')",
    );
    let recorder = Recorder::install(&engine);
    (engine, recorder)
}

fn live(engine: &Engine, sql: &str) -> Arc<LiveQuery> {
    engine.prepare_live(&root(), sql).unwrap_or_else(|e| panic!("{sql}: {e}"))
}

fn start(engine: &Engine, query: &LiveQuery, start: Start) -> LiveStart {
    engine.start_live(query, start, || ()).unwrap().0
}

const SNAPSHOT: Start = Start::Snapshot { last_rows: None };

/// Versions differ from run to run: only that they are there is compared.
fn frames(recorder: &Recorder, query: &LiveQuery) -> Vec<Value> {
    let hide = |mut frame: Value| {
        for part in ["rows", "old_values"] {
            if let Some(seq) = frame.get_mut(part).and_then(|p| p[0].get_mut("_seq")) {
                assert!(seq.is_string());
                *seq = json!("S");
            }
        }
        frame
    };
    let changes = recorder.changes.lock().unwrap().clone();
    changes.iter().filter_map(|c| query.evaluate(c).unwrap()).map(|c| hide(frame(&c))).collect()
}

#[test]
fn frames_are_as_recorded() {
    let (engine, recorder) = set_up();
    let paged = live(&engine, "SELECT id, n FROM n.msg");
    let all = live(&engine, "SELECT * FROM n.msg");
    let no_key = live(&engine, "SELECT body FROM n.msg");
    run(&engine, "INSERT INTO n.msg (id, room, body, n) VALUES ('x1', 'main', 'one', 1)");
    run(
        &engine,
        "UPDATE n.msg SET body = 'uno' WHERE id = 'x1'; UPDATE n.msg SET n = NULL WHERE id = 'x1'; DELETE FROM n.msg",
    );
    assert_eq!(
        frames(&recorder, &paged),
        [
            json!({"change_type": "insert", "rows": [{"id": "x1", "n": 1, "_seq": "S"}]}),
            json!({"change_type": "update", "rows": [{"n": 1, "id": "x1", "_seq": "S"}], "old_values": [{"id": "x1", "_seq": "S"}]}),
            json!({"change_type": "update", "rows": [{"id": "x1", "_seq": "S"}], "old_values": [{"n": 1, "id": "x1", "_seq": "S"}]}),
            json!({"change_type": "delete", "old_values": [{"id": "x1", "n": null, "_seq": "S"}]}),
        ]
    );
    assert_eq!(
        frames(&recorder, &all),
        [
            json!({"change_type": "insert", "rows": [{"id": "x1", "room": "main", "body": "one", "n": 1, "_seq": "S", "_deleted": false}]}),
            json!({"change_type": "update", "rows": [{"id": "x1", "room": "main", "body": "uno", "n": 1, "_seq": "S"}],
            "old_values": [{"id": "x1", "body": "one", "_seq": "S"}]}),
            json!({"change_type": "update", "rows": [{"id": "x1", "room": "main", "body": "uno", "_seq": "S"}],
            "old_values": [{"id": "x1", "n": 1, "_seq": "S"}]}),
            json!({"change_type": "delete", "old_values": [{"id": "x1", "room": "main", "body": "uno", "n": null, "_seq": "S", "_deleted": true}]}),
        ]
    );
    assert_eq!(
        frames(&recorder, &no_key),
        [
            json!({"change_type": "insert", "rows": [{"body": "one", "_seq": "S"}]}),
            json!({"change_type": "update", "rows": [{"body": "uno", "id": "x1", "_seq": "S"}], "old_values": [{"body": "one", "id": "x1", "_seq": "S"}]}),
            json!({"change_type": "update", "rows": [{"body": "uno", "id": "x1", "_seq": "S"}], "old_values": [{"id": "x1", "_seq": "S"}]}),
            json!({"change_type": "delete", "old_values": [{"body": "uno", "_seq": "S"}]}),
        ]
    );
    // The delete carries the tombstone's version.
    let changes = recorder.take();
    let tombstone = changes.last().unwrap();
    let delete = all.evaluate(tombstone).unwrap().unwrap();
    assert_eq!(json!(delete.old_values)["_seq"], json!(tombstone.seq().to_string()));
    assert_eq!(
        json!(all.schema()),
        json!([
        {"name": "id", "data_type": "Text", "index": 0, "flags": ["pk", "nn", "uq"]},
        {"name": "room", "data_type": "Text", "index": 1}, {"name": "body", "data_type": "Text", "index": 2},
        {"name": "n", "data_type": "Int", "index": 3},
        {"name": "_seq", "data_type": "BigInt", "index": 4, "flags": ["nn"]},
        {"name": "_deleted", "data_type": "Boolean", "index": 5, "flags": ["nn"]}])
    );
}

#[test]
fn rows_enter_and_leave_every_kind_of_filter() {
    for filter in [
        "room = 'open'",
        "room IN ('open', 'hold')",
        "room LIKE 'op%'",
        "room ILIKE 'OP%'",
        "lower(room) = 'open'",
        "room <> 'closed'",
        "room > 'm'",
        "room BETWEEN 'n' AND 'p'",
        "NOT (room = 'closed')",
        "CASE WHEN room = 'open' THEN true ELSE false END",
        "room || '!' = 'open!'",
        "length(room) = 4",
        "room = CURRENT_USER() OR room = 'open'",
        "room = 'open' AND _seq > 0",
        "n.msg.room = 'open'",
    ] {
        let (engine, recorder) = set_up();
        let query = live(&engine, &format!("SELECT id, room FROM n.msg WHERE {filter}"));
        let kinds = |recorder: &Recorder| recorder.seen_by(&query).iter().map(|c| c.kind).collect::<Vec<_>>();
        run(&engine, "INSERT INTO n.msg (id, room) VALUES ('a', 'open'), ('b', 'closed')");
        assert_eq!(kinds(&recorder), [ChangeKind::Insert], "{filter}");
        run(&engine, "UPDATE n.msg SET n = 1 WHERE id = 'b'");
        assert!(kinds(&recorder).is_empty(), "{filter}");
        run(&engine, "UPDATE n.msg SET room = 'open' WHERE id = 'b'");
        assert_eq!(kinds(&recorder), [ChangeKind::Update], "{filter}");
        run(&engine, "UPDATE n.msg SET room = 'closed' WHERE id = 'a'");
        let left = recorder.seen_by(&query).pop().unwrap();
        assert_eq!(left.kind, ChangeKind::Delete, "{filter}");
        // It goes with the values that it had while it matched, and with the version that took it away.
        assert_eq!(json!(left.old_values)["room"], "open", "{filter}");
        assert_eq!(json!(left.old_values)["_seq"], json!(left.seq.to_string()), "{filter}");
        run(&engine, "DELETE FROM n.msg WHERE id = 'a'; DELETE FROM n.msg WHERE id = 'b'");
        assert_eq!(kinds(&recorder), [ChangeKind::Delete], "{filter}");
    }
}

#[test]
fn null_does_not_match() {
    let (engine, recorder) = set_up();
    let query = live(&engine, "SELECT id FROM n.msg WHERE NOT (room = 'open')");
    run(&engine, "INSERT INTO n.msg (id, room) VALUES ('a', NULL), ('b', 'x')");
    // As in a SELECT (KalamDB's live evaluator differs from its own SELECT here).
    assert_eq!(recorder.seen_by(&query).len(), 1);
    let is_null = live(&engine, "SELECT id FROM n.msg WHERE room IS NULL");
    assert_eq!(start(&engine, &is_null, SNAPSHOT).rows.len(), 1);
}

#[test]
fn snapshots_are_complete_and_ordered() {
    let (engine, _) = set_up();
    let values: Vec<String> =
        (0..3000).map(|i| format!("('k{:04}', 'r', 'b', {i})", (i * 7919) % 3000)).collect();
    run(&engine, &format!("INSERT INTO n.msg VALUES {}", values.join(",")));
    run(&engine, "UPDATE n.msg SET body = 'c' WHERE n % 3 = 0; DELETE FROM n.msg WHERE n % 5 = 0");
    let query = live(&engine, "SELECT * FROM n.msg");
    let got = start(&engine, &query, SNAPSHOT);
    assert_eq!(got.rows.len(), 2400);
    assert!(got.rows.windows(2).all(|w| w[0].seq < w[1].seq));
    let newest = got.rows.last().unwrap().seq;
    assert!(got.last_seq.unwrap() > newest, "the deletes came last");
    let last = start(&engine, &query, Start::Snapshot { last_rows: Some(20) });
    assert_eq!(last.rows, got.rows[2380..]);
    assert_eq!(start(&engine, &query, Start::Nothing), LiveStart::default());
    let empty = live(&engine, "SELECT * FROM n.msg WHERE n < 0");
    assert_eq!(start(&engine, &empty, SNAPSHOT).last_seq, got.last_seq);
}

#[test]
fn a_resume_tells_the_net_effect() {
    let (engine, _) = set_up();
    run(&engine, "INSERT INTO n.msg (id, room) VALUES ('a','r'),('b','r'),('c','r'),('d','r'),('e','other')");
    let query = live(&engine, "SELECT id, room, body FROM n.msg WHERE room = 'r'");
    let cursor = start(&engine, &query, SNAPSHOT).last_seq.unwrap();
    run(&engine, "UPDATE n.msg SET body = '1' WHERE id = 'a'; UPDATE n.msg SET body = '2' WHERE id = 'a'");
    run(&engine, "DELETE FROM n.msg WHERE id = 'b'; INSERT INTO n.msg (id, room) VALUES ('g', 'r')");
    run(
        &engine,
        "DELETE FROM n.msg WHERE id = 'c'; INSERT INTO n.msg (id, room, body) VALUES ('c', 'r', 'again')",
    );
    run(&engine, "UPDATE n.msg SET room = 'gone' WHERE id = 'd'; UPDATE n.msg SET room = 'r' WHERE id = 'e'");
    run(&engine, "INSERT INTO n.msg (id, room) VALUES ('h', 'elsewhere')");
    let got = start(&engine, &query, Start::From(cursor));
    assert!(got.rows.is_empty());
    assert!(got.replay.windows(2).all(|w| w[0].seq < w[1].seq));
    let net: Vec<(ChangeKind, Value)> = got
        .replay
        .iter()
        .map(|c| (c.kind, c.row.as_ref().or(c.old_values.as_ref()).map(|f| json!(f)["id"].clone()).unwrap()))
        .collect();
    assert_eq!(
        net,
        [
            (ChangeKind::Update, json!("a")),
            (ChangeKind::Delete, json!("b")),
            (ChangeKind::Insert, json!("g")),
            (ChangeKind::Insert, json!("c")),
            (ChangeKind::Delete, json!("d")),
            (ChangeKind::Update, json!("e")),
            (ChangeKind::Delete, json!("h")),
        ]
    );
    assert_eq!(got.last_seq, Some(got.replay.last().unwrap().seq));
    let again = start(&engine, &query, Start::From(got.last_seq.unwrap()));
    assert!(again.replay.is_empty() && again.last_seq == got.last_seq);
    assert_eq!(start(&engine, &query, Start::From(i64::MAX)).last_seq, Some(i64::MAX));
}

#[test]
fn errors_are_as_recorded() {
    let (engine, _) = set_up();
    let valid = "Valid fields are n.msg.id, n.msg.room, n.msg.body, n.msg.n, n.msg._seq, n.msg._deleted.";
    let shape = "Only SELECT ... FROM ... [WHERE ...] is supported.";
    let only = "Invalid SQL: Invalid SQL: Subscription query supports only SELECT ... FROM ... [WHERE ...].";
    let no_field = |name: &str| {
        format!("Execution error: Invalid operation: Schema error: No field named {name}. {valid}")
    };
    for (sql, code, message) in [
        ("SELECT * FROM n.msg ORDER BY id", "INVALID_SQL", format!("Invalid SQL: Invalid SQL: Subscription query does not support ORDER BY. {shape}")),
        ("SELECT * FROM n.msg LIMIT 1", "INVALID_SQL", only.to_owned()),
        ("SELECT DISTINCT id FROM n.msg", "INVALID_SQL", only.to_owned()),
        ("SELECT * FROM n.msg a JOIN n.msg b ON a.id=b.id", "INVALID_SQL", format!("Invalid SQL: Invalid SQL: Subscription query does not support JOIN clauses. {shape}")),
        ("SELECT * FROM msg", "INVALID_SQL", "Invalid SQL: Query must use namespace.table format".to_owned()),
        ("SELECT * FROM n.missing", "NOT_FOUND", "Not found: Table not found: n:missing".to_owned()),
        ("DELETE FROM x.y", "INVALID_SQL", "Invalid SQL: Invalid SQL: Only SELECT queries are supported for subscriptions".to_owned()),
        ("garbage", "INVALID_SQL", "Invalid SQL: Parse error: Failed to parse SQL: sql parser error: Expected: an SQL statement, found: garbage at Line: 1, Column: 1".to_owned()),
        ("", "INVALID_SQL", "Invalid SQL: Invalid SQL: Empty SQL statement".to_owned()),
        ("SELECT id AS k FROM n.msg", "SUBSCRIPTION_FAILED", no_field("k")),
        ("SELECT nocol FROM n.msg", "SUBSCRIPTION_FAILED", no_field("nocol")),
        ("SELECT * FROM n.msg WHERE nocol = 1", "SUBSCRIPTION_FAILED", no_field("nocol")),
        ("SELECT * FROM n.msg e WHERE e.n = 1", "SUBSCRIPTION_FAILED", no_field("e.n")),
    ] {
        let error = engine.prepare_live(&root(), sql).err().unwrap_or_else(|| panic!("{sql}"));
        assert_eq!((error.code, &error.message), (code, &message), "{sql}");
    }
    // Ours: what KalamDB accepts and then does not keep, or answers with a planner's message.
    for (sql, code) in [
        ("SELECT count(*) FROM n.msg", "SUBSCRIPTION_FAILED"),
        ("SELECT n + 1 FROM n.msg", "SUBSCRIPTION_FAILED"),
        ("SELECT id, id FROM n.msg", "SUBSCRIPTION_FAILED"),
        ("SELECT id FROM n.msg WHERE room = NOW()", "SUBSCRIPTION_FAILED"),
        ("SELECT id FROM n.msg WHERE ULID() = 'x'", "SUBSCRIPTION_FAILED"),
        ("SELECT id FROM n.msg WHERE _deleted = true", "SUBSCRIPTION_FAILED"),
        ("SELECT id FROM n.msg WHERE id = $1", "SUBSCRIPTION_FAILED"),
        ("SELECT id FROM n.msg WHERE n", "SUBSCRIPTION_FAILED"),
        ("SELECT id FROM n.msg WHERE id IN (SELECT id FROM n.msg)", "SUBSCRIPTION_FAILED"),
        ("SELECT id FROM n.msg GROUP BY id", "INVALID_SQL"),
        ("SELECT id FROM n.msg; SELECT 1", "INVALID_SQL"),
        ("SELECT * FROM system.users", "UNSUPPORTED"),
        ("SELECT * FROM sqlite_master", "INVALID_SQL"),
        ("SELECT * FROM main.sqlite_master", "NOT_FOUND"),
    ] {
        let error = engine.prepare_live(&root(), sql).err().unwrap_or_else(|| panic!("{sql}"));
        assert_eq!(error.code, code, "{sql}: {error}");
    }
    let error = engine.prepare_live(&caller("al", Role::User), "SELECT * FROM system.users").err().unwrap();
    assert_eq!(error.code, "UNAUTHORIZED");
    assert!(error.message.starts_with("Permission denied: Cannot subscribe to system table 'system:users'"));
    run(&engine, "CREATE TABLE n.priv (id INT PRIMARY KEY)");
    assert_eq!(
        engine.prepare_live(&caller("al", Role::User), "SELECT * FROM n.priv").err().unwrap().code,
        "UNAUTHORIZED"
    );
}

#[test]
fn altered_and_dropped_tables_end_their_queries() {
    let (engine, recorder) = set_up();
    let query = live(&engine, "SELECT * FROM n.msg");
    run(&engine, "ALTER TABLE n.msg ADD COLUMN extra INT; INSERT INTO n.msg (id) VALUES ('a')");
    assert_eq!(*recorder.altered.lock().unwrap(), [(query.table(), false)]);
    let changes = recorder.take();
    assert_eq!(query.evaluate(&changes[0]).unwrap_err().code, "SUBSCRIPTION_FAILED");
    assert_eq!(engine.start_live(&query, SNAPSHOT, || ()).unwrap_err().code, "SCHEMA_CHANGED");
    let query = live(&engine, "SELECT * FROM n.msg");
    run(
        &engine,
        "DROP TABLE n.msg; CREATE TABLE n.msg (id TEXT PRIMARY KEY); INSERT INTO n.msg VALUES ('a')",
    );
    assert_eq!(recorder.altered.lock().unwrap().last(), Some(&(query.table(), true)));
    assert_eq!(recorder.seen_by(&query), []);
    let mut registered = false;
    let gone = engine.start_live(&query, SNAPSHOT, || registered = true).unwrap_err();
    assert_eq!((gone.code, registered), ("NOT_FOUND", false));
}

#[test]
fn a_filter_that_fails_on_a_row_says_so() {
    let (engine, recorder) = set_up();
    let query = live(&engine, "SELECT id FROM n.msg WHERE 10 / n > 1");
    run(&engine, "INSERT INTO n.msg (id, n) VALUES ('a', 2), ('b', 0)");
    let changes = recorder.take();
    assert!(query.evaluate(&changes[0]).unwrap().is_some());
    let error = query.evaluate(&changes[1]).unwrap_err();
    assert!(error.code == "SUBSCRIPTION_FAILED" && error.message.contains("Divide by zero"), "{error}");
}

/// No commit lies between the snapshot and the registration, whoever writes meanwhile.
#[test]
fn starts_have_no_gap() {
    use kalam_embedded::engine::{CommitObserver, RowChange};
    use std::sync::Mutex;

    /// Keeps what comes once somebody has registered.
    #[derive(Default)]
    struct Tap(Mutex<Option<Vec<RowChange>>>);
    impl CommitObserver for Tap {
        fn committed(&self, changes: &[RowChange]) {
            if let Some(kept) = &mut *self.0.lock().unwrap() {
                kept.extend_from_slice(changes);
            }
        }
    }

    let directory = tempfile::tempdir().unwrap();
    for data in [
        kalam_embedded::engine::Data::Memory,
        kalam_embedded::engine::Data::Directory(directory.path().into()),
    ] {
        let engine = Engine::open(kalam_embedded::engine::EngineOptions {
            root_password: Some("x".into()),
            ..kalam_embedded::engine::EngineOptions::new(data)
        })
        .unwrap();
        run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY)");
        let query = live(&engine, "SELECT id FROM n.t");
        let tap = Arc::new(Tap::default());
        engine.set_observer(tap.clone());
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                (0..200).for_each(|i| drop(run(&engine, &format!("INSERT INTO n.t VALUES ({i})"))))
            });
            while !writer.is_finished() {
                *tap.0.lock().unwrap() = None;
                let register = || *tap.0.lock().unwrap() = Some(Vec::new());
                let (seen, ()) = engine.start_live(&query, SNAPSHOT, register).unwrap();
                let after = tap.0.lock().unwrap().clone().unwrap();
                let newest = seen.rows.last().map_or(0, |r| r.seq);
                if let Some(first) = after.first() {
                    assert!(first.seq() > newest);
                }
                // Ids are given in order, so that a gap would show.
                let ids: Vec<i64> = seen
                    .rows
                    .iter()
                    .map(|r| json!(r.fields)["id"].as_i64().unwrap())
                    .chain(after.iter().map(|c| json!(c.new.cells[0]).as_i64().unwrap()))
                    .collect();
                assert!(ids.iter().enumerate().all(|(at, id)| at as i64 == *id), "{ids:?}");
            }
        });
    }
}
