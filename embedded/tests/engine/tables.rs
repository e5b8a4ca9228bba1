//! Tables, rows, versions, tombstones, batches and transactions.

use crate::common::{caller, error, memory, root, rows, run, run_as};
use kalam_embedded::engine::{ChangeKind, Role};
use serde_json::json;

#[test]
fn composite_keys() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE USER TABLE n.c (a INT, b TEXT, v INT, PRIMARY KEY (a, b))");
    run(&engine, "INSERT INTO n.c VALUES (1, 'x', 1), (1, 'y', 2), (2, 'x', 3)");
    let message = error(&engine, "INSERT INTO n.c VALUES (3, 'z', 0), (1, 'y', 9)").message;
    assert!(
        message.contains("Primary key violation: value '1, y' already exists in column 'a, b'"),
        "{message}"
    );
    // The whole statement was undone.
    assert_eq!(rows(&engine, "SELECT count(*) AS n FROM n.c"), json!([["3"]]));
    assert!(error(&engine, "INSERT INTO n.c (a, v) VALUES (1, 1)").message.contains("'b' cannot be NULL"));
    assert!(
        error(&engine, "UPDATE n.c SET b = 'q'")
            .message
            .contains("UPDATE cannot modify primary key column 'b'")
    );
}

#[test]
fn versions_grow_and_tombstones_stay() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id TEXT PRIMARY KEY, v INT)");
    run(
        &engine,
        "INSERT INTO n.t VALUES ('a', 1), ('b', 2); UPDATE n.t SET v = 9 WHERE id = 'a'; DELETE FROM n.t WHERE id = 'b'",
    );
    let seq = |sql: &str| -> i64 { rows(&engine, sql)[0][0].as_str().unwrap().parse().unwrap() };
    let (a, b) =
        (seq("SELECT _seq FROM n.t WHERE id = 'a'"), seq("SELECT _seq FROM n.t WHERE _deleted = true"));
    assert!(b > a);
    assert_eq!(rows(&engine, "SELECT id, v, _deleted FROM n.t"), json!([["a", 9, false]]));
    assert_eq!(rows(&engine, "SELECT id, v, _deleted FROM n.t WHERE _deleted"), json!([["b", 2, true]]));
    assert_eq!(rows(&engine, &format!("SELECT id FROM n.t WHERE _seq > {a}")), json!([]));
    assert_eq!(
        rows(&engine, &format!("SELECT id FROM n.t WHERE _seq > {a} AND _deleted = true")),
        json!([["b"]])
    );
    // A deleted key can come back, and its tombstone goes.
    run(&engine, "INSERT INTO n.t VALUES ('b', 3)");
    assert_eq!(rows(&engine, "SELECT id FROM n.t WHERE _deleted = true"), json!([]));
    assert!(seq("SELECT _seq FROM n.t WHERE id = 'b'") > b);
    // Tombstones are not there for writes, whatever the filter asks.
    run(&engine, "DELETE FROM n.t WHERE id = 'b'");
    for sql in ["UPDATE n.t SET v = 0 WHERE _deleted = true", "DELETE FROM n.t WHERE _deleted = true"] {
        assert_eq!(run(&engine, sql)[0].row_count, 0, "{sql}");
    }
    for sql in ["UPDATE n.t SET _seq = 1", "INSERT INTO n.t (id, _deleted) VALUES ('z', true)"] {
        assert!(error(&engine, sql).message.contains("can not be written"), "{sql}");
    }
}

#[test]
fn an_update_sees_the_row_as_it_was() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, a INT, b INT)");
    run(&engine, "INSERT INTO n.t VALUES (1, 1, 2), (2, 10, 20)");
    run(&engine, "UPDATE n.t SET a = b, b = a WHERE a < 100");
    assert_eq!(rows(&engine, "SELECT id, a, b FROM n.t ORDER BY id"), json!([[1, 2, 1], [2, 20, 10]]));
    // Rows are found before any is written: none is met twice.
    run(&engine, "UPDATE n.t SET a = a + 1000");
    assert_eq!(rows(&engine, "SELECT a FROM n.t ORDER BY id"), json!([[1002], [1020]]));
}

