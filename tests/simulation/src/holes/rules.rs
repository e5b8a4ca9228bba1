//! Rules that can be turned off, by name.

use std::panic::{UnwindSafe, catch_unwind};

use kalam_live::converge::Rules;

use super::scenarios::SCENARIOS;
use crate::client::Check;
use crate::trace::Trace;

/// What turns a rule off.
pub type Off = fn(&mut Rules);

/// Every rule, with the numbers that it has in the rules for `live`.
pub const RULES: [(&str, &[u8], Off); 21] = [
    ("arrival_order", &[2], |r| r.arrival_order = false),
    ("keep_sources_apart", &[1, 4], |r| r.keep_sources_apart = false),
    ("keep_rows", &[4, 16], |r| r.keep_rows = false),
    ("remember_removals", &[3], |r| r.remember_removals = false),
    ("frames_beat_answers", &[5], |r| r.frames_beat_answers = false),
    ("digest", &[7, 10], |r| r.digest = false),
    ("check_user", &[7], |r| r.check_user = false),
    ("quiet_digest", &[8], |r| r.quiet_digest = false),
    ("count_rows", &[8], |r| r.count_rows = false),
    ("sweep", &[9], |r| r.sweep = false),
    ("sweep_removes", &[9], |r| r.sweep_removes = false),
    ("check_schema", &[11], |r| r.check_schema = false),
    ("know_evaluator", &[12], |r| r.know_evaluator = false),
    ("doubt_nulls", &[12], |r| r.doubt_nulls = false),
    ("watch", &[13], |r| r.watch = false),
    ("check_snapshots", &[15], |r| r.check_snapshots = false),
    ("ask_newest", &[15], |r| r.ask_newest = false),
    ("pace", &[16], |r| r.pace = false),
    ("versions_aside", &[6], |r| r.versions_aside = false),
    ("watches_yield", &[14], |r| r.watches_yield = false),
    ("literals", &[17], |r| r.literals = false),
];

/// What notices that rules are off: the first scenario that fails, or the first of so many seeds.
pub fn noticed_by(rules: Rules, seeds: u64) -> Option<String> {
    let scenario = SCENARIOS.iter().find_map(|(name, scenario)| {
        let error = caught(|| scenario(rules, Trace::new(false))).err()?;
        Some(format!("scenario {name}: {error}"))
    });
    let run = |seed| caught(|| super::run(seed, rules, false).map(drop));
    scenario.or_else(|| (0..seeds).find_map(|seed| Some(format!("seed {seed}: {}", run(seed).err()?))))
}

/// The model does not understand every mistake: a panic is one.
fn caught(run: impl FnOnce() -> Check + UnwindSafe) -> Check {
    catch_unwind(run).unwrap_or_else(|panic| {
        Err(panic.downcast_ref::<String>().cloned().unwrap_or_else(|| "a panic".into()))
    })
}

/// All rules but one. `None`: there is no rule of that name.
pub fn without(name: &str) -> Option<Rules> {
    let (_, _, off) = RULES.iter().find(|(rule, ..)| *rule == name)?;
    let mut rules = Rules::default();
    off(&mut rules);
    Some(rules)
}
