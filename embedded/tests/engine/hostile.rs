//! Statements meant to hurt: none reaches SQLite's own tables, none panics, none runs for ever.

use std::time::Duration;

use crate::common::{caller, error, memory, rows, run, run_as};
use kalam_embedded::engine::{Caller, Data, Engine, EngineLimits, EngineOptions, Role, SqlRequest};
use serde_json::json;

/// Every statement, as a user and as root; none may change or show what is not theirs.
#[test]
fn the_engine_room_is_closed() {
    let engine = memory();
    run(
        &engine,
        "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v TEXT) WITH (TYPE='USER'); INSERT INTO n.t VALUES (1, 'x')",
    );
    let before = rows(&engine, "SELECT * FROM n.t");
    for sql in [
        "SELECT * FROM sqlite_master",
        "SELECT * FROM sqlite_schema",
        "SELECT * FROM main.sqlite_master",
        "SELECT * FROM temp.sqlite_master",
        "SELECT * FROM meta",
        "SELECT * FROM users",
        "SELECT * FROM t1",
        "SELECT * FROM default.t1",
        "SELECT * FROM main.t1",
        "SELECT * FROM system_rows",
        "SELECT * FROM pragma_table_info('t1')",
        "SELECT * FROM n.t WHERE o = 'root'",
        "SELECT o FROM n.t",
        "SELECT c1 FROM n.t",
        "SELECT rowid FROM n.t",
        "SELECT s, n, d FROM n.t",
        "SELECT (SELECT count(*) FROM sqlite_master) AS n",
        "WITH x AS (SELECT * FROM sqlite_master) SELECT * FROM x",
        "SELECT * FROM n.t JOIN meta ON true",
        "SELECT * FROM n.t WHERE id IN (SELECT id FROM t1)",
        "SELECT 1 UNION SELECT secret FROM meta",
        "SELECT * FROM (SELECT * FROM users) AS u",
        "INSERT INTO n.t SELECT 1, value FROM meta",
        "UPDATE n.t SET v = (SELECT value FROM meta)",
        "DELETE FROM n.t WHERE EXISTS (SELECT 1 FROM users)",
        "INSERT INTO n.t (id) VALUES (5) RETURNING o",
        "SELECT r1.o FROM n.t",
        "SELECT r0.c1 FROM n.t",
        "SELECT r1.c1 FROM n.t AS x JOIN n.t AS y ON true",
        "WITH a AS (SELECT 1 AS x) SELECT * FROM w1",
        "SELECT c0 FROM (SELECT 1 AS x) AS q",
        "SELECT k0 FROM n.t",
        "SELECT * FROM json_each('[1]')",
        "SELECT * FROM generate_series(1, 1000000000)",
        "SELECT * FROM dbstat",
        "SELECT k_single(1)",
        "SELECT json_extract('{}', '$')",
        "SELECT group_concat(v) FROM n.t",
        "SELECT load_extension('/tmp/x')",
        "SELECT readfile('/etc/passwd')",
        "SELECT k_cast(1, 2, 3)",
        "SELECT k_snowflake()",
        "SELECT zeroblob(1000000000)",
        "SELECT randomblob(10)",
        "SELECT printf('%1000000000d', 1)",
        "PRAGMA user_version = 9",
        "PRAGMA journal_mode",
        "ATTACH DATABASE '/tmp/x' AS x",
        "DETACH DATABASE main",
        "VACUUM INTO '/tmp/x'",
        "REINDEX",
        "ANALYZE",
        "SAVEPOINT x",
        "CREATE TRIGGER x AFTER INSERT ON n.t BEGIN SELECT 1; END",
        "CREATE VIRTUAL TABLE n.v USING fts5(a)",
        "DROP TABLE sqlite_master",
        "DROP TABLE meta",
        "DELETE FROM users",
        "UPDATE meta SET value = 1",
        "INSERT INTO users VALUES ('x')",
        "COPY n.t TO '/tmp/x'",
        "SELECT * INTO OUTFILE '/tmp/x' FROM n.t",
    ] {
        for who in [caller("root", Role::System), caller("u", Role::User)] {
            let refused = run_as(&engine, &who, sql, vec![]);
            let refused = refused.err().unwrap_or_else(|| panic!("{sql} was accepted"));
            assert_ne!(refused.code, "INTERNAL_ERROR", "{sql}: {refused}");
        }
    }
    assert_eq!(rows(&engine, "SELECT * FROM n.t"), before);
}

