// A worker of a group that shares the records of a topic: each is handled at least once, also when workers crash. At Ctrl-C it
// finishes what it is at, commits that, and leaves the rest to the next worker.
import { connect } from "kalam-live";

const client = await connect();
await client.execute("CREATE NAMESPACE app");
await client.execute("CREATE TABLE app.orders (id BIGINT PRIMARY KEY, item TEXT)");
await client.execute("CREATE TOPIC app.order_events");
await client.execute("ALTER TOPIC app.order_events ADD SOURCE app.orders ON INSERT WITH (payload = 'full')");
await client.execute("INSERT INTO app.orders VALUES (1, 'tea'), (2, 'milk'), (3, 'sugar')");

const stop = new AbortController();
process.once("SIGINT", () => stop.abort()); // once: a second Ctrl-C does not wait
const consumer = client.consumer({ topic: "app.order_events", groupId: "billing", start: "earliest" });
const summary = await consumer.run(
  async (record) => {
    console.log(record.op, record.row.item);
    if (record.offset === 2) stop.abort(); // here there is nothing more; a real worker goes on
  },
  { concurrency: 4, deadLetterTopic: "app.dead_orders", signal: stop.signal },
);
await consumer.close();
await client.close();
console.log(summary);
