//! What a seed hits rarely, or not at all: one scenario each.

use std::time::Duration;

use fastrand::Rng;
use kalam_live::converge::{KeeperOptions, Rules, Verify};
use kalam_live::live::Phase;

use super::plan::Plan;
use super::world::World;
use crate::client::Check;
use crate::data::{Filter, GROUPS, Query, Record, queries_with_holes};
use crate::filter;
use crate::keys::KeyKind;
use crate::trace::Trace;

/// Runs under these rules.
pub type Scenario = fn(Rules, Trace) -> Check;

/// Every scenario.
pub const SCENARIOS: [(&str, Scenario); 13] = [
    ("late_frame", late_frame),
    ("late_answer", late_answer),
    ("slow_node", slow_node),
    ("steady_changes", steady_changes),
    ("other_numbers", other_numbers),
    ("taking_turns", taking_turns),
    ("column_added", column_added),
    ("reconnect_one_node", |rules, trace| reconnect(rules, trace, 0)),
    ("reconnect_follower", |rules, trace| reconnect(rules, trace, 1)),
    ("even_run_4", |rules, trace| even_run(rules, trace, 0, 4)),
    ("even_run_256", |rules, trace| even_run(rules, trace, 0, 256)),
    ("even_run_inside", |rules, trace| even_run(rules, trace, 100, 356)),
    ("even_run_at_end", |rules, trace| even_run(rules, trace, 244, 500)),
];

const MINUTE: Duration = Duration::from_secs(60);

/// A world with one live query, whose rows are there.
fn world(rules: Rules, trace: Trace, filter: Filter, change: impl FnOnce(&mut Plan)) -> Check<World> {
    let fits = |query: &Query| query.star && query.filter == filter;
    let query = queries_with_holes(KeyKind::BigInt).iter().position(fits).ok_or("no such query")?;
    let mut plan = Plan::calm(query, KeeperOptions { rules, ..KeeperOptions::default() });
    change(&mut plan);
    let mut world = World::with_plan(plan, trace, Rng::with_seed(1));
    for id in 0..3 {
        put(&mut world, id, Some("v0"));
    }
    world.begin()?;
    world.run_for(MINUTE / 6)?;
    Ok(world)
}

fn put(world: &mut World, id: i64, v: Option<&str>) {
    let record = Record { id, grp: GROUPS[0], v: v.map(str::to_owned), n: Some(1) };
    let write = world.nodes.table.put(world.now, record);
    world.nodes.publish(world.now, &write);
}

fn delete(world: &mut World, id: i64) {
    if let Some(write) = world.nodes.table.delete(world.now, id) {
        world.nodes.publish(world.now, &write);
    }
}

/// The frame of a change comes once more, after that of the row's removal. No recording shows it; rule 3 asks for it.
fn late_frame(rules: Rules, trace: Trace) -> Check {
    let mut world = world(rules, trace, Filter::All, |_| {})?;
    world.nodes.holes.late = 1_000;
    put(&mut world, 1, Some("v1"));
    world.nodes.holes.late = 0;
    world.run_for(Duration::from_millis(10))?;
    delete(&mut world, 1);
    world.run_for(Duration::from_secs(4))?;
    while world.now < world.last_frame + Duration::from_secs(1) {
        world.run_for(Duration::from_secs(1))?;
    }
    world.check_rows("after a late frame", |_, _| true)
}

/// A row is looked up, and changes while the answer is on its way.
fn late_answer(rules: Rules, trace: Trace) -> Check {
    let mut world = world(rules, trace, filter::NOT_V, |plan| plan.holes.evaluator = true)?;
    world.answers_wait = Duration::from_millis(500);
    // The live evaluator takes it for a match, which it is not: the client asks.
    put(&mut world, 1, None);
    world.run_for(Duration::from_millis(300))?;
    world.answers_wait = Duration::ZERO;
    put(&mut world, 1, Some("v2"));
    world.run_for(Duration::from_secs(3))?;
    world.check_rows("after a late answer", |_, _| true)
}

