//! Live rows and events, and how they go on after a cut.

use std::collections::BTreeMap;
use std::time::Duration;

use kalam_client::{
    ChangeEvent, KalamLinkClient, LiveRowsConfig, LiveRowsEvent, LiveRowsSubscription, SubscriptionConfig,
    SubscriptionOptions,
};
use kalam_fault_proxy::FaultProxy;

use crate::server::{Server, connect, run};

type Rows = BTreeMap<String, String>;

async fn tasks(root: &KalamLinkClient) {
    run(root, "CREATE NAMESPACE app", vec![]).await;
    let table =
        "CREATE TABLE app.tasks (id INT PRIMARY KEY, title TEXT, done BOOLEAN) WITH (TYPE = 'SHARED')";
    run(root, table, vec![]).await;
}

/// Follows the rows until they are `expected`.
async fn until(live: &mut LiveRowsSubscription, expected: &[(&str, &str)]) {
    let expected: Rows = expected.iter().map(|(id, title)| ((*id).to_owned(), (*title).to_owned())).collect();
    let mut last = Rows::new();
    let follow = async {
        while let Some(event) = live.next().await {
            match event.expect("an event") {
                LiveRowsEvent::Rows { rows, .. } => {
                    let text =
                        |value: &kalam_client::KalamCellValue| value.to_string().trim_matches('"').to_owned();
                    last = rows.iter().map(|row| (text(&row["id"]), text(&row["title"]))).collect();
                }
                LiveRowsEvent::Error { code, message, .. } => panic!("{code}: {message}"),
            }
            if last == expected {
                return;
            }
        }
        panic!("it ended");
    };
    let done = tokio::time::timeout(Duration::from_secs(60), follow).await;
    assert!(done.is_ok(), "{last:?} instead of {expected:?}");
}

async fn open(client: &KalamLinkClient, sql: &str) -> LiveRowsSubscription {
    let mut config = SubscriptionConfig::new("tasks", sql);
    config.options = Some(SubscriptionOptions::new().with_batch_size(100));
    client.live_with_config(config, LiveRowsConfig::default()).await.expect("it opens")
}

#[tokio::test]
async fn rows_follow_and_leave_the_filter() {
    let server = Server::start(&[]);
    let client = server.root().await;
    tasks(&client).await;
    run(&client, "INSERT INTO app.tasks VALUES (1, 'tea', false), (2, 'cake', true)", vec![]).await;
    let mut live = open(&client, "SELECT * FROM app.tasks WHERE done = false").await;
    until(&mut live, &[("1", "tea")]).await;
    run(&client, "INSERT INTO app.tasks VALUES (3, 'cups', false)", vec![]).await;
    until(&mut live, &[("1", "tea"), ("3", "cups")]).await;
    run(&client, "UPDATE app.tasks SET done = true WHERE id = 1", vec![]).await;
    until(&mut live, &[("3", "cups")]).await;
    run(&client, "UPDATE app.tasks SET title = 'plates' WHERE id = 3", vec![]).await;
    until(&mut live, &[("3", "plates")]).await;
    run(&client, "DELETE FROM app.tasks WHERE id = 3", vec![]).await;
    until(&mut live, &[]).await;
    live.close().await.expect("it closes");
}

#[tokio::test]
async fn a_snapshot_of_many_pages() {
    let server = Server::start(&[]);
    let client = server.root().await;
    tasks(&client).await;
    let values = (0..2500).map(|id| format!("({id}, 't{id}', false)")).collect::<Vec<_>>().join(", ");
    run(&client, &format!("INSERT INTO app.tasks VALUES {values}"), vec![]).await;
    let mut live = open(&client, "SELECT * FROM app.tasks").await;
    let titles: Vec<_> = (0..2500).map(|id| (id.to_string(), format!("t{id}"))).collect();
    let expected: Vec<_> = titles.iter().map(|(id, title)| (id.as_str(), title.as_str())).collect();
    until(&mut live, &expected).await;
}

#[tokio::test]
async fn rows_are_right_after_a_cut_with_deletes_meanwhile() {
    let server = Server::start(&[]);
    let proxy = FaultProxy::start(server.address()).await.expect("a proxy");
    let root = server.root().await;
    tasks(&root).await;
    run(
        &root,
        "INSERT INTO app.tasks VALUES (1, 'tea', false), (2, 'cake', false), (3, 'cups', false)",
        vec![],
    )
    .await;
    let client = connect(&format!("http://{}", proxy.address()), "root", "Makers-Password-1").await;
    let mut live = open(&client, "SELECT * FROM app.tasks WHERE done = false").await;
    until(&mut live, &[("1", "tea"), ("2", "cake"), ("3", "cups")]).await;
    run(&root, "INSERT INTO app.tasks VALUES (4, 'milk', false)", vec![]).await;
    until(&mut live, &[("1", "tea"), ("2", "cake"), ("3", "cups"), ("4", "milk")]).await;

    proxy.refuse(true);
    proxy.cut();
    run(&root, "DELETE FROM app.tasks WHERE id = 1", vec![]).await;
    run(&root, "UPDATE app.tasks SET done = true WHERE id = 2", vec![]).await;
    run(&root, "INSERT INTO app.tasks VALUES (5, 'sugar', false)", vec![]).await;
    proxy.refuse(false);
    until(&mut live, &[("3", "cups"), ("4", "milk"), ("5", "sugar")]).await;
}

#[tokio::test]
async fn events_resume_from_a_checkpoint() {
    let server = Server::start(&[]);
    let client = server.root().await;
    tasks(&client).await;
    run(&client, "INSERT INTO app.tasks VALUES (1, 'tea', false)", vec![]).await;
    let at = run(&client, "SELECT _seq FROM app.tasks WHERE id = 1", vec![])
        .await
        .get_i64("_seq")
        .expect("a version");
    run(&client, "INSERT INTO app.tasks VALUES (2, 'cake', false)", vec![]).await;
    let mut config = SubscriptionConfig::new("resumed", "SELECT * FROM app.tasks");
    config.options = Some(SubscriptionOptions::new().with_from(at.into()));
    let mut events = client.live_events_with_config(config).await.expect("it opens");
    let mut ids = Vec::new();
    while ids.is_empty() {
        let event = tokio::time::timeout(Duration::from_secs(60), events.next()).await.expect("in time");
        let rows = match event.expect("it goes on").expect("an event") {
            ChangeEvent::Insert { rows, .. } | ChangeEvent::InitialDataBatch { rows, .. } => rows,
            ChangeEvent::Error { code, message, .. } => panic!("{code}: {message}"),
            _ => continue,
        };
        ids.extend(rows.iter().map(|row| row["id"].to_string()));
    }
    assert_eq!(ids, ["2"]);
}
