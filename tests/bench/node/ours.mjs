// The npm package, used as a program uses it.

import { connect } from "../../../bindings-node/dist/index.mjs";
import { Pulse, residentBytes, Stopwatch } from "./stopwatch.mjs";

const BATCH = 1000;
const CHANGES = ["insert", "update", "delete"];

/** The snapshot as an array. */
export async function snapshot(workload) {
  const client = await connect({ url: workload.url, token: "bench-token" });
  await client.query("SELECT 1");
  const before = residentBytes();
  const pulse = new Pulse();
  const stopwatch = new Stopwatch();
  const rows = await client.live(workload.sql, { batchSize: BATCH }).loaded();
  const result = { ...stopwatch.read(), ...pulse.stop(), bytes: residentBytes() - before };
  if (rows.length !== workload.rows) throw new Error(`${rows.length} rows`);
  await client.close();
  return result;
}

/** Rows taken as often as the loop gets them, until the last change is there. */
export async function live(workload) {
  const client = await connect({ url: workload.url, token: "bench-token" });
  const live = client.live(workload.sql, { batchSize: BATCH });
  await live.loaded();
  await live.next();
  let takes = 0;
  const stopwatch = new Stopwatch();
  workload.go();
  for await (const rows of live) {
    takes += 1;
    if (Number(rows.lastSeqId) === workload.finalSeq) break;
  }
  const result = { ...stopwatch.read(), takes };
  await client.close();
  return result;
}

/** Each change seen by the loop body. */
export async function events(workload) {
  const client = await connect({ url: workload.url, token: "bench-token" });
  const stream = client.liveEvents(workload.sql, { batchSize: BATCH });
  for await (const event of { [Symbol.asyncIterator]: () => ({ next: () => stream.next() }) }) {
    if (event.type === "initial_data_batch" && !event.hasMore) break;
  }
  let seen = 0;
  const stopwatch = new Stopwatch();
  workload.go();
  for await (const event of stream) {
    if (!CHANGES.includes(event.type))
      throw new Error(`unexpected event after ${seen} changes: ${event.type}`);
    seen += 1;
    if (seen === workload.changes) break;
  }
  const result = stopwatch.read();
  await client.close();
  return result;
}
