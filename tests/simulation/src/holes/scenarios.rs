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
pub const SCENARIOS: [(&str, Scenario); 24] = [
    ("late_frame", late_frame),
    ("late_answer", late_answer),
    ("slow_node", slow_node),
    ("steady_changes", steady_changes),
    ("other_numbers", other_numbers),
    ("smaller_number", smaller_number),
    ("nothing_visible", nothing_visible),
    ("slots_for_rows", slots_for_rows),
    ("keys_int", |rules, trace| keys(rules, trace, KeyKind::Int)),
    ("keys_bigint", |rules, trace| keys(rules, trace, KeyKind::BigInt)),
    ("keys_text", |rules, trace| keys(rules, trace, KeyKind::Text)),
    ("keys_uuid", |rules, trace| keys(rules, trace, KeyKind::Uuid)),
    ("taking_turns", taking_turns),
    ("column_added", column_added),
    ("even_run_4", |rules, trace| even_run(rules, trace, 0, 4)),
    ("even_run_256", |rules, trace| even_run(rules, trace, 0, 256)),
    ("even_run_inside", |rules, trace| even_run(rules, trace, 100, 356)),
    ("even_run_at_end", |rules, trace| even_run(rules, trace, 244, 500)),
    ("reconnect_one_node", |rules, trace| reconnect(rules, trace, 0)),
    ("reconnect_follower", |rules, trace| reconnect(rules, trace, 1)),
    ("much_is_removed", much_is_removed),
    ("expiry_one_node", |rules, trace| expiry(rules, trace, Filter::All, 0)),
    ("expiry_follower", |rules, trace| expiry(rules, trace, Filter::All, 1)),
    ("expiry_watched", |rules, trace| expiry(rules, trace, filter::V_IS_NULL, 0)),
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
    let record = Record { id, grp: GROUPS[0], v: v.map(str::to_owned), n: Some(1), extra: None };
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

/// Changes that only the watch tells, ten or fifty a second: they are looked up together, with queries that are fewer than 5 %
/// of the frames. When they cease the rows are right a second later.
fn steady_changes(rules: Rules, trace: Trace) -> Check {
    let mut world = world(rules, trace, filter::V_IS_NULL, |plan| plan.holes.evaluator = true)?;
    for (a_second, seconds) in [(10, 60), (50, 20)] {
        let (before, frames) = (world.spent().queries, world.nodes.watched.frames);
        for at in 0..seconds * a_second {
            put(&mut world, at % 3, [None, Some("v2")][at as usize % 2]);
            world.run_for(Duration::from_secs(1) / a_second as u32)?;
        }
        let (queries, frames) = (world.spent().queries - before, world.nodes.watched.frames - frames);
        if queries * 20 > frames {
            return Err(format!("{queries} queries for {frames} frames"));
        }
        world.run_for(Duration::from_secs(1))?;
        world.check_rows("after steady changes", |_, _| true)?;
        world.run_for(MINUTE)?;
    }
    Ok(())
}

/// The leader's numbers run ahead of those of the client's node. A row that was learnt from the leader then leaves the
/// filter, which the watch tells with a number that only seems to be older.
fn other_numbers(rules: Rules, trace: Trace) -> Check {
    let mut world = learnt_from_the_leader(rules, trace, filter::GROUP_A)?;
    let record = Record { id: 1, grp: GROUPS[1], v: None, n: None, extra: None };
    with_a_smaller_number(&mut world, record)?;
    world.run_for(Duration::from_secs(1))?;
    world.check_rows("a second after a row has left", |_, _| true)
}

/// The same, but the row changes, which the subscription tells.
fn smaller_number(rules: Rules, trace: Trace) -> Check {
    let mut world = learnt_from_the_leader(rules, trace, Filter::All)?;
    let record = Record { id: 1, grp: GROUPS[0], v: Some("v2".into()), n: None, extra: None };
    with_a_smaller_number(&mut world, record)?;
    world.run_for(Duration::from_secs(1))?;
    world.check_rows("a second after a change", |_, _| true)
}

/// Row 1 is held with a number of the leader's that its own node will reach in ten minutes.
fn learnt_from_the_leader(rules: Rules, trace: Trace, filter: Filter) -> Check<World> {
    let mut world = world(rules, trace, filter, |plan| plan.holes.exits = true)?;
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
    match repaired(&world) {
        true => Ok(world),
        false => Err("nothing was learnt from the leader".into()),
    }
}

fn with_a_smaller_number(world: &mut World, record: Record) -> Check {
    let write = world.nodes.table.put(world.now, record);
    // The latest number of the leader is that of the repaired row.
    let seen = world.nodes.numbers.of(1, write.old.as_ref().map_or(0, |(_, seen)| *seen));
    if seen < write.version {
        return Err("the leader's numbers do not run ahead".into());
    }
    world.nodes.publish(world.now, &write);
    Ok(())
}

/// A column that is not selected changes; then one that is, and back before the reader looks.
fn nothing_visible(rules: Rules, trace: Trace) -> Check {
    let narrow = queries_with_holes(KeyKind::BigInt).iter().position(|q| q.columns == ["id", "v"] && !q.seq);
    let narrow = narrow.ok_or("no such query")?;
    let mut world = world(rules, trace, Filter::All, |plan| plan.lives[0].0 = narrow)?;
    for n in 2..5 {
        let record = Record { id: 1, grp: GROUPS[0], v: Some("v0".into()), n: Some(n), extra: None };
        let write = world.nodes.table.put(world.now, record);
        world.nodes.publish(world.now, &write);
        world.run_for(Duration::from_millis(50))?;
    }
    world.run_for(MINUTE * 2)?;
    world.check_rows("after changes that are not visible", |_, _| true)
}

/// The user has two slots, and a watch has the second when another live query begins.
fn slots_for_rows(rules: Rules, trace: Trace) -> Check {
    let mut world = world(rules, trace, filter::GROUP_A, |plan| plan.holes.slots = 2)?;
    if !world.client.is_watched(0) {
        return Err("there is no watch that could give way".into());
    }
    world.live_too(KeeperOptions { rules, ..KeeperOptions::default() })?;
    world.run_for(Duration::from_secs(10))?;
    world.check_rows("after a second live query has begun", |_, _| true)
}

/// Rows with keys of this kind are looked up, and swept page by page.
fn keys(rules: Rules, trace: Trace, key: KeyKind) -> Check {
    let mut world = world(rules, trace, filter::GROUP_A, |plan| {
        (plan.key, plan.holes.exits) = (key, true);
    })?;
    for id in 0..29 {
        put(&mut world, id, Some("v1"));
    }
    world.run_for(Duration::from_secs(3))?;
    for id in 0..18 {
        let record = Record { id, grp: GROUPS[1], v: None, n: None, extra: None };
        let write = world.nodes.table.put(world.now, record);
        world.nodes.publish(world.now, &write);
    }
    world.run_for(Duration::from_secs(1))?;
    world.check_rows("after rows have left", |_, _| true)?;
    world.nodes.table.vanish(22);
    world.run_for(MINUTE * 2)?;
    world.check_rows("after a row is gone without a trace", |_, _| true)
}

/// More keys are removed between two checks than are remembered: a check comes at once.
fn much_is_removed(rules: Rules, trace: Trace) -> Check {
    let mut world = world(rules, trace, Filter::All, |plan| plan.keys = 20_000)?;
    for id in 0..15_000 {
        put(&mut world, id, None);
        if id % 1_000 == 0 {
            world.run_for(Duration::from_millis(1))?;
        }
    }
    world.run_for(MINUTE)?;
    let before = world.spent();
    for id in 0..14_000 {
        delete(&mut world, id);
        if id % 500 == 0 {
            world.run_for(Duration::from_millis(1))?;
        }
        // What comes too late is not brought back.
        if id % 1_000 == 999 && world.client.lives[0].keeper.holds().removed == 0 {
            return Err(format!("nothing is remembered after {id} removals"));
        }
    }
    world.run_for(Duration::from_secs(5))?;
    world.check_rows("after many removals", |_, _| true)?;
    match world.spent().queries - before.queries {
        0 => Err("nothing was checked".into()),
        _ => Ok(()),
    }
}

/// Rows come ten times a second and expire, which nobody tells, and it is never quiet. They are gone a check later, within the
/// budget.
fn expiry(rules: Rules, trace: Trace, filter: Filter, leader: i64) -> Check {
    let mut world = world(rules, trace, filter, |plan| {
        (plan.keys, plan.holes.evaluator) = (10_000, true);
    })?;
    world.nodes.leader = leader;
    let before = world.spent().queries;
    for id in 0..6_000 {
        let v = if id % 2 == 0 { None } else { Some("v1") };
        put(&mut world, id, v);
        // After 100 seconds.
        world.nodes.table.vanish(id - 1_000);
        world.run_for(Duration::from_millis(100))?;
    }
    let (most, held) = (1_000 + 600 + 200, world.client.lives[0].taken.rows.len());
    if held > most {
        return Err(format!("{held} rows where 1,000 have not expired"));
    }
    let queries = world.spent().queries - before;
    // Where the filter is followed by nobody, each change is looked up.
    if queries > 300 {
        return Err(format!("{queries} queries for 6,000 frames"));
    }
    world.run_for(MINUTE * 2)?;
    world.check_rows("a check after the last row", |_, _| true)
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
    world.nodes.alter("extra");
    world.run_for(MINUTE + Duration::from_secs(10))?;
    world.check_rows("a check after a column was added", |_, _| true)
}

/// A few of many rows are written, deleted and taken out of the filter while the connection is lost. To find them takes less
/// than a hundredth of a snapshot, also at a follower whose numbers were compared once.
fn reconnect(rules: Rules, trace: Trace, leader: i64) -> Check {
    let mut world = world(rules, trace, filter::GROUP_A, |plan| {
        (plan.keys, plan.holes.exits) = (20_000, true);
    })?;
    world.nodes.leader = leader;
    for id in 0..20_000 {
        let record = Record { id, grp: GROUPS[0], v: Some("v1".into()), n: Some(id % 100), extra: None };
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
                let record = Record { id: id * 2_000, grp: GROUPS[1], v: None, n: None, extra: None };
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
            let write = world
                .nodes
                .table
                .put(world.now, Record { id, grp: GROUPS[0], v: None, n: Some(n), extra: None });
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
