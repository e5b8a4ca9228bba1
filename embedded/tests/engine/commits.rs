//! Single writes from many threads at once: each is answered for itself.

use std::thread;

use crate::common::{error, memory, root, rows, run, run_as};
use kalam_embedded::engine::{Data, Engine, EngineOptions, SqlRequest, Submitted};
use serde_json::json;

#[test]
fn writers_at_once_get_their_own_answers() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Engine::open(EngineOptions::new(Data::Directory(directory.path().into()))).unwrap();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v INT)");
    let wrote: Vec<i64> = thread::scope(|scope| {
        let writer = |number: i64| {
            let engine = &engine;
            move || {
                let mut wrote = 0;
                for id in 0..100 {
                    let params = vec![json!(id), json!(number)];
                    let done = run_as(engine, &root(), "INSERT INTO n.t VALUES ($1, $2)", params);
                    match done {
                        Ok(results) => wrote += results[0].row_count as i64,
                        Err(error) => assert!(error.message.contains("Primary key violation"), "{error}"),
                    }
                }
                wrote
            }
        };
        let threads: Vec<_> = (0..8).map(|number| scope.spawn(writer(number))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert_eq!(wrote.iter().sum::<i64>(), 100);
    for (number, wrote) in (0..).zip(&wrote) {
        let sql = format!("SELECT count(*) AS n FROM n.t WHERE v = {number}");
        assert_eq!(rows(&engine, &sql), json!([[wrote.to_string()]]), "writer {number}");
    }
    let counts = engine.commit_counts();
    assert_eq!(counts.statements, 800);
    assert!(counts.commits <= counts.statements);
}

#[test]
fn a_submitted_write_is_answered_like_an_executed_one() {
    let engine = memory();
    run(&engine, "CREATE NAMESPACE n; CREATE TABLE n.t (id INT PRIMARY KEY, v INT)");
    let submit = |sql: &str, params: Vec<serde_json::Value>| {
        let (tell, told) = std::sync::mpsc::channel();
        let request = SqlRequest { sql: sql.into(), params, namespace: None };
        let queued = engine.submit(&root(), &request, move |submitted| tell.send(submitted).unwrap());
        queued.then(|| match told.recv().unwrap() {
            Submitted::Done(done) => done,
            Submitted::Again => panic!("nothing has changed"),
        })
    };
    let insert = "INSERT INTO n.t VALUES ($1, $2)";
    let done = submit(insert, vec![json!(1), json!(2)]).unwrap().unwrap();
    assert_eq!((done.len(), done[0].row_count, &*done[0].as_user), (1, 1, "root"));
    assert_eq!(done[0].message.as_deref(), Some("Inserted 1 row(s)"));
    for sql in [
        "INSERT INTO n.t VALUES (1, 2)",
        "INSERT INTO n.t VALUES ('x', 2)",
        "INSERT INTO n.t VALUES (1",
        "DELETE FROM n.no",
    ] {
        assert_eq!(submit(sql, vec![]).unwrap().unwrap_err(), error(&engine, sql), "{sql}");
    }
    for sql in ["SELECT 1", "DROP TABLE n.t", "INSERT INTO n.t VALUES (5, 5); SELECT 1", ""] {
        assert!(submit(sql, vec![]).is_none(), "{sql}");
    }
    assert_eq!(rows(&engine, "SELECT id, v FROM n.t"), json!([[1, 2]]));
}
