//! Frames as the server writes them (recorded in `wire/live_basic.jsonl`, `wire/resume.jsonl`). The order of the fields
//! of a row is random, as it is there.

use fastrand::Rng;
use serde_json::{Value as Json, json};

use super::behaviour::Behaviour;
use crate::data::{Query, Record};

/// What a change frame says.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A row appeared.
    Insert(Record),
    /// A row has new content.
    Update {
        /// Now.
        new: Record,
        /// Before, with its version.
        old: Option<(Record, i64)>,
    },
    /// A row is gone, or has left the filter.
    Delete(Record),
}

/// `auth_success`.
pub(crate) fn auth_success(behaviour: &Behaviour) -> String {
    let mut frame = json!({"type": "auth_success", "user": "u", "role": "user",
        "protocol": {"serialization": "json", "compression": "gzip"}});
    if behaviour.announces {
        frame["server"] = json!({"name": "model", "version": "1", "complete": true, "epoch": "model", "limits": {
            "messages_per_second": behaviour.messages_per_second, "message_bytes": 1 << 20,
            "batch_rows": behaviour.batch_rows, "subscriptions_per_connection": behaviour.subscriptions,
            "subscriptions_per_user": behaviour.subscriptions}});
    }
    frame.to_string()
}

/// `auth_error`.
pub(crate) fn auth_error(message: &str) -> String {
    json!({"type": "auth_error", "message": message}).to_string()
}

/// `error`.
pub(crate) fn error(id: &str, code: &str, message: &str) -> String {
    json!({"type": "error", "subscription_id": id, "code": code, "message": message}).to_string()
}

fn control(number: usize, more: bool, last: Option<i64>) -> Json {
    let status = match (number, more) {
        (_, false) => "ready",
        (0, true) => "loading",
        (_, true) => "loading_batch",
    };
    json!({"batch_num": number, "has_more": more, "status": status, "last_seq_id": last})
}

/// `subscription_ack`.
pub(crate) fn ack(id: &str, query: &Query, more: bool, last: Option<i64>) -> String {
    let mut names = query.columns.clone();
    names.extend((query.seq || query.star).then_some("_seq"));
    names.extend(query.star.then_some("_deleted"));
    let schema: Vec<Json> =
        names.iter().enumerate().map(|(index, name)| column(query, name, index)).collect();
    json!({"type": "subscription_ack", "subscription_id": id, "total_rows": 0,
        "batch_control": control(0, more, last), "schema": schema})
    .to_string()
}

fn column(query: &Query, name: &str, index: usize) -> Json {
    let (data_type, flags) = match name {
        "id" => (query.key.data_type(), json!(["pk", "nn", "uq"])),
        "n" | "extra" => ("Int", Json::Null),
        "_seq" => ("BigInt", json!(["nn"])),
        "_deleted" => ("Boolean", json!(["nn"])),
        _ => ("Text", Json::Null),
    };
    let mut column = json!({"name": name, "data_type": data_type, "index": index});
    if !flags.is_null() {
        column["flags"] = flags;
    }
    column
}

/// `initial_data_batch`.
pub(crate) fn batch(id: &str, rows: &[String], number: usize, more: bool, last: Option<i64>) -> String {
    format!(
        r#"{{"type":"initial_data_batch","subscription_id":"{id}","rows":[{}],"batch_control":{}}}"#,
        rows.join(","),
        control(number, more, last)
    )
}

/// `change`.
pub(crate) fn change(id: &str, query: &Query, change: &Change, version: i64, rng: &mut Rng) -> String {
    let head = |kind| format!(r#"{{"type":"change","subscription_id":"{id}","change_type":"{kind}""#);
    match change {
        Change::Insert(record) => {
            format!(r#"{},"rows":[{}]}}"#, head("insert"), whole_row(query, record, version, false, rng))
        }
        Change::Update { new, old } => {
            let rows = updated_row(query, new, version, rng);
            let old = old.as_ref().map_or_else(String::new, |(old, seen)| {
                format!(r#","old_values":[{}]"#, old_values(query, new, old, *seen, rng))
            });
            format!(r#"{},"rows":[{rows}]{old}}}"#, head("update"))
        }
        Change::Delete(record) => {
            format!(r#"{},"old_values":[{}]}}"#, head("delete"), whole_row(query, record, version, true, rng))
        }
    }
}

/// All projected columns, NULL or not, and `_seq`.
pub(crate) fn whole_row(
    query: &Query,
    record: &Record,
    version: i64,
    deleted: bool,
    rng: &mut Rng,
) -> String {
    let mut fields: Vec<_> = query.columns.iter().map(|c| (*c, cell(query, record, c))).collect();
    if query.star {
        fields.push(("_deleted", deleted.to_string()));
    }
    fields.push(("_seq", format!("\"{version}\"")));
    object(fields, rng)
}

/// The projected columns that are not NULL, the key and `_seq`.
fn updated_row(query: &Query, record: &Record, version: i64, rng: &mut Rng) -> String {
    let mut fields: Vec<_> = query.columns.iter().map(|c| (*c, cell(query, record, c))).collect();
    fields.retain(|(_, value)| value != "null");
    add_key(&mut fields, query, record);
    fields.push(("_seq", format!("\"{version}\"")));
    object(fields, rng)
}

/// Updates carry the key, even where it is not selected.
fn add_key(fields: &mut Vec<(&'static str, String)>, query: &Query, record: &Record) {
    if !query.columns.contains(&"id") {
        fields.push(("id", cell(query, record, "id")));
    }
}

/// The key, the old `_seq` and what changed.
fn old_values(query: &Query, new: &Record, old: &Record, seen: i64, rng: &mut Rng) -> String {
    let changed = query.columns.iter().filter(|c| **c == "id" || new.cell(c) != old.cell(c));
    // A row that is older than a column has none (`wire/alter.jsonl`).
    let changed = changed.filter(|c| **c != "extra" || old.extra.is_some());
    let mut fields: Vec<_> = changed.map(|c| (*c, cell(query, old, c))).collect();
    add_key(&mut fields, query, old);
    fields.push(("_seq", format!("\"{seen}\"")));
    object(fields, rng)
}

/// A cell as JSON.
pub(crate) fn cell(query: &Query, record: &Record, column: &str) -> String {
    match column {
        "id" => query.key.json(record.id),
        "grp" => format!("\"{}\"", record.grp),
        "v" => record.v.as_ref().map_or_else(|| "null".into(), |v| Json::from(v.as_str()).to_string()),
        "n" => record.n.map_or_else(|| "null".into(), |n| n.to_string()),
        "extra" => record.extra.map_or_else(|| "null".into(), |n| n.to_string()),
        other => unreachable!("no column {other}"),
    }
}

fn object(mut fields: Vec<(&str, String)>, rng: &mut Rng) -> String {
    rng.shuffle(&mut fields);
    let mut text = String::with_capacity(96);
    for (at, (name, value)) in fields.iter().enumerate() {
        text.push_str(if at == 0 { "{\"" } else { ",\"" });
        text.push_str(name);
        text.push_str("\":");
        text.push_str(value);
    }
    text.push('}');
    text
}