/// Frames take longer than answers do, and changes never cease: a digest that differs then proves nothing.
fn slow_node(rules: Rules, trace: Trace) -> Check {
    let mut world = world(rules, trace, Filter::All, |plan| {
        (plan.delay, plan.jitter) = (Duration::from_millis(1), Duration::ZERO);
        plan.lives[0].1.verify = Verify::Every(Duration::from_secs(10));
    })?;
    world.network_is_slow_by(Duration::from_millis(400));
    for at in 0..600 {
        put(&mut world, at % 3, Some(["v1", "v2"][at as usize % 2]));
        world.run_for(Duration::from_millis(100))?;
    }
    match world.spent().mismatches {
        0 => Ok(()),
        n => Err(format!("{n} mismatches, and nothing was ever lost")),
    }
}

/// Changes that only the watch tells, again and again: they are looked up together, a few times a second at most.
fn steady_changes(rules: Rules, trace: Trace) -> Check {
    let mut world = world(rules, trace, filter::V_IS_NULL, |plan| plan.holes.evaluator = true)?;
    let before = world.spent().queries;
    let seconds = 20;
    for at in 0..seconds * 50 {
        put(&mut world, at % 3, [None, Some("v2")][at as usize % 2]);
        world.run_for(Duration::from_millis(20))?;
    }
    let queries = world.spent().queries - before;
    if queries > 3 * seconds as u64 {
        return Err(format!("{queries} queries in {seconds} s"));
    }
    world.run_for(Duration::from_secs(1))?;
    world.check_rows("after steady changes", |_, _| true)
}

/// The leader's numbers run ahead of those of the client's node. A row that was learnt from the leader then leaves the
/// filter, which the watch tells with a number that only seems to be older.
fn other_numbers(rules: Rules, trace: Trace) -> Check {
    let mut world = world(rules, trace, filter::GROUP_A, |plan| plan.holes.exits = true)?;
    world.nodes.leader = 1;
    world.nodes.numbers.jump(0, 600_000);
    // Nobody is told, and the leader tells it in the end.
    world.nodes.holes.drops = 1_000;
    put(&mut world, 1, Some("v1"));
    world.nodes.holes.drops = 0;
    let before = world.spent().proven;
    // Until that check is over: the versions that are held are the leader's then.
    let repaired = |world: &World| world.spent().rows_changed > 0 && world.spent().proven > before;
    while !repaired(&world) && world.now < MINUTE * 5 {
        world.run_for(Duration::from_millis(100))?;
    }
    let record = Record { id: 1, grp: GROUPS[1], v: None, n: None };
    let write = world.nodes.table.put(world.now, record);
    // The latest number of the leader is that of the repaired row.
    let seen = world.nodes.numbers.of(1, write.old.as_ref().map_or(0, |(_, seen)| *seen));
    if !repaired(&world) || seen < write.version {
        return Err("the leader's numbers do not run ahead".into());
    }
    world.nodes.publish(world.now, &write);
    world.run_for(Duration::from_secs(1))?;
    world.check_rows("a second after a row has left", |_, _| true)
}

/// Three live queries on a table want more checks than a table has: none of them is left out.
fn taking_turns(rules: Rules, trace: Trace) -> Check {
    let mut world = world(rules, trace, Filter::All, |plan| {
        let (query, options) = plan.lives[0];
        plan.lives = (0..3).map(|seed| (query, KeeperOptions { seed, ..options })).collect();
        plan.lives.iter_mut().for_each(|(_, options)| options.verify = Verify::Every(Verify::LEAST));
    })?;
    let before: Vec<u64> = world.client.lives.iter().map(|live| live.spent.queries).collect();
    world.run_for(MINUTE)?;
    let after = world.client.lives.iter().map(|live| live.spent.queries);
    let checks: Vec<u64> = after.zip(before).map(|(after, before)| after - before).collect();
    match checks.iter().all(|checks| (7..=13).contains(checks)) {
        true => Ok(()),
        false => Err(format!("{checks:?} checks in a minute")),
    }
}

