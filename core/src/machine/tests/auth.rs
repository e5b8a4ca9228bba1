//! Attempts, credentials, URLs.

use super::*;

fn refused() -> Error {
    Error::new(ErrorCode::AuthFailed, "wrong password")
}

#[test]
fn a_token_in_the_upgrade_request_needs_no_message() {
    let mut rig = Rig::new(|_| {});
    rig.connect();
    rig.expect(&["> fetch"]);
    assert_eq!(rig.machine.state(), ConnectionState::Connecting { attempt: 1 });
    rig.machine.handle_credentials(rig.now, rig.attempt.unwrap(), Ok(Some(Token::new("T"))));
    rig.expect(&["> open ws://a T"]);
    rig.opened();
    rig.greet(None);
    rig.expect(&["= connected ws://a root"]);
    assert_eq!(rig.machine.state(), ConnectionState::Connected);
    rig.pass(ms(1_500));
    rig.expect(&[]);
}

#[test]
fn a_server_that_did_not_see_the_header_gets_a_message() {
    let mut rig = Rig::new(|_| {});
    rig.connect();
    rig.log();
    rig.token(Ok(Some(Token::new("T"))));
    rig.opened();
    rig.pass(ms(999));
    rig.expect(&[]);
    rig.pass(ms(1));
    rig.expect(&["> authenticate T"]);
    rig.greet(None);
    rig.greet(None); // Its answer to the header was only late.
    rig.expect(&["= connected ws://a root"]);
}

#[test]
fn without_header_the_token_is_the_first_message() {
    let mut rig = Rig::new(|c| c.header_auth = false);
    rig.connect();
    rig.log();
    rig.machine.handle_credentials(rig.now, rig.attempt.unwrap(), Ok(Some(Token::new("T"))));
    rig.expect(&["> open ws://a -"]);
    rig.opened();
    rig.expect(&["> authenticate T"]);
    rig.greet(None);
    rig.expect(&["= connected ws://a root"]);
}

#[test]
fn refused_credentials_are_refreshed_once_and_then_final() {
    type Refusal = fn(&mut Rig);
    let refusals: [(&str, Refusal); 4] = [
        ("401", |rig| rig.end(LinkEnd::Rejected { status: 401, message: "Invalid credentials".into() })),
        ("403", |rig| rig.end(LinkEnd::Rejected { status: 403, message: String::new() })),
        ("1008", |rig| {
            rig.opened();
            rig.close_frame(1008, "Authentication failed");
        }),
        ("auth_error", |rig| {
            rig.opened();
            rig.recv(json!({"type": "auth_error", "message": "Invalid credentials"}));
        }),
    ];
    for (name, refuse) in refusals {
        let mut rig = Rig::new(|c| c.urls = URLS.map(String::from).to_vec());
        let key = rig.subscribe(Resume::Live);
        rig.connect();
        rig.log();
        rig.token(Ok(Some(Token::new("old"))));
        refuse(&mut rig);
        let log = rig.log();
        assert_eq!(log.last().map(String::as_str), Some("> fetch refreshed"), "{name}");
        rig.token(Ok(Some(Token::new("new"))));
        refuse(&mut rig);
        let log = rig.log();
        assert_eq!(
            log[log.len() - 2..],
            ["= failed 1 auth_failed, for good", "1: failed auth_failed"],
            "{name}"
        );
        let ConnectionState::Closed { error: Some(error) } = rig.machine.state() else { panic!("{name}") };
        assert_eq!(error.code(), ErrorCode::AuthFailed);
        assert!(!error.to_string().contains("old") && !error.to_string().contains("new"));
        rig.expect_nothing_left();
        // The subscription is gone; commands say why, until there is another attempt.
        assert_eq!(rig.machine.checkpoint(key), None);
        let error = rig.try_subscribe(None, Resume::Live, SubscribeOptions::default()).unwrap_err();
        assert_eq!(error.code(), ErrorCode::AuthFailed);
        rig.connect();
        rig.expect(&["> fetch"]);
        rig.subscribe(Resume::Live);
    }
}

#[test]
fn a_refresh_that_helps_is_not_held_against_the_next_refusal() {
    let mut rig = Rig::new(|_| {});
    rig.connect();
    rig.log();
    for _ in 0..3 {
        rig.token(Ok(Some(Token::new("old"))));
        rig.end(LinkEnd::Rejected { status: 401, message: String::new() });
        rig.expect(&["> fetch refreshed"]);
        rig.open(None);
        rig.cut();
        rig.pass_until_attempt();
    }
}

