//! `kalam-simulation --seeds 2000`: runs seeds and prints how to replay those that fail.

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use kalam_live::machine::Sabotage;
use kalam_simulation::{Outcome, run};

const USAGE: &str =
    "usage: kalam-simulation [--seeds COUNT] [--from SEED] [--seed SEED [--trace]] [--break RULE]";

struct Options {
    from: u64,
    seeds: u64,
    trace: bool,
    sabotage: Sabotage,
}

fn options() -> Result<Options, String> {
    let mut options = Options { from: 0, seeds: 2_000, trace: false, sabotage: Sabotage::None };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(format!("{argument} needs a value\n{USAGE}"));
        let number =
            |text: String| text.parse::<u64>().map_err(|_| format!("{text:?} is no number\n{USAGE}"));
        match argument.as_str() {
            "--seeds" => options.seeds = number(value()?)?,
            "--from" => options.from = number(value()?)?,
            "--seed" => (options.from, options.seeds) = (number(value()?)?, 1),
            "--trace" => options.trace = true,
            "--break" => {
                let name = value()?;
                let rule = Sabotage::ALL.into_iter().find(|rule| format!("{rule:?}") == name);
                options.sabotage = rule.ok_or(format!("no rule {name:?}; there are {:?}", Sabotage::ALL))?;
            }
            _ => return Err(USAGE.into()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::from(2);
        }
    };
    let next = AtomicU64::new(options.from);
    let end = options.from + options.seeds;
    let results = Mutex::new((Vec::<Outcome>::new(), Vec::<(u64, String)>::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let result = one(seed, &options);
                    let mut results = results.lock().unwrap_or_else(|e| e.into_inner());
                    match result {
                        Ok(outcome) => results.0.push(outcome),
                        Err(error) => results.1.push((seed, error)),
                    }
                }
            });
        }
    });
    let (outcomes, mut failures) = results.into_inner().unwrap_or_else(|e| e.into_inner());
    failures.sort();
    for (seed, error) in failures.iter().take(10) {
        println!("seed {seed} failed: {error}");
        let broken = match options.sabotage {
            Sabotage::None => String::new(),
            rule => format!(" --break {rule:?}"),
        };
        println!("  replay: cargo run --profile fast -p kalam-simulation -- --seed {seed} --trace{broken}");
    }
    let sum = |of: fn(&Outcome) -> u64| outcomes.iter().map(of).sum::<u64>();
    println!(
        "{} seeds, {} failed; {} connections, {} repeated rows, {} late frames, {} failed subscriptions, {} refused messages, {} trace lines",
        options.seeds,
        failures.len(),
        sum(|o| o.connects),
        sum(|o| o.replayed),
        sum(|o| o.late),
        sum(|o| o.failures),
        sum(|o| o.refused),
        sum(|o| o.lines),
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a seed; every fiftieth twice, to see that it is the same run.
fn one(seed: u64, options: &Options) -> Result<Outcome, String> {
    let run = |print| {
        catch_unwind(|| run(seed, options.sabotage, print)).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()));
            Err(format!("panicked: {}", text.unwrap_or_default()))
        })
    };
    let outcome = run(options.trace)?;
    if seed.is_multiple_of(50) && run(false)?.hash != outcome.hash {
        return Err("two runs of the seed differ".into());
    }
    Ok(outcome)
}
