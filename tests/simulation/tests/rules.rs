//! The simulation can fail: with any rule of the machine broken, some seed among the first ones shows it.

use kalam_live::machine::Sabotage;
use kalam_simulation::run;

/// At least twice as many as the rule that is hardest to catch takes.
const SEEDS: u64 = 1_200;

#[test]
fn a_broken_rule_is_noticed() {
    for rule in Sabotage::ALL {
        let noticed = (0..SEEDS).find(|seed| run(*seed, rule, false).is_err());
        assert!(noticed.is_some(), "{rule:?} is broken and {SEEDS} seeds did not notice");
    }
}

#[test]
fn a_seed_is_always_the_same_run() {
    let mut hashes = Vec::new();
    for seed in 1_000_000..1_000_010 {
        let first = run(seed, Sabotage::None, false).expect("a good run");
        let second = run(seed, Sabotage::None, false).expect("a good run");
        assert_eq!((first.hash, first.lines), (second.hash, second.lines), "seed {seed}");
        assert!(first.connects > 0 && first.lines > 100, "seed {seed} does nothing");
        hashes.push(first.hash);
    }
    hashes.sort_unstable();
    hashes.dedup();
    assert_eq!(hashes.len(), 10, "seeds differ");
}