#[test]
fn names_and_values_are_never_sql() {
    let engine = memory();
    let hostile = "x'; DROP TABLE t1; -- \" ?1 $1 \u{202e} \\";
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v TEXT DEFAULT 'a''b')");
    let quoted = hostile.replace('\'', "''");
    run(&engine, &format!("INSERT INTO n.t VALUES (1, '{quoted}'), (2, DEFAULT)"));
    assert_eq!(rows(&engine, &format!("SELECT v FROM n.t WHERE v = '{quoted}'")), json!([[hostile]]));
    assert_eq!(rows(&engine, "SELECT v FROM n.t WHERE id = 2"), json!([["a'b"]]));
    let go = |sql: &str| run_as(&engine, &caller("root", Role::System), sql, vec![json!(hostile)]);
    assert_eq!(json!(go("SELECT id FROM n.t WHERE v = $1").unwrap()[0].rows), json!([[1]]));
    // A user name is only ever a value.
    let odd = Caller { user: hostile.into(), role: Role::User };
    run(&engine, "CREATE TABLE n.u (id INT PRIMARY KEY) WITH (TYPE='USER')");
    run_as(&engine, &odd, "INSERT INTO n.u VALUES (1)", vec![]).unwrap();
    assert_eq!(run_as(&engine, &odd, "SELECT * FROM n.u", vec![]).unwrap()[0].row_count, 1);
    assert_eq!(rows(&engine, "SELECT * FROM n.u"), json!([]));
    for name in [hostile, "", "a b", "a;b", "a\"b", &"x".repeat(1000)] {
        error(&engine, &format!("CREATE TABLE n.\"{}\" (id INT PRIMARY KEY)", name.replace('"', "\"\"")));
        error(&engine, &format!("CREATE TABLE n.z (\"{}\" INT PRIMARY KEY)", name.replace('"', "\"\"")));
    }
}

