//! Changes that are left to their reader.

use super::*;

const WIDE: &str =
    r#"[{"name":"id","data_type":"Int","index":0,"flags":["pk"]},{"name":"v","data_type":"Json","index":1}]"#;

/// A subscription that decodes by itself, live, with the row 1@10.
fn ready(rig: &mut Rig) -> SubscriptionKey {
    let sql = check_live("SELECT id, v FROM app.t", &[], None).expect("live SQL");
    let request = SubscribeRequest {
        id: None,
        sql,
        options: SubscribeOptions::default(),
        old: OldValues::Keep,
        resume: Resume::Cursor,
        decoding: Decoding::ByReader,
    };
    let key = rig.machine.subscribe(rig.now, request).expect("a subscription");
    let id = rig.wire_id();
    rig.ack(&id, Some(10));
    change(rig, &id, 1, 9);
    rig.batch(&id, &[(1, 10)], false);
    rig.expect(&["1: acked Fresh id,v", "1: insert 1@9", "1: batch 1@10", "1: ready"]);
    key
}

/// As a server writes it: compact and in this order.
fn change(rig: &mut Rig, id: &str, row: i64, version: i64) {
    rig.recv_text(&format!(
        r#"{{"type":"change","subscription_id":"{id}","change_type":"insert","rows":[{{"id":{row},"v":"x","_seq":"{version}"}}]}}"#
    ));
}

fn checkpoint(rig: &Rig, key: SubscriptionKey) -> Option<i64> {
    rig.machine.checkpoint(key).map(|cursor| cursor.seq().get())
}

#[test]
fn they_move_the_checkpoint() {
    let mut rig = Rig::online(|_| {}, None);
    let key = ready(&mut rig);
    change(&mut rig, "live1_1", 2, 20);
    assert_eq!(checkpoint(&rig, key), Some(20));
    rig.recv_text(
        r#"{"type":"change","subscription_id":"live1_1","change_type":"delete","old_values":[{"id":2,"v":"x","_seq":"21"}]}"#,
    );
    assert_eq!(checkpoint(&rig, key), Some(21));
    // In another order it is decoded here, and comes in its turn.
    rig.insert("live1_1", &[(3, 22)]);
    rig.expect(&["1: unread", "1: unread", "1: insert 3@22"]);
    assert_eq!(rig.machine.counters().frames, 7);
}

#[test]
fn a_replay_is_filtered_before() {
    for server in [None, complete()] {
        let mut rig = Rig::online(|_| {}, server.clone());
        ready(&mut rig);
        rig.cut();
        rig.pass_until_attempt();
        rig.open(server.clone());
        rig.log();
        rig.ack("live1_2", None);
        let replayed = if server.is_none() { &[(1, 10), (2, 20)][..] } else { &[] };
        rig.batch("live1_2", replayed, false);
        rig.log();
        change(&mut rig, "live1_2", 1, 10);
        change(&mut rig, "live1_2", 3, 30);
        change(&mut rig, "live1_2", 4, 40);
        let first = if server.is_none() { "1: insert 3@30" } else { "1: unread" };
        rig.expect(&[first, "1: unread"]);
    }
}

#[test]
fn cells_that_are_objects_are_decoded_here() {
    let mut rig = Rig::online(|_| {}, None);
    let sql = check_live("SELECT id, v FROM app.t", &[], None).expect("live SQL");
    let request = SubscribeRequest {
        id: None,
        sql,
        options: SubscribeOptions { snapshot: false, ..SubscribeOptions::default() },
        old: OldValues::Keep,
        resume: Resume::Cursor,
        decoding: Decoding::ByReader,
    };
    let key = rig.machine.subscribe(rig.now, request).expect("a subscription");
    let id = rig.wire_id();
    rig.recv_text(&format!(
        r#"{{"type":"subscription_ack","subscription_id":"{id}","batch_control":{{"has_more":false,"status":"ready"}},"schema":{WIDE}}}"#
    ));
    rig.log();
    rig.recv_text(&format!(
        r#"{{"type":"change","subscription_id":"{id}","change_type":"insert","rows":[{{"id":1,"v":{{"_seq":"99"}},"_seq":"7"}}]}}"#
    ));
    rig.expect(&["1: insert 1@7"]);
    assert_eq!(checkpoint(&rig, key), Some(7));
}

#[test]
fn one_that_can_not_be_read_is_asked_for_again_and_given_up() {
    let mut rig = Rig::online(|_| {}, None);
    let key = ready(&mut rig);
    let mut ids = Vec::new();
    for turn in 1..=4 {
        change(&mut rig, &format!("live1_{turn}"), 2, 20);
        rig.log();
        let from = Restart::From(rig.machine.checkpoint(key).expect("a position").at(10.into()));
        rig.machine.reject(rig.now, key, from, Error::new(ErrorCode::Protocol, "bad"));
        rig.pass_alive(ms(8_000));
        let log = rig.log();
        ids.extend(log.iter().filter(|l| l.starts_with("> subscribe") || l.contains("failed")).cloned());
        let id = format!("live1_{}", turn + 1);
        rig.ack(&id, None);
        rig.batch(&id, &[], false);
        change(&mut rig, &id, 1, 10);
    }
    let again = |n: u32| format!(r#"> subscribe live1_{n} {{"batch_size":400,"from":10}}"#);
    assert_eq!(ids, [again(2), again(3), again(4), "1: failed protocol".to_owned()]);
    assert_eq!(rig.machine.counters().bad_frames, 4);
}
