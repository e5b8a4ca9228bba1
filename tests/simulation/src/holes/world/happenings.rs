//! What happens: messages, questions and their answers.

use std::time::Duration;

use kalam_live::machine::{Action, LinkEnd, LinkId, Token};
use kalam_live::protocol::{RawFrame, SqlRequest, decode_sql_response};
use kalam_live::{Error, ErrorCode};
use serde_json::Value as Json;

use super::{Answers, Happening, World};
use crate::client::Check;
use crate::holes::answers::Endpoint;
use crate::holes::client::Question;
use crate::network::Way;
use crate::server::{Say, Table};

impl World {
    pub(super) fn act(&mut self, action: Action) {
        match action {
            Action::FetchCredentials { attempt, .. } => {
                self.client.machine.handle_credentials(self.now, attempt, Ok(Some(Token::new("T"))));
            }
            Action::OpenLink { link, url, .. } => {
                self.network.add(link, None);
                let node = i64::from(url.ends_with('1'));
                self.plan_in(self.plan.delay * 2, Happening::Opened(link, node));
            }
            Action::Send { link, text } => {
                self.trace.line(self.now, format_args!("{link:?} > {text}"));
                if let Some(at) = self.network.arrival(self.now, link, Way::ToServer, &mut self.rng) {
                    self.plan_in(at - self.now, Happening::ToServer(link, Some(text)));
                }
            }
            Action::Ping { link } => {
                if let Some(at) = self.network.arrival(self.now, link, Way::ToServer, &mut self.rng) {
                    self.plan_in(at - self.now, Happening::ToServer(link, None));
                }
            }
            Action::CloseLink { link, .. } => {
                self.network.client_left(link);
                self.plan_in(self.plan.delay, Happening::ServerNotices(link));
            }
        }
    }

    pub(super) fn happen(&mut self, happening: Happening) -> Check {
        match happening {
            Happening::ToClient(link, say) if self.network.lets_through(link, Way::ToClient) => {
                self.reach_client(link, say);
            }
            Happening::ToServer(link, message) if self.network.lets_through(link, Way::ToServer) => {
                match message {
                    Some(text) => self.nodes.message(self.now, link, &text),
                    None => self.nodes.ping(self.now, link),
                }
            }
            Happening::ToClient(..) | Happening::ToServer(..) => {}
            Happening::Opened(link, node) if self.network.client_listens(link) => {
                self.trace.line(self.now, format_args!("{link:?} opened at node {node}"));
                self.nodes.open(self.now, link, node);
                self.link = Some((link, node));
                self.client.machine.handle_opened(self.now, link);
            }
            Happening::Opened(..) => {}
            Happening::Ended(link) => {
                self.network.client_left(link);
                let error = Error::new(ErrorCode::Disconnected, "connection reset");
                self.client.machine.handle_closed(self.now, link, LinkEnd::Failed(error));
            }
            Happening::ServerNotices(link) => self.nodes.gone(link),
            Happening::Asked(question) => self.asked(question),
            Happening::Answer(question, status, body) => {
                self.trace.line(self.now, format_args!("answer {} {status} {body}", question.live));
                let request = SqlRequest { sql: &question.sql, params: &[], namespace: None };
                let result = decode_sql_response(status, body.as_bytes(), &request);
                if let Err(error) = &result {
                    self.trace.line(self.now, format_args!("  {error}"));
                }
                self.client.answered(self.now, &question, body.len() as u64, result);
            }
            Happening::Write if self.writing => {
                match self.rng.u8(..100) {
                    0..3 => (0..self.rng.usize(5..60)).for_each(|_| self.write_one()),
                    3..6 if !self.is_calm() => {
                        let id = self.rng.i64(0..self.plan.keys);
                        self.nodes.table.vanish(id);
                    }
                    _ => self.write_one(),
                }
                let wait = Duration::from_nanos(self.rng.u64(..=2 * self.plan.write_every.as_nanos() as u64));
                self.plan_in(wait, Happening::Write);
            }
            Happening::Fault if self.trouble => {
                self.fault();
                let wait = Duration::from_millis(self.rng.u64(200..6_000));
                self.plan_in(wait, Happening::Fault);
            }
            Happening::Write | Happening::Fault => {}
        }
        Ok(())
    }

    fn reach_client(&mut self, link: LinkId, say: Say) {
        if !self.network.client_listens(link) {
            return;
        }
        match say {
            Say::Frame(text) => {
                self.trace.line(self.now, format_args!("{link:?} < {text}"));
                self.last_frame = self.now;
                if self.plan.events {
                    self.note_arrived(&text);
                }
                self.client.machine.handle_frame(self.now, link, RawFrame::Text(&text));
            }
            Say::Pong => self.client.machine.handle_pong(link),
            Say::Close(code, reason) => {
                self.network.client_left(link);
                let end = LinkEnd::Closed { code: Some(code), reason: reason.into() };
                self.client.machine.handle_closed(self.now, link, end);
            }
            Say::Vanish => {}
        }
    }

    fn note_arrived(&mut self, text: &str) {
        let Ok(frame) = serde_json::from_str::<Json>(text) else { return };
        let ours = frame["subscription_id"].as_str().is_some_and(|id| id.starts_with("events"));
        if ours && frame["type"] == "change" {
            let field = if frame["change_type"] == "delete" { "old_values" } else { "rows" };
            let rows = frame[field].as_array().map(Vec::as_slice).unwrap_or_default();
            self.arrived.extend(rows.iter().filter_map(|row| row["_seq"].as_str()?.parse::<i64>().ok()));
        }
    }

    pub(super) fn http_delay(&mut self) -> Duration {
        let extra = match self.answers {
            Answers::SometimesBad if self.rng.u32(..1_000) < self.plan.bad_answers => {
                self.rng.u64(..3_000_000)
            }
            _ => self.rng.u64(..=2 * self.plan.delay.as_micros() as u64),
        };
        self.plan.delay + Duration::from_micros(extra)
    }

    fn asked(&mut self, question: Question) {
        let bad = match self.answers {
            _ if self.now < self.no_leader_until => Some(1),
            Answers::Good => None,
            Answers::SometimesBad => {
                (self.rng.u32(..1_000) < self.plan.bad_answers).then(|| self.rng.u8(..4))
            }
            Answers::AnotherUsers => Some(0),
        };
        let endpoint = |user, table| Endpoint {
            table,
            queries: self.nodes.queries,
            user,
            columns: &self.nodes.columns,
            dropped: self.nodes.dropped,
            caps: self.nodes.holes.http_caps,
            leader: self.nodes.leader,
            numbers: &self.nodes.numbers,
        };
        let (status, body) = match bad {
            None => endpoint("u", &self.nodes.table).answer(&question.sql),
            Some(0) => endpoint("mallory", &Table::default()).answer(&question.sql),
            Some(1) => (503, r#"{"status":"error","results":[],"error":{"code":"FORWARD_FAILED","message":"no leader"}}"#.into()),
            Some(2) => (200, r#"{"status":"success","results":[{"schema":[{"name":"a","data_type":"Int","index":0}],"rows":[[1]],"row_count":1,"as_user":"u"}]}"#.into()),
            Some(_) => (200, "<html>".into()),
        };
        let wait = self.http_delay() + self.answers_wait;
        self.plan_in(wait, Happening::Answer(question, status, body));
    }
}
