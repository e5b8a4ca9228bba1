//! Every kind of filter, with every kind of write, at every time, under every option.

use serde_json::{Value, json};

use crate::Scenario;
use crate::scenario::Step;

/// Name, condition.
const FILTERS: [(&str, &str); 13] = [
    ("none", ""),
    ("equal", "s = 'open'"),
    ("not-equal", "s <> 'closed'"),
    ("greater", "n > 3"),
    ("like", "s LIKE 'op%'"),
    ("or", "s = 'open' OR n = 1"),
    ("not", "NOT (s = 'open')"),
    ("in", "s IN ('open', 'hold')"),
    ("between", "n BETWEEN 2 AND 5"),
    ("null", "s IS NULL"),
    ("text-order", "s > 'd'"),
    ("function", "lower(s) = 'open'"),
    ("cast", "CAST(n AS TEXT) = '4'"),
];

/// One of each kind. `s` and `n` go into and out of all of the filters, also to NULL and back.
const WRITES: [&[&str]; 9] = [
    &["INSERT INTO {ns}.m (id, s, n) VALUES (20, 'open', 4)"],
    &["INSERT INTO {ns}.m (id, s, n) VALUES (21, 'closed', 0), (22, NULL, NULL)"],
    &["UPDATE {ns}.m SET s = 'closed', n = 0 WHERE id = 1"],
    &["UPDATE {ns}.m SET s = 'open', n = 4 WHERE id = 2"],
    &["UPDATE {ns}.m SET note = 'same' WHERE id IN (3, 4)"],
    &["UPDATE {ns}.m SET s = NULL, n = NULL WHERE id = 5"],
    &["UPDATE {ns}.m SET s = 'open' WHERE id = 22"],
    &["DELETE FROM {ns}.m WHERE id IN (6, 7)"],
    &["DELETE FROM {ns}.m WHERE id = 8", "INSERT INTO {ns}.m (id, s, n) VALUES (8, 'open', 4)"],
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    Online,
    Offline,
    Loading,
}

const TIMES: [(&str, When); 3] =
    [("online", When::Online), ("offline", When::Offline), ("loading", When::Loading)];

/// Name, columns, options, what of the selected rows is shown.
type Shape = (&'static str, &'static str, fn() -> Value, Option<(&'static str, u64)>);

const SHAPES: [Shape; 5] = [
    ("plain", "id, s, n, note", || json!({}), None),
    // More than there are rows: which of them are the newest is another matter.
    ("last-rows", "id, s", || json!({ "last_rows": 100 }), None),
    ("limit", "id, n", || json!({ "limit": 3 }), Some(("newest", 3))),
    ("ordered", "id, s", || json!({ "limit": 3, "order_by": "id" }), Some(("first", 3))),
    ("projected", "id", || json!({}), None),
];

/// More rows than any page holds, of a snapshot, of a check or of a SELECT with a LIMIT; a part of them written again, so
/// that pages in the order of the key are not in the order of versions.
const MANY: i64 = 1_400;

/// The scenarios: one for each filter, time and option, with all kinds of writes.
#[must_use]
pub fn matrix() -> Vec<Scenario> {
    let mut scenarios = Vec::new();
    for (filter, condition) in FILTERS {
        for (time, when) in TIMES {
            let mut add = |shape: &Shape, size: &str, more: i64| {
                let name = format!("matrix-{filter}-{time}-{}{size}", shape.0);
                scenarios.push(scenario(&name, condition, when, shape, more));
            };
            for shape in &SHAPES {
                add(shape, "", 0);
                // Everything, and the newest or the first few of many.
                if shape.0 == "plain" || (filter == "none" && matches!(shape.0, "limit" | "ordered")) {
                    add(shape, "-many", MANY);
                }
            }
        }
    }
    scenarios
}

/// With so many rows `more`.
fn scenario(name: &str, condition: &str, when: When, shape: &Shape, more: i64) -> Scenario {
    let (_, columns, options, shown) = shape;
    let filter = if condition.is_empty() { String::new() } else { format!(" WHERE {condition}") };
    let execute = |sql: &str| Step::new(&[("execute", json!(sql))]);
    let check = || {
        let versions = if shown.is_some_and(|(which, _)| which == "newest") { ", _seq" } else { "" };
        let select = format!("SELECT {columns}{versions} FROM {{ns}}.m{filter}");
        let mut fields = vec![("rows", json!("l")), ("equal_select", json!(select))];
        fields.extend(shown.map(|(which, n)| (which, json!(n))));
        Step::new(&fields)
    };
    let mut options = options();
    if when == When::Loading && options.get("last_rows").is_none() {
        options["batch_size"] = json!(if more == 0 { 3 } else { 300 });
    }
    let sql = format!("SELECT {columns} FROM {{ns}}.m{filter}");
    let live = Step::new(&[("live", json!("l")), ("sql", json!(sql)), ("options", options)]);
    let flag = |what: &str| Step::new(&[(what, json!(true))]);
    let state = |state: &str| Step::new(&[("state", json!(state))]);

    let create = "CREATE TABLE {ns}.m (id INT PRIMARY KEY, s TEXT, n INT, note TEXT) WITH (TYPE='USER')";
    let values: Vec<String> = (0..16)
        .map(|id| format!("({id}, '{}', {})", ["open", "closed", "hold", "open"][id % 4], id % 6))
        .collect();
    let insert = format!("INSERT INTO {{ns}}.m (id, s, n) VALUES {}", values.join(", "));
    let mut steps = vec![execute(create), execute(&insert)];
    for start in (0..more).step_by(350) {
        let row = |n: i64| format!("({}, '{}', {})", 1_000 + n, ["open", "closed"][n as usize % 2], n % 6);
        let values: Vec<String> = (start..more.min(start + 350)).map(row).collect();
        steps.push(execute(&format!("INSERT INTO {{ns}}.m (id, s, n) VALUES {}", values.join(", "))));
    }
    if more > 0 {
        steps.push(execute("UPDATE {ns}.m SET note = 'again' WHERE n = 3"));
    }
    steps.push(live);
    match when {
        When::Online => {
            steps.push(check());
            for write in WRITES {
                steps.extend(write.iter().map(|sql| execute(sql)));
                steps.push(check());
            }
        }
        When::Offline => {
            steps.extend([check(), flag("disconnect"), state("idle")]);
            steps.extend(WRITES.iter().flat_map(|write| write.iter()).map(|sql| execute(sql)));
            steps.extend([flag("connect"), state("connected"), check()]);
        }
        // Nothing waits for the snapshot before it writes.
        When::Loading => {
            steps.extend(WRITES.iter().flat_map(|write| write.iter()).map(|sql| execute(sql)));
            steps.push(check());
        }
    }
    let about = format!("The rows of `{sql}` follow every kind of write.");
    Scenario { name: name.to_owned(), about, topic_visibility: None, steps }
}
