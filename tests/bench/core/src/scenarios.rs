//! What is measured, on which workloads, by whom, and what must be reached.

use std::path::PathBuf;

use serde_json::Value;

use crate::children::FrameServer;
use crate::control::Failure;
use crate::options::Options;
use crate::rounds::Contestant;

/// Reads the frames and skips over their JSON.
pub(crate) const FLOOR: &str = "floor";
pub(crate) const OURS: &str = "kalam-live";
/// Ours without a socket, a snapshot taken after every change.
pub(crate) const REPLAY: &str = "kalam-live, replayed";
pub(crate) const PEER: &str = "kalam-client";

pub(crate) struct Scenario {
    pub(crate) title: String,
    pub(crate) contestants: Vec<Contestant>,
    pub(crate) figures: Vec<Figure>,
}

/// A number to compare.
pub(crate) struct Figure {
    pub(crate) what: String,
    pub(crate) unit: &'static str,
    pub(crate) value: fn(&Value) -> Option<f64>,
    pub(crate) more_is_better: bool,
    /// Which of our contestants it is about.
    pub(crate) ours: &'static str,
    pub(crate) musts: Vec<Must>,
}

/// What a figure of ours must reach, by medians.
#[derive(Clone, Copy)]
pub(crate) enum Must {
    AtMost(f64),
    /// At least this share of the floor.
    OfFloor(f64),
    /// At least this many times as good as the makers' client.
    TimesPeer(f64),
    /// At most this many times the same figure at the fewest rows.
    TimesAtFewestRows(f64),
}

impl Figure {
    fn less(what: impl Into<String>, unit: &'static str, value: fn(&Value) -> Option<f64>) -> Self {
        Figure { what: what.into(), unit, value, more_is_better: false, ours: OURS, musts: Vec::new() }
    }

    fn more(what: impl Into<String>, unit: &'static str, value: fn(&Value) -> Option<f64>) -> Self {
        Figure { more_is_better: true, ..Self::less(what, unit, value) }
    }

    fn replayed(self) -> Self {
        Figure { ours: REPLAY, ..self }
    }

    fn must(mut self, must: Must) -> Self {
        self.musts.push(must);
        self
    }
}

/// Starts contestants with the programs and the server at hand.
struct Field<'a> {
    options: &'a Options,
    server: &'a FrameServer,
    this_program: PathBuf,
}

impl Field<'_> {
    fn rounds(&self, rounds: usize) -> usize {
        if self.options.quick { 1 } else { rounds }
    }

    /// Our side hears the embedded server's announcement and so sends no verification traffic.
    fn own(&self, name: &'static str, who: &str, task: &str, table: &str, rounds: usize) -> Contestant {
        let arguments = ["run", who, task, &self.server.complete, table].map(str::to_owned).to_vec();
        Contestant { name, program: self.this_program.clone(), arguments, rounds: self.rounds(rounds) }
    }

    fn floor(&self, table: &str, rounds: usize) -> Contestant {
        self.own(FLOOR, FLOOR, "events", table, rounds)
    }

    fn ours(&self, task: &str, table: &str, rounds: usize) -> Contestant {
        self.own(OURS, OURS, task, table, rounds)
    }

    fn replay(&self, table: &str, rounds: usize) -> Contestant {
        self.own(REPLAY, OURS, "live_each", table, rounds)
    }

    fn peer(&self, task: &str, table: &str, rounds: usize) -> Contestant {
        let arguments = [task, &self.server.plain, table].map(str::to_owned).to_vec();
        Contestant { name: PEER, program: self.options.peer.clone(), arguments, rounds: self.rounds(rounds) }
    }
}

/// Rows held, and how many changes and rounds the makers' client is given: it makes all rows anew for each change, so
/// fewer have to do where there are many rows.
pub(crate) const LIVE: [(u32, u32, usize); 4] =
    [(100, 20_000, 3), (1_000, 500, 3), (10_000, 30, 3), (100_000, 4, 1)];

