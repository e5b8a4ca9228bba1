//! Random expressions and token soup: every statement is answered, none by a panic or an internal error. An internal
//! error would be SQL that we wrote and SQLite refused, or a value of another type than we announced.

use std::sync::LazyLock;

use crate::common::{Recorder, caller, memory, root, run, run_as};
use kalam_embedded::engine::{Engine, Role, RowChange, SqlRequest};
use proptest::prelude::*;
use serde_json::{Value, json};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| SET_UP.0.clone());
/// Rows at the ends of their types: nothing, the most, the least, and what looks like something else.
const EDGES: [&str; 4] = [
    "11, 0, 0, 0, 0, 0, 0, '', false, '1970-01-01T00:00:00Z', '1970-01-01', '00:00:00', '[]', '', \
     '00000000-0000-0000-0000-000000000000', '[0, 0]'",
    "12, 32767, 9223372036854775807, 3.4e38, 1.7e308, 99999999.99, 99999999999999999999999999999999.999999, \
     'Z\u{10ffff}', true, '9999-12-31T23:59:59.999999Z', '9999-12-31', '23:59:59.999999', \
     '{\"a\":[1,{\"b\":null}],\"n\":9007199254740993}', 'z', 'ffffffff-ffff-ffff-ffff-ffffffffffff', '[3e38, 3e38]'",
    "13, -32768, -9223372036854775808, -3.4e38, 5e-324, -99999999.99, -99999999999999999999999999999999.999999, \
     '%_\\', false, '0001-01-01T00:00:00Z', '0001-01-01', '12:00:00', 'null', '%', \
     '00000000-0000-0000-0000-000000000001', '[-1, 1e-45]'",
    "14, -1, 5, -0.0, -0.0, -0.01, -0.000001, '5', true, '1969-12-31T23:59:59.999999Z', '2024-02-29', '00:00:00.000001', \
     '\"5\"', '5', '550e8400-e29b-41d4-a716-446655440000', '[1, 2]'",
];
const ROWS: u64 = 2 + EDGES.len() as u64;

/// The inserts of the rows that are always there.
static INSERTED: LazyLock<Vec<RowChange>> = LazyLock::new(|| SET_UP.1.clone());

static SET_UP: LazyLock<(Engine, Vec<RowChange>)> = LazyLock::new(|| {
    let engine = memory();
    let recorder = Recorder::install(&engine);
    run(
        &engine,
        "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, s SMALLINT, big BIGINT, f FLOAT, d DOUBLE, \
         m DECIMAL(10,2), m2 DECIMAL(38,6), t TEXT, b BOOLEAN, ts TIMESTAMP, da DATE, ti TIME, js JSON, by BYTES, \
         u UUID, e EMBEDDING(2)) WITH (TYPE='USER')",
    );
    run(
        &engine,
        "INSERT INTO n.t VALUES (1, 7, 9007199254740993, 1.5, -2.25, 12.34, 0.000001, 'h\u{e9}llo', true, \
         '2026-01-02T03:04:05Z', '2026-01-02', '03:04:05', '{\"a\":1}', 'ab', \
         '550e8400-e29b-41d4-a716-446655440000', '[1, 2]')",
    );
    run(&engine, "INSERT INTO n.t (id) VALUES (2)");
    for row in EDGES {
        run(&engine, &format!("INSERT INTO n.t VALUES ({row})"));
    }
    let inserted = recorder.take();
    run(
        &engine,
        "CREATE TABLE n.u (k INT PRIMARY KEY, w TEXT); INSERT INTO n.u VALUES (1, 'x'), (2, 'h\u{e9}llo')",
    );
    (engine, inserted)
});

/// Leaves of one family go together more often than not; of all families, seldom: both are wanted.
const NUMBERS: [&str; 16] = [
    "id",
    "s",
    "big",
    "f",
    "d",
    "m",
    "m2",
    "0",
    "1",
    "-1",
    "2.5",
    "1e3",
    "0.01",
    "_seq",
    "$1",
    "9223372036854775807",
];
const TEXTS: [&str; 9] = ["t", "js", "u", "'x'", "'5'", "''", "$2", "NULL", "CURRENT_USER()"];
const ALL: [&str; 25] = [
    "id",
    "m",
    "d",
    "t",
    "b",
    "ts",
    "da",
    "ti",
    "by",
    "e",
    "_deleted",
    "n.t.id",
    "'2026-01-01'",
    "'5'",
    "true",
    "NULL",
    "$3",
    "$4",
    "$5",
    "DATE '2026-01-01'",
    "X'00ff'",
    "NOW()",
    "count(*)",
    "nocol",
    "7",
];