#[test]
fn batches_and_transactions() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v INT)");
    let recorder = crate::common::Recorder::install(&engine);
    let count =
        || rows(&engine, "SELECT count(*) AS n FROM n.t")[0][0].as_str().unwrap().parse::<u32>().unwrap();

    // Without a transaction what ran stays (recorded: sql_surface).
    let failed = error(
        &engine,
        "INSERT INTO n.t VALUES (1, 1); INSERT INTO n.t VALUES (1, 1); INSERT INTO n.t VALUES (2, 2)",
    );
    assert!(failed.message.starts_with("Statement 2 failed: "), "{failed}");
    assert_eq!(failed.details.as_deref(), Some("INSERT INTO n.t VALUES (1, 1)"));
    assert_eq!((count(), recorder.take().len()), (1, 1));

    // In a transaction nothing does, and nobody hears of it.
    error(&engine, "BEGIN; INSERT INTO n.t VALUES (2, 2); INSERT INTO n.t VALUES (1, 1); COMMIT");
    run(&engine, "BEGIN; INSERT INTO n.t VALUES (2, 2); ROLLBACK");
    let unfinished = error(&engine, "BEGIN; INSERT INTO n.t VALUES (2, 2)");
    assert!(unfinished.message.contains("rolled back"), "{unfinished}");
    assert_eq!((count(), recorder.take().len()), (1, 0));

    // It sees its own writes; others see it as one.
    let results = run(
        &engine,
        "BEGIN; INSERT INTO n.t VALUES (2, 2); UPDATE n.t SET v = 5 WHERE id = 2; SELECT v FROM n.t WHERE id = 2; COMMIT",
    );
    assert_eq!(json!(results[3].rows), json!([[5]]));
    let changes = recorder.take();
    assert_eq!(changes.iter().map(|c| c.kind).collect::<Vec<_>>(), [ChangeKind::Insert, ChangeKind::Update]);
    assert!(changes[0].seq() < changes[1].seq());
    for sql in ["COMMIT", "ROLLBACK", "BEGIN; BEGIN"] {
        error(&engine, sql);
    }
    // The lock of a broken batch is free again.
    run(&engine, "INSERT INTO n.t VALUES (3, 3)");
}

#[test]
fn ddl() {
    let engine = memory();
    run(&engine, "CREATE SCHEMA n; CREATE TABLE n.\"Odd\" (id INT PRIMARY KEY, \"select\" TEXT)");
    run(&engine, "INSERT INTO n.\"Odd\" (id, \"select\") VALUES (1, 'x')");
    assert_eq!(rows(&engine, "SELECT \"select\" FROM n.\"Odd\""), json!([["x"]]));
    assert_eq!(rows(&engine, "USE n; SELECT ID FROM \"Odd\""), json!([[1]]));
    for (sql, part) in [
        ("CREATE TABLE nowhere.t (id INT PRIMARY KEY)", "Namespace 'nowhere' not found"),
        ("CREATE TABLE n.t (id INT)", "Shared tables require a PRIMARY KEY"),
        ("CREATE TABLE n.t (id INT PRIMARY KEY, id TEXT)", "twice"),
        ("CREATE TABLE n.t (id INT PRIMARY KEY, _seq INT)", "reserved"),
        ("CREATE TABLE n.t (id JSON PRIMARY KEY)", "can not be in the PRIMARY KEY"),
        ("CREATE TABLE n.t (id INT PRIMARY KEY, v INT DEFAULT 'x')", "DEFAULT"),
        ("CREATE TABLE n.t (id INT PRIMARY KEY, v DECIMAL(50,2))", "precision"),
        ("CREATE TABLE n.t (id INT PRIMARY KEY, v EMBEDDING(9000))", "8192"),
        (
            "CREATE TABLE n.t (id INT PRIMARY KEY) WITH (TYPE='USER', ACCESS_LEVEL='PUBLIC')",
            "SHARED tables only",
        ),
        ("CREATE TABLE n.\"a b\" (id INT PRIMARY KEY)", "valid table name"),
        ("CREATE NAMESPACE system", "reserved"),
        ("CREATE NAMESPACE \"x;y\"", "valid namespace name"),
        ("DROP NAMESPACE default", "can not be dropped"),
        ("ALTER TABLE n.\"Odd\" DROP COLUMN id", "can not be dropped"),
        ("ALTER TABLE n.\"Odd\" ADD COLUMN v INT NOT NULL", "literal DEFAULT"),
    ] {
        let message = error(&engine, sql).message;
        assert!(message.contains(part), "{sql}: {message}");
    }
    run(
        &engine,
        "ALTER TABLE n.\"Odd\" ADD COLUMN v INT DEFAULT 7; ALTER TABLE n.\"Odd\" DROP COLUMN \"select\"",
    );
    assert_eq!(rows(&engine, "SELECT id, v FROM n.\"Odd\""), json!([[1, 7]]));
    run(&engine, "INSERT INTO n.\"Odd\" VALUES (2, NULL); UPDATE n.\"Odd\" SET v = 8 WHERE id = 2");
    assert_eq!(
        rows(&engine, "DESCRIBE n.\"Odd\"")[1],
        json!(["v", 2, "3", "INT", true, false, "7", null, 3])
    );
    // A table that is made again under its name is another one.
    run(&engine, "DROP TABLE n.\"Odd\"; CREATE TABLE n.\"Odd\" (id TEXT PRIMARY KEY)");
    assert_eq!(rows(&engine, "SELECT * FROM n.\"Odd\""), json!([]));
    run(&engine, "DROP NAMESPACE n CASCADE");
    assert!(error(&engine, "SELECT * FROM n.\"Odd\"").message.contains("not found"));
}