pub(crate) fn all(options: &Options, server: &FrameServer) -> Result<Vec<Scenario>, Failure> {
    let field = Field { options, server, this_program: std::env::current_exe()? };
    let mut scenarios = vec![events(&field, "insert", 0), events(&field, "update", 1000)];
    scenarios.extend(LIVE.map(|(rows, changes, rounds)| live(&field, rows, changes, rounds)));
    scenarios.push(churn(&field));
    scenarios.push(snapshot(&field));
    scenarios.push(records(&field, "consume_auto", "committed by itself", 3.0));
    // Each hundred waits for its commit: one request for us and two for the makers' client, that is all there is to gain.
    scenarios.push(records(&field, "consume", "committed by the hundred", 2.0));
    scenarios.push(idle(&field));
    scenarios.push(latency(&field, 2_000, true));
    scenarios.push(latency(&field, 20_000, false));
    Ok(scenarios)
}

fn events(field: &Field<'_>, kind: &str, rows: u32) -> Scenario {
    let rate = |sample: &Value| Some(number(sample, "changes")? / number(sample, "seconds")? / 1e6);
    let cpu = |sample: &Value| Some(number(sample, "cpu_seconds")? * 1e6 / number(sample, "changes")?);
    let table = format!("{kind}_{rows}_400000");
    Scenario {
        title: format!("events, {kind} frames"),
        contestants: vec![
            field.floor(&table, 7),
            field.ours("events", &table, 7),
            field.peer("events", &format!("{kind}_{rows}_100000"), 7),
        ],
        figures: vec![
            Figure::more("live_events", "M frames/s", rate)
                .must(Must::OfFloor(0.6))
                .must(Must::TimesPeer(4.0)),
            Figure::less("live_events, CPU", "us/frame", cpu),
        ],
    }
}

fn records(field: &Field<'_>, task: &str, commits: &str, must: f64) -> Scenario {
    let rate = |sample: &Value| Some(number(sample, "changes")? / number(sample, "seconds")? / 1e3);
    // As many as make the beginning, in which both grope for the group and we for the reader's pace, a small part.
    Scenario {
        title: format!("records of a topic, {commits}"),
        contestants: vec![field.ours(task, "insert_0_400000", 5), field.peer(task, "insert_0_400000", 5)],
        figures: vec![Figure::more("consumer", "thousand records/s", rate).must(Must::TimesPeer(must))],
    }
}

fn idle(field: &Field<'_>) -> Scenario {
    let rate = |sample: &Value| Some(number(sample, "requests")? / number(sample, "seconds")?);
    Scenario {
        title: "a consumer of a topic that has no records".to_owned(),
        contestants: vec![field.ours("idle", "insert_0_1", 1)],
        figures: vec![Figure::less("idle consumer", "requests/s", rate).must(Must::AtMost(2.0))],
    }
}

fn live(field: &Field<'_>, rows: u32, changes_for_peer: u32, rounds_for_peer: usize) -> Scenario {
    let table = format!("update_{rows}_200000");
    let growth =
        |figure: Figure| if rows == LIVE[3].0 { figure.must(Must::TimesAtFewestRows(3.0)) } else { figure };
    let each =
        Figure::less("per change, a snapshot after each", "us", |sample| per_change(sample, 1.0)).replayed();
    let conflated = Figure::less("per change, conflated", "us", |sample| per_change(sample, 1.0));
    Scenario {
        title: live_title(rows),
        contestants: vec![
            field.ours("live", &table, 5),
            field.replay(&table, 5),
            field.peer("live", &format!("update_{rows}_{changes_for_peer}"), rounds_for_peer),
        ],
        figures: vec![
            growth(conflated.must(Must::AtMost(3.0))),
            growth(each.must(Must::AtMost(6.0))),
            Figure::less("rows[i]", "ns", |sample| number(sample, "index_ns")).replayed(),
        ],
    }
}

