//! Keepalive, deadlines of subscriptions, stability.

use super::*;

#[test]
fn pings_and_gives_up_on_silence() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    for _ in 0..10 {
        rig.pass(ms(5_000));
        rig.expect(&["> ping"]);
        rig.machine.handle_pong(rig.link.unwrap());
    }
    rig.pass(ms(5_000));
    rig.expect(&["> ping"]);
    rig.pass(ms(4_999));
    rig.expect(&[]);
    rig.pass(ms(1));
    let log = rig.log();
    assert_eq!(log[..2], ["> close 1001", "1: interrupted"]);
    assert_eq!(log[2], "= lost timeout");
}

#[test]
fn a_frame_is_as_good_as_a_pong() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    for n in 0..20 {
        rig.pass(ms(4_000));
        rig.insert("live1_1", &[(n, 100 + n)]);
    }
    assert!(!rig.log().iter().any(|l| l.starts_with("= lost")));
}

#[test]
fn a_change_of_network_tests_the_connection_at_once() {
    let mut rig = Rig::online(|_| {}, None);
    rig.pass(ms(2_000));
    rig.machine.network_changed(rig.now);
    rig.expect(&["> ping"]);
    rig.pass(ms(4_999));
    rig.expect(&[]);
    rig.pass(ms(1));
    rig.expect(&["> close 1001", "= lost timeout"]);
}

#[test]
fn a_subscribe_without_an_answer_is_sent_again_and_then_an_error() {
    let mut rig = Rig::online(|_| {}, None);
    rig.subscribe(Resume::Live);
    let mut subscribes = 0;
    let mut failed = false;
    for _ in 0..100 {
        rig.pass_alive(ms(1_000));
        for line in rig.log() {
            subscribes += usize::from(line.starts_with("> subscribe"));
            failed |= line == "1: failed timeout";
        }
    }
    assert!(failed);
    assert_eq!(subscribes, 4);
    assert_eq!(rig.machine.state(), ConnectionState::Connected);
}

#[test]
fn a_subscription_that_has_worked_takes_a_new_connection_instead() {
    let mut rig = Rig::online(|c| c.urls = URLS.map(String::from).to_vec(), None);
    rig.ready(Resume::Live);
    rig.cut();
    rig.pass_until_attempt();
    rig.open(None);
    let mut log = Vec::new();
    while !log.contains(&"= lost timeout".to_owned()) {
        rig.pass_alive(ms(1_000));
        log.extend(rig.log());
        assert!(log.len() < 200, "{log:?}");
    }
    assert_eq!(log.iter().filter(|l| l.starts_with("> subscribe")).count(), 4);
    assert!(!log.iter().any(|l| l.starts_with("1: failed")));
}

#[test]
fn a_page_that_does_not_come_begins_the_snapshot_again() {
    let mut rig = Rig::online(|_| {}, None);
    rig.subscribe(Resume::Live);
    rig.ack("live1_1", None);
    rig.batch("live1_1", &[(1, 10)], true);
    rig.log();
    rig.pass_alive(ms(30_000));
    let mut log = rig.log();
    log.retain(|l| l != "> ping");
    assert_eq!(log, ["> unsubscribe live1_1", r#"> subscribe live1_2 {"batch_size":400}"#, "1: interrupted"]);
}

#[test]
fn transient_errors_of_a_page_are_retried() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    rig.cut();
    rig.pass_until_attempt();
    rig.open(None);
    let id = rig.wire_id();
    rig.ack(&id, None);
    rig.batch(&id, &[(1, 10)], true);
    rig.log();
    rig.error(&id, "BATCH_FETCH_FAILED");
    let id = rig.wire_id();
    rig.ack(&id, None);
    rig.batch(&id, &[(1, 10)], false);
    rig.expect(&["1: acked Fresh id,v", "1: batch 1@10", "1: ready"]);
}

#[test]
fn an_established_subscription_whose_table_is_gone_fails_in_the_end() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    rig.cut();
    rig.pass_until_attempt();
    rig.open(None);
    let mut failed = false;
    for _ in 0..100 {
        let log = rig.log();
        failed |= log.contains(&"1: failed not_found".to_owned());
        if let Some(line) = log.iter().find_map(|l| l.strip_prefix("> subscribe ")) {
            let id = line.split(' ').next().unwrap().to_owned();
            rig.error(&id, "NOT_FOUND");
        }
        rig.pass_alive(ms(200));
    }
    assert!(failed);
    assert_eq!(rig.machine.state(), ConnectionState::Connected);
}

#[test]
fn a_long_life_leaves_nothing_behind() {
    let mut rig = Rig::online(|_| {}, complete());
    for n in 0..2_000_i64 {
        let key = rig.ready(if n % 2 == 0 { Resume::Live } else { Resume::Cursor });
        if n % 7 == 0 {
            rig.cut();
            rig.pass_until_attempt();
            rig.open(complete());
            rig.log();
        }
        rig.machine.unsubscribe(rig.now, key);
        rig.pass_alive(ms(100));
        rig.log();
    }
    assert_eq!(rig.machine.subscriptions().count(), 0);
    assert_eq!(rig.machine.queued_messages(), 0);
    assert!(rig.machine.outbox.remembered() < 50);
}
