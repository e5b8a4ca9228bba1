// Live rows: a task list that is shown again whenever it changes, and what changed.

import { connect } from "kalam-live";

const client = await connect();
await client.execute("CREATE NAMESPACE app");
await client.execute("CREATE TABLE app.tasks (id BIGINT PRIMARY KEY, title TEXT, done BOOLEAN)");

async function work() {
  const titles = ["buy milk", "write the report", "water the plants"];
  for (const [id, title] of titles.entries()) {
    await client.execute("INSERT INTO app.tasks VALUES ($1, $2, FALSE)", [id, title]);
  }
  for (const id of titles.keys()) {
    await client.execute("UPDATE app.tasks SET done = TRUE WHERE id = $1", [id]);
  }
}

const working = work().then(() => {
  finished = true;
});
let finished = false;

for await (const rows of client.live("SELECT id, title FROM app.tasks WHERE done = FALSE", { orderBy: "id" })) {
  const news = rows.changes.map(({ type, row }) => (row ? `${type} ${row.title}` : type));
  console.log(`${rows.length} open: ${rows.map((row) => row.title).join(", ") || "nothing to do"} (${news.join(", ")})`);
  // A slow loop skips the states between, so it ends when the work is done, not after so many steps.
  if (rows.length === 0 && finished) break;
  if (rows.length === 0) await Promise.race([working, new Promise(setImmediate)]);
}
await client.close();
