//! Every command in every state.

use super::*;

/// Names of states, and how to get there. Each has one subscription that was made first.
fn states() -> Vec<(&'static str, Rig)> {
    let mut states = Vec::new();
    let mut rig = Rig::new(|_| {});
    rig.subscribe(Resume::Live);
    states.push(("idle", rig));

    type Step = fn(&mut Rig);
    let steps: [(&str, Step); 10] = [
        ("fetching", |rig| rig.connect()),
        ("opening", |rig| rig.token(Ok(Some(Token::new("T"))))),
        ("authenticating", |rig| rig.opened()),
        ("subscribing", |rig| rig.greet(None)),
        ("loading", |rig| rig.ack("live1_1", None)),
        ("next page", |rig| rig.batch("live1_1", &[(1, 10)], true)),
        ("ready", |rig| rig.batch("live1_1", &[(2, 11)], false)),
        ("waiting", |rig| rig.cut()),
        ("fetching again", |rig| {
            rig.pass_until_attempt();
        }),
        ("subscribing again", |rig| rig.open(None)),
    ];
    for n in 1..=steps.len() {
        let mut rig = Rig::new(|_| {});
        rig.subscribe(Resume::Live);
        for (_, step) in &steps[..n] {
            step(&mut rig);
            rig.log();
        }
        states.push((steps[n - 1].0, rig));
    }

    let mut rig = Rig::new(|_| {});
    rig.connect();
    rig.log();
    rig.token(Err(Error::new(ErrorCode::AuthFailed, "no")));
    rig.log();
    states.push(("given up", rig));

    let mut rig = Rig::new(|_| {});
    rig.machine.close();
    rig.log();
    states.push(("closed", rig));
    states
}

fn only_key(rig: &Rig) -> Option<SubscriptionKey> {
    rig.machine.subscriptions().next().map(|s| s.key)
}

#[test]
fn close_ends_everything() {
    for (name, mut rig) in states() {
        let had_link = rig.machine.connection.link().is_some();
        let had = only_key(&rig).is_some();
        let was_closed = rig.machine.state() == ConnectionState::Closed { error: None };
        rig.machine.close();
        let log = rig.log();
        assert_eq!(log.contains(&"> close 1000".to_owned()), had_link, "{name}: {log:?}");
        assert_eq!(log.contains(&"1: ended".to_owned()), had, "{name}: {log:?}");
        assert_eq!(log.contains(&"= closed".to_owned()), !was_closed, "{name}: {log:?}");
        assert_eq!(rig.machine.state(), ConnectionState::Closed { error: None }, "{name}");
        rig.expect_nothing_left();
        // Once is enough, and nothing comes back.
        rig.machine.close();
        rig.machine.disconnect(rig.now);
        rig.machine.network_changed(rig.now);
        rig.machine.handle_timeout(rig.now + ms(1_000_000));
        assert_eq!(rig.machine.connect(rig.now).unwrap_err().code(), ErrorCode::Closed);
        let error = rig.try_subscribe(None, Resume::Live, SubscribeOptions::default()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::Closed);
        if let Some(link) = rig.link {
            rig.machine.handle_opened(rig.now, link);
            rig.machine.handle_pong(link);
            rig.greet(None);
            rig.cut();
        }
        if let Some(attempt) = rig.attempt {
            rig.machine.handle_credentials(rig.now, attempt, Ok(None));
        }
        rig.expect(&[]);
        rig.expect_nothing_left();
    }
}

#[test]
fn disconnect_keeps_subscriptions_and_connect_brings_them_back() {
    for (name, mut rig) in states() {
        if matches!(rig.machine.state(), ConnectionState::Closed { .. }) {
            continue;
        }
        let had_link = rig.machine.connection.link().is_some();
        rig.machine.disconnect(rig.now);
        let log = rig.log();
        assert_eq!(log.contains(&"> close 1000".to_owned()), had_link, "{name}: {log:?}");
        assert_eq!(rig.machine.state(), ConnectionState::Idle, "{name}");
        assert_eq!(rig.machine.next_timeout(), None, "{name}");
        rig.machine.disconnect(rig.now);
        rig.machine.network_changed(rig.now);
        rig.expect(&[]);
        rig.connect();
        rig.expect(&["> fetch"]);
        rig.open(None);
        let log = rig.log();
        assert!(
            log.last().is_some_and(|l| l.starts_with("> subscribe live1_")) || log[0].starts_with("> sub"),
            "{name}"
        );
    }
}

