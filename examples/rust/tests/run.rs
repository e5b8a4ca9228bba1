//! Every example runs as a user would run it, on an embedded server of its own, and says what its page promises.

use std::process::Command;

fn run(program: &str) -> Vec<String> {
    let output = Command::new(program)
        .env_remove("KALAM_URL")
        .output()
        .unwrap_or_else(|e| panic!("{program} does not start: {e}"));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    assert!(output.status.success(), "{}", text(&output.stderr));
    assert_eq!(text(&output.stderr), "");
    text(&output.stdout).lines().map(str::to_owned).collect()
}

#[test]
fn first_query() {
    assert_eq!(run(env!("CARGO_BIN_EXE_first_query")), ["1 hello"]);
}

#[test]
fn live_rows() {
    let lines = run(env!("CARGO_BIN_EXE_live_rows"));
    assert!(lines.iter().any(|line| line.contains(" rows, last_seq_id=")), "{lines:?}");
    assert_eq!(lines.last().map(String::as_str), Some("how is everybody?"), "{lines:?}");
}

#[test]
fn open_tasks() {
    assert_eq!(run(env!("CARGO_BIN_EXE_open_tasks")), ["2 open: write, ship", "1 open: ship", "0 open: "]);
}

#[test]
fn raw_events() {
    let lines = run(env!("CARGO_BIN_EXE_raw_events"));
    let changes: Vec<_> = lines.iter().filter(|line| !line.starts_with("event: ")).collect();
    // What was said before the snapshot was taken is in it.
    assert_eq!(changes.last().map(|line| line.as_str()), Some("deleted 1"), "{lines:?}");
    assert!(changes.iter().any(|line| *line == "updated 1"), "{lines:?}");
}

#[test]
fn resume_from_checkpoint() {
    assert_eq!(
        run(env!("CARGO_BIN_EXE_resume_from_checkpoint")),
        ["first run: 2 rows", "since then: inserted while you were away", "since then: deleted hello"]
    );
}

#[test]
fn inspect_subscriptions() {
    assert_eq!(
        run(env!("CARGO_BIN_EXE_inspect_subscriptions")),
        ["subscription-id — SELECT * FROM app.tasks", "live-1 — SELECT * FROM app.messages", "left: 1"]
    );
}

#[test]
fn billing_worker() {
    let mut lines = run(env!("CARGO_BIN_EXE_billing_worker"));
    assert_eq!(lines.pop().as_deref(), Some("3 handled, 3 committed"));
    lines.sort();
    assert_eq!(lines, ["insert 0: write", "insert 1: ship", "insert 2: bill"]);
}

#[test]
fn every_example_has_a_test() {
    let tests = include_str!("run.rs");
    for entry in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin")).expect("the examples") {
        let name =
            entry.expect("an example").path().file_stem().expect("a name").to_string_lossy().into_owned();
        assert!(tests.contains(&format!("CARGO_BIN_EXE_{name}")), "{name} has no test");
    }
}
