//! `docs/compatibility.md`: every claim is tried.

use crate::common::{memory, root, run_as};

fn document() -> String {
    let path = format!("{}/../docs/compatibility.md", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// The cells of a table's row; `\|` is no border.
fn cells(line: &str) -> Vec<String> {
    let line = line.replace("\\|", "\u{0}");
    line.trim().trim_matches('|').split('|').map(|cell| cell.trim().replace('\0', "|")).collect()
}

fn code(cell: &str) -> Option<&str> {
    cell.strip_prefix('`')?.strip_suffix('`')
}

#[test]
fn every_statement_does_what_the_page_says() {
    let engine = memory();
    let (mut tried, mut wrong) = (0, Vec::new());
    for line in document().lines().filter(|line| line.starts_with("| ") && !line.starts_with("| `")) {
        let cells = cells(line);
        let [what, claim, example, how] = &cells[..] else { continue };
        let Some(example) = code(example) else { continue };
        tried += 1;
        let answer = run_as(&engine, &root(), example, vec![]);
        match (claim.as_str(), answer) {
            ("same" | "different", Ok(_)) => {}
            ("no", Err(error)) => {
                let quoted = code(how).unwrap_or_else(|| panic!("{what}: the error is not quoted"));
                if !error.message.contains(quoted) {
                    wrong.push(format!("{what}: {error}"));
                }
            }
            (_, Err(error)) => wrong.push(format!("{what}: {error}")),
            (claim, Ok(_)) => wrong.push(format!("{what}: '{claim}', but it is accepted")),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(tried > 60, "only {tried} examples");
}
