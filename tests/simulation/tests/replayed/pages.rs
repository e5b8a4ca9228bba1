//! The table of `wire/snapshots.jsonl` and the bursts of `wire/burst.jsonl`: what was counted, not written down.

use std::time::Duration;

use fastrand::Rng;
use kalam_live::machine::{Config, LinkId, Machine};
use kalam_simulation::data::{Filter, Query, Record};
use kalam_simulation::holes::Holes;
use kalam_simulation::holes::server::Nodes;
use kalam_simulation::server::Say;
use serde_json::{Value as Json, json};

use super::a_link;

/// The model with one connection, and a table of 1,500 rows.
pub(crate) struct Pages {
    nodes: Nodes,
    link: LinkId,
    rng: Rng,
    now: Duration,
}

impl Pages {
    pub(crate) fn new(seed: u64) -> Self {
        let mut pages = Self::empty(seed);
        for id in 0..1_500 {
            pages.put(id, None);
        }
        pages
    }

    fn empty(seed: u64) -> Self {
        let queries = Vec::leak(vec![Query::new("id", Filter::All)]);
        let mut nodes = Nodes::new(Holes::recorded(), queries, Rng::with_seed(seed));
        let config = Config { urls: vec!["ws://a".into()], ..Config::default() };
        let link = a_link(&mut Machine::new(config).expect("config"));
        let now = Duration::from_secs(1);
        nodes.open(now, link, 0);
        nodes.take_out();
        Self { nodes, link, rng: Rng::with_seed(seed), now }
    }

    fn put(&mut self, id: i64, v: Option<&str>) {
        let record = Record { id, grp: "", v: v.map(str::to_owned), n: None, extra: None };
        self.nodes.table.put(self.now, record);
    }

    /// `UPDATE ... WHERE id % 3 = 0`, which goes through the rows in no order.
    pub(crate) fn update_every_third(&mut self) {
        let mut ids: Vec<i64> = (0..1_500).step_by(3).collect();
        self.rng.shuffle(&mut ids);
        self.now += Duration::from_millis(100);
        ids.into_iter().for_each(|id| self.put(id, Some("u")));
    }

    fn say(&mut self, message: &Json) -> Vec<Json> {
        self.nodes.message(self.now, self.link, &message.to_string());
        let said = self.nodes.take_out().into_iter().filter_map(|(_, say, _)| match say {
            Say::Frame(text) => serde_json::from_str(&text).ok(),
            _ => None,
        });
        said.collect()
    }

    fn subscribe(&mut self, options: &Json) -> Vec<Json> {
        let sql = self.nodes.queries[0].sql.clone();
        self.say(&json!({"type": "subscribe", "subscription": {"id": "s", "sql": sql, "options": options}}))
    }

    /// The batches of a snapshot: keys with versions.
    pub(crate) fn load(&mut self, page: &str) -> Vec<Vec<(i64, i64)>> {
        let options = page.parse::<u64>().map_or_else(|_| json!({}), |page| json!({"batch_size": page}));
        let mut said = self.subscribe(&options);
        let mut batches = Vec::new();
        loop {
            let batch = said.pop().expect("a batch");
            batches.push(rows(&batch));
            if batch["batch_control"]["has_more"] != true {
                return batches;
            }
            let last = &batch["batch_control"]["last_seq_id"];
            said = self.say(&json!({"type": "next_batch", "subscription_id": "s", "last_seq_id": last}));
        }
    }

    /// How many rows `last_rows: n` brings, and how many of them are among the newest n.
    pub(crate) fn newest(&mut self, n: usize) -> (usize, usize) {
        let batch = self.subscribe(&json!({"last_rows": n})).pop().expect("a batch");
        let mut versions: Vec<i64> = self.nodes.table.stored().map(|row| row.version).collect();
        versions.sort_unstable_by_key(|version| -version);
        let rows = rows(&batch);
        (rows.len(), rows.iter().filter(|(_, version)| versions[..n].contains(version)).count())
    }
}

fn rows(batch: &Json) -> Vec<(i64, i64)> {
    let version = |row: &Json| row["_seq"].as_str()?.parse().ok();
    let rows = batch["rows"].as_array().expect("rows").iter();
    rows.map(|row| (row["id"].as_i64().expect("a key"), version(row).expect("a version"))).collect()
}

/// How many were told of 4,000 rows written one by one, and of 10 statements of 500 rows.
pub(crate) fn burst() -> [usize; 2] {
    let written = |statements: i64, rows: i64, wait: Duration| {
        let mut pages = Pages::empty(1);
        pages.subscribe(&json!({}));
        let mut told = 0;
        for statement in 0..statements {
            for id in 0..rows {
                let record = Record { id: statement * rows + id, grp: "", v: None, n: None, extra: None };
                let write = pages.nodes.table.put(pages.now, record);
                pages.nodes.publish(pages.now, &write);
            }
            told += pages.nodes.take_out().len();
            pages.now += wait;
        }
        told
    };
    [written(4_000, 1, Duration::from_micros(4_650)), written(10, 500, Duration::from_millis(50))]
}
