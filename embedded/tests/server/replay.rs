//! Recordings of a real KalamDB server, played against this one: what was sent is sent, what was received is
//! expected, but for the differences that are listed here with their reasons.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use kalam_embedded::{Limits, Options};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::files::upload;
use crate::support::{Answer, Got, Server, Ws, is_error, options, request};

/// Where this server answers otherwise, on purpose.
pub(crate) struct Difference {
    /// The frames concerned: those of this subscription...
    pub(crate) subscription: &'static str,
    /// ...that follow the first action (SQL, message, note) with this text.
    pub(crate) after: &'static str,
    /// What comes instead. `"*"` stands for any value, and other fields may be there.
    pub(crate) instead: Vec<Value>,
    pub(crate) why: &'static str,
}

/// The end of an UPDATE that KalamDB does not count for a row whose `n` is and stays NULL.
pub(crate) const KEEPS_A_NULL: &str = "SET n = n + 100 WHERE s = 'open'";

/// Statements that are answered otherwise here: `engine/replay.rs` says why.
const OTHER_ANSWERS: &[&str] = &[
    "CREATE TABLE w288de9.comp ",
    "CREATE TABLE w288de9.nope ",
    "SELECT * FROM system.",
    "SELECT table_name, table_type FROM system.tables",
    "SHOW ",
];

/// An unrecorded part of a recording, by the note that stands for it.
pub(crate) type Aside =
    for<'a> fn(&'a mut Player, &'a str) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>>;

pub(crate) struct Player {
    pub(crate) server: Server,
    pub(crate) sockets: HashMap<String, Ws>,
    /// Recorded `_seq` to ours.
    seqs: HashMap<i64, i64>,
    /// What the client did last.
    pub(crate) action: String,
    /// What the recording says that it tries.
    note: String,
    differences: Vec<Difference>,
    used: Vec<bool>,
    /// The server behaves like the recorded one: no word more, rows in the same order, cursors where they were.
    strict: bool,
    /// The last `_seq` of each subscription's changes, which may only grow.
    newest: HashMap<(String, String), i64>,
    /// Who has logged in besides root.
    tokens: HashMap<String, String>,
}

impl Player {
    async fn play(name: &str, limits: Limits, differences: Vec<Difference>, prepare: &[&str], aside: Aside) {
        // Recorded with the server's defaults, which the tests need not wait for.
        let heartbeat_timeout = Duration::from_secs(4);
        let options = Options { limits, heartbeat_timeout, ..options() };
        Self::play_on(options, name, differences, prepare, aside).await;
    }

