// A departures board: this server relays live rows by server-sent events, the page shows them.
//
//   node departures/server.mjs [--port N] [--seconds N] [--url URL --user NAME --password TEXT]
//
// Without --url an embedded database is started. A day of real departures is replayed within --seconds (120; 0: never).

import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:http";
import { setTimeout } from "node:timers/promises";
import { parseArgs } from "node:util";
import { connect } from "kalam-live";
import { SCHEMA, TABLE, timeline } from "./flights.mjs";

const { values: options } = parseArgs({
  options: {
    port: { type: "string", default: "0" },
    seconds: { type: "string", default: "120" },
    url: { type: "string" },
    user: { type: "string" },
    password: { type: "string" },
  },
});
const { url, user, password } = options;
const ON_THE_BOARD = `SELECT id, flight, destination, scheduled, estimated, status FROM ${TABLE} WHERE status <> 'departed'`;
const PAGE = readFileSync(new URL("page.html", import.meta.url));

const client = await connect({ url, user, password, reconnectMaxDelay: 1000 });
await client.execute("CREATE NAMESPACE IF NOT EXISTS air");
await client.execute(SCHEMA);

/** One live query for each browser tab: a slow tab gets the newest rows, and holds up nobody. */
async function relay(response) {
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store" });
  const live = client.live(ON_THE_BOARD, { orderBy: "estimated, flight" });
  response.on("close", () => live.close());
  for await (const rows of live) {
    const { phase, changes } = rows;
    const news = changes[0]?.type === "reset" ? { phase, rows } : { phase, changes };
    // A tab that reads slowly is waited for; meanwhile changes gather.
    if (!response.write(`data: ${JSON.stringify(news)}\n\n`)) await once(response, "drain").catch(() => {});
  }
}

const server = createServer((request, response) => {
  if (request.url === "/rows") relay(response).catch(console.error);
  else if (request.url === "/") response.writeHead(200, { "content-type": "text/html" }).end(PAGE);
  else response.writeHead(404).end();
});
server.listen(Number(options.port), "127.0.0.1");
await once(server, "listening");
console.log(`http://127.0.0.1:${server.address().port}`);

const seconds = Number(options.seconds);
const day = seconds > 0 ? timeline() : [];
const [first, last] = [day[0]?.minute, day.at(-1)?.minute];
const started = Date.now();
for (const { minute, sql, params } of day) {
  const due = started + ((minute - first) / (last - first)) * seconds * 1000;
  await setTimeout(Math.max(0, due - Date.now()));
  await client.execute(sql, params);
}
