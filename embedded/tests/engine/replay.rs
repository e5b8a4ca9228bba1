//! Replays the HTTP statements of recordings and compares with what KalamDB answered.

use crate::common::{caller, memory, root, run_as};
use kalam_embedded::engine::{Caller, Engine, Role, SqlRequest};
use serde_json::{Value, json};

/// What differs on purpose: recording, start of the statement, why. The test fails when one of them stops differing.
const DIFFERENT: &[(&str, &str, &str)] = &[
    (
        "sql_surface",
        "BEGIN; INSERT INTO w288de9.s (id, name) VALUES (20",
        "results come in the order of the statements",
    ),
    (
        "sql_surface",
        "BEGIN; INSERT INTO w288de9.s (id, name) VALUES (22",
        "results come in the order of the statements",
    ),
    ("sql_surface", "CREATE USER 'carl288de9'", "no password in the details of an error"),
    ("sql_surface", "SHOW TABLES IN", "works here"),
    ("sql_surface", "SHOW STATS", "counts the rows"),
    (
        "sql_surface",
        "SUBSCRIBE TO",
        "does not claim to have subscribed; `subscription` is JSON text, as its type says",
    ),
    ("sql_surface", "EXPLAIN", "SQLite's plan"),
    (
        "sql_surface",
        "CREATE TABLE IF NOT EXISTS w288de9.s (id BIGINT PRIMARY KEY) WITH",
        "says that the table exists",
    ),
    ("sql_surface", "SELECT * FROM system.users", "no password hashes, no columns that are always empty"),
    ("sql_surface", "SELECT * FROM information_schema.tables", "shows the user's tables only"),
    ("sql_surface", "SELECT CAST('2026-01-01T00:00:00Z'", "computed timestamps are microseconds too"),
    ("tables", "CREATE TABLE w288de9.comp", "composite keys work here"),
    ("tables", "SELECT * FROM w288de9.ev", "the recording asks eight seconds later, when the row is over"),
    ("tables", "CREATE TABLE w288de9.nope", "a user can not create tables here"),
    ("tables", "SELECT * FROM system.live", "not supported yet"),
    ("tables", "SELECT * FROM system.namespaces", "other contents"),
    ("tables", "SELECT table_name, table_type", "other contents"),
    ("tables", "SHOW TABLES", "other contents"),
    ("tables", "SHOW NAMESPACES", "other contents"),
    ("alter", "SELECT * FROM w288de9.alt", "added columns come before _seq and _deleted"),
    ("two_subs", "BEGIN; UPDATE w288de9.two", "one result for each statement, in their order"),
];

/// Statements that would change what later ones answer: recording, start, why they are not run.
const SKIPPED: &[(&str, &str, &str)] = &[
    (
        "sql_surface",
        "INSERT INTO w288de9.s VALUES (8",
        "without a column list, _seq and _deleted are not counted",
    ),
    (
        "live_basic",
        "INSERT INTO w288de9.msg (id,room,body,n) VALUES ('m00'",
        "the row that it clashes with was not recorded",
    ),
];

