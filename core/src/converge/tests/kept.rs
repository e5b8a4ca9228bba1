//! Rows kept over a reconnect: what is asked, what is believed, and when a fresh snapshot is taken after all.

use std::time::Duration;

use super::server::World;
use super::{ALL, OPEN, SECOND, without};
use crate::converge::{KeeperOptions, Outcome, Verify};
use crate::error::{Error, ErrorCode};
use crate::live::Phase;
use crate::machine::SubscriptionEvent;
use crate::repair::Reason;
use crate::schema::{Column, DataType, Schema};

#[test]
fn one_digest_proves_what_did_not_change() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..50);
    world.reconnect(|_| {});
    assert_eq!(world.phase(), Phase::Reconnecting);
    world.run(SECOND);
    assert_eq!((world.phase(), world.asked.len(), world.restarts), (Phase::Live, 1, 0));
    assert_eq!(world.held(), world.right());
}

#[test]
fn what_changed_meanwhile_is_found_at_once() {
    let mut world = World::live(OPEN, KeeperOptions::default(), 0..400);
    world.reconnect(|world| {
        world.write(400, Some("open"));
        world.write(7, Some("closed"));
        world.delete(8);
        world.delete(9);
        world.write(9, Some("open"));
    });
    world.run(SECOND);
    assert_eq!((world.held(), world.phase()), (world.right(), Phase::Live));
    let reports = world.reports();
    assert_eq!(reports.len(), 1);
    assert_eq!(
        (reports[0].reason, reports[0].added, reports[0].changed, reports[0].removed),
        (Reason::Reconnect, 1, 0, 2)
    );
    // A digest, what was written, deleted and left, and a digest.
    assert_eq!(world.asked.len(), 5, "{:?}", world.asked);
    assert!(!world.asked.iter().any(|sql| sql.contains("ORDER BY id")), "no sweep of all rows");
}

#[test]
fn what_left_no_trace_takes_a_sweep() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..50);
    world.reconnect(|world| world.forget_row(7));
    world.run(Duration::from_millis(100));
    assert_eq!(world.phase(), Phase::Reconnecting, "nothing was written since, and versions differ");
    world.run(Duration::from_millis(100));
    assert!(world.held() == world.right() && world.phase() == Phase::Unverified);
    world.run(Duration::from_secs(3));
    assert_eq!((world.held(), world.phase(), world.restarts), (world.right(), Phase::Live, 0));
}

#[test]
fn a_frame_of_the_new_connection_wins() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..20);
    // Another node, whose numbers are smaller.
    world.offset = -(1 << 40);
    world.reconnect(|world| world.write(3, Some("missed")));
    world.write(4, Some("told"));
    world.tell(4);
    assert!(world.held().contains(&(4, Some("told".into()))));
    world.run(Duration::from_secs(5));
    assert_eq!((world.held(), world.phase()), (world.right(), Phase::Live));
}

#[test]
fn a_place_to_go_on_from_waits_for_the_proof() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..20);
    let last = |world: &mut World| {
        let rows = world.keeper.view_mut().take().expect("news").expect("rows");
        (rows.last_seq_id(), rows.phase())
    };
    let (before, _) = last(&mut world);
    world.reconnect(|world| world.write(3, Some("missed")));
    world.write(4, Some("told"));
    world.tell(4);
    assert_eq!(last(&mut world), (before, Phase::Reconnecting), "row 3 was written before row 4");
    world.run(SECOND);
    let (after, phase) = last(&mut world);
    assert!(phase == Phase::Live && after > before);
}

#[test]
fn rows_of_other_columns_or_users_are_not_kept() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..20);
    world.event(SubscriptionEvent::Interrupted);
    world.keeper.connected(false, "root");
    let wider = [World::schema().all_columns(), &[Column::new("extra", DataType::Int)]].concat();
    assert_eq!(world.ack_kept(Schema::new(wider)), Outcome::StartAnew);
    assert!(!world.keeper.keeps_rows());

    let mut world = World::live(ALL, KeeperOptions::default(), 0..20);
    world.event(SubscriptionEvent::Interrupted);
    world.keeper.connected(false, "mallory");
    assert_eq!(world.ack_kept(World::schema()), Outcome::StartAnew);
}

#[test]
fn without_answers_rows_are_loaded_anew() {
    let mut world = World::live(ALL, KeeperOptions::default(), 0..20);
    world.reconnect(|world| world.write(3, Some("missed")));
    let end = world.now + Duration::from_secs(60);
    while world.restarts == 0 && world.now < end {
        while let Some((id, _)) = world.question() {
            world.reply(id, Err(Error::new(ErrorCode::Unavailable, "no leader")));
        }
        world.now = world.keeper.next_timeout().unwrap_or(end).max(world.now);
    }
    assert_eq!(world.restarts, 1);
    assert!(!world.keeper.keeps_rows());
    world.connect(|_| true);
    world.settle();
    assert_eq!((world.held(), world.phase()), (world.right(), Phase::Live));
    assert!(world.keeper.keeps_rows());
}

#[test]
fn what_is_not_checked_or_not_proven_is_not_kept() {
    let unchecked = KeeperOptions { verify: Verify::Off, ..KeeperOptions::default() };
    for options in [unchecked, without(|rules| rules.keep_rows = false)] {
        assert!(!World::live(ALL, options, 0..20).keeper.keeps_rows());
    }
    let mut world = World::new(ALL, KeeperOptions::default(), 0..20);
    world.connect(|_| true);
    assert!(!world.keeper.keeps_rows(), "nothing was proven yet");
    world.settle();
    assert!(world.keeper.keeps_rows());
}

#[test]
fn the_newest_rows_are_those_of_the_beginning() {
    let options = KeeperOptions { last_rows: Some(5), ..KeeperOptions::default() };
    let mut world = World::new(ALL, options, 0..20);
    world.newest_snapshot();
    world.settle();
    world.reconnect(|world| {
        world.delete(16);
        world.write(2, Some("again"));
        world.write(30, Some("new"));
    });
    world.run(SECOND);
    let ids: Vec<i64> = world.held().into_iter().map(|(id, _)| id).collect();
    assert_eq!((ids, world.phase()), (vec![2, 15, 17, 18, 19, 30], Phase::Live));
}

#[test]
fn steady_changes_do_not_hold_up_the_proof() {
    for offset in [0, 777_777] {
        let mut world = World::live(ALL, KeeperOptions::default(), 0..50);
        world.offset = offset;
        world.reconnect(|world| world.forget_row(49));
        world.run_under_changes(400);
        assert_eq!((world.held(), world.phase()), (world.right(), Phase::Live), "offset {offset}");
    }
}
