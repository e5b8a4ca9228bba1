// Live rows: the loop sees the newest complete list each time something has changed.

import { setTimeout } from "node:timers/promises";
import { connect } from "kalam-live";

const client = await connect();
await client.execute("CREATE NAMESPACE app");
await client.execute("CREATE TABLE app.tasks (id BIGINT PRIMARY KEY, title TEXT, status TEXT)");

async function work() {
  for (const [number, title] of ["write", "measure", "ship"].entries()) {
    await client.execute("INSERT INTO app.tasks VALUES ($1, $2, 'open')", [number, title]);
    await setTimeout(100);
  }
  for (let number = 0; number < 3; number++) {
    await client.execute("UPDATE app.tasks SET status = 'done' WHERE id = $1", [number]);
    await setTimeout(100);
  }
}

const working = work();
let begun = false;
for await (const rows of client.live("SELECT id, title FROM app.tasks WHERE status = 'open'", {
  orderBy: "title",
})) {
  console.log(`${rows.length} open: ${rows.map((row) => row.title).join(", ") || "nothing to do"}`);
  begun ||= rows.length > 0;
  if (begun && rows.length === 0) break;
}
await working;
await client.close();