    /// Plays a recording; `prepare` runs after the first CREATE TABLE, for rows that were written unrecorded.
    pub(crate) async fn play_on(
        options: Options,
        name: &str,
        differences: Vec<Difference>,
        prepare: &[&str],
        aside: Aside,
    ) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/wire").join(name);
        let lines =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let events: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let strict = options.emulate.is_some();
        let server = Server::with(options).await;
        let used = vec![false; differences.len()];
        let mut player = Self {
            server,
            sockets: HashMap::new(),
            seqs: HashMap::new(),
            action: String::new(),
            note: String::new(),
            differences,
            used,
            strict,
            newest: HashMap::new(),
            tokens: HashMap::new(),
        };
        let mut at = 0;
        let mut prepare = Some(prepare);
        while at < events.len() {
            let event = &events[at];
            at += 1;
            if event["via"] == "http" {
                player.http(event).await;
                let created =
                    event["request"]["sql"].as_str().is_some_and(|sql| sql.starts_with("CREATE TABLE"));
                for sql in prepare.take_if(|_| created).unwrap_or_default() {
                    player.server.sql(sql).await;
                }
            } else if let Some(note) = event["note"].as_str() {
                player.note = note.to_owned();
                aside(&mut player, note).await;
            } else if event["event"] == "open" {
                player.open(event).await;
            } else if event["dir"] == "send" {
                player.send(event).await;
            }
            // What is received until the next action, in whatever order.
            let mut received = Vec::new();
            while at < events.len() && (events[at]["dir"] == "recv" || events[at]["event"] == "closed") {
                received.push(&events[at]);
                at += 1;
            }
            // A frame may have been noted before the answer of the statement that caused it.
            player.receive(&received).await;
        }
        player.nothing_is_left().await;
        for (difference, used) in player.differences.iter().zip(player.used) {
            assert!(used, "this difference did not show: {}", difference.why);
        }
    }

    async fn http(&mut self, event: &Value) {
        let (method, path) = (event["method"].as_str().unwrap(), event["path"].as_str().unwrap());
        let mut body = event["request"].clone();
        if let Some(sql) = body["sql"].as_str().map(str::to_owned) {
            body["sql"] = json!(self.ours_in(&sql));
            self.action = sql;
        }
        // Who asked is not recorded, but whose rights were used is.
        let user = match body["sql"].as_str().is_some_and(|sql| sql.starts_with("EXECUTE AS USER 'bob")) {
            true => Some("alice288de9"),
            false => event["response"]["results"][0]["as_user"].as_str(),
        };
        let token = match (event["status"].as_u64(), event["response"]["error"]["code"].as_str()) {
            (_, Some("MISSING_AUTHORIZATION")) => None,
            (_, Some("INVALID_CREDENTIALS")) => Some("nonsense".to_owned()),
            _ => Some(self.token_of(user.unwrap_or("root")).to_owned()),
        };
        let answer = if body.is_string() {
            self.action = "multipart".to_owned();
            self.upload().await
        } else {
            let body = (!body.is_null()).then_some(&body);
            request(self.server.port(), method, path, token.as_deref(), body).await
        };
        if let (Some(user), Some(token)) = (body["user"].as_str(), answer.body["access_token"].as_str()) {
            self.tokens.insert(user.to_owned(), token.to_owned());
        }
        if OTHER_ANSWERS.iter().any(|start| self.action.starts_with(start)) {
            return;
        }
        let (recorded, ours) = (&event["response"], &answer.body);
        assert_eq!(u64::from(answer.status), event["status"].as_u64().unwrap(), "{event}\n{ours}");
        if path == "/v1/api/sql" {
            // The statements themselves are held against the recordings in the tests of the engine.
            assert_eq!(ours["status"], recorded["status"], "{event}");
            assert_eq!(ours["error"]["code"], recorded["error"]["code"], "{event}");
            // The results of a transaction come in the order of its statements here, and one for each.
            // So are the rows that an UPDATE leaves as they were.
            let is_other = self.action.starts_with("BEGIN") || self.action.ends_with(KEEPS_A_NULL);
            if token.is_some() && !is_other {
                assert_eq!(results(ours), results(recorded), "{event}\n{ours}");
            }
        } else {
            assert_eq!(names(ours, path), names(recorded, path), "{event}\n{ours}");
            assert_eq!(ours["error"], recorded["error"], "{event}");
            assert_eq!(ours["message"], recorded["message"], "{event}");
        }
    }

    fn token_of(&self, user: &str) -> &str {
        self.tokens.get(user).unwrap_or(&self.server.root)
    }

    /// The upload of `wire_types`, whose parts were summed up: the change that follows shows what they were.
    async fn upload(&self) -> Answer {
        let sql = r#"INSERT INTO w288de9.wt (id, f) VALUES ('3', FILE("up"))"#;
        let file = ("up", "a b.txt", "text/plain", &b"x"[..]);
        upload(&self.server, &self.server.root, sql, &[file]).await
    }

    async fn open(&mut self, event: &Value) {
        let token = (event["header_auth"] == true).then(|| self.server.root.clone());
        let query = event["query"].as_str().unwrap_or_default();
        let ws = Ws::open(self.server.port(), &format!("/v1/ws{query}"), token.as_deref()).await;
        self.sockets.insert(event["via"].as_str().unwrap().to_owned(), ws);
        self.action = "open".to_owned();
    }

    async fn send(&mut self, event: &Value) {
        let frame = &event["frame"];
        self.action = frame.to_string();
        let message = if let Some(text) = frame.as_str() {
            Message::text(text)
        } else if frame["binary_hex"] == "0001" {
            Message::binary(vec![0u8, 1])
        } else {
            let mut frame = frame.clone();
            if frame["type"] == "authenticate" {
                // The tokens were redacted; the note tells the bad one.
                let good = self.note != "bad token";
                let via = event["via"].as_str().unwrap_or_default();
                let user = format!("{}288de9", via.strip_prefix("ws-").unwrap_or_default());
                frame["token"] = json!(if good { self.token_of(&user) } else { "nonsense" });
            }
            Message::text(self.ours_in(&frame.to_string()))
        };
        let ws = self.sockets.get_mut(event["via"].as_str().unwrap()).expect("an open socket");
        ws.send_raw(message).await;
        if frame["type"] == "unsubscribe" {
            // It is not answered, so a second passed in the recording. This is answered.
            ws.authenticate("").await;
            assert_eq!(ws.frame().await["type"], "auth_success");
        }
    }

    /// Recorded cursors in a text become ours.
    fn ours_in(&self, text: &str) -> String {
        self.seqs.iter().fold(text.to_owned(), |text, (recorded, ours)| {
            text.replace(&recorded.to_string(), &ours.to_string())
        })
    }

    async fn receive(&mut self, recorded: &[&Value]) {
        let mut frames: HashMap<&str, Vec<Value>> = HashMap::new();
        for event in recorded.iter().filter(|event| event["dir"] == "recv") {
            frames.entry(event["via"].as_str().unwrap()).or_default().push(event["frame"].clone());
        }
        for (difference, used) in self.differences.iter().zip(&mut self.used) {
            if !*used && self.action.contains(difference.after) {
                let here = frames.entry("ws").or_default();
                here.retain(|frame| frame["subscription_id"] != difference.subscription);
                here.extend(difference.instead.iter().cloned());
                *used = true;
            }
        }
        for (via, expected) in frames {
            self.frames(via, expected).await;
        }
        for event in recorded.iter().filter(|event| event["event"] == "closed") {
            self.close(event["via"].as_str().unwrap(), event).await;
        }
    }

    async fn frames(&mut self, via: &str, mut expected: Vec<Value>) {
        while !expected.is_empty() {
            let frame = match self.sockets.get_mut(via).expect("an open socket").next().await {
                Got::Frame(frame) => frame,
                end => panic!("{end:?} after {}\nmissing: {expected:#?}", self.action),
            };
            let mut seqs = Vec::new();
            let place = expected.iter().position(|recorded| {
                seqs.clear();
                same(recorded, &frame, self.strict, &mut seqs)
            });
            let Some(place) = place else {
                panic!("after {}\nnot expected: {frame}\nexpected one of: {expected:#?}", self.action)
            };
            expected.remove(place);
            self.seqs.extend(seqs);
            if frame["type"] == "change" {
                self.in_order(via, &frame);
            }
        }
    }

    /// Changes come in the order of their versions, within a subscription.
    fn in_order(&mut self, via: &str, frame: &Value) {
        let row = if frame["rows"].is_array() { &frame["rows"][0] } else { &frame["old_values"][0] };
        let seq = row["_seq"].as_str().and_then(|seq| seq.parse::<i64>().ok()).expect("a version");
        let key = (via.to_owned(), frame["subscription_id"].as_str().unwrap_or_default().to_owned());
        let before = self.newest.insert(key, seq);
        assert!(before.is_none_or(|before| before < seq), "after {}: {frame} comes late", self.action);
    }

    /// Every frame was expected, the last ones too.
    async fn nothing_is_left(&mut self) {
        for ws in self.sockets.values_mut() {
            if ws
                .try_send(Message::text(json!({ "type": "authenticate", "token": "" }).to_string()))
                .await
                .is_ok()
                && let Got::Frame(frame) = ws.next().await
            {
                assert_eq!(frame["type"], "auth_success", "after everything: {frame}");
            }
        }
    }

    async fn close(&mut self, via: &str, event: &Value) {
        let got = self.sockets.get_mut(via).expect("an open socket").next().await;
        let expected = match (event["code"].as_u64(), event["reason"].as_str()) {
            (Some(code), Some(reason)) => Got::Close(code as u16, self.ours_in(reason)),
            _ => Got::Lost,
        };
        assert_eq!(got, expected, "after {}", self.action);
    }
}

