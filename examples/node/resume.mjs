// Resume: a program that keeps its checkpoint sees what happened while it was away, and nothing twice.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect } from "kalam-live";

const directory = mkdtempSync(join(tmpdir(), "orders-"));
const kept = join(directory, "checkpoint");

/** Reads events until `until` has been seen, and keeps the place. */
async function read(until) {
  const from = existsSync(kept) ? readFileSync(kept, "utf8") : undefined;
  const client = await connect({ url: `embedded:${join(directory, "data")}` });
  await client.execute("CREATE NAMESPACE IF NOT EXISTS app");
  await client.execute("CREATE TABLE IF NOT EXISTS app.orders (id BIGINT PRIMARY KEY, item TEXT)");
  // The second time somebody has written while we were away.
  const values = from ? "(3, 'honey')" : "(1, 'tea'), (2, 'milk')";
  await client.execute(`INSERT INTO app.orders VALUES ${values}`);
  const events = client.liveEvents("SELECT * FROM app.orders", { from });
  reading: for await (const event of events) {
    for (const row of "rows" in event ? event.rows : []) {
      console.log(event.type, row.item);
      if (row.item === until) break reading;
    }
  }
  writeFileSync(kept, events.checkpoint);
  await client.close();
}

await read("milk");
console.log("away, and back again");
await read("honey");
rmSync(directory, { recursive: true });
