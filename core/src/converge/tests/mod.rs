//! Each rule as a transcript; where it is cheap, once more with the rule off.

mod kept;
mod random;
mod server;

use std::time::Duration;

use server::World;

use super::{KeeperOptions, Paces, Rules, Verify};
use crate::error::{Error, ErrorCode};
use crate::live::Phase;
use crate::machine::{Mode, SubscriptionEvent};
use crate::repair::Reason;

const ALL: &str = "SELECT * FROM t";
const OPEN: &str = "SELECT id, s FROM t WHERE s = 'open'";
const BLIND: &str = "SELECT id, s FROM t WHERE upper(s) = 'OPEN' AND s = 'open'";
const SECOND: Duration = Duration::from_secs(1);

fn without(change: impl FnOnce(&mut Rules)) -> KeeperOptions {
    let mut options = KeeperOptions::default();
    change(&mut options.rules);
    options
}

fn watched(sql: &str, options: KeeperOptions) -> World {
    let mut world = World::live(sql, options, 0..20);
    world.keeper.handle_watch_state(world.now, true);
    world.settle();
    world
}

#[test]
fn an_idle_query_costs_one_digest_an_interval() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..10);
    world.run(Duration::from_secs(600));
    let counters = world.keeper.take_counters();
    assert!((9..=12).contains(&counters.queries), "{counters:?}");
    assert_eq!((counters.proven, counters.mismatches, counters.errors), (counters.queries, 0, 0));
    assert_eq!(world.phase(), Phase::Live);
}

/// Digests in a minute that each of several live queries on one table asks for, where the first of them is served first.
fn digests_in_a_minute(queries: usize, share_pace: bool) -> Vec<u64> {
    let often = KeeperOptions { verify: Verify::Every(SECOND), ..KeeperOptions::default() };
    let mut worlds: Vec<World> = (0..queries).map(|_| World::live(ALL, often, 0..5)).collect();
    let (mut paces, mut asked) = (Paces::default(), vec![0; queries]);
    let start = worlds[0].now;
    let mut now = start;
    while now < start + Duration::from_secs(60) {
        for at in 0..queries {
            let time = now.saturating_sub(worlds[at].now);
            worlds[at].run(time);
            let Some(distance) = worlds[at].keeper.take_digest() else { continue };
            asked[at] += 1;
            let until = paces.asked(now, worlds[at].keeper.table(), distance);
            for world in worlds.iter_mut().filter(|_| share_pace) {
                world.keeper.wait_for_table(until);
            }
        }
        now = worlds.iter().filter_map(|world| world.keeper.next_timeout()).min().unwrap();
    }
    asked
}

#[test]
fn a_table_is_asked_for_one_digest_at_a_time() {
    let apart: u64 = digests_in_a_minute(8, false).iter().sum();
    assert!(apart > 200, "{apart}");
    let together: u64 = digests_in_a_minute(8, true).iter().sum();
    assert!((26..=36).contains(&together), "{together}");
}

#[test]
fn live_queries_on_a_table_take_turns() {
    for queries in [2, 8, 30] {
        let asked = digests_in_a_minute(queries, true);
        let (least, most) = (asked.iter().min().unwrap(), asked.iter().max().unwrap());
        assert!(*least > 0 && most - least <= 2, "{asked:?}");
    }
}

#[test]
fn a_complete_server_is_asked_for_nothing() {
    let mut world = World::new(OPEN, KeeperOptions::default(), 0..10);
    world.connect(|_| true);
    world.keeper.connected(true, "root");
    world.event(SubscriptionEvent::Acked {
        schema: World::schema(),
        mode: Mode::Fresh,
        origin: crate::SeqId::from(0).into(),
    });
    world.event(SubscriptionEvent::Ready);
    assert_eq!(world.keeper.wants_watch(), None);
    assert_eq!(world.keeper.next_timeout(), None);
    world.write(3, Some("closed"));
    world.tell(3);
    world.run(Duration::from_secs(600));
    assert!(world.asked.is_empty());
}

