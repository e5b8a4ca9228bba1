//! Expressions mean what they mean in KalamDB. Values marked "recorded" are in tests/data/wire.

use crate::common::{error, memory, root, rows, run, run_as, value};
use kalam_embedded::engine::{DataType, Engine};
use serde_json::{Value, json};

fn data_type(engine: &Engine, expression: &str) -> DataType {
    run(engine, &format!("SELECT {expression} AS v")).pop().unwrap().columns.unwrap()[0].data_type
}

fn check(engine: &Engine, vectors: &[(&str, Value)]) {
    for (expression, expected) in vectors {
        assert_eq!(&value(engine, expression), expected, "{expression}");
    }
}

#[test]
fn like() {
    let engine = memory();
    check(
        &engine,
        &[
            ("'open' LIKE 'op%'", json!(true)),  // recorded: live_filter
            ("'open' LIKE 'OP%'", json!(false)), // case matters
            ("'open' ILIKE 'OP%'", json!(true)), // recorded: live_filter
            ("'a%c' LIKE 'a\\%c'", json!(true)),
            ("'abc' LIKE 'a\\%c'", json!(false)),
            ("'a_c' LIKE 'a!_c' ESCAPE '!'", json!(true)),
            ("'\u{c4}' ILIKE '\u{e4}'", json!(true)),
            ("NULL LIKE 'x'", Value::Null),
            ("'x' NOT LIKE 'y%'", json!(true)),
        ],
    );
    assert!(error(&engine, "SELECT 5 LIKE '5'").message.contains("needs text"));
}

#[test]
fn numbers() {
    let engine = memory();
    check(
        &engine,
        &[
            ("7 / 2", json!("3")),
            ("-7 / 2", json!("-3")),
            ("-7 % 3", json!("-1")),
            ("7.0 / 2", json!(3.5)),
            ("1 + 1.5", json!(2.5)),
            ("9223372036854775806 + 1", json!("9223372036854775807")),
            ("-9223372036854775808", json!("-9223372036854775808")),
            ("abs(-5)", json!("5")),
            ("round(2.5)", json!(3.0)),
            ("round(-2.567, 2)", json!(-2.57)),
            ("ceil(1.2)", json!(2.0)),
            ("floor(-1.2)", json!(-2.0)),
            ("power(2, 10)", json!(1024.0)),
            ("1.0 / 0", Value::Null), // an infinity, which JSON has not
            ("1.0 / 0 > 5", json!(true)),
            ("CAST(1.9 AS INT)", json!(1)),
            ("'42'::BIGINT", json!("42")),
            ("CAST(5 AS TEXT) || 'x'", json!("5x")),
            ("5 || 'x'", json!("5x")),
            ("TRY_CAST('abc' AS INT)", Value::Null),
            ("NULL + 1", Value::Null),
        ],
    );
    for sql in ["SELECT 1 / 0", "SELECT 5 % 0", "SELECT 1 / (1 - 1)"] {
        assert!(error(&engine, sql).message.contains("Divide by zero"), "{sql}");
    }
    for sql in [
        "SELECT 9223372036854775807 + 1",
        "SELECT -9223372036854775807 - 2",
        "SELECT 4611686018427387904 * 2",
        "SELECT abs(-9223372036854775807 - 1)",
    ] {
        assert!(error(&engine, sql).message.to_lowercase().contains("overflow"), "{sql}");
    }
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, s SMALLINT, i INT)");
    run(&engine, "INSERT INTO n.t VALUES (1, 32767, 2147483647)");
    assert!(error(&engine, "SELECT s + s FROM n.t").message.contains("Overflow"));
    assert!(error(&engine, "SELECT i + i FROM n.t").message.contains("Overflow"));
    assert_eq!(rows(&engine, "SELECT i + 1 AS v FROM n.t"), json!([["2147483648"]])); // the literal is a BIGINT
    assert!(
        error(&engine, "UPDATE n.t SET i = i + 1")
            .message
            .contains("Can't cast value 2147483648 to type Int32")
    );
    assert!(error(&engine, "INSERT INTO n.t (id) VALUES (2147483648)").message.contains("Int32"));
    assert!(error(&engine, "INSERT INTO n.t (id) VALUES (1.5)").message.contains("1.5"));
    // Beyond BIGINT a written number is a double, in KalamDB too; a BIGINT column does not take it.
    assert_eq!(value(&engine, "99999999999999999999999999"), json!(1e26));
    assert!(
        error(&engine, "INSERT INTO n.t (id) VALUES (99999999999999999999999999)").message.contains("Int32")
    );
    assert!(error(&engine, &format!("SELECT 1{}.0", "0".repeat(400))).message.contains("too large"));
}

