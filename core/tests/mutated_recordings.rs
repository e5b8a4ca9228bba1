//! The recordings, broken at random, as frames and answers: nothing panics, nothing is asked for without end, and the changes
//! that a reader gets always lead from the rows before to the rows after.
//!
//! `FUZZ_SEEDS=100000 cargo test -p kalam-live --test mutated_recordings` tries more.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use kalam_live::converge::{Ask, AskId, Keeper, KeeperOptions, Outcome};
use kalam_live::live::{Change, Changes, LiveOptions, LiveView};
use kalam_live::machine::{
    Action, AttemptId, Config, ConnectionState, Decoding, Event, LinkEnd, LinkId, Machine, OldValues,
    Restart, Resume, SubscribeOptions, SubscribeRequest, SubscriptionEvent, SubscriptionKey, Token,
};
use kalam_live::protocol::{
    Limits, RawFrame, ServerFrame, SqlRequest, StatementResult, decode, decode_sql_response,
};
use kalam_live::sql::check_live;
use kalam_live::{Column, DataType, Error, ErrorCode, Row, Schema, SeqId, Value};
use serde_json::Value as Json;

const STEPS: usize = 250;

/// Everything random, from a seed.
struct Dice(fastrand::Rng);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0.u64(..)
    }

    fn below(&mut self, n: usize) -> usize {
        self.0.usize(..n.max(1))
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'t, T>(&mut self, from: &'t [T]) -> &'t T {
        &from[self.below(from.len())]
    }
}

/// What servers have said.
struct Said {
    /// What each subscription was told, in order, with its SQL.
    streams: Vec<(String, Vec<Json>)>,
    frames: Vec<Json>,
    answers: Vec<Json>,
    /// Anything that stood anywhere in them.
    values: Vec<Json>,
}

impl Said {
    fn read() -> Self {
        let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../tests/data/wire");
        let mut said =
            Self { streams: Vec::new(), frames: Vec::new(), answers: Vec::new(), values: Vec::new() };
        let mut paths: Vec<_> = std::fs::read_dir(directory)
            .expect("the recordings")
            .map(|e| e.expect("an entry").path())
            .collect();
        paths.sort();
        for path in paths {
            let mut open: BTreeMap<(String, String), (String, Vec<Json>)> = BTreeMap::new();
            let of = |line: &Json, id: &Json| (line["via"].to_string(), id.to_string());
            for line in std::fs::read_to_string(path).expect("a recording").lines() {
                let line: Json = serde_json::from_str(line).expect("a line");
                if line["dir"] == "recv" && line["frame"].is_object() {
                    let frame = &line["frame"];
                    said.frames.push(frame.clone());
                    if let Some((_, frames)) = open.get_mut(&of(&line, &frame["subscription_id"])) {
                        frames.push(frame.clone());
                    }
                }
                let subscription = &line["frame"]["subscription"];
                if let Some(sql) =
                    subscription["sql"].as_str().filter(|sql| check_live(sql, &[], None).is_ok())
                {
                    let before = open.insert(of(&line, &subscription["id"]), (sql.to_owned(), Vec::new()));
                    said.streams.extend(before);
                }
                if line["path"] == "/v1/api/sql" && line["response"].is_object() {
                    said.answers.push(line["response"].clone());
                }
            }
            said.streams.extend(open.into_values());
        }
        said.streams.retain(|(_, frames)| frames.len() > 1);
        assert!(said.streams.len() > 30 && said.answers.len() > 200, "{} streams", said.streams.len());
        for whole in said.frames.iter().chain(&said.answers) {
            collect(whole, &mut said.values);
        }
        for extreme in [
            "0",
            "-1",
            "9223372036854775807",
            "-9223372036854775808",
            "18446744073709551615",
            "1e308",
            "null",
        ] {
            said.values.push(serde_json::from_str(extreme).expect("JSON"));
            said.values.push(Json::String(extreme.into()));
        }
        said
    }
}

