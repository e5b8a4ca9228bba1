//! Rules that can be turned off, by name.

use kalam_live::converge::Rules;

use super::scenarios::SCENARIOS;
use crate::trace::Trace;

/// What turns a rule off.
pub type Off = fn(&mut Rules);

/// Every rule that is a switch, with the numbers that it has in `ARCHITECTURE.md`. Elsewhere: the order of arrival (2)
/// is held by the other simulation, equality (6) by the tests of live rows, slots (14) by those of
/// `kalam_live::converge::Watches`, literals (17) by property tests.
pub const RULES: [(&str, &[u8], Off); 16] = [
    ("keep_sources_apart", &[1, 4], |r| r.keep_sources_apart = false),
    ("keep_rows", &[4, 16], |r| r.keep_rows = false),
    ("remember_removals", &[3], |r| r.remember_removals = false),
    ("frames_beat_answers", &[5], |r| r.frames_beat_answers = false),
    ("digest", &[7, 10], |r| r.digest = false),
    ("check_user", &[7], |r| r.check_user = false),
    ("quiet_digest", &[8], |r| r.quiet_digest = false),
    ("sweep", &[9], |r| r.sweep = false),
    ("sweep_removes", &[9], |r| r.sweep_removes = false),
    ("check_schema", &[11], |r| r.check_schema = false),
    ("know_evaluator", &[12], |r| r.know_evaluator = false),
    ("doubt_nulls", &[12], |r| r.doubt_nulls = false),
    ("watch", &[13], |r| r.watch = false),
    ("check_snapshots", &[15], |r| r.check_snapshots = false),
    ("ask_newest", &[15], |r| r.ask_newest = false),
    ("pace", &[16], |r| r.pace = false),
];

/// What notices that rules are off: the first scenario that fails, or the first of so many seeds.
pub fn noticed_by(rules: Rules, seeds: u64) -> Option<String> {
    let scenario = SCENARIOS.iter().find_map(|(name, scenario)| {
        let error = scenario(rules, Trace::new(false)).err()?;
        Some(format!("scenario {name}: {error}"))
    });
    scenario.or_else(|| {
        (0..seeds).find_map(|seed| Some(format!("seed {seed}: {}", super::run(seed, rules, false).err()?)))
    })
}

/// All rules but one. `None`: there is no rule of that name.
pub fn without(name: &str) -> Option<Rules> {
    let (_, _, off) = RULES.iter().find(|(rule, ..)| *rule == name)?;
    let mut rules = Rules::default();
    off(&mut rules);
    Some(rules)
}
