//! The engine by itself: in this process, one thread, statements that it has seen before.

use std::time::Instant;

use kalam_embedded::engine::{Caller, Data, Engine, EngineOptions, Role, SqlRequest};
use serde_json::json;

use crate::{Failure, Line, Options};

pub(crate) fn run(options: &Options) -> Result<Vec<Line>, Failure> {
    let many: i64 = if options.quick { 5_000 } else { 200_000 };
    let engine = Engine::open(EngineOptions::new(Data::Memory))?;
    let root = Caller { user: "root".into(), role: Role::System };
    let run = |sql: &str, params: Vec<serde_json::Value>| {
        engine.execute(&root, &SqlRequest { sql: sql.to_owned(), params, namespace: None })
    };
    run("CREATE NAMESPACE app; CREATE TABLE app.t (id BIGINT PRIMARY KEY, room TEXT, body TEXT)", vec![])?;
    let mut lines = Vec::new();
    let mut measure = |what: &str, statement: &dyn Fn(i64) -> Result<(), Failure>| {
        let began = Instant::now();
        for id in 0..many {
            statement(id)?;
        }
        let rate = many as f64 / began.elapsed().as_secs_f64();
        lines.push(Line {
            what: format!("engine in process, in memory, cached {what}"),
            got: format!("{rate:.0}/s"),
            wanted: "50,000/s",
        });
        Ok::<_, Failure>(())
    };
    measure("INSERT", &|id| {
        let params = vec![json!(id), json!("main"), json!("hello")];
        run("INSERT INTO app.t (id, room, body) VALUES ($1, $2, $3)", params).map(drop).map_err(Into::into)
    })?;
    measure("UPDATE by key", &|id| {
        let params = vec![json!("again"), json!(id)];
        run("UPDATE app.t SET body = $1 WHERE id = $2", params).map(drop).map_err(Into::into)
    })?;
    measure("SELECT by key", &|id| {
        let results = run("SELECT room, body FROM app.t WHERE id = $1", vec![json!(id)])?;
        if results[0].row_count == 1 { Ok(()) } else { Err("a row is missing".into()) }
    })?;
    Ok(lines)
}