fn collect(json: &Json, into: &mut Vec<Json>) {
    match json {
        Json::Array(all) if into.len() < 20_000 => all.iter().for_each(|json| collect(json, into)),
        Json::Object(all) if into.len() < 20_000 => all.values().for_each(|json| collect(json, into)),
        _ => {}
    }
    if json.to_string().len() < 2_000 {
        into.push(json.clone());
    }
}

/// Puts something else in the place of a part.
fn replace_part(json: &mut Json, dice: &mut Dice, values: &[Json]) {
    let inside: Vec<&mut Json> = match json {
        Json::Array(all) => all.iter_mut().collect(),
        Json::Object(all) => all.values_mut().collect(),
        _ => Vec::new(),
    };
    let n = inside.len();
    match inside.into_iter().nth(dice.below(n + 1)) {
        Some(part) => replace_part(part, dice, values),
        None => match (json, dice.below(4)) {
            (Json::Array(all), 0) => {
                let again = all.clone();
                all.extend(again);
            }
            (Json::Array(all), 1) => drop(all.pop()),
            (Json::Object(all), 0 | 1) => {
                let key = all.keys().nth(dice.below(all.len())).cloned();
                key.and_then(|key| all.remove(&key));
            }
            (json, _) => *json = dice.pick(values).clone(),
        },
    }
}

