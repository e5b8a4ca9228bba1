//! The table that is printed: ours, with the peers beside.

use std::fmt::Write;

use crate::rounds::Samples;
use crate::scenarios::{FLOOR, Figure, LIVE, Must, PEER, Scenario, live_title};
use crate::statistics::{Spread, short, spread};

/// Markdown. Figures are medians [min..max] of the rounds; comparisons are medians of the ratios within a round, above 1
/// when ours is better.
pub(crate) fn render(results: &[(Scenario, Samples)]) -> String {
    let mut out = String::from(
        "\n| what | kalam-live | floor | kalam-client | over floor | over kalam-client | must reach |\n",
    );
    out.push_str("|---|---|---|---|---|---|---|\n");
    for (scenario, samples) in results {
        for figure in &scenario.figures {
            // Writing into a String can not fail.
            let _ = writeln!(out, "{}", line(scenario, samples, figure, results));
        }
    }
    out
}

/// The median of a figure of ours in the scenario with the fewest rows.
fn at_fewest_rows(results: &[(Scenario, Samples)], figure: &Figure) -> Option<f64> {
    let title = live_title(LIVE[0].0);
    let (_, samples) = results.iter().find(|(scenario, _)| scenario.title == title)?;
    Some(Spread::of(samples.figures(figure.ours, figure.value))?.median)
}

fn line(scenario: &Scenario, samples: &Samples, figure: &Figure, results: &[(Scenario, Samples)]) -> String {
    let values = |name| samples.figures(name, figure.value);
    let shown = |name| Spread::of(values(name)).map(|values| spread(&values)).unwrap_or_default();
    let ours = values(figure.ours);
    let over = |name| {
        let theirs = values(name);
        if figure.more_is_better {
            Spread::of_ratios(&ours, &theirs)
        } else {
            Spread::of_ratios(&theirs, &ours)
        }
    };
    let (over_floor, over_peer) = (over(FLOOR), over(PEER));
    let median = Spread::of(ours.clone()).map(|ours| ours.median);
    let growth = median.zip(at_fewest_rows(results, figure)).map(|(here, there)| here / there);
    let judge = |must: &Must| {
        let reached = match *must {
            Must::AtMost(most) => median.map(|median| median <= most),
            Must::TimesAtFewestRows(most) => growth.map(|growth| growth <= most),
            Must::OfFloor(least) => over_floor.as_ref().map(|over| over.median >= least),
            Must::TimesPeer(least) => over_peer.as_ref().map(|over| over.median >= least),
        };
        let verdict = match reached {
            Some(true) => "met",
            Some(false) => "**missed**",
            None => "not measured",
        };
        match *must {
            Must::AtMost(most) => format!("at most {}: {verdict}", short(most)),
            Must::OfFloor(least) => format!("{} of the floor: {verdict}", short(least)),
            Must::TimesAtFewestRows(most) => {
                let growth = growth.map(|growth| format!(" ({})", short(growth))).unwrap_or_default();
                format!("at most {} times that at {} rows{growth}: {verdict}", short(most), LIVE[0].0)
            }
            Must::TimesPeer(least) => format!("{} times kalam-client: {verdict}", short(least)),
        }
    };
    let musts: Vec<String> = figure.musts.iter().map(judge).collect();
    let ratio = |over: &Option<Spread>| over.as_ref().map(spread).unwrap_or_default();
    let unit = if figure.unit.is_empty() { String::new() } else { format!(" ({})", figure.unit) };
    format!(
        "| {}: {}{unit} | {} | {} | {} | {} | {} | {} |",
        scenario.title,
        figure.what,
        shown(figure.ours),
        shown(FLOOR),
        shown(PEER),
        ratio(&over_floor),
        ratio(&over_peer),
        musts.join("; ")
    )
}