#[test]
fn decimals_keep_their_digits_and_compare_as_numbers() {
    let engine = memory();
    run(
        &engine,
        "CREATE NAMESPACE n; CREATE TABLE n.d (id INT PRIMARY KEY, a DECIMAL(10,2), b DECIMAL(38,4))",
    );
    run(&engine, "INSERT INTO n.d VALUES (1, 12.30, 9), (2, -7.50, 10), (3, 100, 9.9999), (4, NULL, NULL)");
    let column = |sql: &str| rows(&engine, &format!("SELECT {sql}"));
    assert_eq!(column("a FROM n.d ORDER BY a"), json!([["-7.50"], ["12.30"], ["100.00"], [null]]));
    assert_eq!(column("id FROM n.d WHERE a > 12.3"), json!([[3]]));
    assert_eq!(column("id FROM n.d WHERE a = 12.300"), json!([[1]]));
    assert_eq!(column("id FROM n.d WHERE a > -8 AND a < 12.301 ORDER BY id"), json!([[1], [2]]));
    assert_eq!(column("id FROM n.d WHERE a > b ORDER BY id"), json!([[1], [3]]));
    assert_eq!(column("id FROM n.d WHERE a IN (12.3, 100)"), json!([[1], [3]]));
    assert_eq!(column("id FROM n.d WHERE a = '12.30'"), json!([[1]]));
    assert_eq!(
        column("sum(a) AS s, min(a) AS lo, max(a) AS hi, avg(a) AS m FROM n.d"),
        json!([["104.80", "-7.50", "100.00", "34.933333"]])
    );
    assert_eq!(
        column("a + b AS x, a * 2 AS y, a / 3 AS z, -a AS n FROM n.d WHERE id = 1"),
        json!([["21.3000", "24.60", "4.100000", "-12.30"]])
    );
    assert_eq!(column("round(b, 1) AS r, abs(a) AS x FROM n.d WHERE id = 3"), json!([["10.0000", "100.00"]]));
    assert_eq!(
        column("CAST(a AS TEXT) AS t, CAST(a AS INT) AS i, CAST(a AS DOUBLE) AS d FROM n.d WHERE id = 2"),
        json!([["-7.50", -7, -7.5]])
    );
    assert_eq!(
        data_type(&engine, "CAST('1.25' AS DECIMAL(6,2))"),
        DataType::Decimal { precision: 6, scale: 2 }
    );
    assert_eq!(value(&engine, "CAST(0.1 AS DECIMAL(38,20))"), json!("0.10000000000000000000"));
    assert!(
        error(&engine, "INSERT INTO n.d (id, a) VALUES (9, 123456789.5)")
            .message
            .contains("Decimal128(10, 2)")
    );
    let big = "99999999999999999999999999999999.9999";
    run(&engine, &format!("INSERT INTO n.d (id, b) VALUES (5, {big}), (6, {big})"));
    assert_eq!(column("b FROM n.d WHERE id = 5"), json!([[big]]));
    assert!(error(&engine, "SELECT b * b AS x FROM n.d WHERE id = 5").message.contains("overflow"));
}

