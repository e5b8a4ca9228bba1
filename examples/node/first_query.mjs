// The first query: no server to set up, since `connect()` without a URL starts an embedded one.

import { connect } from "kalam-live";

const client = await connect();
await client.execute("CREATE NAMESPACE app");
await client.execute("CREATE TABLE app.messages (id BIGINT PRIMARY KEY, room TEXT, body TEXT)");
await client.execute("INSERT INTO app.messages VALUES ($1, $2, $3)", [1, "main", "hello"]);
for (const row of await client.query("SELECT * FROM app.messages WHERE room = $1", ["main"])) {
  console.log(row.id, row.body);
}
await client.close();
