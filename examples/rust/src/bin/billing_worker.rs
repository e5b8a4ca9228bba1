//! A worker of a group that shares the records of a topic: each is handled at least once, also when workers crash. At Ctrl-C
//! it finishes what it is at, commits that, and leaves the rest to the next worker.

use std::sync::Arc;

use kalam_live::{AutoOffsetReset, ConsumerRecord, RunOptions, params};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (client, _server) = kalam_examples::open().await?;
    // Whoever may create tables does this once.
    client.execute("CREATE TOPIC app.task_events", &[]).await?;
    client
        .execute("ALTER TOPIC app.task_events ADD SOURCE app.tasks ON INSERT WITH (payload = 'full')", &[])
        .await?;
    for (id, title) in [(1, "write"), (2, "ship"), (3, "bill")] {
        client.execute("INSERT INTO app.tasks VALUES ($1, $2, 'open')", &params![id, title]).await?;
    }

    let mut consumer = client
        .consumer()
        .topic("app.task_events")
        .group_id("billing-workers")
        .auto_offset_reset(AutoOffsetReset::Earliest)
        .build()?;
    let options = RunOptions::default().with_concurrency(4).with_dead_letter_topic("app.dead_tasks");
    let stop = options.stop();
    tokio::spawn({
        let stop = stop.clone();
        async move {
            if tokio::signal::ctrl_c().await.is_ok() {
                stop.stop();
            }
        }
    });
    let handler = async |record: Arc<ConsumerRecord>| {
        let Some(task) = record.row()? else { return Ok(()) };
        println!("{} {}: {}", record.op, record.offset, task["title"]);
        // Here there is nothing more; a real worker goes on.
        if record.offset == 2 {
            stop.stop();
        }
        Ok::<_, kalam_live::Error>(())
    };
    let summary = consumer.run(handler, options).await?;
    consumer.close().await?;
    println!("{} handled, {} committed", summary.handled, consumer.offsets().committed);
    Ok(())
}