#[test]
fn null_is_the_greatest() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v INT)");
    run(&engine, "INSERT INTO n.t VALUES (1, 5), (2, NULL), (3, 1)");
    assert_eq!(rows(&engine, "SELECT id FROM n.t ORDER BY v"), json!([[3], [1], [2]]));
    assert_eq!(rows(&engine, "SELECT id FROM n.t ORDER BY v DESC"), json!([[2], [1], [3]]));
    assert_eq!(rows(&engine, "SELECT id FROM n.t ORDER BY v NULLS FIRST"), json!([[2], [3], [1]]));
    assert_eq!(rows(&engine, "SELECT id FROM n.t ORDER BY v DESC NULLS LAST"), json!([[1], [3], [2]]));
    assert_eq!(rows(&engine, "SELECT id FROM n.t WHERE v <> 5"), json!([[3]]));
    assert_eq!(rows(&engine, "SELECT id FROM n.t WHERE v IS DISTINCT FROM 5 ORDER BY id"), json!([[2], [3]]));
    assert_eq!(rows(&engine, "SELECT id FROM n.t WHERE (v > 0) IS NOT TRUE"), json!([[2]]));
    assert_eq!(rows(&engine, "SELECT id FROM n.t WHERE v NOT IN (1, NULL)"), json!([]));
}

#[test]
fn types_do_not_mix_silently() {
    let engine = memory();
    run(
        &engine,
        "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, t TEXT, n INT, b BOOLEAN, ts TIMESTAMP)",
    );
    run(&engine, "INSERT INTO n.t VALUES (1, '10', 10, true, '2026-01-02T03:04:05Z')");
    for sql in [
        "SELECT * FROM n.t WHERE t = n",
        "SELECT * FROM n.t WHERE t > 5",
        "SELECT * FROM n.t WHERE b = 1",
        "SELECT * FROM n.t WHERE n",
        "SELECT * FROM n.t WHERE n = 'abc'",
        "SELECT * FROM n.t WHERE ts = 5",
        "SELECT t + 1 FROM n.t",
        "SELECT ts + 1 FROM n.t",
        "SELECT sum(t) FROM n.t",
        "SELECT coalesce(t, n) FROM n.t",
        "SELECT upper(n) FROM n.t",
    ] {
        assert_eq!(error(&engine, sql).code, "SQL_EXECUTION_ERROR", "{sql}");
    }
    assert_eq!(
        rows(&engine, "SELECT id FROM n.t WHERE n = '10' AND b = 'true' AND ts >= '2026-01-02'"),
        json!([[1]])
    );
    assert_eq!(rows(&engine, "SELECT id FROM n.t WHERE CAST(n AS TEXT) = t"), json!([[1]])); // recorded: live_filter
    assert_eq!(rows(&engine, "SELECT id FROM n.t WHERE ts < '2026-01-02T03:04:06+00:00'"), json!([[1]]));
    assert_eq!(rows(&engine, "SELECT id FROM n.t WHERE CAST(ts AS DATE) = DATE '2026-01-02'"), json!([[1]]));
}

#[test]
fn text_functions() {
    let engine = memory();
    check(
        &engine,
        &[
            ("upper('a') || 'b'", json!("Ab")), // recorded: sql_surface
            ("length('abc')", json!(3)),        // recorded: sql_surface
            ("coalesce(NULL, 2)", json!("2")),  // recorded: sql_surface
            ("upper('\u{e9}')", json!("\u{c9}")),
            ("length('h\u{e9}llo')", json!(5)),
            ("octet_length('h\u{e9}')", json!(3)),
            ("substr('hello', 2, 3)", json!("ell")),
            ("substr('hello', 0, 3)", json!("he")),
            ("substring('hello' FROM 2)", json!("ello")),
            ("left('hello', -1)", json!("hell")),
            ("right('hello', 2)", json!("lo")),
            ("trim('  x ')", json!("x")),
            ("ltrim('xxa', 'x')", json!("a")),
            ("replace('aXbX', 'X', '-')", json!("a-b-")),
            ("strpos('hello', 'l')", json!(3)),
            ("starts_with('hello', 'he')", json!(true)),
            ("concat('a', NULL, 5)", json!("a5")),
            ("'a' || NULL", Value::Null),
            ("nullif('a', 'a')", Value::Null),
            ("greatest(1, NULL, 3)", json!("3")),
            ("CASE WHEN 1 = 2 THEN 'x' WHEN 2 = 2 THEN 'y' ELSE 'z' END", json!("y")),
            ("CASE 3 WHEN 1 THEN 'a' WHEN 3 THEN 'b' END", json!("b")),
            ("2 BETWEEN 1 AND 3", json!(true)),
            ("2 NOT BETWEEN 1 AND 3", json!(false)),
            ("'b' > 'B'", json!(true)),
            ("X'00ff'", json!([0, 255])),
        ],
    );
}

