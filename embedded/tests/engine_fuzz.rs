//! Random expressions and token soup: every statement is answered, none by a panic or an internal error. An internal
//! error would be SQL that we wrote and SQLite refused, or a value of another type than we announced.

mod common;

use std::sync::LazyLock;

use common::{Recorder, memory, root, run, run_as};
use kalam_embedded::engine::{Engine, RowChange};
use proptest::prelude::*;
use serde_json::{Value, json};

static ENGINE: LazyLock<Engine> = LazyLock::new(|| SET_UP.0.clone());
/// The inserts of the two rows that are always there.
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
    let inserted = recorder.take();
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
            1 => (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| format!("({a} BETWEEN {b} AND {c})")),
        ]
    })
}

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

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn expressions(a in expression(), b in expression(), order in any::<bool>()) {
        answered(&format!("SELECT {a} AS x, {b} AS y FROM n.t"));
        answered(&format!("SELECT {a} AS x FROM n.t WHERE {b}"));
        answered(&format!("SELECT {a} AS x, count(*) AS n FROM n.t GROUP BY {a}"));
        let direction = if order { "DESC" } else { "ASC" };
        answered(&format!("SELECT DISTINCT {a} AS x FROM n.t ORDER BY x {direction}"));
        answered(&format!("SELECT id FROM n.t ORDER BY {a} {direction}, {b} LIMIT 1"));
        answered(&format!("UPDATE n.t SET s = {a} WHERE id = 3 AND {b}"));
        answered(&format!("INSERT INTO n.t (id, t) VALUES ({a}, {b}); DELETE FROM n.t WHERE id NOT IN (1, 2)"));
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

/// An engine that the soup may spoil.
fn memory_once() -> Engine {
    static SPOILT: LazyLock<Engine> = LazyLock::new(|| {
        let engine = memory();
        run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, t TEXT)");
        engine
    });
    SPOILT.clone()
}
