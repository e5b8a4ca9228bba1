//! Events after a lost connection, at a server that does not tell what was removed meanwhile.

use kalam_live::{ChangeEvent, Timeouts};
use serde_json::{Value as Json, json};

use super::builder;
use super::support::{Answer, Request, Server, error, rows, schema};

const SQL: &str = "SELECT id, n FROM app.t";

/// The second connection resumes from 2, gets `c` at 5 and `d` at 6, and then nothing more.
async fn server(http: impl Fn(&str) -> Answer + Send + Sync + 'static) -> Server {
    let http = move |request: Request| http(&request.sql());
    Server::start(http, |number, mut ws| async move {
        ws.welcome(false).await;
        let Some((id, _, options)) = ws.subscribe().await else { return };
        ws.ack(&id).await;
        if number == 1 {
            ws.batch(&id, &[("a", 1, 1)]).await;
            ws.insert(&id, ("b", 2, 2)).await;
            return;
        }
        assert_eq!(options["from"], 2);
        ws.batch(&id, &[("c", 3, 5)]).await;
        ws.insert(&id, ("d", 4, 6)).await;
        ws.until_closed().await;
    })
    .await
}

fn with_version() -> Json {
    let mut columns = schema();
    let version = json!({"name": "_seq", "data_type": "BigInt", "index": 2, "flags": ["nn"]});
    columns.as_array_mut().expect("columns").push(version);
    columns
}

/// What a sound server says: `c` is known at 5, and these were deleted.
fn sound(sql: &str, deleted: Json) -> Answer {
    let Answer::Text(status, text) = answer(sql, deleted) else { unreachable!("rows are text") };
    Answer::Text(status, text.replace(r#""as_user":"root""#, r#""as_user":"alice""#))
}

fn answer(sql: &str, deleted: Json) -> Answer {
    if sql.contains("_deleted = true") {
        rows(with_version(), deleted)
    } else if sql.contains(" IN (") {
        let version = json!([{"name": "_seq", "data_type": "BigInt", "index": 0, "flags": ["nn"]}]);
        rows(version, json!([["5"]]))
    } else {
        rows(with_version(), json!([["c", 3, "5"]]))
    }
}

/// The events behind `resumed`, without `d`, which may come before or after.
async fn behind_resumed(server: &Server) -> Vec<String> {
    let timeouts = Timeouts { request: std::time::Duration::from_millis(300), ..Timeouts::default() };
    let client = builder(&server.url).token("t").timeouts(timeouts).build().expect("options");
    let mut events = client.live_events(SQL).await.expect("a stream");
    let mut seen: Vec<String> = Vec::new();
    let mut resumed = false;
    loop {
        let event = events.next().await.expect("it goes on").expect("no error");
        let ids = |what: &str| {
            let ids = event.rows().iter().map(|row| row["id"].to_string());
            std::iter::once(what.to_owned()).chain(ids).collect::<Vec<_>>().join(" ")
        };
        match &event {
            ChangeEvent::Resumed { .. } => resumed = true,
            _ if !resumed => {}
            ChangeEvent::InitialDataBatch { rows, has_more: false, .. } => {
                assert!(rows.is_empty());
                // Only now there is a place to go on from, behind everything.
                let reached = events.checkpoint().expect("a place");
                assert!(reached.seq().get() >= 5, "{reached}");
                return seen;
            }
            ChangeEvent::InitialDataBatch { .. } => {
                assert_eq!(events.checkpoint(), None);
                seen.push(ids("page"));
            }
            ChangeEvent::Delete { .. } => seen.push(ids("delete")),
            ChangeEvent::GapPossible { .. } => seen.push("gap".into()),
            ChangeEvent::Insert { .. } => {}
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn deletes_are_found() {
    let deleted = json!([["b", 2, "4"], ["a", 1, "3"]]);
    let server = server(move |sql| sound(sql, deleted.clone())).await;
    assert_eq!(behind_resumed(&server).await, ["page c", "delete a b"]);
}

#[tokio::test]
async fn nothing_missed_is_nothing_told() {
    let server = server(|sql| sound(sql, json!([]))).await;
    assert_eq!(behind_resumed(&server).await, ["page c"]);
}

#[tokio::test]
async fn what_the_subscription_tells_itself_is_not_told_again() {
    // `c` came with the page, and is newer than its deletion or is about to be told.
    let deleted = json!([["c", 3, "4"], ["a", 1, "3"]]);
    let server = server(move |sql| sound(sql, deleted.clone())).await;
    assert_eq!(behind_resumed(&server).await, ["page c", "delete a"]);
}

#[tokio::test]
async fn the_position_itself_proves_the_numbering() {
    let server = server(|sql| match sql.contains(" IN (") {
        true => sound("_deleted = true", json!([])),
        // The position was a deletion.
        false => sound(sql, json!([["x", 9, "2"], ["a", 1, "3"]])),
    })
    .await;
    assert_eq!(behind_resumed(&server).await, ["page c", "delete a"]);
}

#[tokio::test]
async fn what_can_not_be_found_out_is_said() {
    type Bad = fn(&str) -> Answer;
    let cases: [(&str, Bad); 7] = [
        ("an error", |_| error(500, "INTERNAL_ERROR", "no")),
        ("no answer", |_| Answer::Silence),
        ("garbage", |_| Answer::Text(200, "<html>".into())),
        ("other columns", |sql| match sql.contains("_deleted") {
            true => rows(json!([{"name": "n", "data_type": "Int", "index": 0}]), json!([[1]])),
            false => sound(sql, json!([])),
        }),
        // As root.
        ("another user's answer", |sql| answer(sql, json!([["a", 1, "3"]]))),
        ("another numbering", |sql| match sql.contains(" IN (") {
            true => sound("_deleted = true", json!([])),
            false => sound(sql, json!([["a", 1, "3"]])),
        }),
        ("another key", |sql| match sql.contains("_seq >=") || sql.contains(" IN (") {
            true => sound(sql, json!([["a", 1, "3"]])),
            false => {
                rows(json!([{"name": "k", "data_type": "Text", "index": 0, "flags": ["pk"]}]), json!([]))
            }
        }),
    ];
    for (what, answer) in cases {
        let server = server(answer).await;
        assert_eq!(behind_resumed(&server).await, ["page c", "gap"], "{what}");
    }
}
