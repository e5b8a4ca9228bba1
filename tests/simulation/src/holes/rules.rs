//! Rules that can be turned off, by name.

use kalam_live::converge::Rules;

/// What turns a rule off.
pub type Off = fn(&mut Rules);

/// Every rule.
pub const RULES: [(&str, Off); 14] = [
    ("frames_beat_answers", |r| r.frames_beat_answers = false),
    ("remember_removals", |r| r.remember_removals = false),
    ("digest", |r| r.digest = false),
    ("check_user", |r| r.check_user = false),
    ("quiet_digest", |r| r.quiet_digest = false),
    ("sweep", |r| r.sweep = false),
    ("sweep_removes", |r| r.sweep_removes = false),
    ("check_schema", |r| r.check_schema = false),
    ("know_evaluator", |r| r.know_evaluator = false),
    ("doubt_nulls", |r| r.doubt_nulls = false),
    ("watch", |r| r.watch = false),
    ("check_snapshots", |r| r.check_snapshots = false),
    ("ask_newest", |r| r.ask_newest = false),
    ("pace", |r| r.pace = false),
];

/// All rules but one. `None`: there is no rule of that name.
pub fn without(name: &str) -> Option<Rules> {
    let (_, off) = RULES.iter().find(|(rule, _)| *rule == name)?;
    let mut rules = Rules::default();
    off(&mut rules);
    Some(rules)
}
