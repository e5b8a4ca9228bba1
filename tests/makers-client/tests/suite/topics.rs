//! Topic consumers.

use std::time::Duration;

use kalam_client::AutoOffsetReset;

use crate::server::{Server, run};

#[tokio::test]
async fn a_group_consumes_everything_once_and_goes_on_where_it_was() {
    let server = Server::start(&[]);
    let client = server.root().await;
    run(&client, "CREATE NAMESPACE shop", vec![]).await;
    run(&client, "CREATE TABLE shop.orders (id INT PRIMARY KEY, item TEXT) WITH (TYPE = 'SHARED')", vec![]).await;
    run(&client, "CREATE TOPIC shop.events", vec![]).await;
    run(&client, "ALTER TOPIC shop.events ADD SOURCE shop.orders ON INSERT WITH (payload = 'full')", vec![]).await;
    for (first, expected) in [(0, 0..25), (25, 25..40)] {
        for id in expected.clone() {
            run(&client, &format!("INSERT INTO shop.orders VALUES ({id}, 'item {id}')"), vec![]).await;
        }
        let mut consumer = client
            .consumer()
            .group_id("workers")
            .topic("shop.events")
            .auto_offset_reset(AutoOffsetReset::Earliest)
            .enable_auto_commit(false)
            .max_poll_records(10)
            .poll_timeout(Duration::from_secs(2))
            .build()
            .expect("a consumer");
        let mut offsets = Vec::new();
        while offsets.len() < expected.len() {
            for record in consumer.poll().await.expect("a poll") {
                let payload = String::from_utf8(record.payload.clone()).expect("JSON");
                assert!(payload.contains(&format!("item {}", first + offsets.len())), "{payload}");
                offsets.push(record.offset);
                consumer.mark_processed(&record);
            }
            consumer.commit_sync().await.expect("a commit");
        }
        assert_eq!(offsets, expected.map(|n| n as u64).collect::<Vec<_>>());
        consumer.close().await.expect("it closes");
    }
}
