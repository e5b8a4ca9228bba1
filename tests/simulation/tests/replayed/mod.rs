//! A recording, replayed through the model server.

mod frames;
mod pages;
mod selects;
mod statements;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use kalam_live::machine::{Action, Config, LinkId, Machine, Token};
use kalam_simulation::data::{Filter, Query};
use kalam_simulation::holes::Holes;
use kalam_simulation::holes::refusals::{Called, refusal};
use kalam_simulation::holes::server::Nodes;
use kalam_simulation::keys::KeyKind;
use kalam_simulation::server::Say;
use serde_json::{Value as Json, json};

use frames::{Told, Versions, told};
pub(crate) use pages::{Pages, burst};
pub(crate) use selects::ordered;
use statements::{Keys, run};

/// How a recorded table is one of the model's.
pub(crate) struct Table {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its columns, with those of the model that stand for them.
    pub(crate) columns: &'static [(&'static str, &'static str)],
    /// Columns that it gets later, or that another table of its name has.
    pub(crate) later: &'static [(&'static str, &'static str)],
    /// The filters of its subscriptions that the model knows.
    pub(crate) filters: &'static [(&'static str, Filter)],
}

impl Table {
    fn of_model(&self, column: &str) -> Option<&'static str> {
        let mut columns = self.columns.iter().chain(self.later);
        columns.find(|(recorded, _)| *recorded == column).map(|(_, ours)| *ours)
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
            // An expression is in no row (`wire/live_errors.jsonl`).
            false => projection
                .split(", ")
                .filter(|name| !name.contains('+'))
                .map(|name| self.of_model(name))
                .collect::<Option<_>>()?,
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
    /// Messages that were refused.
    pub(crate) refused: usize,
    /// Connections that were closed.
    pub(crate) closed: usize,
}

impl Recording {
    /// Reads it.
    pub(crate) fn read(name: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/wire").join(format!("{name}.jsonl"));
        let text = std::fs::read_to_string(path).expect("a recording");
        Self(text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect())
    }

    /// What was noted, line by line.
    pub(crate) fn notes(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|line| line["note"].as_str())
    }

    /// Replays it and compares after every statement and message.
    pub(crate) fn replay(&self, table: &Table) -> Compared {
        let mut replay = Replay::new(self, table);
        let mut recorded = Vec::new();
        let mut last = String::new();
        let mut was_offline = false;
        let mut sending = false;
        for line in &self.0 {
            // The answers to messages that were sent at once come behind the last of them.
            let at_once = std::mem::replace(&mut sending, line["dir"] == "send") && sending;
            let frame = &line["frame"];
            // That of `live_basic` that is ended is another, which the model does not have.
            let ended = line["event"] == "closed" && line["via"] == "ws";
            if line["dir"] == "recv" || ended {
                recorded.push(if ended { closed(&line["code"]) } else { frame.clone() });
                was_offline |= ended;
                continue;
            }
            let opens = line["event"] == "open";
            if (line["via"] == "http" || line["dir"] == "send" || opens) && !at_once {
                replay.compare(&last, 0, std::mem::take(&mut recorded));
                last = line["request"]["sql"].as_str().map_or_else(|| frame.to_string(), str::to_owned);
            }
            let offline = line["note"].as_str().is_some_and(|note| note.starts_with("offline"));
            if offline {
                replay.close(0);
            }
            if opens && std::mem::take(&mut was_offline) {
                replay.open(0);
            }
            was_offline |= offline;
            replay.line(0, line);
        }
        replay.compare(&last, 0, recorded);
        replay.compared
    }

    /// Replays a recording of several nodes, and compares after each part: the frames of one statement come from several
    /// connections, in no order. `connections`: by their name the model's node.
    pub(crate) fn replay_nodes(&self, table: &Table, connections: &[(&str, i64)]) -> Compared {
        let mut replay = Replay::new(self, table);
        replay.links.clear();
        let mut recorded: Vec<Vec<Json>> = vec![Vec::new(); connections.len()];
        for line in &self.0 {
            if let Some(note) = line["note"].as_str() {
                replay.compare_all(note, &mut recorded);
                replay.aside(note);
            }
            let at = connections.iter().position(|(name, _)| line["via"] == *name);
            let Some(at) = at else {
                replay.line(0, line);
                continue;
            };
            if line["event"] == "ended" {
                // The node is dead: another leads.
                replay.close(at);
                replay.nodes.leader = 1;
            } else if line["event"] == "closed" {
                recorded[at].push(closed(&line["code"]));
                if line["reason"] == "Heartbeat timeout" {
                    replay.now += Duration::from_secs(10);
                    replay.nodes.tick(replay.now);
                }
            } else if line["frame"]["type"] == "auth_success" {
                while replay.links.len() <= at {
                    replay.open_at(connections[replay.links.len()].1);
                }
            } else if line["dir"] == "recv" {
                recorded[at].push(line["frame"].clone());
            } else {
                replay.line(at, line);
            }
        }
        replay.compare_all("the end", &mut recorded);
        replay.compared
    }
}