/// The title of the scenario of `live` with so many rows.
pub(crate) fn live_title(rows: u32) -> String {
    format!("live, {rows} rows")
}

fn churn(field: &Field<'_>) -> Scenario {
    let table = "churn_100000_200000";
    let pair = |sample: &Value| per_change(sample, 2.0);
    Scenario {
        title: "random delete and insert, 100000 rows".to_owned(),
        contestants: vec![
            field.ours("live", table, 5),
            field.replay(table, 5),
            field.peer("live", "churn_100000_4", 1),
        ],
        figures: vec![
            Figure::less("per pair, conflated", "us", pair).must(Must::AtMost(8.0)),
            Figure::less("per pair, a snapshot after each change", "us", pair)
                .replayed()
                .must(Must::AtMost(8.0)),
        ],
    }
}

fn snapshot(field: &Field<'_>) -> Scenario {
    let held = |sample: &Value| Some(number(sample, "snapshot_bytes")? / 1e6);
    Scenario {
        title: "snapshot of 100000 rows".to_owned(),
        contestants: vec![
            field.floor("update_100000_1", 5),
            field.ours("live", "update_100000_1", 5),
            field.peer("live", "update_100000_1", 2),
        ],
        figures: vec![
            Figure::less("snapshot", "s", |sample| number(sample, "snapshot_seconds"))
                .must(Must::AtMost(0.3)),
            Figure::less("memory held", "MB", held).must(Must::AtMost(64.0)),
        ],
    }
}

/// Three readers of events, and beside them a subscriber that reads or does not, on one connection.
fn latency(field: &Field<'_>, rate: u32, with_peer: bool) -> Scenario {
    // At the higher rate more than the 65,536 events that a handle holds: the bound is reached.
    let table = format!("update_100_{}_r{rate}", rate * 5);
    let mut contestants = vec![field.ours("latency", &table, 3)];
    if with_peer {
        contestants.push(field.peer("latency", &table, 2));
    }
    Scenario {
        title: format!("one subscriber that never reads, {rate} changes/s"),
        contestants,
        figures: vec![
            Figure::less("the others' p50, all read", "us", |sample| {
                number(&sample["live_unread"]["all_read"], "p50_us")
            }),
            Figure::less("the others' p99, all read", "us", |sample| {
                number(&sample["live_unread"]["all_read"], "p99_us")
            }),
            Figure::less("times that p99, live() unread", "", |sample| p99_ratio(&sample["live_unread"]))
                .must(Must::AtMost(1.2)),
            Figure::less("times that p99, live_events() unread", "", |sample| {
                p99_ratio(&sample["events_unread"])
            })
            .must(Must::AtMost(1.2)),
            Figure::more("changes that reached them, live() unread", "%", |sample| {
                seen(&sample["live_unread"])
            }),
            Figure::more("changes that reached them, live_events() unread", "%", |sample| {
                seen(&sample["events_unread"])
            }),
            Figure::less("memory grown, live() unread", "MB", |sample| grown(&sample["live_unread"])),
            Figure::less("memory grown, live_events() unread", "MB", |sample| {
                grown(&sample["events_unread"])
            }),
        ],
    }
}

/// Beside an unread subscription, over where all read.
fn p99_ratio(phase: &Value) -> Option<f64> {
    Some(number(&phase["beside"], "p99_us")? / number(&phase["all_read"], "p99_us")?)
}

fn seen(phase: &Value) -> Option<f64> {
    Some(number(&phase["beside"], "seen")? / number(phase, "expected")? * 100.0)
}

fn grown(phase: &Value) -> Option<f64> {
    Some(number(phase, "grown_bytes")? / 1e6)
}

/// Microseconds for so many changes.
fn per_change(sample: &Value, changes: f64) -> Option<f64> {
    Some(number(sample, "seconds")? * 1e6 * changes / number(sample, "changes")?)
}

fn number(sample: &Value, name: &str) -> Option<f64> {
    sample[name].as_f64()
}
