//! A recording, replayed through the model server.

mod frames;
mod statements;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use kalam_simulation::data::{Filter, Query};
use kalam_simulation::holes::Holes;
use kalam_simulation::holes::server::Nodes;
use kalam_simulation::keys::KeyKind;
use kalam_simulation::server::Say;
use serde_json::Value as Json;

use frames::{Told, Versions, told};
use statements::{Keys, run};

/// How a recorded table is one of the model's.
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its columns, with those of the model that stand for them.
    pub(crate) columns: &'static [(&'static str, &'static str)],
    /// The filters of its subscriptions that the model knows.
    pub(crate) filters: &'static [(&'static str, Filter)],
}

impl Table {
    fn of_model(&self, column: &str) -> Option<&'static str> {
        self.columns.iter().find(|(recorded, _)| *recorded == column).map(|(_, ours)| *ours)
    }

    /// The recorded subscription as a query of the model. `None`: the model does not know its filter.
    fn query(&self, sql: &str) -> Option<Query> {
        let (projection, rest) = sql.strip_prefix("SELECT ")?.split_once(" FROM ")?;
        let condition = rest.strip_prefix(self.name)?.strip_prefix(" WHERE ");
        let filter = match condition {
            None => Filter::All,
            Some(text) => self.filters.iter().find(|(known, _)| *known == text)?.1,
        };
        let star = projection == "*";
        let columns = match star {
            true => self.columns.iter().map(|(_, ours)| *ours).collect(),
            false => projection.split(", ").map(|name| self.of_model(name)).collect::<Option<_>>()?,
        };
        // The model tells by its text whether the live evaluator follows.
        let model = Query::new("*", Filter::All);
        Some(Query { sql: sql.to_owned(), columns, star, filter, ..model })
    }
}

/// The lines of a file in `tests/data/wire`.
pub(crate) struct Recording(Vec<Json>);

/// How much was the same.
#[derive(Debug, Default)]
pub(crate) struct Compared {
    /// Change frames.
    pub(crate) changes: usize,
    /// Pages of snapshots.
    pub(crate) snapshots: usize,
}

impl Recording {
    /// Reads it.
    pub(crate) fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/wire").join(format!("{name}.jsonl"));
        let text = std::fs::read_to_string(path).expect("a recording");
        Self(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
    }

    /// Replays it and compares.
    pub(crate) fn replay(&self, table: &Table) -> Compared {
        let mut replay = Replay::new(self, table);
        let mut recorded = Vec::new();
        let mut last = String::new();
        for line in &self.0 {
            let frame = &line["frame"];
            if line["dir"] == "recv" {
                recorded.push(frame.clone());
                continue;
            }
            if line["via"] == "http" || line["dir"] == "send" {
                replay.compare(&last, std::mem::take(&mut recorded));
                last = line["request"]["sql"].as_str().map_or_else(|| frame.to_string(), str::to_owned);
            }
            match line["request"]["sql"].as_str() {
                Some(sql) if line["status"] == 200 => replay.statement(sql),
                Some(_) => {}
                None if line["dir"] == "send" => replay.message(frame),
                None => {}
            }
        }
        replay.compare(&last, recorded);
        replay.compared
    }
}

struct Replay<'t> {
    table: &'t Table,
    nodes: Nodes,
    link: kalam_live::machine::LinkId,
    now: Duration,
    keys: Keys,
    versions: [Versions; 2],
    compared: Compared,
}

impl<'t> Replay<'t> {
    fn new(recording: &Recording, table: &'t Table) -> Self {
        let subscribes = recording.0.iter().filter_map(|line| line["frame"]["subscription"]["sql"].as_str());
        let mut queries: BTreeMap<&str, Query> = BTreeMap::new();
        for sql in subscribes {
            if let Some(query) = table.query(sql) {
                queries.insert(sql, query);
            }
        }
        let queries: &'static [Query] = Vec::leak(queries.into_values().collect());
        let holes = Holes { order: false, ..Holes::recorded() };
        let mut nodes = Nodes::new(holes, queries, Rng::with_seed(1));
        let link = a_link();
        nodes.open(Duration::ZERO, link, 0);
        nodes.take_out();
        let mut replay = Self {
            table,
            nodes,
            link,
            now: Duration::from_secs(1),
            keys: Keys::default(),
            versions: Default::default(),
            compared: Compared::default(),
        };
        replay.fill(recording);
        replay
    }