#[test]
fn the_default_namespace() {
    let engine = memory();
    run(&engine, "CREATE TABLE plain (id INT PRIMARY KEY); INSERT INTO default.plain VALUES (1)");
    assert_eq!(rows(&engine, "SELECT id FROM plain"), json!([[1]]));
    assert_eq!(rows(&engine, "SELECT default.plain.id FROM default.plain"), json!([[1]]));
    engine.prepare_live(&root(), "SELECT * FROM default.plain WHERE id > 0").unwrap();
    run(&engine, "DELETE FROM default.plain; DROP TABLE default.plain");
}

#[test]
fn plans_do_not_outlive_their_tables() {
    let engine = memory();
    let create = "CREATE NAMESPACE IF NOT EXISTS n; CREATE TABLE n.t (id INT PRIMARY KEY, v TEXT)";
    let (select, insert) = ("SELECT v FROM n.t WHERE id = $1", "INSERT INTO n.t (id, v) VALUES ($1, $2)");
    run(&engine, create);
    run_as(&engine, &root(), insert, vec![json!(1), json!("x")]).unwrap();
    run_as(&engine, &root(), select, vec![json!(1)]).unwrap();
    run(&engine, "DROP TABLE n.t");
    assert!(run_as(&engine, &root(), select, vec![json!(1)]).unwrap_err().message.contains("not found"));
    assert!(run_as(&engine, &root(), insert, vec![json!(1), json!("x")]).is_err());
    run(&engine, "CREATE TABLE n.t (id INT PRIMARY KEY, w INT, v INT)");
    run_as(&engine, &root(), insert, vec![json!(1), json!(5)]).unwrap();
    assert_eq!(json!(run_as(&engine, &root(), select, vec![json!(1)]).unwrap()[0].rows), json!([[5]]));
}

#[test]
fn system_tables() {
    let engine = memory();
    run(
        &engine,
        "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY); CREATE USER 'al' WITH PASSWORD 'pw' ROLE service EMAIL 'a@b'",
    );
    assert_eq!(
        rows(&engine, "SELECT namespace_id, table_count FROM system.namespaces ORDER BY name DESC"),
        json!([["n", 1], ["default", 0]])
    );
    assert_eq!(
        rows(&engine, "SELECT t.table_id FROM system.tables t WHERE t.table_type LIKE 'sh%'"),
        json!([["n:t"]])
    );
    assert_eq!(
        rows(&engine, "SELECT count(*) AS n FROM system.columns WHERE table_name = 't'"),
        json!([["3"]])
    );
    assert_eq!(
        rows(&engine, "SELECT user_id, role, email FROM system.users ORDER BY user_id"),
        json!([["al", "service", "a@b"], ["root", "system", "root@localhost"]])
    );
    let users = run(&engine, "SELECT * FROM system.users").pop().unwrap();
    assert!(!format!("{users:?}").contains("argon2"));
    for sql in [
        "INSERT INTO system.users VALUES (1)",
        "DELETE FROM system.tables",
        "UPDATE system.users SET role = 'x'",
    ] {
        assert!(error(&engine, sql).message.contains("read-only"), "{sql}");
    }
    for sql in ["SELECT * FROM system.users", "SHOW TABLES", "SELECT * FROM system.tables"] {
        let refused = run_as(&engine, &caller("al", Role::Service), sql, vec![]).unwrap_err();
        assert_eq!((refused.code, refused.status), ("PERMISSION_DENIED", 403), "{sql}");
    }
    // What information_schema shows is what the caller may read: a private table is not among it.
    let count = |who: &str, role| {
        let sql = "SELECT count(*) AS n FROM information_schema.tables";
        json!(run_as(&engine, &caller(who, role), sql, vec![]).unwrap()[0].rows)
    };
    assert_eq!(count("al", Role::Service), json!([["1"]]));
    assert_eq!(count("nobody", Role::User), json!([["0"]]));
}