#[test]
fn aggregates_and_grouping() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.g (id INT PRIMARY KEY, k TEXT, v INT, d DOUBLE)");
    run(
        &engine,
        "INSERT INTO n.g VALUES (1, 'a', 1, 0.5), (2, 'a', 2, NULL), (3, 'b', NULL, 2.5), (4, NULL, 4, 1)",
    );
    let got = rows(
        &engine,
        "SELECT k, count(*) AS n, count(v) AS c, sum(v) AS s, avg(v) AS a FROM n.g GROUP BY k ORDER BY k",
    );
    assert_eq!(
        got,
        json!([["a", "2", "2", "3", 1.5], ["b", "1", "0", null, null], [null, "1", "1", "4", 4.0]])
    );
    assert_eq!(rows(&engine, "SELECT count(DISTINCT k) AS n FROM n.g"), json!([["2"]]));
    assert_eq!(rows(&engine, "SELECT DISTINCT k FROM n.g ORDER BY k LIMIT 2"), json!([["a"], ["b"]]));
    assert_eq!(
        rows(&engine, "SELECT upper(k) AS u, count(*) AS n FROM n.g GROUP BY upper(k) HAVING count(*) > 1"),
        json!([["A", "2"]])
    );
    assert_eq!(
        rows(&engine, "SELECT v % 2 AS r, count(*) AS n FROM n.g WHERE v IS NOT NULL GROUP BY r ORDER BY 1"),
        json!([["0", "2"], ["1", "1"]])
    );
    assert_eq!(
        rows(&engine, "SELECT count(*) AS n, max(v) AS m FROM n.g WHERE id > 99"),
        json!([["0", null]])
    );
    assert_eq!(
        rows(&engine, "SELECT bit_xor(v) AS x, bit_or(v) AS o, bit_and(v) AS a FROM n.g"),
        json!([[7, 7, 0]])
    );
    let names = |sql: &str| -> Vec<String> {
        run(&engine, sql).pop().unwrap().columns.unwrap().iter().map(|c| c.name.to_string()).collect()
    };
    assert_eq!(
        names("SELECT count(*), max(v), v1.k FROM n.g v1 GROUP BY v1.k"),
        ["count(*)", "max(v1.v)", "k"]
    );
    assert_eq!(
        names("SELECT 1, 'x', 1.5, true, id + 1 FROM n.g"),
        ["Int64(1)", "Utf8(\"x\")", "Float64(1.5)", "Boolean(true)", "n.g.id + Int64(1)"]
    );
    for sql in [
        "SELECT k, count(*) FROM n.g",
        "SELECT v FROM n.g GROUP BY k",
        "SELECT * FROM n.g GROUP BY id",
        "SELECT k FROM n.g WHERE count(*) > 1",
        "SELECT sum(count(*)) FROM n.g",
        "SELECT k FROM n.g GROUP BY 5",
        "SELECT k FROM n.g ORDER BY 5",
        "SELECT DISTINCT k FROM n.g ORDER BY v",
        "SELECT k AS x, v AS x FROM n.g",
        "SELECT id FROM n.g LIMIT -1",
        "SELECT id FROM n.g LIMIT 'x'",
    ] {
        error(&engine, sql);
    }
}

