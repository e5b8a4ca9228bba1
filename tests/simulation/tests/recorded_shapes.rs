//! The frames of the model server have the shape of the recorded ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use fastrand::Rng;
use kalam_live::machine::{Config, LinkId, Machine, Token};
use kalam_simulation::data::{Record, queries};
use kalam_simulation::plan::Plan;
use kalam_simulation::server::{Behaviour, Say, Server, token};
use serde_json::{Value as Json, json};

/// Paths of everything in a frame with the kind of value there: `rows[]._seq: string`. Names of user columns are left out.
fn shape(frame: &Json) -> BTreeSet<String> {
    fn walk(at: String, value: &Json, out: &mut BTreeSet<String>) {
        match value {
            Json::Object(fields) => {
                for (name, value) in fields {
                    let user_column = at.ends_with("rows[]") || at.ends_with("old_values[]");
                    if !user_column || name.starts_with('_') {
                        walk(format!("{at}.{name}"), value, out);
                    }
                }
            }
            Json::Array(values) => values.iter().for_each(|value| walk(format!("{at}[]"), value, out)),
            Json::String(_) => drop(out.insert(format!("{at}: string"))),
            Json::Number(_) => drop(out.insert(format!("{at}: number"))),
            Json::Bool(_) => drop(out.insert(format!("{at}: bool"))),
            Json::Null => drop(out.insert(format!("{at}: null"))),
        }
    }
    let mut out = BTreeSet::new();
    walk(String::new(), frame, &mut out);
    out
}

/// A frame's type, and its kind of change.
fn kind(frame: &Json) -> String {
    let text = |name: &str| frame[name].as_str().unwrap_or_default().to_owned();
    format!("{} {}", text("type"), text("change_type"))
}

/// What of each kind of frame was recorded.
fn recorded() -> BTreeMap<String, BTreeSet<String>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../data/wire");
    let mut shapes: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for name in ["auth", "limits", "live_basic", "live_errors", "resume", "snapshots", "cluster"] {
        let text = std::fs::read_to_string(directory.join(format!("{name}.jsonl"))).expect("a recording");
        for line in text.lines() {
            let line: Json = serde_json::from_str(line).expect("JSON");
            if line["dir"] == "recv" && line["frame"].is_object() {
                shapes.entry(kind(&line["frame"])).or_default().extend(shape(&line["frame"]));
            }
        }
    }
    shapes
}

fn a_link() -> LinkId {
    let mut machine =
        Machine::new(Config { urls: vec!["ws://a".into()], ..Config::default() }).expect("config");
    machine.connect(Duration::ZERO).expect("open");
    let Some(kalam_live::machine::Action::FetchCredentials { attempt, .. }) = machine.poll_action() else {
        panic!("no attempt")
    };
    machine.handle_credentials(Duration::ZERO, attempt, Ok(Some(Token::new("T"))));
    let Some(kalam_live::machine::Action::OpenLink { link, .. }) = machine.poll_action() else {
        panic!("no link")
    };
    link
}

#[test]
fn the_model_speaks_as_recorded() {
    let now = Duration::from_secs(1);
    let behaviour = Behaviour {
        announces: false,
        messages_per_second: 20,
        subscriptions: 5,
        sees_header: true,
        ..Plan::draw(1, Default::default(), &mut Rng::with_seed(1)).behaviour
    };
    let queries = queries();
    let (star, key_only) = (&queries[0], &queries[4]);
    let mut server = Server::new(behaviour, queries.clone(), Rng::with_seed(2));
    let row = |id, n| Record { id, grp: "a", v: None, n, extra: None };
    for id in 0..5 {
        server.table.put(now, row(id, Some(id)));
    }
    let link = a_link();
    server.open(now, link, Some(&token(now * 2))).expect("accepted");
    let say = |server: &mut Server, message: Json| server.message(now, link, &message.to_string());
    for (id, query) in [("star", star), ("key", key_only)] {
        let options = json!({"batch_size": 2});
        say(
            &mut server,
            json!({"type": "subscribe", "subscription": {"id": id, "sql": query.sql, "options": options}}),
        );
        for _ in 0..3 {
            say(&mut server, json!({"type": "next_batch", "subscription_id": id}));
        }
    }
    for (id, options) in [("newer", json!({"from": 1})), ("nothing", Json::Null)] {
        say(
            &mut server,
            json!({"type": "subscribe", "subscription": {"id": id, "sql": star.sql, "options": options}}),
        );
    }
    for write in [
        Some(server.table.put(now, row(9, None))),
        Some(server.table.put(now, row(9, Some(7)))),
        server.table.delete(now, 9),
    ] {
        server.publish(&write.expect("the row exists"));
    }
    say(
        &mut server,
        json!({"type": "subscribe", "subscription": {"id": "bad", "sql": "SELECT", "options": {}}}),
    );
    for _ in 0..30 {
        say(&mut server, json!({"type": "unsubscribe", "subscription_id": "nobody"}));
    }
    say(&mut server, json!({"type": "authenticate", "token": "bad"}));

    let recorded = recorded();
    let mut kinds = BTreeSet::new();
    for (_, said) in server.take_out() {
        let Say::Frame(text) = said else { continue };
        let frame: Json = serde_json::from_str(&text).expect("JSON");
        let known = recorded.get(&kind(&frame)).unwrap_or_else(|| panic!("never recorded: {frame}"));
        let new: Vec<_> = shape(&frame).difference(known).cloned().collect();
        assert!(new.is_empty(), "{new:?} was never recorded: {frame}");
        kinds.insert(kind(&frame));
    }
    let expected = [
        "auth_success ",
        "change delete",
        "change insert",
        "change update",
        "error ",
        "initial_data_batch ",
        "subscription_ack ",
    ];
    assert_eq!(kinds.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}