#[test]
fn monstrous_sql_is_answered() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v INT)");
    // On a small stack: what a debug build would overflow, it would overflow here.
    let checks = move || {
        let nested =
            |open: &str, close: &str, n: usize| format!("SELECT {}1{}", open.repeat(n), close.repeat(n));
        let monsters = [
            nested("(", ")", 100_000),
            nested("(", ")", 60),
            nested("NOT (", ")", 100),
            nested("abs(", ")", 5000),
            nested("- ", "", 100_000),
            nested("CASE WHEN true THEN ", " END", 3000),
            nested("CAST(", " AS INT)", 300),
            format!("SELECT 1{}", " + 1".repeat(100_000)),
            format!("SELECT 1{}", " + 1".repeat(100)),
            format!("SELECT 'a'{}", " || 'a'".repeat(100_000)),
            format!("SELECT true{}", " AND true".repeat(100_000)),
            format!("SELECT 1{}", "::INT".repeat(10_000)),
            format!("SELECT 1{}", " IS NULL".repeat(10_000)),
            format!("SELECT a{}", "[1]".repeat(10_000)),
            format!("SELECT a{}", ".a".repeat(10_000)),
            format!("SELECT 1{}", " UNION SELECT 1".repeat(10_000)),
            format!("SELECT greatest({})", vec!["1"; 5000].join(",")),
            format!("SELECT {}", vec!["1"; 50_000].join(",")),
            format!("SELECT concat({})", vec!["'a'"; 20_000].join(",")),
            format!("SELECT coalesce({})", vec!["NULL"; 20_000].join(",")),
            format!("SELECT 1 IN ({})", vec!["2"; 100_000].join(",")),
            format!("SELECT * FROM n.t ORDER BY {}", vec!["id"; 50_000].join(",")),
            format!("SELECT * FROM n.t{}", ", n.t".repeat(10_000)),
            format!("EXECUTE AS 'root' {}SELECT 1{}", "(EXECUTE AS 'root' ".repeat(5000), ")".repeat(5000)),
            format!(
                "CREATE TABLE n.w ({} PRIMARY KEY)",
                (0..5000).map(|i| format!("c{i} INT")).collect::<Vec<_>>().join(",")
            ),
            format!("CREATE TABLE n.w (id INT PRIMARY KEY, v {}", "DECIMAL(".repeat(5000)),
            format!(
                "CREATE TABLE n.w (id INT PRIMARY KEY, v {}INT{}",
                "ARRAY<".repeat(5000),
                ">".repeat(5000)
            ),
            format!("SELECT {}", "9".repeat(100_000)),
            format!("SELECT 1e{}", "9".repeat(10_000)),
            format!("SELECT 0.{}1", "0".repeat(100_000)),
            format!("SELECT '{}'", "x".repeat(1 << 20)),
            format!("SELECT \"{}\"", "x".repeat(500_000)),
            format!("{}SELECT 1", "/*".repeat(100_000)),
            format!("SELECT '{}' LIKE '{}'", "a".repeat(20_000), "%a".repeat(5000)),
            nested("(SELECT ", ")", 5000),
            nested("(SELECT ", ")", 55),
            nested("(SELECT max(x) FROM (SELECT ", " AS x) AS q)", 50),
            nested("1 IN (SELECT ", ")", 55),
            format!("SELECT * FROM {}n.t{}", "(SELECT * FROM ".repeat(100), ") AS q".repeat(100)),
            format!("SELECT * FROM {}n.t{}", "(SELECT * FROM ".repeat(5000), ") AS q".repeat(5000)),
            format!(
                "SELECT 1 FROM n.t AS a0 {}",
                (1..200)
                    .map(|n| format!("JOIN n.t AS a{n} ON a{n}.id = a0.id"))
                    .collect::<Vec<_>>()
                    .join(" ")
            ),
            format!(
                "SELECT 1 FROM {}",
                (0..100).map(|n| format!("(SELECT 1 AS x) AS a{n}")).collect::<Vec<_>>().join(", ")
            ),
            format!(
                "WITH {} SELECT * FROM c499",
                (0..500)
                    .map(|n| match n {
                        0 => "c0 AS (SELECT 1 AS x)".to_owned(),
                        n => format!("c{n} AS (SELECT x FROM c{0} UNION ALL SELECT x FROM c{0})", n - 1),
                    })
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
            format!("SELECT 1{}", " UNION ALL SELECT 1".repeat(110)),
            format!("SELECT 1{}", " UNION SELECT 1 EXCEPT SELECT 2".repeat(50)),
            format!("{}SELECT 1{}", "(".repeat(100), ")".repeat(100)),
            format!("SELECT {}", vec!["row_number() OVER (ORDER BY id)"; 300].join(" + ")),
            format!("VALUES {}", vec!["(1)"; 100_000].join(",")),
            format!("SELECT '{}' ~ '{}'", "a".repeat(10_000), "(a*)*".repeat(500)),
            format!("SELECT '' ~ '{}'", "(x{1000}){1000}".repeat(10)),
            "SELECT repeat(repeat('x', 1000000), 1000000)".into(),
            "SELECT lpad('x', 2000000000)".into(),
            "SELECT regexp_replace(repeat('a', 1000000), 'a', repeat('b', 1000), 'g')".into(),
            format!("SELECT '{}'::JSON -> 'a'", "[".repeat(100_000)),
            format!("SELECT ('{}'::JSON #>> '{{{}}}')", "{}", "a,".repeat(10_000)),
            format!("SELECT now() + INTERVAL '{} years'", "9".repeat(30)),
            "SELECT 1;".repeat(5000),
            "\0".into(),
            "SELECT '\0'".into(),
            "SELECT 'unterminated".into(),
            "SELECT \u{feff}1".into(),
            ");".repeat(1000),
        ];
        for sql in &monsters {
            let start: String = sql.chars().take(40).collect();
            match engine
                .execute(&crate::common::root(), &SqlRequest { sql: sql.clone(), ..SqlRequest::default() })
            {
                Err(error) => {
                    assert_ne!(error.code, "INTERNAL_ERROR", "{start}: {error:.200}");
                    assert!(error.message.len() < 5000, "{start}: an error of {} bytes", error.message.len());
                }
                Ok(results) => assert!(!results.is_empty(), "{start}"),
            }
            let _ = engine.prepare_live(
                &crate::common::root(),
                &sql.replacen("SELECT ", "SELECT id FROM n.t WHERE ", 1),
            );
        }
        assert_eq!(rows(&engine, "SELECT 1 AS v"), json!([["1"]]));
        let many = error(&engine, &format!("SELECT 1 IN ({})", vec!["2"; 40_000].join(",")));
        assert!(many.message.contains("more than 32,766 values"), "{many}");
        let deep = error(&engine, &format!("SELECT '{}{}'::JSON", "[".repeat(50_000), "]".repeat(50_000)));
        assert!(deep.message.contains("nested more than 127 deep"), "{deep:.300}");
    };
    std::thread::Builder::new().stack_size(2 << 20).spawn(checks).unwrap().join().unwrap();
}