fn expression() -> impl Strategy<Value = String> {
    prop_oneof![over(&NUMBERS), over(&TEXTS), over(&ALL)]
}

fn over(leaves: &'static [&'static str]) -> impl Strategy<Value = String> {
    let types = [
        "INT",
        "SMALLINT",
        "BIGINT",
        "DOUBLE",
        "FLOAT",
        "TEXT",
        "DECIMAL(8,3)",
        "BOOLEAN",
        "TIMESTAMP",
        "DATE",
        "TIME",
        "JSON",
        "BYTES",
        "UUID",
    ];
    let binary = [
        "+",
        "-",
        "*",
        "/",
        "%",
        "||",
        "=",
        "<>",
        "<",
        ">=",
        "AND",
        "OR",
        "IS DISTINCT FROM",
        "LIKE",
        "NOT ILIKE",
        "&",
        "<<",
        "~",
        "!~*",
        "->",
        "->>",
        "@>",
        "?",
    ];
    let unary = ["NOT", "-", "+"];
    let suffix = ["IS NULL", "IS NOT TRUE", "IS UNKNOWN"];
    let one = [
        "upper",
        "length",
        "abs",
        "round",
        "ceil",
        "trim",
        "reverse",
        "sqrt",
        "sum",
        "avg",
        "min",
        "max",
        "count",
        "bit_xor",
        "octet_length",
        "bool_or",
        "stddev",
        "initcap",
        "chr",
        "to_timestamp",
        "to_date",
        "to_unixtime",
        "json_typeof",
        "json_array_length",
        "cbrt",
        "to_hex",
    ];
    let two = [
        "coalesce",
        "nullif",
        "greatest",
        "least",
        "concat",
        "round",
        "left",
        "substr",
        "power",
        "strpos",
        "mod",
        "starts_with",
        "ltrim",
        "string_agg",
        "regexp_like",
        "regexp_count",
        "lpad",
        "repeat",
        "gcd",
        "log",
        "trunc",
        "cosine_distance",
    ];
    let pick = |list: &[&'static str]| proptest::sample::select(list.to_vec());
    proptest::sample::select(leaves).prop_map(str::to_owned).prop_recursive(4, 24, 3, move |inner| {
        prop_oneof![
            4 => (inner.clone(), pick(&binary), inner.clone()).prop_map(|(a, op, b)| format!("({a} {op} {b})")),
            1 => (pick(&unary), inner.clone()).prop_map(|(op, a)| format!("({op} {a})")),
            1 => (inner.clone(), pick(&suffix)).prop_map(|(a, op)| format!("({a} {op})")),
            2 => (pick(&one), inner.clone()).prop_map(|(f, a)| format!("{f}({a})")),
            2 => (pick(&two), inner.clone(), inner.clone()).prop_map(|(f, a, b)| format!("{f}({a}, {b})")),
            2 => (inner.clone(), pick(&types)).prop_map(|(a, t)| format!("CAST({a} AS {t})")),
            1 => (inner.clone(), pick(&types)).prop_map(|(a, t)| format!("TRY_CAST({a} AS {t})")),
            1 => (inner.clone(), inner.clone(), inner.clone())
                .prop_map(|(a, b, c)| format!("CASE WHEN {a} THEN {b} ELSE {c} END")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} IN ({b}, {c}))")),
            1 => (inner.clone(), inner.clone(), inner.clone()).prop_map(|(a, b, c)| format!("({a} BETWEEN {b} AND {c})")),
            1 => (inner.clone(), pick(&SHAPES)).prop_map(|(a, shape)| shape.replace('_', &a)),
            1 => (inner.clone(), inner).prop_map(|(a, b)| format!("({a} IN (SELECT {b} FROM n.u))")),
        ]
    })
}

