//! A statement can not take the machine's memory. Alone in its process, since the bound is the process's.

#[path = "engine/common.rs"]
#[allow(dead_code)] // The rest is for the tests of the engine.
mod common;

use common::{error, rows, run};
use kalam_embedded::engine::{Data, Engine, EngineLimits, EngineOptions};
use serde_json::json;

#[test]
fn sorts_and_recursion_are_stopped_in_time() {
    let limits = EngineLimits { heap_bytes: 16 << 20, ..EngineLimits::default() };
    let options =
        EngineOptions { root_password: Some("x".into()), limits, ..EngineOptions::new(Data::Memory) };
    let engine = Engine::open(options).unwrap();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v TEXT)");
    let values: Vec<String> = (0..1000).map(|n| format!("({n}, '{}')", "x".repeat(100))).collect();
    run(&engine, &format!("INSERT INTO n.t VALUES {}", values.join(",")));
    for sql in [
        "WITH RECURSIVE t AS (SELECT 1 AS n UNION SELECT n + 1 FROM t) SELECT count(*) AS n FROM t",
        "SELECT count(*) AS n FROM (SELECT DISTINCT a.v || b.id || a.id AS x FROM n.t a CROSS JOIN n.t b) AS d",
        "SELECT a.id FROM n.t a CROSS JOIN n.t b ORDER BY a.v || b.id LIMIT 1 OFFSET 900000",
        "SELECT string_agg(a.v, '') AS s FROM n.t a CROSS JOIN n.t b",
    ] {
        let refused = error(&engine, sql);
        assert_eq!(refused.code, "SQL_EXECUTION_ERROR", "{sql}: {refused}");
        assert!(
            refused.message.contains("memory") || refused.message.contains("too big"),
            "{sql}: {refused}"
        );
        // And everything else goes on.
        assert_eq!(rows(&engine, "SELECT count(*) AS n FROM n.t"), json!([["1000"]]));
        run(&engine, "UPDATE n.t SET v = 'y' WHERE id = 1");
    }
}
