//! The simulation with holes can fail: without any one rule, some seed among the first ones shows it.

use kalam_live::converge::Rules;
use kalam_simulation::holes::rules::{RULES, without};
use kalam_simulation::holes::{even_run, run};

/// More than the rule that is hardest to catch takes.
const SEEDS: u64 = 1_500;

#[test]
fn a_missing_rule_is_noticed() {
    for (name, _) in RULES {
        let rules = without(name).expect("a rule");
        let noticed = (0..SEEDS).find(|seed| run(*seed, rules, false).is_err());
        println!("{name}: {noticed:?}");
        assert!(noticed.is_some(), "{name} is off and {SEEDS} seeds did not notice");
    }
    assert!(without("no such rule").is_none());
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

#[test]
fn an_even_run_of_dropped_frames_is_found() {
    for (from, to) in [(0, 4), (100, 356), (0, 256), (244, 500)] {
        assert_eq!(even_run::run(from, to), Ok(true), "a plain XOR would not have found {from}..{to}");
    }
}