#[test]
fn verify_off_asks_for_nothing() {
    let options = KeeperOptions { verify: Verify::Off, ..KeeperOptions::default() };
    let mut world = World::live(OPEN, options, 0..10);
    world.run(Duration::from_secs(600));
    assert!(world.asked.is_empty());
    assert_eq!(world.keeper.wants_watch(), None);
}

/// Whoever means "never" may say so with the longest time there is, which no clock can be set to.
#[test]
fn the_longest_interval_is_a_day() {
    let options = KeeperOptions { verify: Verify::Every(Duration::MAX), ..KeeperOptions::default() };
    let world = World::live(ALL, options, 0..10);
    let next = world.keeper.next_timeout().expect("a check is planned");
    assert!(next - world.now <= Verify::MOST, "{next:?}");
    assert!(next - world.now >= Verify::MOST / 10 * 9, "{next:?}");
}

#[test]
fn rows_since_a_position_can_not_be_checked_and_all_rows_can() {
    let mut world = World::new(OPEN, KeeperOptions::default(), 0..10);
    world.keeper.connected(false, "root");
    for (mode, checked) in [(Mode::Since, false), (Mode::Resumed, false), (Mode::Fresh, true)] {
        let origin = crate::SeqId::from(0).into();
        world.event(SubscriptionEvent::Acked { schema: World::schema(), mode, origin });
        world.event(SubscriptionEvent::Ready);
        assert_eq!(world.keeper.next_timeout().is_some(), checked, "{mode:?}");
        assert_eq!(world.keeper.wants_watch().is_some(), checked);
    }
}

#[test]
fn a_snapshot_that_skips_rows_is_put_right_at_once() {
    let mut world = World::new(ALL, KeeperOptions::default(), 0..2_000);
    world.connect(|id| id % 400 != 7);
    world.run(SECOND);
    assert_eq!(world.held(), world.right());
    world.run(Duration::from_secs(5));
    assert_eq!(world.phase(), Phase::Live);
    let counters = world.keeper.take_counters();
    assert_eq!((counters.rows_added, counters.repairs, counters.mismatches), (5, 1, 1));

    let mut world = World::new(ALL, without(|r| r.check_snapshots = false), 0..2_000);
    world.connect(|id| id % 400 != 7);
    world.run(SECOND);
    assert_ne!(world.held(), world.right());
}

#[test]
fn a_row_that_leaves_the_filter_is_found_by_the_watch() {
    let mut world = watched(OPEN, KeeperOptions::default());
    assert!(world.keeper.wants_watch().is_some());
    world.write(3, Some("closed"));
    world.watch(3);
    world.run(SECOND);
    assert_eq!(world.held(), world.right());
    assert_eq!(world.asked, ["SELECT id, s, _seq FROM app.t WHERE (s = 'open') AND id IN (3) LIMIT 500"]);
    let reports = world.reports();
    assert_eq!((reports.len(), reports[0].reason, reports[0].removed), (1, Reason::Unconfirmed, 1));
    assert_eq!(world.keeper.view().phase(), Phase::Live);

    let world = World::live(OPEN, without(|r| r.watch = false), 0..20);
    assert_eq!(world.keeper.wants_watch(), None);
}

#[test]
fn what_the_query_confirms_is_not_looked_up() {
    for query_first in [true, false] {
        let mut world = watched(OPEN, KeeperOptions::default());
        world.write(3, Some("open"));
        if query_first {
            world.tell(3);
            world.watch(3);
        } else {
            world.watch(3);
            world.tell(3);
        }
        world.delete(4);
        if query_first {
            world.tell(4);
            world.watch(4);
        } else {
            world.watch(4);
            world.tell(4);
        }
        world.write(50, Some("closed"));
        world.watch(50);
        world.run(SECOND);
        assert!(world.asked.is_empty(), "{:?}", world.asked);
        assert_eq!(world.held(), world.right());
    }
}