/// Expressions with a hole.
const SHAPES: [&str; 14] = [
    "(_ + INTERVAL '1 month')",
    "(_ - INTERVAL '90 minutes')",
    "(_ - now() < INTERVAL '1 day')",
    "extract(year FROM _)",
    "extract(epoch FROM _)",
    "date_trunc('week', _)",
    "to_char(_, '%Y-%m')",
    "(_ #>> '{a,0}')",
    "regexp_replace(_, '(.)', '\\1\\1', 'g')",
    "split_part(_, 'l', -1)",
    "(SELECT max(_) FROM n.u)",
    "(SELECT _ FROM n.u WHERE k = 1)",
    "EXISTS (SELECT 1 FROM n.u WHERE k = _)",
    "substring(_ FROM 2 FOR 1)",
];

fn params() -> Vec<Value> {
    vec![json!(3), json!("p"), json!(1.25), json!(null), json!(true)]
}

/// Runs it; `false` when it was refused.
fn answered(sql: &str) -> bool {
    match run_as(&ENGINE, &root(), sql, params()) {
        Ok(results) => {
            for result in results {
                let width = result.columns.as_ref().map_or(0, |c| c.len());
                assert!(result.rows.iter().all(|row| row.len() == width), "{sql}");
            }
            true
        }
        Err(error) => {
            assert_ne!(error.code, "INTERNAL_ERROR", "{sql}\n{error}");
            false
        }
    }
}