    /// Rows whose statements were not recorded are those of the first whole snapshot.
    fn fill(&mut self, recording: &Recording) {
        let inserts =
            |line: &Json| line["request"]["sql"].as_str().is_some_and(|sql| sql.starts_with("INSERT"));
        let subscribed = recording.0.iter().position(|line| line["frame"]["type"] == "subscribe");
        if recording.0[..subscribed.unwrap_or(0)].iter().any(inserts) {
            return;
        }
        let pages =
            recording.0.iter().map(|line| &line["frame"]).filter(|f| f["type"] == "initial_data_batch");
        for row in pages.take(1).flat_map(|page| page["rows"].as_array().into_iter().flatten()) {
            self.now += Duration::from_millis(1);
            let record = statements::record(self.table, &mut self.keys, row);
            self.nodes.table.put(self.now, record);
        }
    }

    fn statement(&mut self, sql: &str) {
        for statement in sql.split("; ") {
            self.now += Duration::from_millis(1);
            for write in run(self.table, &mut self.keys, &mut self.nodes.table, self.now, statement) {
                self.nodes.publish(self.now, &write);
            }
        }
    }

    fn message(&mut self, frame: &Json) {
        let known = match frame["type"].as_str() {
            Some("subscribe") => {
                let sql = frame["subscription"]["sql"].as_str().unwrap_or_default();
                // A cursor that is a string ends its own connection, which only that recording has.
                !frame["subscription"]["options"]["from"].is_string()
                    && self.nodes.queries.iter().any(|query| query.sql == sql)
            }
            Some("next_batch" | "unsubscribe") => true,
            _ => false,
        };
        if known {
            let mut frame = frame.clone();
            if let Some(from) = frame["subscription"]["options"]["from"].as_i64() {
                frame["subscription"]["options"]["from"] = self.of_model(from).into();
            }
            self.nodes.message(self.now, self.link, &frame.to_string());
        }
    }

    /// The model's version of a row that was told with this one.
    fn of_model(&self, version: i64) -> Option<i64> {
        let [recorded, model] = &self.versions;
        recorded.iter().find_map(|(key, told)| {
            let at = told.iter().position(|known| *known == version)?;
            model.get(key)?.get(at).copied()
        })
    }

    /// What was recorded since the last step, and what the model said.
    fn compare(&mut self, step: &str, recorded: Vec<Json>) {
        let said = self.nodes.take_out().into_iter().filter_map(|(_, say, _)| match say {
            Say::Frame(text) => Some(serde_json::from_str::<Json>(&text).expect("JSON")),
            _ => None,
        });
        let said: Vec<Json> = said.collect();
        let subscribed = |frame: &Json| !frame["subscription_id"].is_null() && frame["type"] != "error";
        let known = |frame: &Json| {
            let id = frame["subscription_id"].as_str().unwrap_or_default();
            subscribed(frame) && !["f_like", "f_ilike", "f_func", "f_cast", "f_between"].contains(&id)
        };
        let recorded: Vec<Told> = recorded
            .iter()
            .filter(|frame| known(frame))
            .map(|frame| {
                told(frame, &|name| self.table.of_model(name), &mut self.keys, &mut self.versions[0])
            })
            .collect();
        let same = |name: &str| ["id", "grp", "v", "n"].into_iter().find(|ours| *ours == name);
        let mut model_keys = Keys::model(KeyKind::Int);
        let said: Vec<Told> = said
            .iter()
            .filter(|frame| known(frame))
            .map(|frame| told(frame, &same, &mut model_keys, &mut self.versions[1]))
            .collect();
        for frame in &recorded {
            match frame {
                Told::Change { .. } => self.compared.changes += 1,
                Told::Page { .. } => self.compared.snapshots += 1,
                Told::Ack { .. } => {}
            }
        }
        assert_eq!(
            frames::ordered(said),
            frames::ordered(recorded),
            "the model and the recording, after {step}"
        );
    }
}

/// A link of a machine.
fn a_link() -> kalam_live::machine::LinkId {
    use kalam_live::machine::{Action, Config, Machine, Token};
    let config = Config { urls: vec!["ws://a".into()], ..Config::default() };
    let mut machine = Machine::new(config).expect("config");
    machine.connect(Duration::ZERO).expect("open");
    let Some(Action::FetchCredentials { attempt, .. }) = machine.poll_action() else { panic!("no attempt") };
    machine.handle_credentials(Duration::ZERO, attempt, Ok(Some(Token::new("T"))));
    let Some(Action::OpenLink { link, .. }) = machine.poll_action() else { panic!("no link") };
    link
}