#[test]
fn a_filter_that_nobody_follows_relies_on_the_watch() {
    let mut world = watched(BLIND, KeeperOptions::default());
    world.write(50, Some("open"));
    world.watch(50);
    world.write(51, Some("closed"));
    world.watch(51);
    world.delete(3);
    world.watch(3);
    world.run(SECOND);
    assert_eq!(world.held(), world.right());

    let mut world = watched(BLIND, without(|r| r.know_evaluator = false));
    world.write(50, Some("open"));
    world.watch(50);
    world.run(SECOND);
    assert_ne!(world.held(), world.right());
}

#[test]
fn an_answer_with_many_rows_is_not_cut() {
    let mut world = watched(BLIND, KeeperOptions::default());
    (1_000..1_180).for_each(|id| world.write(id, Some("open")));
    (1_000..1_180).for_each(|id| world.watch(id));
    world.run(SECOND);
    assert_eq!(world.held(), world.right());
    (1_000..1_180).for_each(|id| world.write(id, Some("open")));
    (1_000..1_180).for_each(|id| world.watch(id));
    world.run(SECOND);
    assert_eq!(world.held(), world.right());
    assert_eq!(world.keeper.take_counters().rows_removed, 0);
}

#[test]
fn null_that_the_evaluator_takes_for_a_match_is_looked_up() {
    let sql = "SELECT id, s FROM t WHERE s = 'open' AND s <> 'closed'";
    for (options, right) in [(KeeperOptions::default(), true), (without(|r| r.doubt_nulls = false), false)] {
        let mut world = watched(sql, options);
        world.write(60, None);
        world.tell(60);
        world.watch(60);
        world.run(SECOND);
        assert_eq!(world.held() == world.right(), right);
    }
}

#[test]
fn a_frame_beats_an_answer_that_may_be_older() {
    for (options, right) in
        [(KeeperOptions::default(), true), (without(|r| r.frames_beat_answers = false), false)]
    {
        let mut world = watched(OPEN, options);
        world.write(3, Some("closed"));
        world.watch(3);
        world.now += Duration::from_millis(60);
        let (id, sql) = world.question().unwrap();
        // The row comes back after the server has read the table, and the frame overtakes the answer.
        let old = {
            let mut before = World::new(OPEN, KeeperOptions::default(), 0..0);
            before.write(3, Some("closed"));
            before
        };
        world.write(3, Some("open"));
        world.tell(3);
        world.watch(3);
        let mut old = old;
        old.asked.clear();
        let answer = old.result_of(&sql);
        world.reply(id, answer);
        let shown = world.held();
        assert_eq!(shown == world.right(), right, "{shown:?}");
        world.run(SECOND);
        if right {
            assert_eq!(world.held(), world.right());
        }
    }
}

#[test]
fn a_late_frame_does_not_bring_a_removed_row_back() {
    for (options, right) in
        [(KeeperOptions::default(), true), (without(|r| r.remember_removals = false), false)]
    {
        let mut world = watched(OPEN, options);
        world.write(3, Some("open"));
        let late = world.frame_row(3);
        world.write(3, Some("closed"));
        world.watch(3);
        world.run(SECOND / 2);
        assert_eq!(world.held(), world.right());
        world.tell_row(false, late);
        assert_eq!(world.held() == world.right(), right);
        // The number alone decides nothing: it is looked up.
        world.run(SECOND);
        assert_eq!(world.held() == world.right(), right);
    }
}

#[test]
fn an_even_run_of_dropped_frames_is_found() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..600);
    for id in 0..500 {
        world.write(id, Some("updated"));
    }
    (0..500).filter(|id| !(100..200).contains(id)).for_each(|id| world.tell(id));
    world.run(Duration::from_secs(3));
    assert_eq!(world.held(), world.right(), "a burst is checked soon");
    let reports = world.reports();
    assert_eq!((reports[0].reason, reports[0].changed), (Reason::Mismatch, 100));
}