/// Rule 7 of the clients: the digest is exact in 64 bits.
#[test]
fn the_digest_is_exact() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.s (id INT PRIMARY KEY, v TEXT)");
    let values: Vec<String> = (0..500).map(|i| format!("({i}, 'u')")).collect();
    run(&engine, &format!("INSERT INTO n.s VALUES {}", values.join(",")));
    run(&engine, "UPDATE n.s SET v = 'w' WHERE id < 50; DELETE FROM n.s WHERE id > 450");
    let seqs = rows(&engine, "SELECT _seq FROM n.s WHERE v = 'u'");
    let seqs: Vec<i64> =
        seqs.as_array().unwrap().iter().map(|r| r[0].as_str().unwrap().parse().unwrap()).collect();
    let x = seqs.iter().fold(0, |x, s| x ^ ((s % 2_147_483_647) * (s % 2_147_483_629)));
    // The statement is recorded (wire/snapshots.jsonl).
    let got = rows(
        &engine,
        "SELECT count(*) AS n, max(_seq) AS m, bit_xor((_seq % 2147483647) * (_seq % 2147483629)) AS x FROM n.s WHERE (v = 'u')",
    );
    let expected = [seqs.len().to_string(), seqs.iter().max().unwrap().to_string(), x.to_string()];
    assert_eq!(got, json!([expected]));
}

#[test]
fn all_types_are_stored_and_shown() {
    let engine = memory();
    run(
        &engine,
        "CREATE NAMESPACE n; CREATE TABLE n.a (id BIGSERIAL PRIMARY KEY, b BOOL, f REAL, d DOUBLE PRECISION, by BYTEA, \
         js JSONB, e EMBEDDING(2), u UUID, vc VARCHAR(20), nu NUMERIC(5,1), de DECIMAL, st STRING, i8 INT8, f8 FLOAT8, \
         who TEXT DEFAULT CURRENT_USER(), ul TEXT DEFAULT ULID(), u7 UUID DEFAULT UUID_V7(), n INT DEFAULT -5, \
         t TIMESTAMP DEFAULT NOW() NOT NULL, q TEXT DEFAULT 'it''s')",
    );
    run(
        &engine,
        "INSERT INTO n.a (b, f, d, by, js, e, u, vc, nu, i8) VALUES \
        (false, 0.1, 0.1, 'ab', '[1]', ARRAY[1, -2.5], '550E8400-e29b-41d4-a716-446655440000', 'x', 1.25, 9)",
    );
    let got = rows(&engine, "SELECT b, f, d, by, js, e, u, vc, nu, i8, who, n, q, de FROM n.a");
    assert_eq!(
        got,
        json!([[
            false,
            0.1,
            0.1,
            [97, 98],
            "[1]",
            [1.0, -2.5],
            "550e8400-e29b-41d4-a716-446655440000",
            "x",
            "1.3",
            "9",
            "root",
            -5,
            "it's",
            null
        ]])
        .as_array()
        .cloned()
        .map(|mut v| {
            // FLOAT is single precision: JSON shows the shortest digits that give it back.
            v[0][1] = serde_json::to_value(0.1_f32).unwrap();
            Value::from(v)
        })
        .unwrap()
    );
    let params = [json!([1, 2, 255]), json!([0.5, 1]), json!({"a": 1})];
    run_as(&engine, &root(), "UPDATE n.a SET by = $1, e = $2", params[..2].to_vec()).unwrap();
    assert_eq!(rows(&engine, "SELECT by, e FROM n.a"), json!([[[1, 2, 255], [0.5, 1.0]]]));
    assert_eq!(
        run_as(&engine, &root(), "SELECT $1", params[2..].to_vec()).unwrap_err().code,
        "INVALID_PARAMETER"
    );
    assert_eq!(run_as(&engine, &root(), "SELECT $1", params[..1].to_vec()).unwrap_err().code, "INVALID_SQL");
    for (column, bad) in
        [("e", "'[1]'"), ("js", "'{'"), ("u", "'x'"), ("t", "NULL"), ("t", "'noon'"), ("b", "'x'")]
    {
        error(&engine, &format!("UPDATE n.a SET {column} = {bad}"));
    }
}

