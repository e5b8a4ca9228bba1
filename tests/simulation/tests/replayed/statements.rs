//! The recorded statements, done to the model's table.

use std::time::Duration;

use kalam_simulation::data::Record;
use kalam_simulation::keys::KeyKind;
use kalam_simulation::server::{Table as Rows, Write};
use serde_json::Value as Json;

use super::Table;

/// Recorded keys as numbers, in the order in which they appear.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    seen: Vec<Json>,
    model: bool,
}

impl Keys {
    /// Those of the model itself.
    pub(crate) fn model(kind: KeyKind) -> Self {
        assert_eq!(kind, KeyKind::Int, "the number itself");
        Self { seen: Vec::new(), model: true }
    }

    /// The number of a key.
    pub(crate) fn of(&mut self, key: &Json) -> i64 {
        if self.model {
            return key.as_i64().expect("a number");
        }
        let at = self.seen.iter().position(|seen| seen == key).unwrap_or_else(|| {
            self.seen.push(key.clone());
            self.seen.len() - 1
        });
        i64::try_from(at).expect("few keys")
    }
}

/// A row as a record.
pub(crate) fn record(table: &Table, keys: &mut Keys, row: &Json) -> Record {
    let mut record = Record { id: 0, grp: "", v: None, n: None, extra: None };
    for (name, ours) in table.columns.iter().chain(table.later) {
        set(&mut record, keys, ours, &row[*name]);
    }
    record
}

fn set(record: &mut Record, keys: &mut Keys, column: &str, value: &Json) {
    let text = value.as_str().map(str::to_owned);
    match column {
        "id" => record.id = keys.of(value),
        "grp" => record.grp = text.map_or("", |text| String::leak(text)),
        "v" => record.v = text,
        "n" => record.n = value.as_i64(),
        "extra" => record.extra = value.as_i64(),
        other => panic!("no column {other}"),
    }
}

/// Runs a statement. What creates something, reads or begins and ends a transaction does nothing here.
pub(crate) fn run(table: &Table, keys: &mut Keys, rows: &mut Rows, now: Duration, sql: &str) -> Vec<Write> {
    let name = table.name;
    if let Some(rest) = sql.strip_prefix(&format!("INSERT INTO {name} (")) {
        let (columns, values) = rest.split_once(") VALUES ").expect("values");
        let columns: Vec<&str> = columns.split(',').collect();
        let values = values.trim_start_matches('(').trim_end_matches(')');
        return (values.split("),("))
            .map(|values| {
                let mut row = serde_json::Map::new();
                for (column, value) in columns.iter().zip(values.split(',')) {
                    row.insert((*column).to_owned(), literal(value));
                }
                rows.put(now, record(table, keys, &Json::from(row)))
            })
            .collect();
    }
    if let Some(rest) = sql.strip_prefix(&format!("UPDATE {name} SET ")) {
        let (change, condition) = rest.split_once(" WHERE ").expect("a condition");
        let (column, value) = change.split_once('=').expect("a change");
        let (column, value) = (column.trim(), value.trim());
        let ours = table.of_model(column).expect("a column");
        let found = matching(table, keys, rows, condition);
        return (found.into_iter())
            .filter_map(|mut record| {
                let before = record.clone();
                match value.strip_prefix(column) {
                    Some(more) => {
                        let more: i64 = more.trim().trim_start_matches('+').trim().parse().expect("a number");
                        record.n = record.n.map(|n| n + more);
                    }
                    None => set(&mut record, keys, ours, &literal(value)),
                }
                // What is as it was is not told (`wire/two_subs.jsonl`, its last statement: NULL + 100).
                (record != before).then(|| rows.put(now, record))
            })
            .collect();
    }
    if let Some(condition) = sql.strip_prefix(&format!("DELETE FROM {name} WHERE ")) {
        let found = matching(table, keys, rows, condition);
        return found.into_iter().filter_map(|record| rows.delete(now, record.id)).collect();
    }
    let others = ["CREATE ", "BEGIN", "COMMIT", "SELECT ", "DESCRIBE "];
    assert!(others.iter().any(|other| sql.starts_with(other)), "a statement {sql:?}");
    Vec::new()
}

/// The rows of `column=literal` or `column IN (literal, ...)`.
fn matching(table: &Table, keys: &mut Keys, rows: &Rows, condition: &str) -> Vec<Record> {
    let (column, values) = match condition.split_once(" IN (") {
        Some((column, list)) => (column, list.trim_end_matches(')').split(',').map(literal).collect()),
        None => {
            let (column, value) = condition.split_once('=').expect("a comparison");
            (column.trim(), vec![literal(value)])
        }
    };
    let ours = table.of_model(column).expect("a column");
    let records = rows.ids().into_iter().filter_map(|id| rows.get(id).cloned());
    let found = |record: &Record, value: &Json, keys: &mut Keys| match ours {
        "id" => keys.of(value) == record.id,
        _ => value.as_str().map(str::to_owned) == record.cell(ours),
    };
    records.filter(|record| values.iter().any(|value| found(record, value, keys))).collect()
}

fn literal(text: &str) -> Json {
    let text = text.trim();
    match text.strip_prefix('\'') {
        Some(rest) => Json::from(rest.trim_end_matches('\'')),
        None if text == "NULL" => Json::Null,
        None => Json::from(text.parse::<i64>().expect("a number")),
    }
}