#[test]
fn deletes_and_exits_that_nobody_told_are_found() {
    for sql in [ALL, OPEN] {
        let mut world = World::live(sql, KeeperOptions::default(), 0..100);
        world.delete(5);
        world.write(6, Some("closed"));
        world.write(200, Some("open"));
        world.run(Duration::from_secs(70));
        assert_eq!(world.held(), world.right());
        // What was written since the last proof was enough.
        assert!(world.asked.iter().any(|sql| sql.contains("_deleted = true")));
        assert!(!world.asked.iter().any(|sql| sql.contains("ORDER BY id")), "{:?}", world.asked);

        for options in [without(|r| r.digest = false), without(|r| r.sweep = false)] {
            let mut world = World::live(sql, options, 0..100);
            world.delete(5);
            world.run(Duration::from_secs(300));
            assert_ne!(world.held(), world.right());
        }
    }
}

#[test]
fn a_purged_tombstone_is_found_by_comparing_everything() {
    for (options, right) in [(KeeperOptions::default(), true), (without(|r| r.sweep_removes = false), false)]
    {
        let mut world = World::live(ALL, options, 0..1_500);
        world.cap = 300;
        world.forget_row(700);
        world.run(Duration::from_secs(80));
        assert_eq!(world.held() == world.right(), right);
    }
}

#[test]
fn a_follower_is_compared_by_content() {
    let mut world = World::new(ALL, KeeperOptions::default(), 0..50);
    world.offset = 12_345;
    world.connect(|_| true);
    world.run(Duration::from_secs(10));
    let counters = world.keeper.take_counters();
    assert_eq!((counters.foreign_numbering, counters.repairs, counters.proven), (1, 0, 1));
    assert_eq!(world.phase(), Phase::Live);
    // From then on only what is written is compared.
    world.asked.clear();
    world.write(3, Some("x"));
    world.tell(3);
    world.run(Duration::from_secs(130));
    assert!(!world.asked.iter().any(|sql| sql.contains("ORDER BY id")), "{:?}", world.asked);
    world.write(4, Some("y"));
    world.run(Duration::from_secs(130));
    assert_eq!(world.held(), world.right());
}

#[test]
fn a_digest_under_traffic_proves_by_a_state_that_was_passed() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..50);
    let mut proven = 0;
    for turn in 0..1_300 {
        world.write(turn % 50, Some(&turn.to_string()));
        let asked = world.question();
        world.tell(turn % 50);
        if let Some((id, sql)) = asked {
            world.answer(id, &sql);
            let counters = world.keeper.take_counters();
            assert_eq!((counters.mismatches, counters.inconclusive), (0, 0));
            proven += counters.proven;
        }
        world.now += Duration::from_millis(100);
    }
    assert!(proven >= 2);
}

#[test]
fn a_digest_that_frames_overtake_is_no_mismatch() {
    for (options, right) in [(KeeperOptions::default(), true), (without(|r| r.quiet_digest = false), false)] {
        let mut world = World::live(ALL, options, 0..50);
        world.now += Duration::from_secs(60);
        let (id, sql) = world.question().unwrap();
        // Two writes are in the digest, and their frames come late and one by one.
        world.write(1, Some("a"));
        let first = world.frame_row(1);
        world.write(2, Some("b"));
        world.answer(id, &sql);
        world.tell_row(false, first);
        world.now += Duration::from_millis(151);
        assert_eq!(world.question().is_none(), right);
        let counters = world.keeper.take_counters();
        assert_eq!((counters.mismatches == 0, counters.inconclusive == 1), (right, right));
        world.tell(2);
    }
}

#[test]
fn steady_changes_lead_to_a_sweep_of_what_is_new() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..50);
    world.delete(49);
    world.run_under_changes(1_000);
    assert_eq!(world.held(), world.right());
    let reports = world.reports();
    assert_eq!((reports.len(), reports[0].reason, reports[0].removed), (1, Reason::Traffic, 1));
    assert!(!world.asked.iter().any(|sql| sql.contains("ORDER BY id")), "no sweep of all rows");
}

