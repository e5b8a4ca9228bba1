//! The simulation with holes can fail: without any one rule, a scenario or some seed among the first ones shows it.

use kalam_live::converge::Rules;
use kalam_simulation::holes::rules::{RULES, noticed_by, without};
use kalam_simulation::holes::run;
use kalam_simulation::holes::scenarios::SCENARIOS;
use kalam_simulation::trace::Trace;

/// At least twice as many as the rule that is hardest to catch takes.
const SEEDS: u64 = 400;

#[test]
fn a_missing_rule_is_noticed() {
    for (name, ..) in RULES {
        let rules = without(name).expect("a rule");
        let noticed = noticed_by(rules, SEEDS);
        println!("{name}: {noticed:?}");
        assert!(noticed.is_some(), "{name} is off and {SEEDS} seeds did not notice");
    }
    assert!(without("no such rule").is_none());
}

#[test]
fn every_scenario_ends_well() {
    for (name, scenario) in SCENARIOS {
        let result = scenario(Rules::default(), Trace::new(false));
        assert_eq!(
            result,
            Ok(()),
            "cargo run --profile fast -p kalam-simulation -- --scenario {name} --trace"
        );
    }
}

#[test]
fn a_seed_is_always_the_same_run() {
    let mut hashes = Vec::new();
    for seed in 2_000_000..2_000_010 {
        let first = run(seed, Rules::default(), false).expect("a good run");
        let second = run(seed, Rules::default(), false).expect("a good run");
        assert_eq!((first.hash, first.lines), (second.hash, second.lines), "seed {seed}");
        hashes.push(first.hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 10, "seeds differ");
}