struct Replay<'t> {
    table: &'t Table,
    nodes: Nodes,
    machine: Machine,
    /// The connections, each with what was told on it: recorded, and by the model.
    links: Vec<(LinkId, [Versions; 2])>,
    now: Duration,
    keys: Keys,
    dropped: bool,
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
        nodes.columns = table.columns.iter().map(|(_, ours)| *ours).collect();
        let columns = table.columns.iter().map(|(name, _)| (*name).to_owned()).collect();
        nodes.called = Called { table: table.name.to_owned(), columns };
        let config = Config { urls: vec!["ws://a".into()], ..Config::default() };
        let mut replay = Self {
            table,
            nodes,
            machine: Machine::new(config).expect("config"),
            links: Vec::new(),
            now: Duration::from_secs(1),
            keys: Keys::default(),
            dropped: false,
            compared: Compared::default(),
        };
        replay.open_at(0);
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

    /// One more connection, to this node.
    fn open_at(&mut self, node: i64) {
        let link = a_link(&mut self.machine);
        self.nodes.open(self.now, link, node);
        self.links.push((link, Default::default()));
    }

    /// The connection is a new one. What was told is known as before.
    fn open(&mut self, at: usize) {
        self.links[at].0 = a_link(&mut self.machine);
        self.nodes.open(self.now, self.links[at].0, 0);
    }

    fn close(&mut self, at: usize) {
        self.nodes.gone(self.links[at].0);
    }

    /// What was done without being recorded but for this note (`wire/limits.jsonl`).
    fn aside(&mut self, note: &str) {
        let large = "x".repeat(2 << 20);
        let messages = match note {
            "80 messages at once" => vec![r#"{"type":"ping"}"#; 80],
            "a 2 MB message" => vec![&*large],
            _ => Vec::new(),
        };
        self.now += Duration::from_secs(1);
        for message in messages {
            self.nodes.message(self.now, self.links[0].0, message);
        }
    }

    /// Does what a line says: a statement, or a message on that connection.
    fn line(&mut self, at: usize, line: &Json) {
        match line["request"]["sql"].as_str() {
            Some(sql) if line["status"] == 200 => self.statement(sql),
            Some(_) => {}
            None if line["dir"] == "send" => self.message(at, &line["frame"]),
            None => {}
        }
    }

    fn statement(&mut self, sql: &str) {
        for statement in sql.split("; ") {
            self.now += Duration::from_millis(1);
            if self.define(statement) {
                continue;
            }
            for write in run(self.table, &mut self.keys, &mut self.nodes.table, self.now, statement) {
                self.nodes.publish(self.now, &write);
            }
        }
    }

    /// Does what changes the table itself. Returns whether it was that.
    fn define(&mut self, sql: &str) -> bool {
        let name = self.table.name;
        let ours = |column: &str| self.table.of_model(column).expect("a column of the model");
        if let Some(change) = sql.strip_prefix(&format!("ALTER TABLE {name} ")) {
            let words: Vec<&str> = change.split(' ').collect();
            let column = ours(words[2]);
            assert_eq!(words[0] == "DROP", self.nodes.columns.contains(&column), "{sql}");
            self.nodes.alter(column);
        } else if sql == format!("DROP TABLE {name}") {
            self.dropped = true;
        } else if let Some(columns) = sql.strip_prefix(&format!("CREATE TABLE {name} (")) {
            if std::mem::take(&mut self.dropped) {
                let columns = columns.split_once(") WITH").map_or(columns, |(columns, _)| columns);
                let names = columns.split(", ").filter_map(|column| column.split(' ').next());
                let columns = names.map(ours).collect();
                self.nodes.recreate(columns);
            }
        } else {
            return false;
        }
        true
    }

    fn message(&mut self, at: usize, frame: &Json) {
        // Authentication is no matter of the model's.
        let Some(link) = self.links.get(at).map(|(link, _)| *link) else { return };
        // They were sent half a second after each other, if not at once.
        self.now += Duration::from_millis(1);
        if frame["binary_hex"].is_string() {
            return self.nodes.binary(link);
        }
        if let Some(text) = frame.as_str() {
            return self.nodes.message(self.now, link, text);
        }
        let known = match frame["type"].as_str() {
            Some("subscribe") => {
                let sql = frame["subscription"]["sql"].as_str().unwrap_or_default();
                // A cursor that is a string ends its own connection, which only that recording has.
                !frame["subscription"]["options"]["from"].is_string()
                    && (self.nodes.queries.iter().any(|query| query.sql == sql)
                        || refusal(sql, &self.nodes.called).is_some())
            }
            Some("authenticate") | None => false,
            Some(_) => true,
        };
        if known {
            let mut frame = frame.clone();
            if let Some(from) = frame["subscription"]["options"]["from"].as_i64() {
                frame["subscription"]["options"]["from"] = self.of_model(from).into();
            }
            self.nodes.message(self.now, self.links[at].0, &frame.to_string());
        }
    }

    /// The model's version of a row that was told with this one.
    fn of_model(&self, version: i64) -> Option<i64> {
        self.links.iter().find_map(|(_, [recorded, model])| {
            recorded.iter().find_map(|(key, told)| {
                let at = told.iter().position(|known| *known == version)?;
                model.get(key)?.get(at).copied()
            })
        })
    }

    /// Compares what was recorded on each connection.
    fn compare_all(&mut self, step: &str, recorded: &mut [Vec<Json>]) {
        let said = self.nodes.take_out();
        let links: Vec<LinkId> = self.links.iter().map(|(link, _)| *link).collect();
        for (at, (link, recorded)) in links.into_iter().zip(recorded).enumerate() {
            let said = said.iter().filter(|(to, ..)| *to == link).map(|(_, say, _)| say.clone());
            self.compare_said(step, at, std::mem::take(recorded), said.collect());
        }
    }

    /// What was recorded since the last step, and what the model said.
    fn compare(&mut self, step: &str, at: usize, recorded: Vec<Json>) {
        let said = self.nodes.take_out().into_iter().map(|(_, say, _)| say).collect();
        self.compare_said(step, at, recorded, said);
    }

    fn compare_said(&mut self, step: &str, at: usize, recorded: Vec<Json>, said: Vec<Say>) {
        let said = said.into_iter().filter_map(|say| match say {
            Say::Frame(text) => Some(serde_json::from_str::<Json>(&text).expect("JSON")),
            Say::Close(code, _) => Some(closed(&code.into())),
            Say::Vanish => Some(closed(&Json::Null)),
            Say::Pong => None,
        });
        let said: Vec<Json> = said.collect();
        let known = |frame: &Json| {
            let id = frame["subscription_id"].as_str().unwrap_or_default();
            let known = !id.is_empty() || frame.get("closed").is_some();
            known && !["f_like", "f_ilike", "f_func", "f_cast", "f_between"].contains(&id)
        };
        let recorded: Vec<Told> = recorded
            .iter()
            .filter(|frame| known(frame))
            .map(|frame| {
                let versions = &mut self.links[at].1[0];
                told(frame, &|name| self.table.of_model(name), &mut self.keys, versions)
            })
            .collect();
        let same = |name: &str| ["id", "grp", "v", "n", "extra"].into_iter().find(|ours| *ours == name);
        let mut model_keys = Keys::model(KeyKind::Int);
        let said: Vec<Told> = said
            .iter()
            .filter(|frame| known(frame))
            .map(|frame| told(frame, &same, &mut model_keys, &mut self.links[at].1[1]))
            .collect();
        for frame in &recorded {
            match frame {
                Told::Change { .. } => self.compared.changes += 1,
                Told::Page { .. } => self.compared.snapshots += 1,
                Told::Refused { .. } => self.compared.refused += 1,
                Told::Closed(_) => self.compared.closed += 1,
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

/// The end of a connection, among its frames.
fn closed(code: &Json) -> Json {
    json!({ "closed": code })
}

/// A link that this machine has not had.
fn a_link(machine: &mut Machine) -> LinkId {
    machine.connect(Duration::ZERO).expect("open");
    machine.network_changed(Duration::ZERO);
    loop {
        match machine.poll_action().expect("an attempt") {
            Action::FetchCredentials { attempt, .. } => {
                machine.handle_credentials(Duration::ZERO, attempt, Ok(Some(Token::new("T"))));
            }
            Action::OpenLink { link, .. } => return link,
            _ => {}
        }
    }
}
