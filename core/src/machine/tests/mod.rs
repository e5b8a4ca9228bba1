//! Transcripts: inputs with virtual time, and what must come out, one line for each action and event.

mod arbitrary;
mod auth;
mod deferred;
mod every_state;
mod limits;
mod liveness;
mod resume;
mod snapshot;

use std::time::Duration;

use serde_json::{Value as Json, json};

use super::*;
use crate::protocol::{ChangeKind, RawFrame};
use crate::row::Row;
use crate::sql::check_live;

const URLS: [&str; 2] = ["ws://a", "ws://b"];

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A machine, a clock, and the names of what is under way.
struct Rig {
    machine: Machine,
    now: Time,
    attempt: Option<AttemptId>,
    link: Option<LinkId>,
}

impl Rig {
    fn new(change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config { urls: vec![URLS[0].into()], seed: 1, ..Config::default() };
        change(&mut config);
        Self { machine: Machine::new(config).expect("config"), now: ms(1_000_000), attempt: None, link: None }
    }

    /// Connected to a server that announces nothing, or `server`.
    fn online(change: impl FnOnce(&mut Config), server: Option<Json>) -> Self {
        let mut rig = Self::new(change);
        rig.connect();
        rig.log();
        rig.open(server);
        rig.log();
        rig
    }

    fn connect(&mut self) {
        self.machine.connect(self.now).expect("not closed");
    }

    /// From `FetchCredentials` to `auth_success`.
    fn open(&mut self, server: Option<Json>) {
        self.token(Ok(Some(Token::new("T"))));
        self.opened();
        self.greet(server);
    }

    fn token(&mut self, result: Result<Option<Token>>) {
        let attempt = self.attempt.expect("credentials were asked for");
        self.machine.handle_credentials(self.now, attempt, result);
        self.collect();
    }

    fn opened(&mut self) {
        self.machine.handle_opened(self.now, self.link.expect("a link was asked for"));
    }

    fn greet(&mut self, server: Option<Json>) {
        let mut frame = json!({"type": "auth_success", "user": "root", "role": "system",
            "protocol": {"serialization": "json", "compression": "gzip"}});
        if let Some(server) = server {
            frame["server"] = server;
        }
        self.recv(frame);
    }

    fn recv(&mut self, frame: Json) {
        self.recv_text(&frame.to_string());
    }

    fn recv_text(&mut self, frame: &str) {
        let link = self.link.expect("a link was asked for");
        self.machine.handle_frame(self.now, link, RawFrame::Text(frame));
    }

    fn end(&mut self, end: LinkEnd) {
        self.machine.handle_closed(self.now, self.link.expect("a link was asked for"), end);
    }

    fn cut(&mut self) {
        self.end(LinkEnd::Failed(Error::new(ErrorCode::Disconnected, "reset")));
    }

    fn close_frame(&mut self, code: u16, reason: &str) {
        self.end(LinkEnd::Closed { code: Some(code), reason: reason.into() });
    }

