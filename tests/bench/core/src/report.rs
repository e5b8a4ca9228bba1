//! The table that is printed.

use std::fmt::Write;

use crate::rounds::Samples;
use crate::scenarios::{Figure, Scenario};
use crate::statistics::{Spread, spread};

/// Markdown: a table for each scenario, a line for each figure and contestant. The ratio is to the first contestant,
/// within each round; above 1 means better than it.
pub(crate) fn render(results: &[(Scenario, Samples)]) -> String {
    let mut out = String::new();
    for (scenario, samples) in results {
        // Writing into a String can not fail.
        let _ = writeln!(out, "\n### {}\n", scenario.title);
        let _ = writeln!(
            out,
            "| what | who | median [min..max] | unit | times as good as {} |",
            scenario.contestants[0].name
        );
        let _ = writeln!(out, "|---|---|---|---|---|");
        for figure in &scenario.figures {
            for contestant in &scenario.contestants {
                line(&mut out, scenario, samples, figure, contestant.name);
            }
        }
    }
    out
}

fn line(out: &mut String, scenario: &Scenario, samples: &Samples, figure: &Figure, name: &str) {
    let values = samples.figures(name, figure.value);
    let first = samples.figures(scenario.contestants[0].name, figure.value);
    let ratios = if scenario.contestants[0].name == name {
        None
    } else if figure.more_is_better {
        Spread::of_ratios(&values, &first)
    } else {
        Spread::of_ratios(&first, &values)
    };
    let Some(values) = Spread::of(values) else { return };
    let ratio = ratios.map(|ratios| spread(&ratios)).unwrap_or_default();
    let _ = writeln!(out, "| {} | {name} | {} | {} | {ratio} |", figure.what, spread(&values), figure.unit);
}