fn read(name: &str) -> Vec<Value> {
    let path = format!("{}/../tests/data/wire/{name}.jsonl", env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The body as the server half would send it, without times.
fn answer(engine: &Engine, caller: &Caller, request: &Value) -> Value {
    let request = SqlRequest {
        sql: request["sql"].as_str().unwrap().into(),
        params: request["params"].as_array().cloned().unwrap_or_default(),
        namespace: request["namespace_id"].as_str().map(str::to_owned),
    };
    match engine.execute(caller, &request) {
        Ok(results) => {
            let results: Vec<Value> = results
                .iter()
                .map(|r| {
                    let mut out = json!({"row_count": r.row_count, "as_user": &*r.as_user});
                    if let Some(columns) = &r.columns {
                        out["schema"] = json!(columns);
                        out["rows"] = json!(r.rows);
                    }
                    if let Some(message) = &r.message {
                        out["message"] = json!(message);
                    }
                    out
                })
                .collect();
            json!({"http": 200, "results": results})
        }
        Err(error) => {
            let mut out = json!({"code": error.code, "message": error.message});
            if let Some(details) = error.details {
                out["details"] = json!(details);
            }
            json!({"http": error.status, "error": out})
        }
    }
}

/// Takes out what no two runs share: versions, times, ids, KalamDB's own layers in messages.
fn normal(sql: &str, answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(message) = answer["error"]["message"].as_str() {
        let mut message = message.to_owned();
        for layer in [
            "Execution error: Raft error: Internal error: Provider error: Execution error: Failed to insert batch: ",
            "Statement 1 failed: Statement",
        ] {
            message = message.replace(layer, "");
        }
        answer["error"]["message"] = json!(message);
    }
    let Some(results) = answer["results"].as_array_mut() else { return answer };
    for result in results {
        if let Some(message) = result["message"].as_str() {
            let message = message.replace(" via Raft consensus", "");
            let message = message.split_once(". Cleanup job").map_or(message.clone(), |(m, _)| m.to_owned());
            let message = message.split_once(" (0").map_or(message.clone(), |(m, _)| m.to_owned());
            result["message"] = json!(message);
        }
        let Some(schema) = result["schema"].as_array().cloned() else { continue };
        let Some(rows) = result["rows"].as_array_mut() else { continue };
        for row in rows.iter_mut() {
            for (at, column) in schema.iter().enumerate() {
                let name = column["name"].as_str().unwrap();
                let volatile = matches!(name, "_seq" | "ts" | "at" | "now" | "s" | "u" | "l" | "m" | "x")
                    && !(name == "s" && column["data_type"] == "Text")
                    && !(name == "u" && column["data_type"] == "Uuid")
                    && !(name == "x" && sql.contains("upper"));
                if volatile && !row[at].is_null() {
                    row[at] = json!("<some>");
                }
            }
        }
        // Without ORDER BY there is no order.
        if !sql.contains("ORDER BY") {
            rows.sort_by_key(ToString::to_string);
        }
    }
    answer
}

fn recorded(exchange: &Value) -> Value {
    let mut answer = json!({"http": exchange["status"]});
    for part in ["results", "error"] {
        let value = &exchange["response"][part];
        if !value.is_null() && value != &json!([]) {
            answer[part] = value.clone();
        }
    }
    answer
}

/// Who sent an exchange: the recordings do not say, but the answers do.
fn sender(exchange: &Value, engine: &Engine) -> Caller {
    let sql = exchange["request"]["sql"].as_str().unwrap_or_default();
    let user = match exchange["response"]["results"][0]["as_user"].as_str() {
        Some(user) => user,
        // What a user was refused.
        None if exchange["status"] == 403 && sql.starts_with("EXECUTE AS USER 'bob") => "alice288de9",
        None if exchange["status"] == 403 => "carl288de9",
        None => "root",
    };
    // A dropped user's token lived on in the recording; here the server half refuses it before the engine is asked.
    engine
        .user(user)
        .map_or_else(|| caller(user, Role::User), |info| Caller { user: info.id, role: info.role })
}

fn replay(name: &'static str) {
    let engine = memory();
    // The recordings follow each other on one server; `types` was the first.
    if name != "types" {
        run_as(&engine, &root(), "CREATE NAMESPACE w288de9", vec![]).unwrap();
    }
    let (mut compared, mut differed) = (0, Vec::new());
    for exchange in read(name) {
        if exchange["path"] != "/v1/api/sql" || exchange["request"]["sql"].as_str().is_none() {
            continue;
        }
        let sql = exchange["request"]["sql"].as_str().unwrap().to_owned();
        if SKIPPED.iter().any(|(file, start, _)| *file == name && sql.starts_with(start)) {
            continue;
        }
        let caller = sender(&exchange, &engine);
        // Before the recording's own statements: rows that its script wrote without recording them.
        if name == "resume" && sql.starts_with("UPDATE w288de9.res SET v='1'") {
            let fill = "INSERT INTO w288de9.res (id, v) VALUES ('a','0'),('b','0'),('c','0'),('d','0'),('e','0'),('f','0')";
            run_as(&engine, &root(), fill, vec![]).unwrap();
        }
        let mut request = exchange["request"].clone();
        let sql_here = rebase(&engine, &sql);
        request["sql"] = json!(sql_here);
        let (ours, theirs) =
            (normal(&sql, &answer(&engine, &caller, &request)), normal(&sql, &recorded(&exchange)));
        let mut ours = ours;
        if sql_here != sql && ours["error"]["details"].is_string() {
            ours["error"]["details"] = json!(sql);
        }
        compared += 1;
        let excuse = DIFFERENT.iter().position(|(file, start, _)| *file == name && sql.starts_with(start));
        match (ours == theirs, excuse) {
            (true, _) => {}
            (false, Some(excuse)) => differed.push(excuse),
            (false, None) => panic!("{name}: {sql}\n  ours:   {ours}\n  theirs: {theirs}"),
        }
    }
    assert!(compared > 5, "{name}: only {compared} statements");
    for (at, (file, start, why)) in DIFFERENT.iter().enumerate() {
        assert!(*file != name || differed.contains(&at), "{name}: '{start}' no longer differs ({why})");
    }
}

/// Cursors of the recording stand for the newest `_seq` of that moment; ours is another.
fn rebase(engine: &Engine, sql: &str) -> String {
    const CURSOR: &str = "383749982493970432";
    if !sql.contains(CURSOR) {
        return sql.to_owned();
    }
    let oldest = "SELECT max(_seq) AS m FROM w288de9.res WHERE id IN ('d', 'e', 'f')";
    let results = run_as(engine, &root(), oldest, vec![]).unwrap();
    sql.replace(CURSOR, json!(results[0].rows[0][0]).as_str().unwrap())
}

#[test]
fn sql_surface() {
    replay("sql_surface");
}

#[test]
fn types() {
    replay("types");
}

#[test]
fn tables() {
    replay("tables");
}

#[test]
fn resume() {
    replay("resume");
}

/// The page for users lists what this test excuses, and nothing else.
#[test]
fn the_page_on_compatibility_lists_every_difference() {
    let path = format!("{}/../docs/compatibility.md", env!("CARGO_MANIFEST_DIR"));
    let page = std::fs::read_to_string(path).unwrap();
    let (_, last) =
        page.rsplit_once("| Recording | Statement | Difference |\n|---|---|---|\n").expect("the table");
    let listed: Vec<&str> = last.lines().collect();
    let rows: Vec<String> =
        DIFFERENT.iter().map(|(file, start, why)| format!("| {file} | `{start} ...` | {why} |")).collect();
    assert_eq!(listed, rows, "write:\n{}", rows.join("\n"));
}

/// Every HTTP statement of every recording: status, and the columns of the result or the code of the error.
#[test]
fn shapes_of_all_recordings() {
    let directory = format!("{}/../tests/data/wire", env!("CARGO_MANIFEST_DIR"));
    let mut names: Vec<String> = std::fs::read_dir(directory)
        .unwrap()
        .filter_map(|entry| Some(entry.unwrap().file_name().to_str()?.strip_suffix(".jsonl")?.to_owned()))
        .collect();
    names.sort();
    let (mut compared, mut wrong) = (0, Vec::new());
    for name in &names {
        let engine = memory();
        for exchange in read(name) {
            let Some(sql) = exchange["request"]["sql"].as_str().filter(|_| exchange["path"] == "/v1/api/sql")
            else {
                continue;
            };
            let status = exchange["status"].as_u64().unwrap_or_default();
            // Some answers were summed up instead of recorded.
            let summed_up =
                status == 200 && exchange["response"]["results"].as_array().is_none_or(Vec::is_empty);
            // Leaders come and go in `cluster`, tokens and limits are the server's, topics have a test of their own.
            if !matches!(status, 200 | 400 | 403)
                || summed_up
                || name == "topics"
                || SKIPPED.iter().any(|(f, s, _)| f == name && sql.starts_with(s))
            {
                continue;
            }
            let namespace = sql.split_whitespace().find_map(|word| word.split_once('.').map(|(n, _)| n));
            if let Some(namespace) = namespace.filter(|n| n.starts_with('w') && n.len() == 7) {
                let _ =
                    run_as(&engine, &root(), &format!("CREATE NAMESPACE IF NOT EXISTS {namespace}"), vec![]);
            }
            let ours = shape(&answer(&engine, &sender(&exchange, &engine), &exchange["request"]));
            let theirs = shape(&recorded(&exchange));
            compared += 1;
            if ours != theirs
                && !DIFFERENT.iter().any(|(file, start, _)| file == name && sql.starts_with(start))
            {
                wrong.push(format!("{name}: {sql}\n  ours:   {ours}\n  theirs: {theirs}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(compared > 150, "only {compared} statements");
}

fn shape(answer: &Value) -> Value {
    let columns = |result: &Value| {
        let schema = result["schema"].as_array()?;
        Some(schema.iter().map(|c| json!([c["name"], c["data_type"]])).collect::<Vec<_>>())
    };
    let results: Vec<Value> =
        answer["results"].as_array().into_iter().flatten().map(|r| json!(columns(r))).collect();
    json!({"http": answer["http"], "code": answer["error"]["code"], "results": results})
}