#[test]
fn what_expires_under_traffic_is_found_by_the_number_of_rows() {
    for (options, right) in [(KeeperOptions::default(), true), (without(|r| r.count_rows = false), false)] {
        let mut world = World::live(ALL, options, 0..50);
        world.run(Duration::from_secs(61));
        world.forget_row(49);
        world.run_under_changes(1_000);
        assert_eq!(world.held() == world.right(), right);
        let sweeps = world.asked.iter().filter(|sql| sql.contains("ORDER BY id")).count();
        // One page, and one that is empty.
        assert_eq!(sweeps, if right { 2 } else { 0 });
    }
}

#[test]
fn last_rows_gets_the_newest_and_keeps_what_it_had() {
    let options = KeeperOptions { last_rows: Some(5), ..KeeperOptions::default() };
    let mut world = World::new(ALL, options, 0..20);
    world.newest_snapshot();
    world.run(SECOND);
    let ids = |world: &World| world.held().into_iter().map(|(id, _)| id).collect::<Vec<_>>();
    assert_eq!(ids(&world), [15, 16, 17, 18, 19]);
    // Written since.
    world.write(2, Some("again"));
    world.tell(2);
    assert_eq!(ids(&world), [2, 15, 16, 17, 18, 19]);
    world.event(SubscriptionEvent::Interrupted);
    world.delete(16);
    world.write(30, Some("new"));
    world.newest_snapshot();
    assert_eq!(world.phase(), Phase::Live);
    world.run(Duration::from_secs(10));
    assert_eq!(ids(&world), [2, 15, 17, 18, 19, 30]);
    assert_eq!(world.keeper.take_counters().errors, 0);

    let mut world =
        World::new(ALL, KeeperOptions { rules: without(|r| r.ask_newest = false).rules, ..options }, 0..20);
    world.newest_snapshot();
    world.run(Duration::from_millis(100));
    assert!(!ids(&world).contains(&19));
}

#[test]
fn last_rows_may_be_all_rows_or_many() {
    for (last_rows, cap, wanted) in [(50, 1_000, 20), (10, 3, 10), (2_000, 1_000, 2_000)] {
        let rows = if wanted > 20 { 2_500 } else { 20 };
        let options = KeeperOptions { last_rows: Some(last_rows), ..KeeperOptions::default() };
        let mut world = World::new(ALL, options, 0..rows);
        world.cap = cap;
        world.newest_snapshot();
        world.run(Duration::from_secs(20));
        let right = world.right().split_off(rows as usize - wanted);
        assert_eq!((world.held(), world.phase()), (right, Phase::Live));
    }
}

#[test]
fn another_users_answer_is_not_believed() {
    for (options, right) in [(KeeperOptions::default(), true), (without(|r| r.check_user = false), false)] {
        let mut world = watched(OPEN, options);
        world.write(3, Some("open"));
        world.watch(3);
        world.user = "mallory";
        let before = world.held();
        world.now += Duration::from_millis(60);
        let (id, sql) = world.question().unwrap();
        let mut empty = World::new(OPEN, KeeperOptions::default(), 0..0);
        empty.user = "mallory";
        let answer = empty.result_of(&sql);
        world.reply(id, answer);
        assert_eq!(world.held() == before, right);
        world.run(Duration::from_secs(120));
        let counters = world.keeper.take_counters();
        assert!(!right || (counters.errors > 2 && counters.queries < 40), "{counters:?}");
        assert_eq!(world.phase() == Phase::Unverified, right);
        world.user = "root";
        world.run(Duration::from_secs(400));
        assert_eq!((world.phase(), world.held()), (Phase::Live, world.right()));
    }
}