/// A column is added, and no row changes.
fn column_added(rules: Rules, trace: Trace) -> Check {
    let mut world = world(rules, trace, Filter::All, |_| {})?;
    world.nodes.altered = true;
    world.run_for(MINUTE + Duration::from_secs(10))?;
    world.check_rows("a check after a column was added", |_, _| true)
}

/// A few of many rows are written, deleted and taken out of the filter while the connection is lost. To find them takes less
/// than a hundredth of a snapshot, also at a follower whose numbers were compared once.
fn reconnect(rules: Rules, trace: Trace, leader: i64) -> Check {
    let mut world = world(rules, trace, filter::GROUP_A, |plan| plan.holes.exits = true)?;
    world.nodes.leader = leader;
    for id in 0..20_000 {
        let record = Record { id, grp: GROUPS[0], v: Some("v1".into()), n: Some(id % 100) };
        world.nodes.table.put(world.now, record);
        if id % 1_000 == 0 {
            world.run_for(Duration::from_millis(10))?;
        }
    }
    world.lose_the_connection();
    world.run_for(MINUTE * 10)?;
    world.check_rows("before the reconnect", |_, _| true)?;
    let snapshot: usize = world.client.lives[0].taken.rows.len() * 60;
    let (before, pages) = (world.spent(), world.nodes.snapshots);
    world.lose_the_connection();
    world.run_for(Duration::from_millis(1))?;
    for id in 0..9 {
        match id % 3 {
            0 => put(&mut world, id * 2_000, Some("v2")),
            1 => delete(&mut world, id * 2_000),
            _ => {
                let record = Record { id: id * 2_000, grp: GROUPS[1], v: None, n: None };
                let write = world.nodes.table.put(world.now, record);
                world.nodes.publish(world.now, &write);
            }
        }
    }
    world.run_for(Duration::from_secs(2))?;
    world.check_rows("after a reconnect", |_, _| true)?;
    let bytes = world.spent().bytes - before.bytes + (world.nodes.snapshots - pages).bytes;
    if bytes * 100 > snapshot as u64 {
        return Err(format!("{bytes} bytes, of a snapshot of more than {snapshot}"));
    }
    match world.client.lives[0].keeper.view().phase() {
        Phase::Live => Ok(()),
        phase => Err(format!("{phase:?} after a reconnect")),
    }
}

/// One statement updates 500 rows, and the frames of rows `from..to` are dropped: an even run, which a plain XOR of
/// versions can not see.
fn even_run(rules: Rules, trace: Trace, from: i64, to: i64) -> Check {
    let mut world = world(rules, trace, Filter::All, |_| {})?;
    let statement = |world: &mut World, n: i64, dropped: &dyn Fn(i64) -> bool| {
        for id in 0..500 {
            let write = world.nodes.table.put(world.now, Record { id, grp: GROUPS[0], v: None, n: Some(n) });
            world.nodes.holes.drops = if dropped(id) { 1_000 } else { 0 };
            world.nodes.publish(world.now, &write);
        }
        world.nodes.holes.drops = 0;
    };
    statement(&mut world, 0, &|_| false);
    world.run_for(MINUTE * 2)?;
    let plain = |versions: &mut dyn Iterator<Item = i64>| versions.fold(0, |xor, version| xor ^ version);
    statement(&mut world, 1, &|id| (from..to).contains(&id));
    world.run_for(Duration::from_millis(100))?;
    if world.check_rows("", |_, _| true).is_ok() {
        return Err("nothing was dropped".into());
    }
    let at_server = plain(&mut world.nodes.table.stored().map(|row| row.version));
    let here =
        plain(&mut world.client.lives[0].taken.rows.iter().filter_map(|row| Some(row.version()?.get())));
    if at_server != here {
        return Err("a plain XOR would have found it".into());
    }
    world.run_for(MINUTE + Duration::from_secs(5))?;
    world.check_rows("a check after an even run of frames was dropped", |_, _| true)
}