#[test]
fn a_token_that_expires_while_connected_is_refreshed_with_backoff() {
    let mut rig = Rig::online(|_| {}, None);
    rig.ready(Resume::Live);
    for _ in 0..5 {
        rig.close_frame(1008, "Token expired");
        rig.expect(&["1: interrupted", "= lost auth_failed"]);
        assert_eq!(rig.pass_until_attempt(), ["> fetch refreshed"]);
        rig.open(None);
        let id = rig.wire_id();
        rig.ack(&id, None);
        rig.batch(&id, &[], false);
        rig.log();
    }
    // The refreshed one is refused at once: no use to go on.
    rig.close_frame(1008, "Token expired");
    rig.log();
    rig.pass_until_attempt();
    rig.token(Ok(Some(Token::new("T"))));
    rig.end(LinkEnd::Rejected { status: 401, message: String::new() });
    rig.expect(&["= failed 7 auth_failed, for good", "1: failed auth_failed"]);
}

#[test]
fn a_login_that_is_refused_is_final_and_one_that_fails_is_not() {
    let mut rig = Rig::new(|_| {});
    rig.connect();
    rig.log();
    rig.token(Err(Error::new(ErrorCode::Disconnected, "connection refused")));
    let log = rig.pass_until_attempt();
    assert_eq!(log, ["> fetch"]);
    rig.token(Err(refused()));
    assert_eq!(rig.machine.state(), ConnectionState::Closed { error: Some(refused()) });
    rig.expect_nothing_left();
}

#[test]
fn a_late_authenticate_message_is_not_a_refusal() {
    let mut rig = Rig::new(|_| {});
    rig.connect();
    rig.log();
    rig.token(Ok(Some(Token::new("T"))));
    rig.opened();
    let message = "Authentication timeout - no auth message received within 3 seconds";
    rig.recv(json!({"type": "auth_error", "message": message}));
    rig.expect(&["> close 1000", "= failed 1 auth_failed"]);
    assert_eq!(rig.pass_until_attempt(), ["> fetch"]);
}

#[test]
fn no_token_for_a_server_that_wants_one_is_final() {
    let mut rig = Rig::new(|_| {});
    rig.connect();
    rig.log();
    for _ in 0..2 {
        rig.token(Ok(None));
        rig.opened();
        rig.close_frame(1008, "Authentication timeout");
        rig.collect();
    }
    let ConnectionState::Closed { error: Some(error) } = rig.machine.state() else { panic!() };
    assert!(error.message().contains("it wants a user and password"), "{error}");
}

#[test]
fn credentials_of_an_earlier_attempt_are_ignored() {
    let mut rig = Rig::new(|_| {});
    rig.connect();
    rig.log();
    let first = rig.attempt.unwrap();
    assert_eq!(rig.pass_until_attempt(), ["= failed 1 timeout", "> fetch"]);
    rig.machine.handle_credentials(rig.now, first, Ok(None));
    rig.expect(&[]);
    rig.token(Ok(None));
    assert!(rig.link.is_some());
}

#[test]
fn every_step_of_an_attempt_has_a_deadline() {
    for steps in 0..3 {
        let mut rig = Rig::new(|_| {});
        rig.connect();
        rig.log();
        if steps > 0 {
            rig.token(Ok(None));
        }
        if steps > 1 {
            rig.opened();
        }
        rig.log();
        let before = rig.now;
        let log = rig.pass_until_attempt();
        let close = if steps > 0 { vec!["> close 1001".to_owned()] } else { vec![] };
        assert_eq!(
            log,
            [close, vec!["= failed 1 timeout".into(), "> fetch".into()]].concat(),
            "after {steps} steps"
        );
        assert!(rig.now - before <= ms(10_500));
    }
}

#[test]
fn urls_take_turns_unless_one_was_stable() {
    let mut rig = Rig::new(|c| c.urls = URLS.map(String::from).to_vec());
    rig.connect();
    rig.log();
    let mut seen = Vec::new();
    for _ in 0..4 {
        rig.machine.handle_credentials(rig.now, rig.attempt.unwrap(), Ok(None));
        seen.extend(rig.log());
        rig.cut();
        rig.pass_until_attempt();
    }
    assert_eq!(seen, ["> open ws://a -", "> open ws://b -", "> open ws://a -", "> open ws://b -"]);

    // A connection that held for long is tried again at the same place,
    rig.open(None);
    rig.log();
    rig.pass_alive(Backoff::default().stable_after);
    rig.cut();
    rig.pass_until_attempt();
    rig.machine.handle_credentials(rig.now, rig.attempt.unwrap(), Ok(None));
    rig.expect(&["> open ws://a -"]);
    // unless the server says that it goes away.
    rig.opened();
    rig.greet(None);
    rig.pass_alive(Backoff::default().stable_after);
    rig.close_frame(1001, "shutdown");
    rig.pass_until_attempt();
    rig.machine.handle_credentials(rig.now, rig.attempt.unwrap(), Ok(None));
    rig.expect(&["> open ws://b -"]);
}