    /// Lets time pass, with every timeout at its moment.
    fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.machine.next_timeout().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
        }
        self.now = until;
    }

    /// Lets time pass at a server that answers pings.
    fn pass_alive(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.pass((until - self.now).min(ms(1_000)));
            self.machine.handle_pong(self.link.expect("a link was asked for"));
        }
    }

    /// Lets time pass until the machine asks for credentials again.
    fn pass_until_attempt(&mut self) -> Vec<String> {
        let mut log = self.log();
        self.attempt = None;
        while self.attempt.is_none() {
            let at = self.machine.next_timeout().expect("an attempt is planned");
            self.now = self.now.max(at);
            self.machine.handle_timeout(self.now);
            log.extend(self.log());
        }
        log
    }

    fn subscribe(&mut self, resume: Resume) -> SubscriptionKey {
        self.subscribe_with(resume, SubscribeOptions::default())
    }

    fn subscribe_with(&mut self, resume: Resume, options: SubscribeOptions) -> SubscriptionKey {
        self.try_subscribe(None, resume, options).expect("a subscription")
    }

    fn try_subscribe(
        &mut self,
        id: Option<&str>,
        resume: Resume,
        options: SubscribeOptions,
    ) -> Result<SubscriptionKey> {
        let sql = check_live("SELECT id, v FROM app.t", &[], None).expect("live SQL");
        let id = id.map(Into::into);
        let request = SubscribeRequest {
            id,
            sql,
            options,
            old: OldValues::Keep,
            resume,
            decoding: Decoding::ByConnection,
        };
        self.machine.subscribe(self.now, request)
    }

    fn ack(&mut self, id: &str, last: Option<i64>) {
        self.recv(json!({"type": "subscription_ack", "subscription_id": id, "total_rows": 0,
            "batch_control": {"batch_num": 0, "has_more": false, "status": "ready", "last_seq_id": last},
            "schema": [{"name": "id", "data_type": "Int", "index": 0, "flags": ["pk", "nn", "uq"]},
                {"name": "v", "data_type": "Text", "index": 1}]}));
    }

    /// Rows are `(id, version)`.
    fn batch(&mut self, id: &str, rows: &[(i64, i64)], has_more: bool) {
        let last = rows.last().map(|(_, version)| *version);
        self.batch_ending(id, rows, has_more, last);
    }

    fn batch_ending(&mut self, id: &str, rows: &[(i64, i64)], has_more: bool, last: Option<i64>) {
        let rows: Vec<_> = rows.iter().map(|row| wire_row(*row)).collect();
        self.recv(json!({"type": "initial_data_batch", "subscription_id": id, "rows": rows,
            "batch_control": {"batch_num": 0, "has_more": has_more, "last_seq_id": last,
                "status": if has_more { "loading_batch" } else { "ready" }}}));
    }

    fn insert(&mut self, id: &str, rows: &[(i64, i64)]) {
        let rows: Vec<_> = rows.iter().map(|row| wire_row(*row)).collect();
        self.recv(json!({"type": "change", "subscription_id": id, "change_type": "insert", "rows": rows}));
    }

    fn delete(&mut self, id: &str, row: (i64, i64)) {
        self.recv(json!({"type": "change", "subscription_id": id, "change_type": "delete",
            "old_values": [wire_row(row)]}));
    }

    fn error(&mut self, id: &str, code: &str) {
        self.recv(json!({"type": "error", "subscription_id": id, "code": code, "message": "no"}));
    }

    /// A subscription with one row, 1@10, that is live. Nothing of it is left in the log.
    fn ready(&mut self, resume: Resume) -> SubscriptionKey {
        let key = self.subscribe(resume);
        let id = self.wire_id();
        self.ack(&id, Some(10));
        self.batch(&id, &[(1, 10)], false);
        self.log();
        key
    }

    /// The id in the latest subscribe message; takes everything out of the log.
    fn wire_id(&mut self) -> String {
        let log = self.log();
        let last = log.iter().rev().find_map(|line| line.strip_prefix("> subscribe "));
        last.unwrap_or_else(|| panic!("no subscribe in {log:?}")).split(' ').next().expect("an id").to_owned()
    }

    /// What the machine asks for, and what happened, since the last call.
    fn log(&mut self) -> Vec<String> {
        self.collect()
    }

    fn collect(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        while let Some(action) = self.machine.poll_action() {
            match &action {
                Action::FetchCredentials { attempt, .. } => self.attempt = Some(*attempt),
                Action::OpenLink { link, .. } => self.link = Some(*link),
                _ => {}
            }
            lines.push(action_line(&action));
        }
        while let Some(event) = self.machine.poll_event() {
            lines.push(event_line(&event));
        }
        lines
    }

    #[track_caller]
    fn expect(&mut self, lines: &[&str]) {
        assert_eq!(self.log(), lines);
    }

    /// Nothing is left that would do something by itself.
    #[track_caller]
    fn expect_nothing_left(&self) {
        assert_eq!(self.machine.next_timeout(), None);
        assert_eq!(self.machine.subscriptions().count(), 0);
        assert_eq!(self.machine.queued_messages(), 0);
    }
}

fn wire_row((id, version): (i64, i64)) -> Json {
    json!({"id": id, "v": "x", "_seq": version.to_string()})
}

