//! A statement that updates 500 rows, of whose frames an even run is dropped: what a plain XOR of versions can not see.

use std::time::Duration;

use fastrand::Rng;
use kalam_live::converge::{KeeperOptions, Verify};

use super::Holes;
use super::plan::Plan;
use super::world::World;
use crate::client::Check;
use crate::data::{GROUPS, Record};
use crate::keys::KeyKind;
use crate::trace::Trace;

const ROWS: i64 = 500;

/// Drops the frames of rows `from..to`. Returns whether a plain XOR of versions is the same here and at the server.
///
/// # Errors
/// The rows are still wrong when a check was due.
pub fn run(from: i64, to: i64) -> Check<bool> {
    let verify = Duration::from_secs(10);
    let options = KeeperOptions { verify: Verify::Every(verify), ..KeeperOptions::default() };
    let plan = Plan {
        holes: Holes::closed(),
        urls: 1,
        lives: vec![(0, options)],
        events: false,
        rows: 0,
        key: KeyKind::BigInt,
        keys: ROWS,
        page: None,
        delay: Duration::from_millis(1),
        jitter: Duration::ZERO,
        trouble: Duration::ZERO,
        write_every: verify,
        bad_answers: 0,
        cuts: false,
        alters: false,
        clocks: false,
        drops_table: false,
        verify,
    };
    let mut world = World::with_plan(plan, Trace::new(false), Rng::with_seed(1));
    write(&mut world, 0, |_| false);
    world.begin()?;
    world.run_for(verify * 2)?;
    // Not before the next check begins.
    write(&mut world, 1, |id| (from..to).contains(&id));
    world.run_for(Duration::from_millis(100))?;
    let at_server = world.nodes.table.stored().fold(0, |xor, row| xor ^ row.version);
    let here = world.client.lives[0].taken.rows.iter().filter_map(|row| row.version());
    let same = at_server == here.fold(0, |xor, version| xor ^ version.get());
    if world.check_rows("before the check", |_, _| true).is_ok() {
        return Err("nothing was dropped".into());
    }
    world.run_for(verify + Duration::from_secs(5))?;
    world.check_rows("after the check", |_, _| true)?;
    Ok(same)
}

/// One statement: its rows have consecutive versions.
fn write(world: &mut World, n: i64, dropped: impl Fn(i64) -> bool) {
    for id in 0..ROWS {
        let write = world.nodes.table.put(world.now, Record { id, grp: GROUPS[0], v: None, n: Some(n) });
        world.nodes.holes.drops = if dropped(id) { 1_000 } else { 0 };
        world.nodes.publish(world.now, &write);
    }
    world.nodes.holes.drops = 0;
}
