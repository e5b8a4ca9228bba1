//! What it costs to keep rows right: queries, frames and bytes, in virtual time and so the same on every machine.

use std::fmt::Write;
use std::time::Duration;

use fastrand::Rng;
use kalam_live::converge::KeeperOptions;

use super::Holes;
use super::plan::Plan;
use super::server::Traffic;
use super::world::World;
use crate::client::Check;
use crate::data::{Filter, GROUPS, Record, queries_with_holes};
use crate::filter;
use crate::keys::KeyKind;
use crate::trace::Trace;

/// Something that happens to a live query whose rows are there.
struct Situation {
    name: &'static str,
    rows: i64,
    happens: fn(&mut World) -> Check,
}

const SITUATIONS: [Situation; 4] = [
    Situation { name: "an idle hour, 10,000 rows", rows: 10_000, happens: |world| world.run_for(HOUR) },
    Situation { name: "10 changes a second for 10 minutes, 10,000 rows", rows: 10_000, happens: steady },
    Situation { name: "a burst of 5,000 changes, 10,000 rows", rows: 10_000, happens: burst },
    Situation { name: "a reconnect, 10 of 100,000 rows changed", rows: 100_000, happens: reconnect },
];

const HOUR: Duration = Duration::from_secs(3_600);

/// Queries: without a filter; with one that the live evaluator follows, whose exits only a watch tells; with one that it
/// does not follow.
const QUERIES: [(&str, Filter); 3] = [
    ("`SELECT *`", Filter::All),
    ("`… WHERE grp = 'a'`", filter::GROUP_A),
    ("`… WHERE v > 'v5'`", filter::V_ABOVE),
];

/// Runs everything. Returns a table as Markdown.
///
/// # Errors
/// The rows are wrong in the end.
pub fn table() -> Check<String> {
    let mut text = String::from(
        "| what happens | query | node | change frames | of a watch | checking queries | bytes: changes | watch | queries | snapshot |\n\
         |---|---|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for situation in &SITUATIONS {
        for (shown, filter) in QUERIES {
            for (node, leader) in [("one node", 0), ("a follower", 1)] {
                let cost = cost(situation, filter, leader)
                    .map_err(|error| format!("{}, {shown}, {node}: {error}", situation.name))?;
                let _ = writeln!(
                    text,
                    "| {} | {shown} | {node} | {} | {} | {} | {} | {} | {} | {} |",
                    situation.name,
                    thousands(cost.changes.frames - cost.watched.frames),
                    thousands(cost.watched.frames),
                    thousands(cost.queries),
                    thousands(cost.changes.bytes - cost.watched.bytes),
                    thousands(cost.watched.bytes),
                    thousands(cost.query_bytes),
                    thousands(cost.snapshots.bytes),
                );
            }
        }
    }
    Ok(text)
}

struct Cost {
    changes: Traffic,
    watched: Traffic,
    snapshots: Traffic,
    queries: u64,
    query_bytes: u64,
}

fn cost(situation: &Situation, filter: Filter, leader: i64) -> Check<Cost> {
    let query = (queries_with_holes(KeyKind::BigInt).iter())
        .position(|query| query.star && query.filter == filter)
        .ok_or("no such query")?;
    let mut plan = Plan::calm(query, KeeperOptions::default());
    plan.holes = Holes::recorded();
    plan.keys = situation.rows;
    let mut world = World::with_plan(plan, Trace::new(false), Rng::with_seed(1));
    world.nodes.leader = leader;
    for id in 0..situation.rows {
        if id % 100 == 0 {
            world.now += Duration::from_millis(1);
        }
        world.nodes.table.put(world.now, record(id, 6 + id % 3));
    }
    world.open()?;
    world.run_for(HOUR)?;
    world.check_rows("in the beginning", |_, _| true)?;
    let nodes = &world.nodes;
    let (changes, watched, snapshots) = (nodes.changes, nodes.watched, nodes.snapshots);
    let spent = world.spent();
    (situation.happens)(&mut world)?;
    world.check_rows("in the end", |_, _| true)?;
    Ok(Cost {
        changes: world.nodes.changes - changes,
        watched: world.nodes.watched - watched,
        snapshots: world.nodes.snapshots - snapshots,
        queries: world.spent().queries - spent.queries,
        query_bytes: world.spent().bytes - spent.bytes,
    })
}

/// Every group and either side of each filter.
fn record(id: i64, v: i64) -> Record {
    let grp = GROUPS[(id % 3) as usize];
    Record { id, grp, v: Some(format!("v{v}")), n: Some(id % 100), extra: None }
}

fn write(world: &mut World, id: i64, v: i64) {
    let write = world.nodes.table.put(world.now, record(id, v));
    world.nodes.publish(world.now, &write);
}

fn steady(world: &mut World) -> Check {
    for at in 0..6_000 {
        write(world, at * 7 % 10_000, 3 + at % 6);
        world.run_for(Duration::from_millis(100))?;
    }
    world.run_for(Duration::from_secs(2))
}

fn burst(world: &mut World) -> Check {
    for id in 0..5_000 {
        write(world, id, 3 + id % 6);
    }
    world.run_for(Duration::from_secs(60))
}

fn reconnect(world: &mut World) -> Check {
    world.lose_the_connection();
    world.run_for(Duration::from_millis(1))?;
    for id in 0..10 {
        write(world, id * 9_999, 3 + id % 6);
    }
    world.run_for(Duration::from_secs(60))
}

fn thousands(n: u64) -> String {
    let digits = n.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