#[test]
fn long_statements_are_stopped() {
    let directory = tempfile::tempdir().unwrap();
    let open = |limits| {
        let data = Data::Directory(directory.path().into());
        Engine::open(EngineOptions { root_password: Some("x".into()), limits, ..EngineOptions::new(data) })
            .unwrap()
    };
    let engine = open(EngineLimits::default());
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v TEXT)");
    for part in 0..40 {
        let values: Vec<String> =
            (0..250).map(|i| format!("({}, '{}')", part * 250 + i, "ab".repeat(50))).collect();
        run(&engine, &format!("INSERT INTO n.t VALUES {}", values.join(",")));
    }
    drop(engine);
    let engine = open(EngineLimits { statement_time: Duration::from_millis(5), ..EngineLimits::default() });
    let slow = format!("v LIKE '{}'", "%a%b".repeat(40) + "x");
    for sql in [
        format!("SELECT count(*) AS n FROM n.t WHERE {}", vec![slow.as_str(); 20].join(" OR ")),
        format!("DELETE FROM n.t WHERE {}", vec![slow.as_str(); 20].join(" OR ")),
    ] {
        let message = error(&engine, &sql).message;
        assert!(message.contains("time limit"), "{message}");
    }
    drop(engine);
    let engine = open(EngineLimits::default());
    assert_eq!(rows(&engine, "SELECT count(*) AS n FROM n.t"), json!([["10000"]]));
}

#[test]
fn results_and_requests_are_bounded() {
    let limits = EngineLimits {
        result_rows: 100,
        result_bytes: 10_000,
        sql_bytes: 20_000,
        statements: 3,
        ..EngineLimits::default()
    };
    let engine = Engine::open(EngineOptions {
        root_password: Some("x".into()),
        limits,
        ..EngineOptions::new(Data::Memory)
    })
    .unwrap();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v TEXT)");
    let values: Vec<String> = (0..101).map(|i| format!("({i}, 'x')")).collect();
    run(&engine, &format!("INSERT INTO n.t VALUES {}", values.join(",")));
    // All results of one request count together.
    let twice = error(&engine, "SELECT id FROM n.t WHERE id < 60; SELECT id FROM n.t WHERE id < 60");
    assert!(twice.message.starts_with("Statement 2 failed"), "{twice}");
    for sql in ["SELECT * FROM n.t", "UPDATE n.t SET v = 'y'", "DELETE FROM n.t"] {
        assert!(error(&engine, sql).message.contains("larger than 100 rows"), "{sql}");
    }
    assert_eq!(run(&engine, "SELECT id FROM n.t LIMIT 100")[0].row_count, 100);
    for id in [1, 2, 3] {
        run(&engine, &format!("UPDATE n.t SET v = '{}' WHERE id = {id}", "x".repeat(4_000)));
    }
    assert!(error(&engine, "SELECT v FROM n.t WHERE id < 4").message.contains("10000 bytes"));
    assert_eq!(error(&engine, &format!("SELECT '{}'", "x".repeat(20_000))).code, "INVALID_SQL");
    assert_eq!(error(&engine, "SELECT 1; SELECT 2; SELECT 3; SELECT 4").code, "INVALID_SQL");
}

/// An open transaction holds up all other writers, so its statements do not each have the time of one.
#[test]
fn long_transactions_are_stopped() {
    let limits = EngineLimits { statement_time: Duration::ZERO, ..EngineLimits::default() };
    let engine = Engine::open(EngineOptions {
        root_password: Some("x".into()),
        limits,
        ..EngineOptions::new(Data::Memory)
    })
    .unwrap();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY)");
    // Too short for SQLite to look at the clock.
    run(&engine, "INSERT INTO n.t VALUES (1)");
    let error = error(&engine, "BEGIN; INSERT INTO n.t VALUES (2); COMMIT");
    assert!(
        error.message.starts_with("Statement 2 failed: the transaction exceeded the time limit"),
        "{error}"
    );
    run(&engine, "INSERT INTO n.t VALUES (3)");
    assert_eq!(rows(&engine, "SELECT id FROM n.t"), json!([[1], [3]]));
}
