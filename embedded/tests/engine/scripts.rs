//! Plays `tests/sql/*.sql.txt`: statements with the results that they must have.
//!
//! ```text
//! # a comment
//! as alice user                   who sends what follows
//! ok Inserted 1 row(s)            the message must begin so; nothing behind `ok` leaves it open
//! INSERT ...
//!
//! rows id BigInt, v Text          names and types of the columns, which may be left out
//! SELECT ...
//! ----
//! ["1","x"]                       one row a line, as the wire shows it; `rows any` compares without order
//!
//! error SQL_EXECUTION_ERROR part of the message
//! SELECT ...
//! ```
//!
//! A statement may have several lines; an empty line ends it. Each file begins with an empty server.

use std::{fs, path::PathBuf};

use crate::common::{caller, memory, root, run_as};
use kalam_embedded::engine::{Caller, DataType, Engine, Role, StatementResult};
use serde_json::{Value, json};

struct Step {
    line: usize,
    head: String,
    sql: String,
    rows: Vec<Value>,
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    let mut lines = text.lines().enumerate().peekable();
    while let Some((at, head)) = lines.next() {
        if head.trim().is_empty() || head.starts_with('#') {
            continue;
        }
        let (mut sql, mut rows, mut in_rows) = (String::new(), Vec::new(), false);
        if !head.starts_with("as ") {
            while let Some((at, line)) = lines.next_if(|(_, line)| !line.trim().is_empty()) {
                match line {
                    "----" => in_rows = true,
                    line if in_rows => {
                        let row = serde_json::from_str(line);
                        rows.push(row.unwrap_or_else(|e| panic!("line {}: {e}: {line}", at + 1)));
                    }
                    line => {
                        sql.push_str(line);
                        sql.push('\n');
                    }
                }
            }
        }
        steps.push(Step { line: at + 1, head: head.to_owned(), sql, rows });
    }
    steps
}

fn type_name(data_type: DataType) -> String {
    match json!(data_type) {
        Value::String(name) => name,
        other => other.to_string(),
    }
}

fn check_rows(step: &Step, result: &StatementResult) -> Result<(), String> {
    let columns = result.columns.as_ref().ok_or("it returned no rows")?;
    let head = step.head.strip_prefix("rows").unwrap_or_default().trim();
    let (any, declared) = match head.strip_prefix("any") {
        Some(rest) => (true, rest.trim()),
        None => (false, head),
    };
    if !declared.is_empty() {
        let ours: Vec<String> =
            columns.iter().map(|c| format!("{} {}", c.name, type_name(c.data_type))).collect();
        if ours.join(", ") != declared {
            return Err(format!("columns: {}", ours.join(", ")));
        }
    }
    let mut ours: Vec<Value> = result.rows.iter().map(|row| json!(row)).collect();
    let mut theirs = step.rows.clone();
    if any {
        ours.sort_by_key(ToString::to_string);
        theirs.sort_by_key(ToString::to_string);
    }
    if ours == theirs {
        return Ok(());
    }
    Err(ours.iter().fold("rows:".to_owned(), |text, row| format!("{text}\n{row}")))
}

fn play(engine: &Engine, who: &Caller, step: &Step) -> Result<(), String> {
    let (verb, rest) = step.head.split_once(' ').unwrap_or((&step.head, ""));
    let answer = run_as(engine, who, &step.sql, Vec::new());
    match (verb, answer) {
        ("ok", Ok(results)) => {
            let message = results.last().and_then(|r| r.message.clone()).unwrap_or_default();
            if message.starts_with(rest) { Ok(()) } else { Err(format!("message: {message}")) }
        }
        ("rows", Ok(results)) => check_rows(step, results.last().ok_or("no result")?),
        ("error", Err(error)) => {
            let (code, part) = rest.split_once(' ').unwrap_or((rest, ""));
            if error.code == code && error.message.contains(part) { Ok(()) } else { Err(error.to_string()) }
        }
        ("error", Ok(results)) => Err(format!("accepted: {:?}", results.last().map(|r| json!(r.rows)))),
        (_, Err(error)) => Err(error.to_string()),
        _ => Err(format!("unknown step '{verb}'")),
    }
}

fn play_file(path: &PathBuf) -> (usize, Vec<String>) {
    let text = fs::read_to_string(path).unwrap();
    let (engine, mut who, mut failures, mut count) = (memory(), root(), Vec::new(), 0);
    for step in steps(&text) {
        if let Some(name) = step.head.strip_prefix("as ") {
            let (user, role) = name.split_once(' ').expect("as USER ROLE");
            let role = [Role::User, Role::Service, Role::Dba, Role::System]
                .into_iter()
                .find(|r| r.name() == role)
                .expect("a role");
            who = caller(user, role);
            continue;
        }
        count += 1;
        if let Err(what) = play(&engine, &who, &step) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            failures.push(format!("{name}:{}: {}{what}", step.line, step.sql));
        }
    }
    (count, failures)
}

#[test]
fn scripts() {
    let directory = format!("{}/tests/sql", env!("CARGO_MANIFEST_DIR"));
    let mut paths: Vec<PathBuf> = fs::read_dir(directory).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let (mut count, mut failures) = (0, Vec::new());
    for path in &paths {
        let (played, failed) = play_file(path);
        count += played;
        failures.extend(failed);
    }
    assert!(failures.is_empty(), "{} of {count} failed:\n{}", failures.len(), failures.join("\n\n"));
    assert!(count >= 150, "only {count} statements");
}
