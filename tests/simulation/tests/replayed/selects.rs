//! `wire/order_limit.jsonl`: SELECTs over HTTP.

use std::collections::BTreeMap;
use std::time::Duration;

use kalam_simulation::data::{Filter, Query, Record};
use kalam_simulation::holes::Holes;
use kalam_simulation::holes::answers::Endpoint;
use kalam_simulation::holes::numbers::Numbers;
use kalam_simulation::server::Table;
use serde_json::Value as Json;

use super::Recording;

/// Compares the rows of every answer. Returns how many there were.
pub(crate) fn ordered(recording: &Recording) -> usize {
    let rows = |line: &Json| line["response"]["results"][0]["rows"].as_array().cloned();
    let answers: Vec<(&str, Vec<Json>)> =
        recording.0.iter().filter_map(|line| Some((line["request"]["sql"].as_str()?, rows(line)?))).collect();
    let mut cells: BTreeMap<i64, i64> = BTreeMap::new();
    for row in answers.iter().flat_map(|(_, rows)| rows) {
        cells.insert(row[0].as_i64().expect("a key"), row[1].as_i64().expect("a number"));
    }
    let mut free =
        (0..300).filter(|n| !cells.values().any(|taken| taken == n)).collect::<Vec<_>>().into_iter();
    for id in 0..300 {
        cells.entry(id).or_insert_with(|| free.next().expect("a number for each"));
    }
    let mut table = Table::default();
    for (id, n) in cells {
        let record = Record { id, grp: "", v: None, n: Some(n), extra: None };
        table.put(Duration::from_millis(1), record);
    }
    let endpoint = Endpoint {
        table: &table,
        queries: &[Query::new("*", Filter::All)],
        user: "root",
        columns: &["id", "n"],
        dropped: false,
        caps: Holes::recorded().http_caps,
        leader: 0,
        numbers: &Numbers::default(),
    };
    for (sql, recorded) in &answers {
        let (status, body) = endpoint.answer(&sql.replace("w7a336b.ol", "app.t"));
        let body: Json = serde_json::from_str(&body).expect("JSON");
        assert_eq!((status, &body["results"][0]["rows"]), (200, &Json::from(recorded.clone())), "{sql}");
    }
    answers.len()
}