/// Whether `ours` is what was recorded. Numbers of versions are matched up, not compared.
fn same(recorded: &Value, ours: &Value, strict: bool, seqs: &mut Vec<(i64, i64)>) -> bool {
    match (recorded, ours) {
        (Value::String(any), _) if any == "*" => true,
        (Value::Object(recorded), Value::Object(ours)) => {
            // `auth_success` announces this server; nothing else has more fields than recorded.
            let announces = !strict && ours.contains_key("server") && !recorded.contains_key("server");
            ours.len() == recorded.len() + usize::from(announces)
                && recorded.iter().all(|(name, recorded)| {
                    let Some(ours) = ours.get(name) else { return false };
                    match (name.as_str(), recorded, ours) {
                        ("_seq", Value::String(recorded), Value::String(ours)) if recorded != "*" => {
                            pair(recorded.parse().ok(), ours.parse().ok(), seqs)
                        }
                        // A subscription without a snapshot is told its cursor here, so that it can resume.
                        ("last_seq_id", Value::Null, Value::Number(_)) => !strict,
                        ("last_seq_id", Value::Number(recorded), Value::Number(ours)) => {
                            pair(recorded.as_i64(), ours.as_i64(), seqs)
                        }
                        // A file has an id of its own.
                        ("f", Value::String(recorded), Value::String(ours)) => {
                            let file = |text: &str| serde_json::from_str::<Value>(text).ok();
                            let mut files = [file(recorded), file(ours)];
                            for file in files.iter_mut().flatten() {
                                file["id"] = json!("*");
                            }
                            files[0] == files[1]
                        }
                        // The table has `ts TIMESTAMP DEFAULT NOW()`.
                        ("ts", Value::Number(_), Value::Number(_)) => true,
                        // Snapshots came in the order of keys, ours come in the order of versions.
                        ("rows", Value::Array(recorded), Value::Array(ours)) if !strict => {
                            let mut left: Vec<&Value> = ours.iter().collect();
                            recorded.len() == ours.len()
                                && recorded.iter().all(|row| {
                                    let place = left.iter().position(|ours| {
                                        let mut these = Vec::new();
                                        let found = same(row, ours, strict, &mut these);
                                        if found {
                                            seqs.extend(these);
                                        }
                                        found
                                    });
                                    place.map(|place| left.remove(place)).is_some()
                                })
                        }
                        _ => same(recorded, ours, strict, seqs),
                    }
                })
        }
        (Value::Array(recorded), Value::Array(ours)) => {
            recorded.len() == ours.len()
                && recorded.iter().zip(ours).all(|(recorded, ours)| same(recorded, ours, strict, seqs))
        }
        _ => recorded == ours,
    }
}