#[test]
fn errors_and_garbage_back_off() {
    let mut world = watched(OPEN, KeeperOptions::default());
    world.write(3, Some("closed"));
    world.watch(3);
    let mut asked = 0;
    let end = world.now + Duration::from_secs(3_600);
    while world.now < end {
        while let Some((id, _)) = world.question() {
            asked += 1;
            let result = match asked % 3 {
                0 => Err(Error::new(ErrorCode::Unavailable, "no leader")),
                1 => Ok(Vec::new()),
                _ => Ok(vec![
                    World::new(OPEN, KeeperOptions::default(), 0..1)
                        .result_of("SELECT id, q")
                        .unwrap()
                        .remove(0),
                ]),
            };
            world.reply(id, result);
        }
        world.now = world.keeper.next_timeout().unwrap().max(world.now + Duration::from_millis(1));
    }
    assert!(asked < 200, "{asked} questions in an hour");
    assert_eq!(world.phase(), Phase::Unverified);
    world.run(Duration::from_secs(700));
    assert_eq!((world.held(), world.phase()), (world.right(), Phase::Live));
}

#[test]
fn late_answers_of_an_earlier_connection_are_nothing() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..10);
    world.now += Duration::from_secs(60);
    let (id, sql) = world.question().unwrap();
    world.event(SubscriptionEvent::Interrupted);
    assert_eq!(world.keeper.next_timeout(), None);
    world.answer(id, &sql);
    world.write(3, Some("x"));
    world.connect(|_| true);
    world.answer(id, &sql);
    world.run(SECOND);
    assert_eq!(world.held(), world.right());
}

#[test]
fn an_altered_table_is_loaded_anew() {
    for (options, restarts) in [(KeeperOptions::default(), 1), (without(|r| r.check_schema = false), 0)] {
        let mut world = World::live(ALL, options, 0..10);
        world.extra_column = true;
        world.run(Duration::from_secs(70));
        assert_eq!(world.restarts, restarts);
        // A frame says it too.
        let mut world = World::live(ALL, options, 0..10);
        world.extra_column = true;
        world.write(3, Some("x"));
        world.tell(3);
        world.run(SECOND);
        assert_eq!(world.restarts, restarts);
    }
    // Columns that are not selected may come and go.
    let mut world = World::live(OPEN, KeeperOptions::default(), 0..10);
    world.extra_column = true;
    world.run(Duration::from_secs(130));
    assert_eq!(world.restarts, 0);
}

#[test]
fn versions_may_have_their_newer_name() {
    let mut world = World::new(OPEN, KeeperOptions::default(), 0..10);
    world.version = "_version";
    world.connect(|id| id != 3);
    world.run(Duration::from_secs(10));
    assert_eq!((world.held(), world.phase(), world.restarts), (world.right(), Phase::Live, 0));
    world.keeper.handle_watch_state(world.now, true);
    world.write(4, Some("closed"));
    world.watch(4);
    world.run(SECOND);
    assert_eq!(world.held(), world.right());
}

#[test]
fn the_servers_own_tables_are_not_checked() {
    let world = World::live("SELECT id, s FROM system.t", KeeperOptions::default(), 0..3);
    assert_eq!(world.keeper.next_timeout(), None);
}

#[test]
fn a_dropped_table_ends_the_query() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..10);
    world.dropped = true;
    world.run(Duration::from_secs(70));
    assert!(world.ended);
    while let Some(taken) = world.keeper.view_mut().take() {
        if let Err(error) = taken {
            assert_eq!(error.code(), ErrorCode::NotFound);
            return;
        }
    }
    panic!("the reader is not told");
}

#[test]
fn steady_exits_cost_few_look_ups() {
    for (options, few) in [(KeeperOptions::default(), true), (without(|r| r.pace = false), false)] {
        let mut world = watched(OPEN, options);
        (100..400).for_each(|id| world.write(id, Some("open")));
        (100..400).for_each(|id| world.tell(id));
        world.settle();
        for id in 100..400 {
            world.write(id, Some("closed"));
            world.watch(id);
            world.run(Duration::from_millis(100));
        }
        world.run(SECOND);
        assert_eq!(world.held(), world.right());
        let look_ups = world.asked.iter().filter(|sql| sql.contains("id IN")).count();
        assert_eq!(look_ups < 15, few, "{look_ups} in 30 s, for 300 frames");
    }
}
