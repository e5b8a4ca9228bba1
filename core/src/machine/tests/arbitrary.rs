//! Any inputs in any order.

use proptest::prelude::*;

use super::*;

/// Something that a driver, a program or a server does, sensible or not.
#[derive(Clone, Debug)]
enum Input {
    Connect,
    Disconnect,
    NetworkChanged,
    Token(u8),
    Opened,
    Closed(u8),
    Pong,
    Pass(u16),
    Subscribe(bool),
    Unsubscribe(u8),
    Restart(u8, bool),
    Greet(bool),
    Ack(u8),
    Batch(u8, bool, i64),
    Change(u8, i64),
    Error(u8, u8),
    Garbage(String),
}

fn inputs() -> impl Strategy<Value = Vec<Input>> {
    let input = prop_oneof![
        2 => Just(Input::Connect),
        1 => Just(Input::Disconnect),
        1 => Just(Input::NetworkChanged),
        4 => any::<u8>().prop_map(Input::Token),
        4 => Just(Input::Opened),
        1 => any::<u8>().prop_map(Input::Closed),
        2 => Just(Input::Pong),
        4 => (0_u16..20_000).prop_map(Input::Pass),
        4 => any::<bool>().prop_map(Input::Subscribe),
        1 => any::<u8>().prop_map(Input::Unsubscribe),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(at, fresh)| Input::Restart(at, fresh)),
        6 => any::<bool>().prop_map(Input::Greet),
        6 => any::<u8>().prop_map(Input::Ack),
        6 => (any::<u8>(), any::<bool>(), 0_i64..50).prop_map(|(at, more, v)| Input::Batch(at, more, v)),
        6 => (any::<u8>(), 0_i64..50).prop_map(|(at, v)| Input::Change(at, v)),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(at, code)| Input::Error(at, code)),
        1 => ".{0,40}".prop_map(Input::Garbage),
    ];
    prop::collection::vec(input, 1..200)
}

const CODES: [&str; 8] = [
    "SUBSCRIPTION_LIMIT_EXCEEDED",
    "RATE_LIMIT_EXCEEDED",
    "NOT_FOUND",
    "BATCH_FETCH_FAILED",
    "UNAUTHORIZED",
    "AUTH_REQUIRED",
    "LEADER_NOT_AVAILABLE",
    "NEW",
];

/// What is seen from outside.
#[derive(Default)]
struct Seen {
    /// Ids in subscribe messages so far.
    ids: Vec<String>,
    /// Subscriptions that have ended.
    over: Vec<u64>,
}

impl Seen {
    fn look(&mut self, rig: &mut Rig) {
        for line in rig.log() {
            if let Some(message) = line.strip_prefix("> subscribe ") {
                self.ids.push(message.split(' ').next().unwrap_or_default().to_owned());
            }
            if let Some((key, event)) = line.split_once(": ").filter(|_| !line.starts_with(['>', '='])) {
                let key = key.parse().expect("a key");
                assert!(!self.over.contains(&key), "{line} after its end");
                if event == "ended" || event.starts_with("failed") {
                    self.over.push(key);
                }
            }
        }
    }

    fn id(&self, at: u8) -> String {
        // Mostly a recent one.
        let n = self.ids.len();
        n.checked_sub(1 + usize::from(at) % 4)
            .and_then(|i| self.ids.get(i))
            .cloned()
            .unwrap_or_else(|| "x".into())
    }
}

fn apply(rig: &mut Rig, seen: &Seen, input: Input) {
    let key = |rig: &Rig, at: u8| rig.machine.subscriptions().map(|s| s.key).nth(usize::from(at) % 4);
    match input {
        Input::Connect => drop(rig.machine.connect(rig.now)),
        Input::Disconnect => rig.machine.disconnect(rig.now),
        Input::NetworkChanged => rig.machine.network_changed(rig.now),
        Input::Token(how) => {
            let result = match how {
                0..5 => Err(Error::new(ErrorCode::AuthFailed, "no")),
                5..30 => Err(Error::new(ErrorCode::Unavailable, "later")),
                30..60 => Ok(None),
                _ => Ok(Some(Token::new("T"))),
            };
            if let Some(attempt) = rig.attempt {
                rig.machine.handle_credentials(rig.now, attempt, result);
            }
        }
        Input::Pass(millis) => rig.pass(ms(millis.into())),
        Input::Subscribe(events) => {
            let resume = if events { Resume::Cursor } else { Resume::Live };
            drop(rig.try_subscribe(None, resume, SubscribeOptions::default()));
        }
        Input::Unsubscribe(at) => {
            if let Some(key) = key(rig, at) {
                rig.machine.unsubscribe(rig.now, key);
            }
        }
        Input::Restart(at, fresh) => {
            if let Some(key) = key(rig, at) {
                let from = if fresh { Restart::Fresh } else { Restart::From("7".parse().expect("a cursor")) };
                rig.machine.restart(rig.now, key, from);
            }
        }
        _ if rig.link.is_none() => {}
        Input::Opened => rig.opened(),
        Input::Closed(how) => match how {
            0..60 => rig.cut(),
            60..90 => rig.close_frame(1008, "no"),
            90..120 => rig.close_frame(1011, "what"),
            120..150 => rig.close_frame(1012, ""),
            150..180 => rig.end(LinkEnd::Rejected { status: 401, message: String::new() }),
            180..210 => rig.end(LinkEnd::Rejected { status: 503, message: String::new() }),
            _ => rig.close_frame(1000, "Heartbeat timeout"),
        },
        Input::Pong => rig.machine.handle_pong(rig.link.expect("a link")),
        Input::Greet(announces) => rig.greet(complete().filter(|_| announces)),
        Input::Ack(at) => rig.ack(&seen.id(at), Some(9)),
        Input::Batch(at, more, version) => rig.batch(&seen.id(at), &[(version, version)], more),
        Input::Change(at, version) => rig.insert(&seen.id(at), &[(version, version)]),
        Input::Error(at, code) => rig.error(&seen.id(at), CODES[usize::from(code) % CODES.len()]),
        Input::Garbage(text) => rig.recv_text(&text),
    }
}

proptest! {
    #[test]
    fn nothing_panics_and_close_ends_it(inputs in inputs()) {
        let mut rig = Rig::new(|c| {
            c.urls = URLS.map(String::from).to_vec();
            c.messages_per_second = 10;
        });
        let mut seen = Seen::default();
        rig.connect();
        for input in inputs {
            apply(&mut rig, &seen, input);
            seen.look(&mut rig);
            // What is due is done by one call, so that a driver never spins.
            rig.machine.handle_timeout(rig.now);
            seen.look(&mut rig);
            prop_assert!(rig.machine.next_timeout().is_none_or(|next| next > rig.now));
        }
        rig.machine.close();
        seen.look(&mut rig);
        rig.expect_nothing_left();
        prop_assert_eq!(rig.machine.state(), ConnectionState::Closed { error: None });
    }
}