/// Changes bytes, and makes text of it again.
fn break_text(text: &str, dice: &mut Dice) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for _ in 0..=dice.below(3) {
        let at = dice.below(bytes.len());
        let to = (at + dice.below(12)).min(bytes.len());
        match dice.below(5) {
            0 if at < bytes.len() => bytes[at] = *dice.pick(b"\"\\{}[]:,0-e.u\xff "),
            1 => drop(bytes.drain(at..to)),
            2 => {
                let piece = bytes[at..to].to_vec();
                bytes.splice(at..at, piece);
            }
            3 => bytes.truncate(at),
            _ => drop(bytes.splice(at..to, (0..dice.below(40)).map(|_| b'[').collect::<Vec<_>>())),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What is behind one subscription.
enum Reader {
    Rows { keeper: Box<Keeper>, seen: Vec<Row> },
    Events,
}

struct World<'s> {
    said: &'s Said,
    dice: Dice,
    now: Duration,
    machine: Machine,
    readers: BTreeMap<SubscriptionKey, Reader>,
    asked: Vec<(SubscriptionKey, AskId, String, Duration)>,
    attempt: Option<AttemptId>,
    link: Option<LinkId>,
    /// Ids on the wire, and how much of its stream each was told.
    ids: Vec<(String, usize)>,
    /// Which stream a subscription is of, by its name.
    streams: BTreeMap<String, usize>,
    /// Of what the machine was given last.
    text: String,
    /// Its bytes were changed.
    broken: bool,
    taken: u64,
    proven: u64,
    deferred: u64,
}

impl<'s> World<'s> {
    fn new(said: &'s Said, seed: u64) -> Self {
        let urls = vec!["ws://a".into(), "ws://b".into()];
        let config = Config { urls, seed, messages_per_second: 1_000, ..Config::default() };
        Self {
            said,
            dice: Dice(fastrand::Rng::with_seed(seed)),
            now: Duration::from_secs(1_000),
            machine: Machine::new(config).expect("a machine"),
            readers: BTreeMap::new(),
            asked: Vec::new(),
            attempt: None,
            link: None,
            ids: Vec::new(),
            streams: BTreeMap::new(),
            text: String::new(),
            broken: false,
            taken: 0,
            proven: 0,
            deferred: 0,
        }
    }

    fn subscribe(&mut self) {
        let stream = self.dice.below(self.said.streams.len());
        let sql = check_live(&self.said.streams[stream].0, &[], None).expect("live SQL");
        let rows = self.dice.below(3) > 0;
        let last_rows = self.dice.one_in(4).then_some(3);
        let request = SubscribeRequest {
            id: None,
            sql: sql.clone(),
            options: SubscribeOptions { last_rows, ..SubscribeOptions::default() },
            old: OldValues::Keep,
            resume: if rows { Resume::Live } else { Resume::Cursor },
            decoding: if rows { Decoding::ByConnection } else { Decoding::ByReader },
        };
        let Ok(key) = self.machine.subscribe(self.now, request) else { return };
        let name = self.machine.subscriptions().find(|s| s.key == key).expect("it is open").id;
        self.streams.insert(name.to_string(), stream);
        let reader = if rows {
            let limit = self.dice.one_in(3).then_some(2);
            let view =
                LiveView::new(LiveOptions { limit, partial: self.dice.one_in(3), ..LiveOptions::default() });
            let options = KeeperOptions { last_rows, ..KeeperOptions::default() };
            let mut keeper = Keeper::new(sql, options, view.expect("options"));
            keeper.connected(false, "root");
            Reader::Rows { keeper: Box::new(keeper), seen: Vec::new() }
        } else {
            Reader::Events
        };
        self.readers.insert(key, reader);
    }

    fn step(&mut self) {
        if matches!(self.machine.state(), ConnectionState::Closed { .. }) {
            // Given up, since too much could not be read.
            self.machine.connect(self.now).expect("it is not closed for good");
        }
        match self.dice.below(20) {
            0 => self.now += Duration::from_millis(self.dice.next() % 20_000),
            1 => {
                self.now += Duration::from_millis(self.dice.next() % 400);
                for reader in self.readers.values_mut() {
                    if let Reader::Rows { keeper, .. } = reader {
                        keeper.handle_watch_state(self.now, self.dice.one_in(2));
                    }
                }
            }
            2 if self.dice.one_in(4) => self.lose(),
            3 if self.readers.len() < 4 => self.subscribe(),
            4..8 if !self.asked.is_empty() => self.answer(),
            _ => self.frame(),
        }
        self.machine.handle_timeout(self.now);
        self.settle();
    }

    fn lose(&mut self) {
        let Some(link) = self.link else { return };
        let code = *self.dice.pick(&[None, Some(1000), Some(1008), Some(1011), Some(1013), Some(4000)]);
        self.machine.handle_closed(self.now, link, LinkEnd::Closed { code, reason: "no".into() });
    }

    fn frame(&mut self) {
        let Some(link) = self.link else { return };
        let mut frame = self.dice.pick(&self.said.frames).clone();
        // Mostly of the latest subscriptions, and what comes next there.
        let latest = self.ids.len().saturating_sub(4);
        let at = latest + self.dice.below(self.ids.len() - latest);
        if let Some((id, told)) = self.ids.get_mut(at)
            && !self.dice.one_in(12)
        {
            let name = id.rsplit_once('_').map_or("", |(name, _)| name);
            let (_, stream) = &self.said.streams[self.streams[name]];
            if !self.dice.one_in(6) {
                let next = if *told < stream.len() { *told } else { 1 + self.dice.below(stream.len() - 1) };
                frame = stream[next].clone();
                *told += 1;
            }
            frame["subscription_id"] = id.clone().into();
        }
        if self.dice.one_in(8) {
            replace_part(&mut frame, &mut self.dice, &self.said.values);
        }
        self.text = frame.to_string();
        // As servers write it: what is looked at without decoding begins so.
        if let Some(rest) = frame.as_object_mut()
            && let (Some(kind), Some(id)) = (rest.remove("type"), rest.remove("subscription_id"))
        {
            let change =
                rest.remove("change_type").map(|c| format!(r#""change_type":{c},"#)).unwrap_or_default();
            let rest = serde_json::to_string(rest).expect("JSON");
            self.text = format!(r#"{{"type":{kind},"subscription_id":{id},{change}{}"#, &rest[1..]);
        }
        self.broken = self.dice.one_in(30);
        if self.broken {
            self.text = break_text(&self.text, &mut self.dice);
        }
        if self.dice.one_in(30) {
            let json: Json = serde_json::from_str(&self.text).unwrap_or_default();
            let mut pack = rmp_serde::to_vec(&json).expect("MessagePack");
            let at = self.dice.below(pack.len());
            pack[at] ^= (self.dice.next() % 256) as u8;
            self.machine.handle_frame(self.now, link, RawFrame::Binary(&pack));
            return;
        }
        let text = std::mem::take(&mut self.text);
        self.machine.handle_frame(self.now, link, RawFrame::Text(&text));
        self.text = text;
    }

    fn answer(&mut self) {
        let at = self.dice.below(self.asked.len());
        let (key, id, sql, sent) = self.asked.swap_remove(at);
        let Some(Reader::Rows { keeper, .. }) = self.readers.get_mut(&key) else { return };
        if !self.dice.one_in(3) {
            let results = nearly_right(keeper, &sql, &mut self.dice);
            return keeper.handle_answer(self.now, id, sent, 100, Ok(results));
        }
        let mut body = self.dice.pick(&self.said.answers).clone();
        if self.dice.one_in(3) {
            replace_part(&mut body, &mut self.dice, &self.said.values);
        }
        let mut text = reordered(&body);
        if self.dice.one_in(8) {
            text = break_text(&text, &mut self.dice);
        }
        let request = SqlRequest { sql: &sql, params: &[], namespace: None };
        let result = if self.dice.one_in(6) {
            Err(Error::new(
                *self.dice.pick(&[ErrorCode::NotFound, ErrorCode::InvalidSql, ErrorCode::Timeout]),
                "no",
            ))
        } else {
            decode_sql_response(200, text.as_bytes(), &request)
        };
        keeper.handle_answer(self.now, id, sent, text.len() as u64, result);
    }

    fn settle(&mut self) {
        // Each frame, answer or deadline leads to few things to do, and those to no others without end.
        for round in 0.. {
            assert!(round < 50, "things to do without end");
            let mut done = true;
            while let Some(action) = self.machine.poll_action() {
                done = false;
                self.act(action);
            }
            while let Some(event) = self.machine.poll_event() {
                done = false;
                if let Event::Subscription { key, event } = event {
                    self.tell(key, event);
                }
            }
            for key in self.readers.keys().copied().collect::<Vec<_>>() {
                done &= !self.tend(key);
            }
            if done {
                break;
            }
        }
        let keepers = self.readers.values().filter(|r| matches!(r, Reader::Rows { .. })).count();
        assert!(self.asked.len() <= 2 * keepers + 8, "{} questions of {keepers} keepers", self.asked.len());
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::FetchCredentials { attempt, .. } => {
                self.attempt = Some(attempt);
                self.link = None;
                self.machine.handle_credentials(self.now, attempt, Ok(Some(Token::new("T"))));
            }
            Action::OpenLink { link, .. } => {
                self.link = Some(link);
                self.machine.handle_opened(self.now, link);
                if !self.dice.one_in(10) {
                    let hello = r#"{"type":"auth_success","user":"root","role":"system"}"#;
                    self.machine.handle_frame(self.now, link, RawFrame::Text(hello));
                    self.asked.clear();
                    for reader in self.readers.values_mut() {
                        if let Reader::Rows { keeper, .. } = reader {
                            keeper.connected(false, "root");
                        }
                    }
                }
            }
            Action::Send { text, .. } => {
                let message: Json = serde_json::from_str(&text).expect("JSON");
                if let Some(id) = message["subscription"]["id"].as_str() {
                    self.ids.push((id.to_owned(), 0));
                }
            }
            Action::CloseLink { .. } => self.link = None,
            Action::Ping { link } => self.machine.handle_pong(link),
        }
    }

    fn tell(&mut self, key: SubscriptionKey, event: SubscriptionEvent) {
        match self.readers.get_mut(&key) {
            Some(Reader::Rows { keeper, .. }) => match keeper.handle_event(self.now, event) {
                Outcome::Fine => {}
                Outcome::StartAnew => self.machine.restart(self.now, key, Restart::Fresh),
                Outcome::Refused => self.machine.unsubscribe(self.now, key),
                Outcome::Over => drop(self.readers.remove(&key)),
            },
            Some(Reader::Events) => match event {
                SubscriptionEvent::Deferred(deferred) => {
                    self.deferred += 1;
                    // What was left to the reader is what the connection would have seen.
                    match decode(RawFrame::Text(&self.text), &*deferred.plan, &Limits::default()) {
                        Ok(ServerFrame::Change(change)) => {
                            let greatest = change.rows.iter().filter_map(Row::version).max();
                            // A cell that is an object may hold the name of the version; no server writes one.
                            if !self.broken && is_flat(&self.text) {
                                assert_eq!(greatest, Some(deferred.version), "{}", self.text);
                            }
                        }
                        Ok(other) => panic!("{other:?}"),
                        Err(error) => {
                            let from = Restart::From(SeqId::from(7).into());
                            self.machine.reject(self.now, key, from, error.into());
                        }
                    }
                }
                SubscriptionEvent::Failed(_) | SubscriptionEvent::Ended => drop(self.readers.remove(&key)),
                _ => {}
            },
            None => {}
        }
    }

    /// Returns whether it did anything.
    fn tend(&mut self, key: SubscriptionKey) -> bool {
        let Some(Reader::Rows { keeper, seen }) = self.readers.get_mut(&key) else { return false };
        if keeper.next_timeout().is_some_and(|at| at <= self.now) {
            keeper.handle_timeout(self.now);
        }
        let mut did = false;
        while let Some(ask) = keeper.poll_ask() {
            did = true;
            match ask {
                Ask::Query { id, sql } => self.asked.push((key, id, sql, self.now)),
                Ask::Restart => self.machine.restart(self.now, key, Restart::Fresh),
                Ask::End => self.machine.unsubscribe(self.now, key),
            }
        }
        while keeper.poll_report().is_some() {}
        let c = keeper.take_counters();
        self.proven += c.proven + c.rows_added + c.rows_changed + c.rows_removed;
        let holds = keeper.holds();
        assert!(holds.changes <= 1_000 && holds.doubts < 5_000 && holds.touched <= 50_000, "{holds:?}");
        if !self.dice.one_in(3) {
            return did;
        }
        if let Some(Ok(rows)) = keeper.view_mut().take() {
            self.taken += 1;
            follow(seen, rows.changes(), &rows.iter().cloned().collect::<Vec<_>>());
        }
        did
    }
}

/// Whether the rows of a frame have no cell that is an object or array itself.
fn is_flat(frame: &str) -> bool {
    let frame: Json = serde_json::from_str(frame).unwrap_or_default();
    let rows = ["rows", "old_values"].into_iter().filter_map(|name| frame[name].as_array()).flatten();
    rows.filter_map(Json::as_object)
        .flat_map(|row| row.values())
        .all(|cell| !cell.is_object() && !cell.is_array())
}

/// What a server could answer that has about the same rows.
fn nearly_right(keeper: &Keeper, sql: &str, dice: &mut Dice) -> Vec<StatementResult> {
    let view = keeper.view();
    let held = view.held_keys().filter_map(|key| Some(view.held(&key)?.row.clone()));
    let mut rows: Vec<Vec<Value>> = Vec::new();
    for row in held {
        let version = row.version().map_or(Value::Null, |version| version.get().into());
        let mut cells: Vec<Value> = row.all_values().iter().cloned().chain([version]).collect();
        if dice.one_in(6) {
            let at = dice.below(cells.len());
            cells[at] = if dice.one_in(3) { Value::Null } else { (dice.next() as i64).into() };
        }
        if !dice.one_in(6) {
            rows.push(cells);
        }
    }
    let mut columns: Vec<Column> = view.schema().map(|s| s.all_columns().to_vec()).unwrap_or_default();
    columns.push(Column::new("_seq", DataType::BigInt));
    let result = |columns: Vec<Column>, rows: Vec<Vec<Value>>| {
        let schema = Schema::new(columns);
        let rows: Vec<Row> = rows.into_iter().map(|cells| Row::new(schema.clone(), cells, None)).collect();
        let row_count = rows.len() as u64;
        StatementResult { schema, rows, row_count, message: None, as_user: Some("root".into()) }
    };
    if sql.contains("bit_xor") {
        let digest = view.digest().filter(|_| !dice.one_in(3)).unwrap_or_default();
        let cells = vec![(digest.rows as i64).into(), (dice.next() as i64).into(), digest.mix.into()];
        let numbers = ["n", "m", "x"].map(|name| Column::new(name, DataType::BigInt));
        return vec![result(numbers.into(), vec![cells]), result(columns, rows)];
    }
    // The first page, or what is behind it.
    let is_behind = sql.contains(" > ") && !dice.one_in(4);
    vec![result(columns, if is_behind { Vec::new() } else { rows })]
}

/// With the schema of a result before its rows, as servers write it.
fn reordered(body: &Json) -> String {
    let Some(results) = body["results"].as_array() else { return body.to_string() };
    let results: Vec<String> = results
        .iter()
        .map(|result| {
            let Some(object) = result.as_object() else { return result.to_string() };
            let order = |name: &str| usize::from(name != "schema");
            let mut fields: Vec<_> = object.iter().collect();
            fields.sort_by_key(|(name, _)| order(name));
            let fields: Vec<_> = fields.iter().map(|(name, value)| format!("{name:?}:{value}")).collect();
            format!("{{{}}}", fields.join(","))
        })
        .collect();
    format!(r#"{{"status":{},"results":[{}]}}"#, body["status"], results.join(","))
}

fn follow(seen: &mut Vec<Row>, changes: &Changes, rows: &[Row]) {
    match changes {
        Changes::Reset => *seen = rows.to_vec(),
        Changes::List(list) => {
            for change in list.iter() {
                match change {
                    Change::Insert { index, row } => seen.insert(*index, row.clone()),
                    Change::Update { index, old, row } => {
                        assert!(seen[*index].ptr_eq(old));
                        seen[*index] = row.clone();
                    }
                    Change::Remove { index, row } => assert!(seen.remove(*index).ptr_eq(row)),
                }
            }
        }
    }
    assert!(seen.len() == rows.len() && seen.iter().zip(rows).all(|(a, b)| a.ptr_eq(b)));
}

#[test]
fn nothing_that_a_server_says_breaks_the_client() {
    let seeds = std::env::var("FUZZ_SEEDS").ok().and_then(|n| n.parse().ok()).unwrap_or(150);
    let said = Said::read();
    let mut seen = [0; 3];
    for seed in 0..seeds {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(&said, seed);
            world.machine.connect(world.now).expect("it is open");
            world.settle();
            for _ in 0..STEPS {
                world.step();
            }
            world.machine.close();
            world.settle();
            assert!(world.readers.is_empty(), "each is told of the end");
            assert_eq!(world.machine.next_timeout(), None);
            [world.taken, world.proven, world.deferred]
        });
        let run = run.unwrap_or_else(|_| panic!("seed {seed}"));
        seen.iter_mut().zip(run).for_each(|(all, one)| *all += one);
    }
    // Rows were shown all the same, put right by answers, and read by those they were left to.
    assert!(seen.iter().all(|n| *n > seeds / 2), "{seen:?}");
}
