// Raw events, in order, for programs that keep their own state.

import { connect } from "kalam-live";

const client = await connect();
await client.execute("CREATE NAMESPACE app");
await client.execute("CREATE TABLE app.messages (id BIGINT PRIMARY KEY, body TEXT)");

for await (const event of client.liveEvents("SELECT * FROM app.messages")) {
  const rows = "rows" in event ? event.rows.map((row) => row.body) : [];
  const before = event.type === "update" ? event.oldRows.map((row) => row.body) : [];
  console.log(event.type, ...rows, ...before.map((body) => `(was ${body})`));
  if (event.type === "initial_data_batch")
    await client.execute("INSERT INTO app.messages VALUES (1, 'hello')");
  if (event.type === "insert")
    await client.execute("UPDATE app.messages SET body = 'hello again' WHERE id = 1");
  if (event.type === "update") await client.execute("DELETE FROM app.messages WHERE id = 1");
  if (event.type === "delete") break;
}
await client.close();