fn pair(recorded: Option<i64>, ours: Option<i64>, seqs: &mut Vec<(i64, i64)>) -> bool {
    let (Some(recorded), Some(ours)) = (recorded, ours) else { return false };
    seqs.push((recorded, ours));
    true
}

/// Row counts and column names of each result. (A column that was added later comes after `_deleted` there.)
fn results(body: &Value) -> Vec<(Value, Vec<String>)> {
    let results = body["results"].as_array().cloned().unwrap_or_default();
    let columns = |result: &Value| {
        let columns = result["schema"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<String> = columns.iter().map(|column| column["name"].to_string()).collect();
        names.sort();
        names
    };
    results.iter().map(|result| (result["row_count"].clone(), columns(result))).collect()
}

/// The names of the fields, but for those that this server adds.
fn names(body: &Value, path: &str) -> Vec<String> {
    let mut names: Vec<String> =
        body.as_object().map(|body| body.keys().cloned().collect()).unwrap_or_default();
    if path.contains("health") {
        names.retain(|name| name != "server" && name != "complete");
    }
    names.sort();
    names
}

pub(crate) fn nothing<'a>(_: &'a mut Player, _: &'a str) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(async {})
}

fn ack(id: &str) -> Value {
    json!({
        "type": "subscription_ack", "subscription_id": id, "total_rows": 0, "schema": "*",
        "batch_control": { "batch_num": 0, "has_more": false, "status": "ready", "last_seq_id": "*" },
    })
}

