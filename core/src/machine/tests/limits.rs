//! Rate limits, subscription limits, and errors that belong to the connection.

use super::*;

#[test]
fn a_burst_of_subscribes_is_paced() {
    let mut rig = Rig::online(|_| {}, None);
    for _ in 0..100 {
        rig.subscribe(Resume::Live);
    }
    assert_eq!(rig.log().len(), 45);
    rig.pass(ms(1_249));
    assert_eq!(rig.log(), [""; 0]);
    rig.pass(ms(1));
    assert_eq!(rig.log().len(), 45);
    rig.pass(ms(1_250));
    assert_eq!(rig.log().len(), 10);
}

#[test]
fn the_announced_rate_counts() {
    let mut rig = Rig::online(|_| {}, complete());
    for _ in 0..500 {
        rig.subscribe(Resume::Live);
    }
    assert_eq!(rig.log().len(), 500);
}

#[test]
fn what_ends_before_its_turn_is_never_sent() {
    let mut rig = Rig::online(|c| c.messages_per_second = 1, None);
    let keys: Vec<_> = (0..5).map(|_| rig.subscribe(Resume::Live)).collect();
    for key in &keys[1..4] {
        rig.machine.unsubscribe(rig.now, *key);
    }
    rig.pass(ms(1_250));
    let mut log = rig.log();
    log.retain(|l| l.starts_with('>'));
    assert_eq!(
        log,
        [r#"> subscribe live1_1 {"batch_size":400}"#, r#"> subscribe live5_2 {"batch_size":400}"#]
    );
}

#[test]
fn messages_over_the_limit_are_sent_again() {
    let mut rig = Rig::online(|_| {}, None);
    let gone = rig.subscribe(Resume::Live);
    rig.ack("live1_1", None);
    let paging = rig.subscribe(Resume::Live);
    rig.ack("live2_2", None);
    rig.batch("live2_2", &[(1, 10)], true);
    let answered = rig.subscribe(Resume::Live);
    let lost = rig.subscribe(Resume::Live);
    rig.machine.unsubscribe(rig.now, gone);
    rig.log();
    // One error for each message; what was lost is not said.
    for _ in 0..30 {
        rig.error("rate_limit", "RATE_LIMIT_EXCEEDED");
    }
    let log = rig.log();
    assert_eq!(log, vec!["= server error rate_limited"; 30]);
    rig.ack("live3_3", None);
    rig.batch("live3_3", &[], false);
    rig.log();
    rig.pass(ms(1_499));
    rig.expect(&["> unsubscribe live1_1"]);
    rig.pass(ms(1));
    rig.expect(&["> next live2_2 10", "> unsubscribe live4_4", r#"> subscribe live4_5 {"batch_size":400}"#]);
    let stage = |key| rig.machine.subscriptions().find(|s| s.key == key).unwrap().stage;
    assert_eq!(stage(paging), SubscriptionStage::Loading);
    assert_eq!(stage(answered), SubscriptionStage::Ready);
    assert_eq!(stage(lost), SubscriptionStage::Subscribing);
    assert_eq!(rig.machine.counters().rate_limited, 1);
}

#[test]
fn a_server_that_only_ever_refuses_is_said_to() {
    let mut rig = Rig::online(|_| {}, None);
    rig.subscribe(Resume::Live);
    for _ in 0..20 {
        rig.error("rate_limit", "RATE_LIMIT_EXCEEDED");
        rig.pass_alive(ms(1_500));
    }
    assert!(rig.log().contains(&"1: failed rate_limited".to_owned()));
    assert_eq!(rig.machine.state(), ConnectionState::Connected);
}

#[test]
fn no_slot_is_an_error_at_first() {
    let mut rig = Rig::online(|_| {}, None);
    rig.subscribe(Resume::Live);
    rig.log();
    rig.error("live1_1", "SUBSCRIPTION_LIMIT_EXCEEDED");
    rig.expect(&["> unsubscribe live1_1", "1: failed subscription_limit"]);
}

#[test]
fn a_spare_slot_is_waited_for() {
    let mut rig = Rig::online(|_| {}, None);
    rig.machine.set_spare_slots(true);
    rig.subscribe(Resume::Live);
    rig.log();
    rig.error("live1_1", "SUBSCRIPTION_LIMIT_EXCEEDED");
    assert!(rig.machine.take_slots_wanted());
    assert!(!rig.machine.take_slots_wanted());
    rig.pass(ms(2_000));
    let id = rig.wire_id();
    rig.machine.set_spare_slots(false);
    rig.error(&id, "SUBSCRIPTION_LIMIT_EXCEEDED");
    assert!(!rig.machine.take_slots_wanted());
    assert!(rig.log().contains(&"1: failed subscription_limit".to_owned()));
}

#[test]
fn no_slot_after_a_reconnect_is_tried_again_for_a_while() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    rig.cut();
    rig.pass_until_attempt();
    rig.open(None);
    let connected = rig.now;
    let mut tries = 0;
    loop {
        let log = rig.log();
        if log.iter().any(|l| l == "1: failed subscription_limit") {
            break;
        }
        if let Some(subscribe) = log.iter().find_map(|l| l.strip_prefix("> subscribe ")) {
            tries += 1;
            let id = subscribe.split(' ').next().unwrap().to_owned();
            rig.error(&id, "SUBSCRIPTION_LIMIT_EXCEEDED");
        }
        rig.machine.handle_pong(rig.link.unwrap());
        rig.pass(ms(100));
    }
    assert!((ms(30_000)..ms(33_000)).contains(&(rig.now - connected)), "{:?}", rig.now - connected);
    assert!((15..35).contains(&tries), "{tries}");

    // The slot of the dead connection is freed in time.
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    rig.cut();
    rig.pass_until_attempt();
    rig.open(None);
    let id = rig.wire_id();
    rig.error(&id, "SUBSCRIPTION_LIMIT_EXCEEDED");
    rig.pass(ms(2_000));
    let id = rig.wire_id();
    rig.ack(&id, None);
    rig.expect(&["1: acked Fresh id,v"]);
}

#[test]
fn errors_of_the_connection_are_never_dropped() {
    let mut rig = Rig::online(|_| {}, None);
    for (id, code, line) in [
        ("protocol", "UNSUPPORTED_DATA", "= server error protocol"),
        ("invalid_subscription", "INVALID_SUBSCRIPTION_ID", "= server error invalid_argument"),
        ("", "PROTOCOL", "= server error protocol"),
        ("whoever_99", "NOT_FOUND", "= server error not_found"),
    ] {
        rig.error(id, code);
        rig.expect(&[line]);
    }
    // The server does not know us any more.
    rig.error("subscribe", "AUTH_REQUIRED");
    rig.expect(&["> close 1000", "= server error auth_failed", "= lost auth_failed"]);
    assert_eq!(rig.pass_until_attempt(), ["> fetch refreshed"]);
}

#[test]
fn a_message_that_the_server_would_not_take_is_not_sent() {
    let mut rig = Rig::online(|c| c.message_bytes = 1_000, None);
    let sql =
        check_live(&format!("SELECT id FROM app.t WHERE v = '{}'", "x".repeat(1_000)), &[], None).unwrap();
    let request = SubscribeRequest {
        id: None,
        sql,
        options: SubscribeOptions::default(),
        old: OldValues::Skip,
        resume: Resume::Live,
        decoding: Decoding::ByConnection,
    };
    rig.machine.subscribe(rig.now, request).unwrap();
    rig.expect(&["1: failed invalid_argument"]);
}

#[test]
fn a_subscription_that_the_server_answers_by_closing_does_not_take_the_others_down_for_ever() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    rig.subscribe(Resume::Live);
    for n in 1..=3 {
        rig.close_frame(1011, "Invalid message: no such field");
        let log = rig.log();
        assert_eq!(log.contains(&"2: failed protocol".to_owned()), n == 3, "{log:?}");
        rig.pass_until_attempt();
        rig.open(None);
        let subscribes = rig.log();
        let id = subscribes.iter().find_map(|l| l.strip_prefix("> subscribe live1")).unwrap();
        let id = format!("live1{}", id.split(' ').next().unwrap());
        rig.ack(&id, None);
        rig.batch(&id, &[], false);
    }
    assert_eq!(rig.machine.subscriptions().count(), 1);
}

/// It is the one that each of these connections ends over: the others wait for their answer at that moment, and live on.
#[test]
fn who_waits_beside_such_a_subscription_is_not_failed_for_it() {
    let mut rig = Rig::online(|_| {}, None);
    for _ in 0..5 {
        rig.subscribe(Resume::Live);
    }
    let mut connections = 0;
    loop {
        let log = rig.log();
        let failed: Vec<_> = log.iter().filter(|l| l.contains("failed")).collect();
        if !failed.is_empty() {
            assert_eq!(failed, ["2: failed protocol"], "{log:?}");
            break;
        }
        // The server reads one message after the other.
        let sent = log.iter().filter_map(|l| l.strip_prefix("> subscribe ")?.split(' ').next());
        let sent: Vec<_> = sent.map(str::to_owned).collect();
        if sent.is_empty() {
            rig.pass_until_attempt();
            rig.open(None);
            connections += 1;
            continue;
        }
        for id in sent {
            if id.starts_with("live2_") {
                rig.close_frame(1011, "Invalid message: no such field");
                break;
            }
            rig.ack(&id, None);
            rig.batch(&id, &[], false);
        }
        assert!(connections < 4, "the culprit is found by its third connection");
    }
    let left: Vec<_> = rig.machine.subscriptions().map(|s| s.id).collect();
    assert_eq!(left, ["live1", "live3", "live4", "live5"]);
}
