//! Whatever is written: a subscriber that applies the changes has the rows of the SELECT, live or after a resume.

use std::{collections::BTreeMap, sync::Arc};

use crate::common::{Recorder, memory, root, rows, run};
use kalam_embedded::engine::{ChangeKind, Engine, LiveChange, LiveFields, LiveQuery, Start};
use proptest::prelude::*;
use serde_json::{Value, json};

#[derive(Debug, Clone)]
enum Step {
    Insert(u8, i32, Option<&'static str>),
    Update(u8, i32),
    SetStatus(i32, Option<&'static str>),
    Delete(u8),
    DeleteWhere(i32),
    /// All of them or none.
    Transaction(Vec<Step>, bool),
}

fn status() -> impl Strategy<Value = Option<&'static str>> {
    prop_oneof![Just(None), Just(Some("open")), Just(Some("closed"))]
}

fn step() -> impl Strategy<Value = Step> {
    let simple = prop_oneof![
        4 => (0..12_u8, -3..4, status()).prop_map(|(k, n, s)| Step::Insert(k, n, s)),
        3 => (0..12_u8, -3..4).prop_map(|(k, n)| Step::Update(k, n)),
        2 => (-3..4, status()).prop_map(|(n, s)| Step::SetStatus(n, s)),
        2 => (0..12_u8).prop_map(Step::Delete),
        1 => (-3..4).prop_map(Step::DeleteWhere),
    ];
    let group = (proptest::collection::vec(simple.clone(), 1..5), any::<bool>());
    prop_oneof![8 => simple, 1 => group.prop_map(|(steps, commit)| Step::Transaction(steps, commit))]
}

fn sql(step: &Step) -> String {
    let literal = |s: &Option<&str>| s.map_or("NULL".to_owned(), |s| format!("'{s}'"));
    match step {
        Step::Insert(k, n, s) => format!("INSERT INTO n.t VALUES ('k{k}', {n}, {})", literal(s)),
        Step::Update(k, n) => format!("UPDATE n.t SET n = {n} WHERE id = 'k{k}'"),
        Step::SetStatus(n, s) => format!("UPDATE n.t SET s = {} WHERE n >= {n}", literal(s)),
        Step::Delete(k) => format!("DELETE FROM n.t WHERE id = 'k{k}'"),
        Step::DeleteWhere(n) => format!("DELETE FROM n.t WHERE n = {n}"),
        Step::Transaction(steps, commit) => {
            let inner: Vec<String> = steps.iter().map(sql).collect();
            format!("BEGIN; {}; {}", inner.join("; "), if *commit { "COMMIT" } else { "ROLLBACK" })
        }
    }
}

const FILTERS: [&str; 5] = [
    "",
    " WHERE s = 'open'",
    " WHERE n > 0 OR s IS NULL",
    " WHERE NOT (s = 'open')",
    " WHERE n IN (1, 2, -1) AND s <> 'x'",
];

/// What a client holds: rows by key. Knows the wire rules and nothing of the engine.
#[derive(Default, Clone)]
struct Subscriber(BTreeMap<String, Value>);

impl Subscriber {
    fn put(&mut self, fields: &LiveFields) {
        let row = json!(fields);
        let column = |name: &str| row.get(name).cloned().unwrap_or(Value::Null); // absent is NULL
        let key = row["id"].as_str().unwrap().to_owned();
        self.0.insert(key, json!([row["id"], column("n"), column("s"), column("_seq")]));
    }

    fn apply(&mut self, change: &LiveChange) {
        match (change.kind, &change.row, &change.old_values) {
            (ChangeKind::Insert | ChangeKind::Update, Some(row), _) => self.put(row),
            (ChangeKind::Delete, None, Some(old)) => {
                self.0.remove(json!(old)["id"].as_str().unwrap());
            }
            other => panic!("{other:?}"),
        }
    }
}

struct Watched {
    query: Arc<LiveQuery>,
    live: Subscriber,
    /// Went away at the given cursor, and comes back at the end.
    away: (Subscriber, i64),
    filter: &'static str,
}

fn start(engine: &Engine, query: &LiveQuery, from: Start) -> (Subscriber, i64) {
    let (start, ()) = engine.start_live(query, from, || ()).unwrap();
    let mut subscriber = Subscriber::default();
    start.rows.iter().for_each(|row| subscriber.put(&row.fields));
    (subscriber, start.last_seq.unwrap_or(0))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn changes_add_up_to_the_select(
        kind in prop_oneof![Just("USER"), Just("SHARED")],
        before in proptest::collection::vec(step(), 0..15),
        after in proptest::collection::vec(step(), 1..40),
    ) {
        let engine = memory();
        run(&engine, &format!("CREATE NAMESPACE n; CREATE TABLE n.t (id TEXT PRIMARY KEY, n INT, s TEXT) WITH (TYPE='{kind}')"));
        let recorder = Recorder::install(&engine);
        let go = |step: &Step| {
            // A duplicate key fails, and its transaction with it: nothing may be told of that.
            let _ = crate::common::run_as(&engine, &root(), &sql(step), vec![]);
        };
        before.iter().for_each(go);
        recorder.take();
        let mut watched: Vec<Watched> = FILTERS.iter().map(|filter| {
            let query = engine.prepare_live(&root(), &format!("SELECT id, n, s FROM n.t{filter}")).unwrap();
            let (live, cursor) = start(&engine, &query, Start::Snapshot { last_rows: None });
            Watched { query, away: (live.clone(), cursor), live, filter }
        }).collect();
        let mut newest = 0;
        for step in &after {
            go(step);
            for change in recorder.take() {
                prop_assert!(change.seq() > newest);
                newest = change.seq();
                for w in &mut watched {
                    if let Some(change) = w.query.evaluate(&change).unwrap() {
                        w.live.apply(&change);
                    }
                }
            }
        }
        for w in watched {
            let expected = rows(&engine, &format!("SELECT id, n, s, _seq FROM n.t{}", w.filter));
            let mut expected = expected.as_array().unwrap().clone();
            expected.sort_by_key(|r| r[0].as_str().unwrap().to_owned());
            prop_assert_eq!(w.live.0.values().cloned().collect::<Vec<_>>(), expected.clone(), "live{}", w.filter);
            let (mut back, cursor) = w.away;
            let (resume, ()) = engine.start_live(&w.query, Start::From(cursor), || ()).unwrap();
            resume.replay.iter().for_each(|change| back.apply(change));
            prop_assert_eq!(back.0.values().cloned().collect::<Vec<_>>(), expected.clone(), "resumed{}", w.filter);
            let (fresh, _) = start(&engine, &w.query, Start::Snapshot { last_rows: None });
            prop_assert_eq!(fresh.0.values().cloned().collect::<Vec<_>>(), expected, "fresh{}", w.filter);
        }
    }
}