/// More on request: `FUZZ_CASES=50000 cargo test -p kalam-embedded --test engine fuzz`.
fn cases() -> u32 {
    std::env::var("FUZZ_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(1500)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expressions(a in expression(), b in expression(), order in any::<bool>()) {
        answered(&format!("SELECT {a} AS x, {b} AS y FROM n.t"));
        answered(&format!("SELECT {a} AS x FROM n.t WHERE {b}"));
        answered(&format!("SELECT {a} AS x, count(*) AS n FROM n.t GROUP BY {a}"));
        let direction = if order { "DESC" } else { "ASC" };
        answered(&format!("SELECT DISTINCT {a} AS x FROM n.t ORDER BY x {direction}"));
        answered(&format!("SELECT id FROM n.t ORDER BY {a} {direction}, {b} LIMIT 1"));
        answered(&format!("UPDATE n.t SET s = {a} WHERE id = 3 AND {b}"));
        answered(&format!("INSERT INTO n.t (id, t) VALUES ({a}, {b}); DELETE FROM n.t WHERE id NOT IN (1, 2, 11, 12, 13, 14)"));
        let live = ENGINE.prepare_live(&root(), &format!("SELECT id FROM n.t WHERE {a}"));
        if let Ok(query) = live {
            // What a SELECT finds is what the snapshot holds.
            let start = kalam_embedded::engine::Start::Snapshot { last_rows: None };
            let found = run_as(&ENGINE, &root(), &format!("SELECT id FROM n.t WHERE {a}"), params());
            match (ENGINE.start_live(&query, start, || ()), found) {
                (Ok((start, ())), Ok(found)) => {
                    prop_assert_eq!(start.rows.len() as u64, found[0].row_count, "{}", a);
                    // And so does the evaluation of each row by itself, unless it reaches a part that fails, such as a
                    // cast of a constant, which the SELECT had no need to evaluate.
                    let evaluated: Result<Vec<_>, _> = INSERTED.iter().map(|change| query.evaluate(change)).collect();
                    if let Ok(changes) = evaluated {
                        prop_assert_eq!(changes.iter().flatten().count() as u64, found[0].row_count, "{}", a);
                    }
                }
                (Err(_), Err(_)) => prop_assert!(INSERTED.iter().any(|change| query.evaluate(change).is_err()), "{}", a),
                (live, select) => prop_assert!(false, "{}: {:?} but {:?}", a, live.is_ok(), select.is_ok()),
            }
        }
    }

    #[test]
    fn queries(a in expression(), b in expression(), word in proptest::sample::select(vec!["UNION", "UNION ALL", "INTERSECT", "EXCEPT"])) {
        for sql in [
            format!("WITH q AS (SELECT {a} AS x, {b} AS y FROM n.t) SELECT y, x FROM q ORDER BY x"),
            format!("SELECT {a} AS x FROM n.t {word} SELECT {b} FROM n.t ORDER BY 1"),
            format!("SELECT q.x FROM (SELECT {a} AS x FROM n.t) AS q LEFT JOIN n.u ON q.x = n.u.k"),
            format!("SELECT {a} AS x, row_number() OVER (PARTITION BY {b} ORDER BY {a}) AS r FROM n.t"),
            format!("SELECT lag({a}) OVER (ORDER BY {b}) AS x, max({a}) OVER () AS y FROM n.t"),
            format!("SELECT count(*) FILTER (WHERE {a}) AS n, count(DISTINCT {b}) AS m FROM n.t"),
            format!("SELECT x FROM (VALUES ({a}), ({b})) AS v(x)").replace("count(*)", "1"),
            format!("BEGIN; UPDATE n.t SET t = {a} WHERE {b} RETURNING id, t; ROLLBACK"),
            format!("BEGIN; INSERT INTO n.t (id, t) SELECT 5, {a} FROM n.t WHERE {b} RETURNING id; ROLLBACK"),
            format!("EXPLAIN SELECT {a} AS x FROM n.t WHERE {b}"),
        ] {
            answered(&sql);
        }
        // A condition holds, does not hold, or is unknown; and it does so wherever the table stands.
        let count = |sql: &str| run_as(&ENGINE, &root(), sql, params()).ok().map(|r| json!(r[0].rows)[0][0].clone());
        let of = |filter: &str| count(&format!("SELECT count(*) AS n FROM n.t WHERE {filter}"));
        if let (Some(yes), Some(no), Some(unknown)) =
            (of(&format!("({a})")), of(&format!("NOT ({a})")), of(&format!("({a}) IS UNKNOWN")))
        {
            let number = |v: &Value| v.as_str().and_then(|v| v.parse::<u64>().ok()).unwrap_or_default();
            // Chance may answer differently each time.
            prop_assert_eq!(number(&yes) + number(&no) + number(&unknown), ROWS, "{}", a);
            for sql in [
                format!("WITH t AS (SELECT * FROM n.t) SELECT count(*) AS n FROM t WHERE {a}"),
                format!("SELECT count(*) AS n FROM (SELECT * FROM n.t) AS t WHERE {a}"),
                format!("SELECT sum(CASE WHEN {a} THEN 1 ELSE 0 END) AS n FROM n.t"),
                format!("SELECT count(*) FILTER (WHERE {a}) AS n FROM n.t CROSS JOIN (SELECT 1 AS one) AS o"),
            ] {
                if let Some(other) = count(&sql) {
                    prop_assert_eq!(&other, &yes, "{}", sql);
                }
            }
        }
    }

    #[test]
    fn mutated_statements(
        statement in proptest::sample::select(corpus()),
        changes in proptest::collection::vec((0..5_u8, any::<usize>(), proptest::sample::select(WORDS.to_vec())), 0..5),
    ) {
        let mut words: Vec<&str> = statement.split_whitespace().collect();
        for (how, at, word) in changes {
            let at = at % words.len().max(1);
            match how {
                0 if !words.is_empty() => drop(words.remove(at)),
                1 => words.insert(at, word),
                2 if at + 1 < words.len() => words.swap(at, at + 1),
                3 if at < words.len() => words.insert(at, words[at]),
                _ if at < words.len() => words[at] = word,
                _ => {}
            }
        }
        let sql = words.join(" ");
        let mallory = caller("mallory", Role::User);
        let namespace = Some("shop".to_owned());
        let request = SqlRequest { sql: sql.clone(), params: vec![json!(1), json!("x")], namespace };
        match PLAYGROUND.execute(&mallory, &request) {
            Ok(results) => {
                // What is another's does not come out, and the engine room has no names.
                let shown = json!(results.iter().map(|r| &r.rows).collect::<Vec<_>>()).to_string();
                prop_assert!(!shown.contains("S3CR3T"), "{}\n{}", sql, shown);
                prop_assert!(!shown.contains("argon2"), "{}\n{}", sql, shown);
            }
            Err(error) => {
                prop_assert_ne!(error.code, "INTERNAL_ERROR", "{}\n{}", sql, error);
                prop_assert!(!error.message.contains("S3CR3T"), "{}\n{}", sql, error);
            }
        }
    }

    #[test]
    fn token_soup(words in proptest::collection::vec(proptest::sample::select(vec![
        "SELECT", "FROM", "n.t", "WHERE", "GROUP BY", "ORDER BY", "LIMIT", "INSERT INTO", "VALUES", "UPDATE", "SET",
        "DELETE", "CREATE", "TABLE", "USER", "NAMESPACE", "DROP", "ALTER", "DESCRIBE", "SHOW", "EXECUTE AS", "(", ")",
        ",", ";", "'a'", "1", "$1", "*", "=", "id", "t", "AND", "NOT", "IN", "LIKE", "CASE", "WHEN", "THEN", "END", "--",
        "/*", "*/", "::", "INT", "PRIMARY KEY", "WITH", "PASSWORD", "BEGIN", "COMMIT", "NULL", "AS", "\"", "'", ".", "count",
        "IF EXISTS", "DISTINCT", "HAVING", "OFFSET", "JOIN", "UNION", "E'\\0'", "x'0'", "\u{e9}", "[", "]", "ARRAY",
    ]), 1..14)) {
        let sql = words.join(" ");
        if let Err(error) = run_as(&memory_once(), &root(), &sql, vec![]) {
            prop_assert_ne!(error.code, "INTERNAL_ERROR", "{}\n{}", sql, error);
        }
    }
}