#[test]
fn parameters_are_typed_by_their_place() {
    let engine = memory();
    run(
        &engine,
        "CREATE NAMESPACE n; CREATE TABLE n.p (id BIGINT PRIMARY KEY, t TEXT, ts TIMESTAMP, d DECIMAL(10,2))",
    );
    let go = |sql: &str, params: Value| run_as(&engine, &root(), sql, params.as_array().unwrap().clone());
    for id in 1..=3 {
        go("INSERT INTO n.p (id, t, ts, d) VALUES ($1, $2, $3, $4)", json!([id, "x", "2026-01-01", 1.5]))
            .unwrap();
    }
    let count = |sql: &str, params: Value| go(sql, params).unwrap()[0].row_count;
    assert_eq!(count("SELECT * FROM n.p WHERE id = $1 OR id = $1 + 1", json!([1])), 2);
    assert_eq!(count("SELECT * FROM n.p WHERE id IN ($1, $2) AND t = $3", json!([1, 2, "x"])), 2);
    assert_eq!(count("SELECT * FROM n.p WHERE ts = $1 AND d = $2", json!(["2026-01-01T00:00:00Z", 1.5])), 3);
    assert_eq!(count("SELECT * FROM n.p WHERE id = $1", json!([null])), 0);
    assert_eq!(count("SELECT * FROM n.p ORDER BY id LIMIT $1 OFFSET $2", json!([2, 2])), 1);
    // The same text with parameters of other kinds is another plan.
    assert_eq!(count("SELECT * FROM n.p WHERE id = $1", json!(["3"])), 1);
    assert_eq!(count("SELECT * FROM n.p WHERE id = $1", json!([3.0])), 1);
    assert!(go("SELECT * FROM n.p WHERE id = $1", json!(["x"])).unwrap_err().message.contains("$1"));
    assert_eq!(
        go("SELECT * FROM n.p WHERE id = $1", json!([18446744073709551615_u64])).unwrap_err().code,
        "INVALID_PARAMETER"
    );
    assert_eq!(
        go("SELECT * FROM n.p WHERE t = $1", json!(["a\u{0}b"])).unwrap_err().code,
        "INVALID_PARAMETER"
    );
    assert!(go("SELECT $2", json!([1])).unwrap_err().message.contains("Placeholder '$2' was not provided"));
}

#[test]
fn what_is_not_on_the_list_is_refused() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v INT)");
    for sql in [
        "SELECT id FROM n.t FOR UPDATE",
        "SELECT load_extension('x')",
        "SELECT sqlite_version()",
        "SELECT hex(id) FROM n.t",
        "INSERT INTO n.t VALUES (1, 1) ON CONFLICT DO NOTHING",
        "UPDATE n.t SET v = 1 FROM n.t b",
        "DELETE FROM n.t USING n.t b",
        "CREATE VIEW n.v AS SELECT 1",
        "CREATE INDEX i ON n.t (v)",
        "CREATE TABLE n.x AS SELECT 1",
        "CREATE TEMPORARY TABLE n.x (id INT PRIMARY KEY)",
        "CREATE TABLE n.x (id INT PRIMARY KEY, v INT CHECK (v > 0))",
        "CREATE TABLE n.x (id INT PRIMARY KEY, v INT REFERENCES n.t(id))",
        "TRUNCATE TABLE n.t",
        "SET x = 1",
        "BEGIN; CREATE TABLE n.y (id INT PRIMARY KEY); COMMIT",
    ] {
        let error = error(&engine, sql);
        assert!(error.message.contains("not supported by the embedded server"), "{sql}: {error}");
    }
    assert_eq!(rows(&engine, "SELECT * FROM n.t"), json!([]));
}