fn batch(id: &str, rows: Value) -> Value {
    json!({
        "type": "initial_data_batch", "subscription_id": id, "rows": rows,
        "batch_control": { "batch_num": 0, "has_more": false, "status": "ready", "last_seq_id": "*" },
    })
}

fn insert(id: &str, row: Value) -> Value {
    json!({ "type": "change", "subscription_id": id, "change_type": "insert", "rows": [row] })
}

fn error(id: &str, code: &str) -> Value {
    json!({ "type": "error", "subscription_id": id, "code": code, "message": "*" })
}

#[tokio::test]
async fn auth() {
    Player::play("auth.jsonl", Limits::default(), vec![], &[], nothing).await;
}

#[tokio::test]
async fn live_basic() {
    let rows: Vec<String> = (0..25)
        .map(|n| {
            format!("INSERT INTO w288de9.msg (id,room,body,n) VALUES ('m{n:02}','main','hello {n}',{n})")
        })
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let row = |id: &str| json!({ "id": id, "_seq": "*" });
    let differences = vec![
        Difference {
            subscription: "last",
            after: "\"last_rows\":3",
            instead: vec![ack("last"), batch("last", json!([row("m22"), row("m23"), row("m24")]))],
            why: "last_rows are the newest ones, in ascending order",
        },
        Difference {
            subscription: "from",
            after: "\"from\":",
            instead: vec![ack("from"), batch("from", json!([])), insert("from", row("m24"))],
            why: "a resume is an empty batch and then changes",
        },
    ];
    Player::play("live_basic.jsonl", Limits::default(), differences, &rows, nothing).await;
}

#[tokio::test]
async fn limits() {
    // KalamDB's defaults.
    let limits = Limits { subscriptions_per_user: 10, messages_per_second: 50, ..Limits::default() };
    let differences = vec![Difference {
        subscription: "rate_limit",
        after: "80 messages at once",
        instead: vec![],
        why: "they are looked at where the messages are sent",
    }];
    Player::play("limits.jsonl", limits, differences, &[], limits_aside).await;
}

/// What was done for `limits.jsonl` without being recorded.
pub(crate) fn limits_aside<'a>(
    player: &'a mut Player,
    note: &'a str,
) -> std::pin::Pin<Box<dyn Future<Output = ()> + 'a>> {
    Box::pin(async move {
        match note {
            "80 messages at once" => {
                // A second has passed in the recording, and none of the messages before counts any more.
                tokio::time::sleep(Duration::from_secs(1)).await;
                // Pings in the recording. These are answered too, so all answers can be waited for.
                let ws = player.sockets.get_mut("ws").unwrap();
                let sent = Instant::now();
                for _ in 0..80 {
                    ws.send(&json!({ "type": "next_batch", "subscription_id": "none" })).await;
                }
                let recorded = json!({
                    "type": "error", "subscription_id": "rate_limit",
                    "code": "RATE_LIMIT_EXCEEDED", "message": "Too many messages",
                });
                let mut limited = 0;
                for _ in 0..80 {
                    match ws.frame().await {
                        frame if frame == recorded => limited += 1,
                        frame => assert!(is_error(&frame, "none", "BATCH_FETCH_FAILED"), "{frame}"),
                    }
                }
                // 30 in the recording; on a slow machine some find room again while they are on their way.
                let room = (sent.elapsed().as_secs_f64() * 50.0).ceil() as i32;
                assert!((30 - room..=30).contains(&limited), "{limited} of 80, and {room} found room");
                player.action = note.to_owned();
            }
            "a 2 MB message" => {
                let ws = player.sockets.get_mut("ws").unwrap();
                let _ = ws.try_send(Message::text("x".repeat(2 << 20))).await;
            }
            "silence: the server waits for a ping" => {
                let ws = Ws::open(player.server.port(), "/v1/ws", Some(&player.server.root)).await;
                player.sockets.insert("ws-silent".to_owned(), ws);
            }
            _ => {}
        }
    })
}

