//! Measures the core against the raw floor and against the makers' own client.
//!
//! ```text
//! bench-core --server PATH --peer PATH [--only WORD] [--quick] [--output FILE]
//! bench-core run WHO TASK URL TABLE       one measurement, as one JSON line
//! ```
//!
//! The first form is the driver: it starts the frame server and measures in interleaved rounds, each measurement in a
//! process of its own. Machines drift, so ratios are taken within a round.

mod children;
mod control;
mod floor;
mod gauges;
mod latency;
mod options;
mod ours;
mod replay;
mod report;
mod rounds;
mod scenarios;
mod statistics;

use std::fs::OpenOptions;
use std::io::Write;

use control::{Failure, Workload};
use options::Options;
use scenarios::{FLOOR, OURS};

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["run", who, task, url, table] => measure(who, task, &Workload::prepare(url, table)?),
        _ => drive(&Options::parse(&words)?),
    }
}

/// On the runtime that `#[tokio::main]` makes, but for the floor and the replay, which have nothing to share.
fn measure(who: &str, task: &str, workload: &Workload) -> Result<(), Failure> {
    let alone = || tokio::runtime::Builder::new_current_thread().enable_all().build();
    let usual = || tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let result = match (who, task) {
        (FLOOR, "events") => alone()?.block_on(floor::events(workload))?,
        (OURS, "events") => usual()?.block_on(ours::events(workload))?,
        (OURS, "consume") => usual()?.block_on(ours::consume(workload, true))?,
        (OURS, "consume_auto") => usual()?.block_on(ours::consume(workload, false))?,
        (OURS, "idle") => usual()?.block_on(ours::idle(workload))?,
        (OURS, "live") => usual()?.block_on(ours::live(workload))?,
        (OURS, "live_each") => alone()?.block_on(replay::live_each(workload))?,
        (OURS, "latency") => usual()?.block_on(latency::run(workload))?,
        _ => return Err(format!("nothing measures {task} of {who}").into()),
    };
    println!("{result}");
    Ok(())
}

fn drive(options: &Options) -> Result<(), Failure> {
    let server = children::FrameServer::start(&options.server)?;
    let scenarios = scenarios::all(options, &server)?;
    let mut results = Vec::new();
    for scenario in scenarios.into_iter().filter(|scenario| options.wants(&scenario.title)) {
        eprintln!("{} ...", scenario.title);
        let samples = rounds::interleaved(&scenario.contestants)?;
        results.push((scenario, samples));
    }
    let table = report::render(&results);
    print!("{table}");
    if let Some(path) = &options.output {
        OpenOptions::new().create(true).append(true).open(path)?.write_all(table.as_bytes())?;
    }
    Ok(())
}
