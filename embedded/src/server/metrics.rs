//! What is counted, and how Prometheus reads it.

use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::app::App;

/// What a request's SQL begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Select,
    Insert,
    Update,
    Delete,
    Transaction,
    Ddl,
    Other,
}

const KINDS: [(Kind, &str); 7] = [
    (Kind::Select, "select"),
    (Kind::Insert, "insert"),
    (Kind::Update, "update"),
    (Kind::Delete, "delete"),
    (Kind::Transaction, "transaction"),
    (Kind::Ddl, "ddl"),
    (Kind::Other, "other"),
];

impl Kind {
    pub(crate) fn of(sql: &str) -> Self {
        let start = sql.trim_start();
        let end = start.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(start.len());
        match start[..end].to_ascii_uppercase().as_str() {
            "SELECT" | "WITH" => Self::Select,
            "INSERT" => Self::Insert,
            "UPDATE" => Self::Update,
            "DELETE" => Self::Delete,
            "BEGIN" | "START" => Self::Transaction,
            "CREATE" | "ALTER" | "DROP" => Self::Ddl,
            _ => Self::Other,
        }
    }
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Ok,
    /// The caller's fault, by the status.
    Refused,
    /// The server's.
    Failed,
}

const OUTCOMES: [(Outcome, &str); 3] =
    [(Outcome::Ok, "ok"), (Outcome::Refused, "refused"), (Outcome::Failed, "failed")];

/// A limit that somebody met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Limit {
    HttpConnections,
    Websockets,
    Messages,
    Subscriptions,
    Requests,
    WaitingRequests,
    RequestBytes,
    Logins,
    Lockout,
    SlowReader,
}

const LIMITS: [(Limit, &str); 10] = [
    (Limit::HttpConnections, "http_connections"),
    (Limit::Websockets, "websockets"),
    (Limit::Messages, "messages_per_second"),
    (Limit::Subscriptions, "subscriptions"),
    (Limit::Requests, "requests_per_second"),
    (Limit::WaitingRequests, "waiting_requests"),
    (Limit::RequestBytes, "request_bytes"),
    (Limit::Logins, "logins"),
    (Limit::Lockout, "lockout"),
    (Limit::SlowReader, "queue"),
];

