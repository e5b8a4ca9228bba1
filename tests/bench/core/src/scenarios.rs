//! What is measured, on which workloads, by whom.

use std::path::PathBuf;

use serde_json::Value;

use crate::children::FrameServer;
use crate::control::Failure;
use crate::options::Options;
use crate::rounds::Contestant;

pub(crate) const FLOOR: &str = "floor";
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

    fn floor(&self, table: &str, rounds: usize) -> Contestant {
        let arguments = ["run", "floor", "events", &self.server.complete, table].map(str::to_owned).to_vec();
        Contestant { name: FLOOR, program: self.this_program.clone(), arguments, rounds: self.rounds(rounds) }
    }

    fn peer(&self, task: &str, table: &str, rounds: usize) -> Contestant {
        let arguments = [task, &self.server.plain, table].map(str::to_owned).to_vec();
        Contestant { name: PEER, program: self.options.peer.clone(), arguments, rounds: self.rounds(rounds) }
    }
}

pub(crate) fn all(options: &Options, server: &FrameServer) -> Result<Vec<Scenario>, Failure> {
    let field = Field { options, server, this_program: std::env::current_exe()? };
    let mut scenarios = vec![events(&field, "insert", 0), events(&field, "update", 1000)];
    // The makers' client makes all rows anew for each change: fewer changes have to do where there are many rows.
    for (rows, changes_for_peer, rounds_for_peer) in
        [(100, 20_000, 3), (1_000, 500, 3), (10_000, 30, 3), (100_000, 4, 1)]
    {
        scenarios.push(live(&field, rows, changes_for_peer, rounds_for_peer));
    }
    scenarios.push(snapshot(&field));
    scenarios.push(latency(&field));
    Ok(scenarios)
}

fn events(field: &Field<'_>, kind: &str, rows: u32) -> Scenario {
    Scenario {
        title: format!("events, {kind} frames"),
        contestants: vec![
            field.floor(&format!("{kind}_{rows}_400000"), 7),
            field.peer("events", &format!("{kind}_{rows}_100000"), 7),
        ],
        figures: vec![
            figure("live_events", "M frames/s", true, |sample| {
                Some(changes(sample)? / number(sample, "seconds")? / 1e6)
            }),
            figure("live_events, CPU", "us/frame", false, |sample| {
                Some(number(sample, "cpu_seconds")? * 1e6 / changes(sample)?)
            }),
        ],
    }
}

fn live(field: &Field<'_>, rows: u32, changes_for_peer: u32, rounds_for_peer: usize) -> Scenario {
    let table = format!("update_{rows}_{changes_for_peer}");
    Scenario {
        title: format!("live, {rows} rows"),
        contestants: vec![field.peer("live", &table, rounds_for_peer)],
        figures: vec![figure("live, per change", "us", false, per_change)],
    }
}

fn snapshot(field: &Field<'_>) -> Scenario {
    Scenario {
        title: "snapshot of 100,000 rows".to_owned(),
        contestants: vec![field.floor("update_100000_1000", 3), field.peer("live", "update_100000_1", 2)],
        figures: vec![
            figure("snapshot", "s", false, |sample| number(sample, "snapshot_seconds")),
            figure("snapshot, held", "MB", false, |sample| Some(number(sample, "snapshot_bytes")? / 1e6)),
        ],
    }
}

/// Three readers of events, and beside them a subscriber that reads or does not.
fn latency(field: &Field<'_>) -> Scenario {
    Scenario {
        title: "one subscriber that never reads".to_owned(),
        contestants: vec![field.peer("latency", "update_100_6000_r2000", 3)],
        figures: vec![
            figure("p99 of the others, all read", "us", false, |sample| {
                number(&sample["all_read"], "p99_us")
            }),
            figure("p99 of the others, times that, a live() unread", "", false, |sample| {
                p99_ratio(sample, "live_unread")
            }),
            figure("p99 of the others, times that, an events() unread", "", false, |sample| {
                p99_ratio(sample, "events_unread")
            }),
            figure("changes that reached the others, a live() unread", "%", true, |sample| {
                seen(&sample["live_unread"])
            }),
            figure("changes that reached the others, an events() unread", "%", true, |sample| {
                seen(&sample["events_unread"])
            }),
            figure("memory grown, a live() unread", "MB", false, |sample| grown(&sample["live_unread"])),
            figure("memory grown, an events() unread", "MB", false, |sample| grown(&sample["events_unread"])),
        ],
    }
}

fn p99_ratio(sample: &Value, phase: &str) -> Option<f64> {
    Some(number(&sample[phase], "p99_us")? / number(&sample["all_read"], "p99_us")?)
}

fn seen(phase: &Value) -> Option<f64> {
    Some(number(phase, "seen")? / number(phase, "expected")? * 100.0)
}

fn grown(phase: &Value) -> Option<f64> {
    Some(number(phase, "grown_bytes")? / 1e6)
}

fn figure(what: &str, unit: &'static str, more_is_better: bool, value: fn(&Value) -> Option<f64>) -> Figure {
    Figure { what: what.to_owned(), unit, value, more_is_better }
}

fn number(sample: &Value, name: &str) -> Option<f64> {
    sample[name].as_f64()
}

fn changes(sample: &Value) -> Option<f64> {
    number(sample, "changes")
}

fn per_change(sample: &Value) -> Option<f64> {
    Some(number(sample, "seconds")? * 1e6 / changes(sample)?)
}
