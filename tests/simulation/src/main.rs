//! `kalam-simulation --seeds 2000`: runs seeds and prints how to replay those that fail.

use std::panic::catch_unwind;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use kalam_live::converge::Rules;
use kalam_live::machine::Sabotage;
use kalam_simulation::holes::costs;
use kalam_simulation::holes::rules::{RULES, without};
use kalam_simulation::holes::scenarios::{SCENARIOS, Scenario};
use kalam_simulation::trace::Trace;
use kalam_simulation::{consumers, holes, run};

const USAGE: &str = "usage: kalam-simulation [--holes] [--seeds COUNT] [--from SEED] [--seed SEED [--trace]] [--break RULE | --without RULE]\n\
     usage: kalam-simulation --scenario NAME [--trace] [--without RULE]\n\
     usage: kalam-simulation --costs\n\
     --consumers: the members of a group of consumers\n\
     --holes: live rows at a server with KalamDB's holes, instead of the connection; --without turns one of its rules off";

struct Options {
    from: u64,
    seeds: u64,
    trace: bool,
    sabotage: Sabotage,
    /// `Some`: the simulation with holes, under these rules.
    holes: Option<Rules>,
    without: Option<String>,
    /// Nothing but this scenario.
    scenario: Option<(&'static str, Scenario)>,
    /// Consumers of topics.
    consumers: bool,
    /// Nothing but what checking costs.
    costs: bool,
}

/// What a run came to, of either simulation.
struct Outcome {
    hash: u64,
    counts: Vec<(&'static str, u64)>,
}

fn options() -> Result<Options, String> {
    let mut options = Options {
        from: 0,
        seeds: 2_000,
        trace: false,
        sabotage: Sabotage::None,
        holes: None,
        without: None,
        scenario: None,
        consumers: false,
        costs: false,
    };
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
            "--consumers" => options.consumers = true,
            "--costs" => options.costs = true,
            "--scenario" => {
                let name = value()?;
                let names = SCENARIOS.map(|(name, _)| name);
                let found = SCENARIOS.into_iter().find(|(known, _)| *known == name);
                options.scenario = Some(found.ok_or(format!("no scenario {name:?}; there are {names:?}"))?);
            }
            "--holes" => options.holes = options.holes.or(Some(Rules::default())),
            "--without" => {
                let name = value()?;
                let names = RULES.map(|(name, ..)| name);
                options.holes = Some(without(&name).ok_or(format!("no rule {name:?}; there are {names:?}"))?);
                options.without = Some(name);
            }
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
    if options.costs {
        return match costs::table() {
            Ok(table) => {
                print!("{table}");
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("{error}");
                ExitCode::FAILURE
            }
        };
    }
    if let Some((name, scenario)) = options.scenario {
        let result = scenario(options.holes.unwrap_or_default(), Trace::new(options.trace));
        println!("{name}: {}", result.as_ref().err().map_or("ended well", String::as_str));
        return if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
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
        let consumers = if options.consumers { " --consumers" } else { "" };
        let broken = match (options.sabotage, options.holes, &options.without) {
            (_, Some(_), Some(name)) => format!(" --holes --without {name}"),
            (_, Some(_), None) => " --holes".into(),
            (Sabotage::None, None, _) => String::new(),
            (rule, None, _) => format!(" --break {rule:?}"),
        };
        println!(
            "  replay: cargo run --profile fast -p kalam-simulation -- --seed {seed} --trace{broken}{consumers}"
        );
    }
    let mut line = format!("{} seeds, {} failed", options.seeds, failures.len());
    let names = outcomes.first().map(|o| o.counts.clone()).unwrap_or_default();
    for (at, (name, _)) in names.iter().enumerate() {
        let sum: u64 = outcomes.iter().map(|o| o.counts[at].1).sum();
        line += &format!(", {sum} {name}");
    }
    println!("{line}");
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a seed; every fiftieth twice, to see that it is the same run.
fn one(seed: u64, options: &Options) -> Result<Outcome, String> {
    let run = |print| {
        catch_unwind(|| simulate(seed, options, print)).unwrap_or_else(|panic| {
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

fn simulate(seed: u64, options: &Options, print: bool) -> Result<Outcome, String> {
    if options.consumers {
        let o = consumers::run(seed, None)?;
        let counts = vec![
            ("records", o.records),
            ("repeated records", o.repeated),
            ("requests", o.requests),
            ("lost requests or answers", o.lost),
            ("crashes", o.crashes),
        ];
        return Ok(Outcome { hash: o.hash, counts });
    }
    let Some(rules) = options.holes else {
        let o = run(seed, options.sabotage, print)?;
        let counts = vec![
            ("connections", o.connects),
            ("repeated rows", o.replayed),
            ("late frames", o.late),
            ("failed subscriptions", o.failures),
            ("refused messages", o.refused),
            ("trace lines", o.lines),
        ];
        return Ok(Outcome { hash: o.hash, counts });
    };
    let o = holes::run(seed, rules, print)?;
    let counts = vec![
        ("connections", o.connects),
        ("change frames", o.frames.0),
        ("dropped frames", o.frames.1),
        ("queries of checks", o.spent.queries),
        ("proven", o.spent.proven),
        ("mismatches", o.spent.mismatches),
        ("repairs", o.spent.repairs),
        ("trace lines", o.lines),
    ];
    Ok(Outcome { hash: o.hash, counts })
}
