//! What happens to subscriptions after a reconnect.

use super::*;

fn reconnect(rig: &mut Rig, server: Option<Json>) -> Vec<String> {
    rig.cut();
    rig.pass_until_attempt();
    rig.open(server);
    let mut log = rig.log();
    log.retain(|l| l.starts_with("> subscribe"));
    log
}

#[test]
fn a_complete_server_resumes_both_kinds() {
    for resume in [Resume::Live, Resume::Cursor] {
        let mut rig = Rig::online(|_| {}, complete());
        let key = rig.ready(resume);
        rig.insert("live1_1", &[(2, 20)]);
        rig.log();
        rig.cut();
        rig.expect(&["1: interrupted", "= lost disconnected"]);
        rig.pass_until_attempt();
        rig.open(complete());
        rig.expect(&[
            r#"> subscribe live1_2 {"batch_size":5000,"from":20}"#,
            "= connected ws://a root again",
        ]);
        rig.ack("live1_2", Some(40));
        rig.batch_ending("live1_2", &[], false, Some(40));
        // Where the server stands counts only when the changes up to it have come.
        assert_eq!(rig.machine.checkpoint(key).map(|c| c.seq().get()), Some(20));
        rig.insert("live1_2", &[(2, 20)]);
        rig.delete("live1_2", (1, 30));
        rig.delete("live1_2", (1, 30));
        rig.insert("live1_2", &[(3, 40)]);
        rig.expect(&["1: acked Resumed id,v", "1: batch", "1: ready", "1: delete 1@30", "1: insert 3@40"]);
        assert_eq!(rig.machine.counters().replayed_rows, 2);
        // Cut in the middle of the next replay: it goes on from what was handed out.
        assert_eq!(reconnect(&mut rig, complete()), [r#"> subscribe live1_3 {"batch_size":5000,"from":40}"#]);
        rig.ack("live1_3", Some(60));
        rig.insert("live1_3", &[(4, 50)]); // Even before the batch that says "ready".
        assert_eq!(reconnect(&mut rig, complete()), [r#"> subscribe live1_4 {"batch_size":5000,"from":50}"#]);
    }
}

#[test]
fn a_frame_of_several_rows_is_filtered_row_by_row() {
    let mut rig = Rig::online(|_| {}, complete());
    rig.ready(Resume::Cursor);
    reconnect(&mut rig, complete());
    rig.ack("live1_2", None);
    rig.batch("live1_2", &[], false);
    rig.log();
    rig.recv(json!({"type": "change", "subscription_id": "live1_2", "change_type": "update",
        "rows": [wire_row((1, 10)), wire_row((1, 11)), wire_row((2, 12))],
        "old_values": [{"id": 1, "v": "a"}, {"id": 1, "v": "b"}, {"id": 2, "v": "c"}]}));
    let Some(Event::Subscription { event: SubscriptionEvent::Change(change), .. }) = rig.machine.poll_event()
    else {
        panic!("no change")
    };
    assert_eq!(row_list(&change.rows), " 1@11 2@12");
    let old: Vec<_> =
        change.old.iter().map(|o| o.get("v").and_then(|v| v.as_text()).unwrap().to_owned()).collect();
    assert_eq!(old, ["b", "c"]);
}

#[test]
fn elsewhere_a_live_subscription_takes_a_fresh_snapshot() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    assert_eq!(reconnect(&mut rig, None), [r#"> subscribe live1_2 {"batch_size":400}"#]);
    rig.ack("live1_2", None);
    // Another node may number lower: nothing is dropped.
    rig.batch("live1_2", &[(1, 5)], false);
    rig.insert("live1_2", &[(2, 6)]);
    rig.expect(&["1: acked Fresh id,v", "1: batch 1@5", "1: ready", "1: insert 2@6"]);
}

#[test]
fn a_reader_that_finds_out_by_itself_gets_no_snapshot() {
    let mut rig = Rig::online(|_| {}, None);
    let key = rig.ready(Resume::Live);
    rig.machine.keep_rows(key, true);
    assert_eq!(reconnect(&mut rig, None), ["> subscribe live1_2 none"]);
    rig.ack("live1_2", None);
    rig.insert("live1_2", &[(2, 6)]);
    rig.expect(&["1: acked Kept id,v", "1: ready", "1: insert 2@6"]);
    // As often as it takes, until the rows are in doubt.
    assert_eq!(reconnect(&mut rig, None), ["> subscribe live1_3 none"]);
    rig.ack("live1_3", None);
    rig.machine.restart(rig.now, key, Restart::Fresh);
    assert!(rig.log().contains(&r#"> subscribe live1_4 {"batch_size":400}"#.to_owned()));
    assert_eq!(reconnect(&mut rig, None), [r#"> subscribe live1_5 {"batch_size":400}"#]);
    // A complete server tells what was missed.
    rig.machine.keep_rows(key, true);
    assert_eq!(reconnect(&mut rig, complete()), [r#"> subscribe live1_6 {"batch_size":5000}"#]);
}

#[test]
fn only_live_rows_are_kept() {
    let mut rig = Rig::online(|_| {}, None);
    let events = rig.ready(Resume::Cursor);
    rig.machine.keep_rows(events, true);
    assert_eq!(reconnect(&mut rig, None), [r#"> subscribe live1_2 {"batch_size":400,"from":10}"#]);
    let mut rig = Rig::online(|_| {}, None);
    let key = rig.subscribe(Resume::Live);
    rig.machine.keep_rows(key, true);
    assert_eq!(
        reconnect(&mut rig, None),
        [r#"> subscribe live1_2 {"batch_size":400}"#],
        "nothing was loaded yet"
    );
}

#[test]
fn elsewhere_events_resume_and_say_what_is_not_known() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Cursor);
    assert_eq!(reconnect(&mut rig, None), [r#"> subscribe live1_2 {"batch_size":400,"from":10}"#]);
    rig.ack("live1_2", None);
    rig.batch("live1_2", &[(2, 20), (3, 12)], false);
    rig.expect(&["1: acked Resumed id,v", "1: gap ResumedWithoutDeletes", "1: batch 2@20 3@12", "1: ready"]);
    // Written while the batch was read: once in the batch, once as a change. And one that the batch overtook.
    rig.insert("live1_2", &[(3, 12)]);
    rig.delete("live1_2", (4, 15));
    rig.insert("live1_2", &[(2, 20)]);
    rig.insert("live1_2", &[(5, 21)]);
    rig.expect(&["1: delete 4@15", "1: insert 5@21"]);
}

#[test]
fn a_resume_that_is_cut_does_not_repeat_its_rows() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Cursor);
    reconnect(&mut rig, None);
    rig.ack("live1_2", None);
    rig.batch("live1_2", &[(2, 20), (3, 12)], true);
    assert_eq!(reconnect(&mut rig, None), [r#"> subscribe live1_3 {"batch_size":400,"from":10}"#]);
    rig.ack("live1_3", None);
    rig.batch("live1_3", &[(2, 20), (3, 12), (4, 13)], false);
    rig.expect(&["1: acked Resumed id,v", "1: gap ResumedWithoutDeletes", "1: batch 4@13", "1: ready"]);
}

#[test]
fn a_snapshot_that_is_cut_begins_again() {
    for (resume, server) in [(Resume::Live, complete()), (Resume::Cursor, complete()), (Resume::Cursor, None)]
    {
        let mut rig = Rig::online(|_| {}, server.clone());
        rig.subscribe_with(resume, SubscribeOptions { batch_size: Some(2), ..Default::default() });
        rig.log();
        rig.ack("live1_1", None);
        rig.batch("live1_1", &[(1, 50), (2, 60)], true);
        assert_eq!(reconnect(&mut rig, server), [r#"> subscribe live1_2 {"batch_size":2}"#]);
        rig.ack("live1_2", None);
        rig.expect(&["1: acked Fresh id,v"]);
    }
}

#[test]
fn a_position_of_another_kind_of_server_is_not_trusted() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    assert_eq!(reconnect(&mut rig, complete()), [r#"> subscribe live1_2 {"batch_size":5000}"#]);
}

#[test]
fn an_empty_snapshot_of_a_complete_server_tells_where_it_stands() {
    let mut rig = Rig::online(|_| {}, complete());
    rig.subscribe(Resume::Cursor);
    rig.log();
    rig.ack("live1_1", Some(33));
    rig.batch_ending("live1_1", &[], false, Some(33));
    assert_eq!(reconnect(&mut rig, complete()), [r#"> subscribe live1_2 {"batch_size":5000,"from":33}"#]);
}

/// The server may tell a change while it reads the rows that were missed, of which it is one.
#[test]
fn a_change_that_comes_before_the_missed_rows_is_not_told_again_with_them() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Cursor);
    reconnect(&mut rig, None);
    rig.ack("live1_2", None);
    rig.log();
    rig.insert("live1_2", &[(5, 30)]);
    rig.batch("live1_2", &[(4, 20), (5, 30)], true);
    rig.expect(&["> next live1_2 30", "1: insert 5@30", "1: batch 4@20 more"]);
    // Nor when that is cut short, and begins again.
    reconnect(&mut rig, None);
    rig.ack("live1_3", None);
    rig.log();
    rig.batch("live1_3", &[(4, 20), (5, 30), (6, 40)], false);
    rig.expect(&["1: batch 6@40", "1: ready"]);
}

#[test]
fn nothing_to_resume_from_is_said() {
    let mut rig = Rig::online(|_| {}, None);
    rig.subscribe(Resume::Cursor);
    rig.log();
    rig.ack("live1_1", None);
    rig.batch("live1_1", &[], false);
    assert_eq!(reconnect(&mut rig, None), [r#"> subscribe live1_2 {"batch_size":400}"#]);
    rig.ack("live1_2", None);
    rig.expect(&["1: acked Fresh id,v", "1: gap NoCheckpoint"]);
}

#[test]
fn a_position_that_the_server_does_not_accept_is_given_up() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Cursor);
    reconnect(&mut rig, None);
    rig.error("live1_2", "CURSOR_EXPIRED");
    rig.expect(&["> unsubscribe live1_2", r#"> subscribe live1_3 {"batch_size":400}"#]);
    rig.ack("live1_3", None);
    rig.expect(&["1: acked Fresh id,v", "1: gap NoCheckpoint"]);
}

#[test]
fn restart_begins_where_it_is_told() {
    let mut rig = Rig::online(|_| {}, complete());
    let key = rig.ready(Resume::Cursor);
    rig.insert("live1_1", &[(2, 20)]);
    rig.log();
    let from = |rig: &Rig, seq: i64| Restart::From(rig.machine.checkpoint_at(key, seq.into()).unwrap());
    rig.machine.restart(rig.now, key, from(&rig, 15));
    rig.expect(&[
        "> unsubscribe live1_1",
        r#"> subscribe live1_2 {"batch_size":5000,"from":15}"#,
        "1: interrupted",
    ]);
    rig.insert("live1_1", &[(9, 90)]); // Still from the old one.
    rig.ack("live1_2", None);
    rig.batch("live1_2", &[], false);
    rig.insert("live1_2", &[(2, 20)]);
    rig.expect(&["1: acked Resumed id,v", "1: batch", "1: ready", "1: insert 2@20"]);
    rig.machine.restart(rig.now, key, Restart::Fresh);
    rig.expect(&["> unsubscribe live1_2", r#"> subscribe live1_3 {"batch_size":5000}"#, "1: interrupted"]);
    // Also while there is no connection.
    rig.cut();
    rig.machine.restart(rig.now, key, from(&rig, 7));
    rig.pass_until_attempt();
    rig.open(complete());
    rig.expect(&[r#"> subscribe live1_4 {"batch_size":5000,"from":7}"#, "= connected ws://a root again"]);
}

fn with_epoch(epoch: &str) -> Option<Json> {
    let mut server = complete()?;
    server["epoch"] = json!(epoch);
    Some(server)
}

#[test]
fn data_that_were_replaced_are_loaded_anew() {
    for resume in [Resume::Cursor, Resume::Live] {
        let mut rig = Rig::online(|_| {}, with_epoch("one"));
        rig.ready(resume);
        assert_eq!(
            reconnect(&mut rig, with_epoch("one")),
            [r#"> subscribe live1_2 {"batch_size":5000,"from":10}"#]
        );
        assert_eq!(reconnect(&mut rig, with_epoch("two")), [r#"> subscribe live1_3 {"batch_size":5000}"#]);
        rig.ack("live1_3", None);
        rig.batch("live1_3", &[(7, 3)], false);
        let mut lines = vec!["1: acked Fresh id,v", "1: gap AnotherEpoch", "1: batch 7@3", "1: ready"];
        // Whoever has rows sees them replaced.
        lines.retain(|line| resume == Resume::Cursor || !line.contains("gap"));
        rig.expect(&lines);
        // Its numbers are the ones that count now.
        assert_eq!(
            reconnect(&mut rig, with_epoch("two")),
            [r#"> subscribe live1_4 {"batch_size":5000,"from":3}"#]
        );
    }
}

#[test]
fn another_node_has_other_numbers() {
    let mut rig = Rig::online(|config| config.urls = URLS.map(str::to_owned).to_vec(), None);
    rig.ready(Resume::Cursor);
    let node = |rig: &Rig| rig.machine.epoch().cloned();
    let first = node(&rig);
    assert_eq!(reconnect(&mut rig, None), [r#"> subscribe live1_2 {"batch_size":400}"#]);
    assert_ne!(node(&rig), first);
    rig.ack("live1_2", None);
    rig.expect(&["1: acked Fresh id,v", "1: gap AnotherEpoch"]);
}

/// Where a caller begins: at a checkpoint of this server, of another, or at a number.
#[test]
fn a_given_position_is_as_good_as_its_epoch() {
    let since = r#"> subscribe live1_1 {"batch_size":5000,"from":7}"#;
    let all = r#"> subscribe live1_1 {"batch_size":5000}"#;
    for (from, sent, lines) in [
        ("one:7", since, &["1: acked Since id,v"][..]),
        ("two:7", all, &["1: acked Fresh id,v", "1: gap AnotherEpoch"][..]),
        ("7", since, &["1: acked Since id,v", "1: gap Unproven"][..]),
    ] {
        let mut rig = Rig::online(|_| {}, with_epoch("one"));
        let from = Some(from.parse().unwrap());
        let key = rig.subscribe_with(Resume::Cursor, SubscribeOptions { from, ..Default::default() });
        rig.expect(&[sent]);
        rig.ack("live1_1", Some(9));
        rig.expect(lines);
        rig.batch_ending("live1_1", &[], false, Some(9));
        // Changes up to 9 are still to come, unless everything was sent.
        let reached = if sent == since { "one:7" } else { "one:9" };
        assert_eq!(rig.machine.checkpoint(key).map(|c| c.to_string()).as_deref(), Some(reached));
        rig.insert("live1_1", &[(1, 7), (2, 8)]);
        rig.log();
        assert_eq!(reconnect(&mut rig, with_epoch("one")).len(), 1);
        rig.ack("live1_2", None);
        rig.expect(&["1: acked Resumed id,v"]);
    }
}

#[test]
fn elsewhere_live_rows_begin_at_the_given_position_again() {
    let mut rig = Rig::online(|_| {}, None);
    let from = Some("7".parse().unwrap());
    rig.subscribe_with(Resume::Live, SubscribeOptions { from, ..Default::default() });
    rig.log();
    rig.ack("live1_1", None);
    rig.batch("live1_1", &[(1, 20)], false);
    rig.log();
    // What was removed meanwhile would stay if it went on from where it was.
    assert_eq!(reconnect(&mut rig, None), [r#"> subscribe live1_2 {"batch_size":400,"from":7}"#]);
    rig.ack("live1_2", None);
    rig.batch("live1_2", &[(1, 20)], false);
    rig.expect(&["1: acked Since id,v", "1: batch 1@20", "1: ready"]);
}

#[test]
fn an_altered_table_is_loaded_anew_however_often() {
    for resume in [Resume::Cursor, Resume::Live] {
        let mut rig = Rig::online(|_| {}, complete());
        rig.ready(resume);
        for n in 1..10 {
            rig.error(&format!("live1_{n}"), "SCHEMA_CHANGED");
            let next = n + 1;
            rig.expect(&[
                &format!("> unsubscribe live1_{n}"),
                &format!(r#"> subscribe live1_{next} {{"batch_size":5000}}"#),
                "1: interrupted",
            ]);
            rig.ack(&format!("live1_{next}"), None);
            rig.batch(&format!("live1_{next}"), &[(1, 10)], false);
            rig.log();
        }
    }
}
