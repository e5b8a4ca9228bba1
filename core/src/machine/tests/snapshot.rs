//! Acks, pages, changes, late and strange frames.

use super::*;

#[test]
fn pages_until_the_server_has_no_more() {
    let mut rig = Rig::online(|_| {}, None);
    rig.subscribe(Resume::Live);
    rig.expect(&[r#"> subscribe live1_1 {"batch_size":400}"#]);
    rig.ack("live1_1", Some(12));
    rig.batch("live1_1", &[(1, 10), (2, 12)], true);
    rig.insert("live1_1", &[(9, 20)]);
    rig.batch("live1_1", &[(3, 15), (4, 11)], true);
    rig.batch("live1_1", &[(5, 14)], false);
    rig.insert("live1_1", &[(6, 21)]);
    rig.delete("live1_1", (1, 22));
    rig.expect(&[
        "> next live1_1 12",
        "> next live1_1 11", // The page's last row, not its greatest (wire/snapshots.jsonl).
        "1: acked Fresh id,v",
        "1: batch 1@10 2@12 more",
        "1: insert 9@20",
        "1: batch 3@15 4@11 more",
        "1: batch 5@14",
        "1: ready",
        "1: insert 6@21",
        "1: delete 1@22",
    ]);
}

#[test]
fn options_are_passed_on() {
    let sent = |server, options| {
        let mut rig = Rig::online(|_| {}, server);
        rig.subscribe_with(Resume::Live, options);
        rig.log().remove(0)
    };
    let options = SubscribeOptions::default;
    assert_eq!(sent(None, options()), r#"> subscribe live1_1 {"batch_size":400}"#);
    assert_eq!(sent(complete(), options()), r#"> subscribe live1_1 {"batch_size":5000}"#);
    assert_eq!(
        sent(complete(), SubscribeOptions { batch_size: Some(7), ..options() }),
        r#"> subscribe live1_1 {"batch_size":7}"#
    );
    assert_eq!(sent(None, SubscribeOptions { snapshot: false, ..options() }), "> subscribe live1_1 none");
    assert_eq!(
        sent(None, SubscribeOptions { last_rows: Some(500), ..options() }),
        r#"> subscribe live1_1 {"last_rows":500}"#
    );
    assert_eq!(
        sent(None, SubscribeOptions { from: Some("7".parse().unwrap()), snapshot: false, ..options() }),
        r#"> subscribe live1_1 {"batch_size":400,"from":7}"#
    );
}

#[test]
fn without_a_snapshot_the_ack_is_enough() {
    let mut rig = Rig::online(|_| {}, None);
    let key = rig.subscribe_with(Resume::Cursor, SubscribeOptions { snapshot: false, ..Default::default() });
    rig.log();
    rig.ack("live1_1", None);
    rig.insert("live1_1", &[(1, 30)]);
    rig.expect(&["1: acked Fresh id,v", "1: ready", "1: insert 1@30"]);
    assert_eq!(rig.machine.checkpoint(key).map(|c| c.seq().get()), Some(30));
}

#[test]
fn the_checkpoint_moves_only_with_rows_handed_out() {
    let mut rig = Rig::online(|_| {}, None);
    let key = rig.subscribe(Resume::Live);
    rig.log();
    let at = |rig: &Rig| rig.machine.checkpoint(key).map(|c| c.seq().get());
    rig.ack("live1_1", Some(50));
    assert_eq!(at(&rig), None);
    rig.batch("live1_1", &[(1, 50)], true);
    rig.insert("live1_1", &[(9, 60)]);
    assert_eq!(at(&rig), None, "pages are in the order of keys: greater versions say nothing");
    rig.batch("live1_1", &[(2, 40)], false);
    assert_eq!(at(&rig), Some(60));
    rig.insert("live1_1", &[(3, 70), (4, 71)]);
    assert_eq!(at(&rig), Some(71));
    let here = rig.machine.epoch().unwrap().as_str();
    let checkpoint = rig.machine.checkpoint_at(key, SeqId::from(70)).unwrap();
    assert_eq!(checkpoint.to_string(), format!("{here}:70"));
}

#[test]
fn cursors_are_answered_in_the_spelling_of_the_server() {
    let mut rig = Rig::online(|_| {}, None);
    let key = rig.subscribe(Resume::Cursor);
    rig.log();
    let control = |more: bool, last: &str| {
        json!({"batch_num": 0, "has_more": more, "status": "ready", "last_seq_id": last,
            "version_domain": {"table_id": 7}})
    };
    let schema = json!([{"name": "id", "data_type": "Int", "index": 0, "flags": ["pk"]},
        {"name": "v", "data_type": "Text", "index": 1}]);
    rig.recv(
        json!({"type": "subscription_ack", "subscription_id": "live1_1", "batch_control": control(true, "5"),
        "schema": schema}),
    );
    rig.recv(json!({"type": "initial_data_batch", "subscription_id": "live1_1",
        "rows": [{"id": 1, "v": "x", "_version": "5"}], "batch_control": control(true, "5")}));
    assert!(rig.log().contains(&r#"> next live1_1 "5""#.to_owned()));
    rig.recv(json!({"type": "initial_data_batch", "subscription_id": "live1_1", "rows": [],
        "batch_control": {"batch_num": 1, "has_more": false, "status": "ready", "last_seq_id": null}}));
    let checkpoint = rig.machine.checkpoint(key).unwrap();
    assert_eq!(checkpoint.cursor().to_string(), r#"v5@{"table_id":7}"#);
    rig.cut();
    rig.pass_until_attempt();
    rig.open(None);
    let log = rig.log();
    assert_eq!(
        log.iter().find(|l| l.starts_with("> sub")).unwrap(),
        r#"> subscribe live1_2 {"batch_size":400,"from":"5","version_domain":{"table_id":7}}"#
    );
}

#[test]
fn frames_after_an_unsubscribe_are_nobodys() {
    let mut rig = Rig::online(|_| {}, None);
    let key = rig.try_subscribe(Some("a"), Resume::Live, SubscribeOptions::default()).unwrap();
    rig.log();
    rig.machine.unsubscribe(rig.now, key);
    let again = rig.try_subscribe(Some("a"), Resume::Live, SubscribeOptions::default()).unwrap();
    assert_ne!(key, again);
    rig.expect(&["> unsubscribe a_1", r#"> subscribe a_2 {"batch_size":400}"#, "1: ended"]);
    // All of this was under way, and is not taken for news of the second.
    rig.ack("a_1", None);
    rig.batch("a_1", &[(1, 10)], true);
    rig.insert("a_1", &[(2, 11)]);
    rig.error("a_1", "BATCH_FETCH_FAILED");
    rig.expect(&[]);
    assert_eq!(rig.machine.counters().late_frames, 4);
    rig.ack("a_2", None);
    rig.expect(&["2: acked Fresh id,v"]);
}

#[test]
fn unknown_frames_are_counted() {
    let mut rig = Rig::online(|_| {}, None);
    rig.recv(json!({"type": "weather", "subscription_id": "x", "rows": [1, {"a": []}]}));
    rig.expect(&[]);
    assert_eq!(rig.machine.counters().unknown_frames, 1);
}

#[test]
fn unexpected_frames_of_a_subscription_do_no_harm() {
    let mut rig = Rig::online(|_| {}, None);
    rig.subscribe(Resume::Cursor);
    rig.log();
    rig.batch("live1_1", &[(1, 10)], false); // Before its ack.
    rig.insert("live1_1", &[(1, 10)]);
    rig.expect(&[]);
    rig.ack("live1_1", None);
    rig.expect(&["1: acked Fresh id,v", "1: gap ChangeBeforeAck"]);
    rig.batch("live1_1", &[(1, 10)], false);
    rig.batch("live1_1", &[(1, 10)], false); // A page too many.
    rig.ack("live1_1", None);
    rig.expect(&["1: batch 1@10", "1: ready"]);
    assert_eq!(rig.machine.counters().late_frames, 4);
}

#[test]
fn a_snapshot_that_does_not_advance_is_an_error() {
    for last in [None, Some(10)] {
        let mut rig = Rig::online(|_| {}, None);
        rig.subscribe(Resume::Live);
        rig.ack("live1_1", None);
        rig.batch_ending("live1_1", &[(1, 10)], true, last);
        rig.batch_ending("live1_1", &[(1, 10)], true, last);
        let log = rig.log();
        assert_eq!(log.iter().filter(|l| *l == "1: failed protocol").count(), 1, "{log:?}");
        assert!(log.contains(&"> unsubscribe live1_1".to_owned()));
        assert_eq!(rig.machine.subscriptions().count(), 0);
    }
}

#[test]
fn refusals_end_a_subscription_that_never_worked() {
    for (code, ours) in [
        ("INVALID_SQL", "invalid_sql"),
        ("NOT_FOUND", "not_found"),
        ("SUBSCRIPTION_FAILED", "invalid_sql"),
        ("UNSUPPORTED", "not_supported"),
        ("UNAUTHORIZED", "permission_denied"),
        ("SOMETHING_NEW", "server"),
    ] {
        let mut rig = Rig::online(|_| {}, None);
        rig.subscribe(Resume::Live);
        rig.log();
        rig.error("live1_1", code);
        rig.expect(&["> unsubscribe live1_1", &format!("1: failed {ours}")]);
    }
}

#[test]
fn an_ack_without_a_selected_column_is_an_error() {
    let mut rig = Rig::online(|_| {}, None);
    rig.subscribe(Resume::Live);
    rig.log();
    rig.recv(json!({"type": "subscription_ack", "subscription_id": "live1_1",
        "batch_control": {"batch_num": 0, "has_more": false, "status": "ready", "last_seq_id": null}, "schema": []}));
    rig.expect(&["> unsubscribe live1_1", "1: failed protocol"]);
}

#[test]
fn a_frame_that_can_not_be_read_restarts_its_subscription_only() {
    let mut rig = Rig::online(|_| {}, complete());
    rig.ready(Resume::Live);
    rig.ready(Resume::Cursor);
    let bad = |rig: &mut Rig, id: &str| {
        rig.recv(json!({"type": "change", "subscription_id": id, "change_type": "insert",
            "rows": [{"id": "seven", "v": "x", "_seq": "11"}]}));
    };
    bad(&mut rig, "live2_2");
    rig.expect(&[
        "> unsubscribe live2_2",
        r#"> subscribe live2_3 {"batch_size":5000,"from":10}"#,
        "2: interrupted",
    ]);
    // The same frame again and again: it is not the connection's fault.
    for n in 3..6 {
        rig.ack(&format!("live2_{n}"), None);
        rig.batch(&format!("live2_{n}"), &[], false);
        bad(&mut rig, &format!("live2_{n}"));
        rig.pass_alive(ms(4_000));
    }
    let log = rig.log();
    assert!(log.contains(&"2: failed protocol".to_owned()), "{log:?}");
    assert!(!log.iter().any(|l| l.starts_with("1:") || l.starts_with("= ")), "{log:?}");
    assert_eq!(rig.machine.counters().bad_frames, 4);
}

#[test]
fn a_frame_of_nobody_that_can_not_be_read_ends_the_connection() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    for n in 1..=3 {
        rig.recv_text("{nope");
        let log = rig.log();
        assert_eq!(log[0], "> close 1002");
        assert_eq!(log.contains(&"= lost protocol, for good".to_owned()), n == 3, "{log:?}");
        if n < 3 {
            rig.pass_until_attempt();
            rig.open(None);
            rig.log();
        }
    }
    rig.expect_nothing_left();
}