#[test]
fn a_wrong_url_is_final_when_no_url_is_better() {
    let mut rig = Rig::new(|c| c.urls = URLS.map(String::from).to_vec());
    rig.connect();
    rig.log();
    for n in 1..=2 {
        rig.token(Ok(None));
        rig.end(LinkEnd::Rejected { status: 404, message: String::new() });
        if n == 1 {
            assert_eq!(rig.pass_until_attempt(), ["= failed 1 not_found", "> fetch"]);
        }
    }
    rig.expect(&["= failed 2 not_found, for good"]);
}

/// As a gateway answers while what is behind it is replaced.
#[test]
fn a_url_that_was_right_before_is_tried_again() {
    let mut rig = Rig::online(|_| {}, None);
    let _key = rig.subscribe(Resume::Live);
    rig.log();
    rig.cut();
    for status in [404, 400] {
        rig.pass_until_attempt();
        rig.token(Ok(None));
        rig.log();
        rig.end(LinkEnd::Rejected { status, message: String::new() });
        let log = rig.log();
        assert!(log[0].starts_with("= failed ") && log[0].ends_with(" unavailable"), "{log:?}");
    }
    rig.pass_until_attempt();
    rig.open(None);
    assert_eq!(rig.machine.state(), ConnectionState::Connected);
}

#[test]
fn retries_can_be_limited() {
    let mut rig = Rig::new(|c| c.max_retries = Some(2));
    let _key = rig.subscribe(Resume::Live);
    rig.connect();
    rig.log();
    for n in 1..=3 {
        rig.token(Ok(None));
        rig.cut();
        if n < 3 {
            rig.pass_until_attempt();
        }
    }
    rig.expect(&["= failed 3 disconnected, for good", "1: failed disconnected"]);
    rig.expect_nothing_left();
}

#[test]
fn a_server_that_accepts_and_closes_is_not_hit_at_the_shortest_delay() {
    let mut rig = Rig::online(|_| {}, None);
    let mut longest = Duration::ZERO;
    for _ in 0..40 {
        rig.cut();
        let before = rig.now;
        rig.pass_until_attempt();
        longest = longest.max(rig.now - before);
        rig.open(None);
        rig.log();
    }
    assert!(longest > Duration::from_secs(15), "longest wait {longest:?}");
}

#[test]
fn a_restarting_server_is_left_alone_for_a_while() {
    for code in [1012, 1013] {
        let mut rig = Rig::online(|_| {}, None);
        rig.close_frame(code, "");
        let Some(Event::Lifecycle(Lifecycle::Disconnected { retry_in: Some(wait), .. })) =
            rig.machine.poll_event()
        else {
            panic!("not lost")
        };
        assert!(wait >= Backoff::default().busy);
    }
}

#[test]
fn debug_output_holds_no_token() {
    for header_auth in [true, false] {
        let mut rig = Rig::new(|c| c.header_auth = header_auth);
        rig.connect();
        rig.log();
        rig.machine.handle_credentials(rig.now, rig.attempt.unwrap(), Ok(Some(Token::new("s3cret"))));
        let mut seen = format!("{:?}", rig.machine);
        let Some(Action::OpenLink { link, .. }) = rig.machine.poll_action() else { panic!("no link") };
        rig.machine.handle_opened(rig.now, link);
        seen += &format!("{:?}", rig.machine);
        let sent = rig.machine.poll_action();
        assert_eq!(sent.is_some(), !header_auth);
        seen += &format!("{sent:?}");
        assert!(!seen.contains("s3cret"), "{seen}");
    }
}

#[test]
fn refused_credentials_are_not_used_again_when_fetching_others_fails_or_is_given_up() {
    let refuse = |rig: &mut Rig| {
        rig.token(Ok(Some(Token::new("old"))));
        rig.end(LinkEnd::Rejected { status: 401, message: "Invalid credentials".into() });
        assert_eq!(rig.log().last().map(String::as_str), Some("> fetch refreshed"));
    };
    let mut rig = Rig::new(|_| {});
    rig.connect();
    rig.log();
    refuse(&mut rig);
    rig.machine.network_changed(rig.now);
    rig.expect(&["> fetch refreshed"]);
    let unreachable = Error::new(ErrorCode::Disconnected, "no route").with_retryable(true);
    rig.machine.handle_credentials(rig.now, rig.attempt.unwrap(), Err(unreachable));
    assert_eq!(rig.pass_until_attempt().last().map(String::as_str), Some("> fetch refreshed"));
    rig.token(Ok(Some(Token::new("new"))));
    rig.opened();
    rig.greet(None);
    rig.log();
    assert_eq!(rig.machine.state(), ConnectionState::Connected);
    rig.cut();
    assert_eq!(rig.pass_until_attempt().last().map(String::as_str), Some("> fetch"));
}