#[test]
fn unsubscribe_leaves_nothing() {
    for (name, mut rig) in states() {
        let Some(key) = only_key(&rig) else { continue };
        let known_to_server = matches!(rig.machine.table.get(key).unwrap().stage, Stage::Sent(_));
        rig.machine.unsubscribe(rig.now, key);
        let log = rig.log();
        assert!(log.contains(&"1: ended".to_owned()), "{name}: {log:?}");
        assert_eq!(
            log.iter().any(|l| l.starts_with("> unsubscribe live1_")),
            known_to_server,
            "{name}: {log:?}"
        );
        assert_eq!(rig.machine.subscriptions().count(), 0, "{name}");
        rig.machine.unsubscribe(rig.now, key);
        rig.machine.restart(rig.now, key, Restart::Fresh);
        rig.expect(&[]);
        rig.machine.close();
        rig.expect_nothing_left();
    }
}

#[test]
fn subscribe_is_sent_when_there_is_a_connection() {
    for (name, mut rig) in states() {
        if matches!(rig.machine.state(), ConnectionState::Closed { .. }) {
            continue;
        }
        let connected = rig.machine.state() == ConnectionState::Connected;
        rig.try_subscribe(Some("mine"), Resume::Cursor, SubscribeOptions::default()).expect(name);
        let sent = rig.log().iter().any(|l| l.starts_with("> subscribe mine_"));
        assert_eq!(sent, connected, "{name}");
        let error = rig.try_subscribe(Some("mine"), Resume::Cursor, SubscribeOptions::default()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
    }
}

#[test]
fn network_changed_tries_at_once() {
    for (name, mut rig) in states() {
        rig.machine.network_changed(rig.now);
        let log = rig.log();
        let expected: &[&str] = match rig.machine.state() {
            ConnectionState::Idle | ConnectionState::Closed { .. } => &[],
            ConnectionState::Connected => &["> ping"],
            _ if matches!(name, "opening" | "authenticating") => &["> close 1001", "> fetch"],
            _ => &["> fetch"],
        };
        assert_eq!(log, expected, "{name}");
    }
}

#[test]
fn frames_of_an_old_link_are_ignored() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    let old = rig.link.unwrap();
    rig.cut();
    rig.pass_until_attempt();
    rig.open(None);
    rig.log();
    let frames = rig.machine.counters().frames;
    let new = rig.link.replace(old);
    assert_ne!(new, Some(old));
    rig.insert("live1_1", &[(9, 99)]);
    rig.machine.handle_opened(rig.now, old);
    rig.machine.handle_pong(old);
    rig.cut();
    rig.expect(&[]);
    assert_eq!(rig.machine.counters().frames, frames);
    assert_eq!(rig.machine.state(), ConnectionState::Connected);
}

#[test]
fn impossible_requests_are_refused_before_they_are_sent() {
    let mut rig = Rig::online(|_| {}, None);
    let refused = |rig: &mut Rig, id, options| {
        let error = rig.try_subscribe(id, Resume::Live, options).unwrap_err();
        assert_eq!(error.code(), ErrorCode::InvalidArgument);
        rig.expect(&[]);
    };
    refused(&mut rig, Some(""), SubscribeOptions::default());
    refused(&mut rig, None, SubscribeOptions { batch_size: Some(0), ..SubscribeOptions::default() });
    let options =
        SubscribeOptions { batch_size: Some(10), last_rows: Some(30), ..SubscribeOptions::default() };
    refused(&mut rig, None, options);
    for config in [
        Config::default(),
        Config { urls: vec!["ws://a".into()], batch_size: 0, ..Config::default() },
        Config { urls: vec!["ws://a".into()], messages_per_second: 0, ..Config::default() },
        Config {
            urls: vec!["ws://a".into()],
            timeouts: Timeouts { pong: Duration::ZERO, ..Timeouts::default() },
            ..Config::default()
        },
    ] {
        assert_eq!(Machine::new(config).unwrap_err().code(), ErrorCode::Config);
    }
}
