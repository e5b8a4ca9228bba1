//! The simulation of consumers can fail: with any rule broken, some seed among the first ones shows it.

use kalam_simulation::consumers::{RULES, run};

#[test]
fn a_broken_rule_is_noticed() {
    for rule in RULES {
        let noticed = (0..500).find(|seed| run(*seed, Some(rule)).is_err());
        assert!(noticed.is_some(), "{rule:?} is broken and 500 seeds did not notice");
    }
}

#[test]
fn a_seed_is_always_the_same_run() {
    for seed in 1_000_000..1_000_010 {
        assert_eq!(run(seed, None).expect("a good run"), run(seed, None).expect("a good run"), "seed {seed}");
    }
}