/// Upper bounds in microseconds, and as Prometheus writes them.
const BUCKETS: [(u64, &str); 12] = [
    (500, "0.0005"),
    (1_000, "0.001"),
    (2_500, "0.0025"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (25_000, "0.025"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (5_000_000, "5"),
];

#[derive(Debug, Default)]
pub(crate) struct Metrics {
    requests: [[AtomicU64; OUTCOMES.len()]; KINDS.len()],
    buckets: [AtomicU64; BUCKETS.len()],
    micros: AtomicU64,
    rejected: [AtomicU64; LIMITS.len()],
    logins: AtomicU64,
    login_failures: AtomicU64,
}

impl Metrics {
    /// A request with SQL was answered.
    pub(crate) fn answered(&self, kind: Kind, status: u16, took: Duration) {
        let outcome = match status {
            0..400 => Outcome::Ok,
            400..500 => Outcome::Refused,
            _ => Outcome::Failed,
        };
        count(&self.requests[kind as usize][outcome as usize]);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = BUCKETS.iter().position(|(most, _)| micros <= *most) {
            count(&self.buckets[bucket]);
        }
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    pub(crate) fn rejected(&self, limit: Limit) {
        count(&self.rejected[limit as usize]);
    }

    pub(crate) fn login(&self, succeeded: bool) {
        count(if succeeded { &self.logins } else { &self.login_failures });
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// The text that Prometheus reads.
pub(crate) fn render(app: &App) -> String {
    let mut text = Text::default();
    let metrics = &app.metrics;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counts = app.connections.counts();
    let commits = app.engine.commit_counts();

    text.head("kalam_info", "gauge", "The server.");
    text.line(&format!("kalam_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION")), 1);
    text.gauge("kalam_uptime_seconds", "Since the start.", app.started.elapsed().as_secs());
    let free = app.http_places.available_permits();
    let http = app.http_places_in_all().saturating_sub(free);
    text.gauge("kalam_http_connections", "Open HTTP connections.", http as u64);
    text.gauge("kalam_websockets", "Open WebSockets.", counts.websockets as u64);
    text.gauge("kalam_subscriptions", "Live queries of all WebSockets.", counts.subscriptions as u64);
    text.gauge("kalam_queued_frames", "Frames that wait to be sent.", counts.queued_frames as u64);
    text.gauge("kalam_queued_bytes", "The same in bytes.", counts.queued_bytes as u64);
    text.gauge("kalam_changes_waiting", "Changes that no live query was told yet.", app.hub.waiting() as u64);
    text.gauge("kalam_writes_waiting", "Writes that wait for the next commit.", commits.waiting as u64);
    text.counter("kalam_commits_total", "Commits of single writes.", commits.commits);
    text.counter("kalam_committed_writes_total", "The writes in them.", commits.statements);

    text.head("kalam_requests_total", "counter", "Requests with SQL, by what it begins with.");
    let mut all = 0;
    for (kind, kind_name) in KINDS {
        for (outcome, outcome_name) in OUTCOMES {
            let number = read(&metrics.requests[kind as usize][outcome as usize]);
            all += number;
            let labels = format!("{{kind=\"{kind_name}\",outcome=\"{outcome_name}\"}}");
            text.line(&format!("kalam_requests_total{labels}"), number);
        }
    }
    text.head("kalam_request_seconds", "histogram", "How long they took.");
    let mut below = 0;
    for ((_, bound), bucket) in BUCKETS.iter().zip(&metrics.buckets) {
        below += read(bucket);
        text.line(&format!("kalam_request_seconds_bucket{{le=\"{bound}\"}}"), below);
    }
    text.line("kalam_request_seconds_bucket{le=\"+Inf\"}", all.max(below));
    text.line("kalam_request_seconds_sum", read(&metrics.micros) as f64 / 1e6);
    text.line("kalam_request_seconds_count", all.max(below));

    text.head("kalam_rejected_total", "counter", "What met a limit.");
    for (limit, name) in LIMITS {
        let number = read(&metrics.rejected[limit as usize]);
        text.line(&format!("kalam_rejected_total{{limit=\"{name}\"}}"), number);
    }
    text.head("kalam_logins_total", "counter", "Logins whose password was verified.");
    text.line("kalam_logins_total{outcome=\"ok\"}", read(&metrics.logins));
    text.line("kalam_logins_total{outcome=\"refused\"}", read(&metrics.login_failures));
    text.0
}

#[derive(Default)]
struct Text(String);

impl Text {
    fn head(&mut self, name: &str, kind: &str, help: &str) {
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn line(&mut self, name: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.0, "{name} {value}");
    }

    fn gauge(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "gauge", help);
        self.line(name, value);
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) {
        self.head(name, "counter", help);
        self.line(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_in_the_order_of_their_kinds() {
        assert!(KINDS.iter().enumerate().all(|(at, (kind, _))| *kind as usize == at));
        assert!(OUTCOMES.iter().enumerate().all(|(at, (outcome, _))| *outcome as usize == at));
        assert!(LIMITS.iter().enumerate().all(|(at, (limit, _))| *limit as usize == at));
    }

    #[test]
    fn a_kind_is_the_first_word() {
        for (sql, kind) in [
            ("  select 1", Kind::Select),
            ("with a as (select 1) select 2", Kind::Select),
            ("INSERT\nINTO t", Kind::Insert),
            ("BEGIN;", Kind::Transaction),
            ("drop table x", Kind::Ddl),
            ("", Kind::Other),
            ("(select 1)", Kind::Other),
            ("\u{e9}", Kind::Other),
        ] {
            assert_eq!(Kind::of(sql), kind, "{sql}");
        }
    }
}
