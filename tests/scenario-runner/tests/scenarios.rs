//! A test for each scenario and server: `cargo test -p kalam-scenarios`, and against a KalamDB with `KALAM_TEST_URL`,
//! `KALAM_TEST_USER` and `KALAM_TEST_PASSWORD` set.

use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use kalam_embedded::Options;
use kalam_scenarios::{Scenario, Target, TargetKind, matrix, play, read_all};
use libtest_mimic::{Arguments, Failed, Trial};

/// Servers of one kind, each shared by many scenarios.
type Shared = Arc<OnceLock<Result<Target, String>>>;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../scenarios");
    let mut scenarios = read_all(&directory).expect("the scenarios can be read");
    assert!(!scenarios.is_empty(), "{} has no scenarios", directory.display());
    scenarios.extend(matrix());
    let scenarios: Vec<Arc<Scenario>> = scenarios.into_iter().map(Arc::new).collect();
    let kinds: &[(&str, TargetKind)] = if std::env::var_os("KALAM_TEST_URL").is_some() {
        // One after the other: a user has few subscriptions there.
        arguments.test_threads = Some(1);
        &[("given", TargetKind::Given)]
    } else {
        &[
            ("embedded", TargetKind::Embedded),
            ("emulated", TargetKind::Emulated),
            ("newer", TargetKind::Newer),
        ]
    };
    // They mostly wait.
    arguments.test_threads.get_or_insert(8);
    let mut trials = Vec::new();
    for &(prefix, kind) in kinds {
        let shared = Shared::default();
        for scenario in &scenarios {
            let (scenario, shared) = (scenario.clone(), shared.clone());
            let name = format!("{prefix}::{}", scenario.name);
            trials.push(Trial::test(name, move || run(&scenario, kind, &shared)));
        }
    }
    libtest_mimic::run(&arguments, trials).exit_code()
}

fn run(
    scenario: &Scenario,
    kind: TargetKind,
    shared: &OnceLock<Result<Target, String>>,
) -> Result<(), Failed> {
    let own;
    let target = if let Some(seconds) = scenario.topic_visibility {
        if kind == TargetKind::Given {
            return Ok(()); // its timeout is not known
        }
        let topic_visibility = Duration::from_secs_f64(seconds);
        own = Target::start(kind, Options { topic_visibility, ..Options::default() })?;
        &own
    } else if matches!(kind, TargetKind::Embedded | TargetKind::Newer) {
        shared.get_or_init(|| Target::new(kind).map_err(|error| error.to_string())).as_ref()?
    } else {
        // A server of its own, for its ten subscriptions.
        own = Target::new(kind)?;
        &own
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(play(scenario, target))?)
}