#[tokio::test]
async fn live_errors() {
    let worded = |subscription, after, code| Difference {
        subscription,
        after,
        instead: vec![error(subscription, code)],
        why: "the sentence is ours, the code is KalamDB's",
    };
    let differences = vec![
        worded("e2", "\"id\":\"e2\"", "SUBSCRIPTION_FAILED"),
        worded("e11", "\"id\":\"e11\"", "SUBSCRIPTION_FAILED"),
        Difference {
            subscription: "e11",
            after: "INSERT",
            instead: vec![],
            why: "an expression instead of a column is refused: its rows would carry nothing",
        },
    ];
    Player::play("live_errors.jsonl", Limits::default(), differences, &[], |player, note| {
        Box::pin(async move {
            if note == "unknown message type" {
                let frame = player.sockets.get_mut("ws").unwrap().frame().await;
                assert!(is_error(&frame, "dup", "NOT_FOUND"), "a dropped table is told: {frame}");
            }
        })
    })
    .await;
}

#[tokio::test]
async fn resume() {
    let rows: Vec<String> = ["a", "b", "c", "d", "e", "f"]
        .iter()
        .map(|id| format!("INSERT INTO w288de9.res (id,v) VALUES ('{id}','0')"))
        .collect();
    let rows: Vec<&str> = rows.iter().map(String::as_str).collect();
    let differences = vec![Difference {
        subscription: "r",
        after: "\"from\":",
        instead: vec![
            ack("r"),
            batch("r", json!([])),
            json!({
                "type": "change", "subscription_id": "r", "change_type": "update",
                "rows": [{ "id": "a", "v": "1", "_seq": "*" }], "old_values": "*",
            }),
            json!({
                "type": "change", "subscription_id": "r", "change_type": "delete",
                "old_values": [{ "id": "b", "v": "0", "_seq": "*" }],
            }),
            insert("r", json!({ "id": "g", "v": "0", "_seq": "*" })),
            insert("r", json!({ "id": "c", "v": "again", "_seq": "*" })),
        ],
        why: "a resume is an empty batch and then changes, deletes included",
    }];
    Player::play("resume.jsonl", Limits::default(), differences, &rows, nothing).await;
}

#[tokio::test]
async fn types() {
    Player::play("types.jsonl", Limits::default(), vec![], &[], nothing).await;
}

#[tokio::test]
async fn live_filter() {
    let mut differences = vec![
        Difference {
            subscription: "open",
            after: "SET status='closed' WHERE id='a'",
            instead: vec![json!({
                "type": "change", "subscription_id": "open", "change_type": "delete",
                "old_values": [{
                    "id": "a", "status": "open", "pri": 1, "note": null, "_deleted": true, "_seq": "*",
                }],
            })],
            why: "a row that leaves the filter is a delete",
        },
        Difference {
            subscription: "open",
            after: "SET status='closed' WHERE id='c'",
            instead: vec![json!({
                "type": "change", "subscription_id": "open", "change_type": "delete",
                "old_values": [{
                    "id": "c", "status": "open", "pri": 3, "note": null, "_deleted": true, "_seq": "*",
                }],
            })],
            why: "a row that leaves the filter is a delete",
        },
    ];
    for (subscription, after, key) in [
        ("f_in", "'k_in'", "k_in"),
        ("f_between", "'k_between'", "k_between"),
        ("f_isnull", "'k_isnull'", "k_isnull"),
        ("f_func", "'k_func'", "k_func"),
        ("f_textcmp", "'k_textcmp'", "k_textcmp"),
        ("f_cast", "'k_cast'", "k_cast"),
    ] {
        let row = json!({ "id": key, "status": "open", "pri": 4, "_seq": "*" });
        let why = "every filter is evaluated, not only those that KalamDB's live evaluator knows";
        differences.push(Difference { subscription, after, instead: vec![insert(subscription, row)], why });
    }
    Player::play("live_filter.jsonl", Limits::default(), differences, &[], nothing).await;
}