const WORDS: [&str; 34] = [
    "z.priv",
    "z.mine",
    "z.dba",
    "system.users",
    "sqlite_master",
    "t1",
    "main.t1",
    "meta",
    "SELECT",
    "FROM",
    "JOIN",
    "LEFT JOIN",
    "ON true",
    "WHERE",
    "(",
    ")",
    ",",
    ";",
    "*",
    "UNION ALL SELECT",
    "IN (SELECT v FROM z.priv)",
    "(SELECT max(v) FROM z.mine)",
    "RETURNING *",
    "o",
    "c1",
    "rowid",
    "_deleted",
    "OVER ()",
    "AS",
    "z",
    "LIMIT",
    "'x'",
    "$1",
    "EXECUTE AS USER 'root' (SELECT * FROM z.mine)",
];

/// The statements of `tests/sql`.
fn corpus() -> Vec<String> {
    static CORPUS: LazyLock<Vec<String>> = LazyLock::new(|| {
        let directory = format!("{}/tests/sql", env!("CARGO_MANIFEST_DIR"));
        let mut paths: Vec<_> = std::fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
        paths.sort();
        let texts = paths.iter().map(|path| std::fs::read_to_string(path).unwrap());
        let mut statements = Vec::new();
        for text in texts {
            for block in text.split("\n\n") {
                let lines = block.lines().skip_while(|line| line.starts_with('#') || line.is_empty()).skip(1);
                let sql: Vec<&str> = lines.take_while(|line| *line != "----").collect();
                if !sql.is_empty() {
                    statements.push(sql.join("\n"));
                }
            }
        }
        assert!(statements.len() > 150);
        statements
    });
    CORPUS.clone()
}

/// An engine on which all statements of the corpus were run, and with what a user may not see.
static PLAYGROUND: LazyLock<Engine> = LazyLock::new(|| {
    let engine = memory();
    for sql in corpus().iter().filter(|sql| !sql.starts_with("DROP")) {
        let _ = run_as(&engine, &root(), sql, vec![]);
    }
    run(
        &engine,
        "CREATE NAMESPACE z; CREATE TABLE z.priv (id INT PRIMARY KEY, v TEXT);
         CREATE TABLE z.dba (id INT PRIMARY KEY, v TEXT) WITH (ACCESS_LEVEL = 'DBA');
         CREATE TABLE z.mine (id INT PRIMARY KEY, v TEXT) WITH (TYPE = 'USER');
         INSERT INTO z.priv VALUES (1, 'S3CR3T'); INSERT INTO z.dba VALUES (1, 'S3CR3T'); INSERT INTO z.mine VALUES (1, 'S3CR3T');
         INSERT INTO w.notes (id, body) VALUES (900, 'S3CR3T')",
    );
    let found = run(&engine, "SELECT count(*) AS n FROM z.mine JOIN w.notes n ON n.body = z.mine.v");
    assert_eq!(json!(found[0].rows), json!([["1"]]));
    engine
});

/// An engine that the soup may spoil.
fn memory_once() -> Engine {
    static SPOILT: LazyLock<Engine> = LazyLock::new(|| {
        let engine = memory();
        run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, t TEXT)");
        engine
    });
    SPOILT.clone()
}