fn complete() -> Option<Json> {
    Some(json!({"name": "kalam-embedded", "version": "0.1.0", "complete": true,
        "limits": {"messages_per_second": 1000, "message_bytes": 1048576, "batch_rows": 5000}}))
}

fn action_line(action: &Action) -> String {
    match action {
        Action::FetchCredentials { refresh: false, .. } => "> fetch".into(),
        Action::FetchCredentials { refresh: true, .. } => "> fetch refreshed".into(),
        Action::OpenLink { url, token, .. } => {
            format!("> open {url} {}", token.as_ref().map_or("-", |t| t.expose()))
        }
        Action::Send { text, .. } => format!("> {}", message_line(text)),
        Action::Ping { .. } => "> ping".into(),
        Action::CloseLink { code, .. } => format!("> close {code}"),
    }
}

fn message_line(text: &str) -> String {
    let message: Json = serde_json::from_str(text).expect("JSON");
    match message["type"].as_str() {
        Some("authenticate") => format!("authenticate {}", message["token"].as_str().expect("a token")),
        Some("subscribe") => {
            let subscription = &message["subscription"];
            let options = subscription.get("options").map_or("none".into(), Json::to_string);
            format!("subscribe {} {options}", subscription["id"].as_str().expect("an id"))
        }
        Some("next_batch") => {
            format!("next {} {}", message["subscription_id"].as_str().expect("an id"), message["last_seq_id"])
        }
        Some("unsubscribe") => format!("unsubscribe {}", message["subscription_id"].as_str().expect("an id")),
        other => panic!("an unknown message: {other:?}"),
    }
}

fn event_line(event: &Event) -> String {
    match event {
        Event::Lifecycle(event) => match event {
            Lifecycle::Connected { url, user, reconnected, .. } => {
                format!("= connected {url} {user}{}", if *reconnected { " again" } else { "" })
            }
            Lifecycle::Disconnected { error, retry_in } => {
                format!("= lost {}{}", error.code(), final_one(retry_in))
            }
            Lifecycle::ConnectFailed { error, attempt, retry_in } => {
                format!("= failed {attempt} {}{}", error.code(), final_one(retry_in))
            }
            Lifecycle::ServerError(error) => format!("= server error {}", error.code()),
            Lifecycle::Repaired { .. } => unreachable!("a machine repairs nothing"),
            Lifecycle::Closed => "= closed".into(),
        },
        Event::Subscription { key, event } => format!("{}: {}", key.0, subscription_line(event)),
    }
}

fn final_one(retry_in: &Option<Duration>) -> &'static str {
    if retry_in.is_none() { ", for good" } else { "" }
}

fn subscription_line(event: &SubscriptionEvent) -> String {
    match event {
        SubscriptionEvent::Acked { schema, mode, .. } => {
            let names: Vec<_> = schema.columns().iter().map(|c| &*c.name).collect();
            format!("acked {mode:?} {}", names.join(","))
        }
        SubscriptionEvent::Batch { rows, has_more } => {
            format!("batch{}{}", row_list(rows), if *has_more { " more" } else { "" })
        }
        SubscriptionEvent::Ready => "ready".into(),
        SubscriptionEvent::Change(change) => {
            let kind = match change.kind {
                ChangeKind::Insert => "insert",
                ChangeKind::Update => "update",
                ChangeKind::Delete => "delete",
            };
            format!("{kind}{}", row_list(&change.rows))
        }
        SubscriptionEvent::Deferred(_) => "unread".into(),
        SubscriptionEvent::Interrupted => "interrupted".into(),
        SubscriptionEvent::GapPossible { reason } => format!("gap {reason:?}"),
        SubscriptionEvent::Failed(error) => format!("failed {}", error.code()),
        SubscriptionEvent::Ended => "ended".into(),
    }
}

fn row_list(rows: &[Row]) -> String {
    rows.iter()
        .map(|row| {
            let version = row.version().map_or(0, SeqId::get);
            format!(" {}@{version}", row["id"].as_int().expect("an id"))
        })
        .collect()
}
