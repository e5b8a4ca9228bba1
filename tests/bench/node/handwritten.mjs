// What a user would write by hand: ws, JSON.parse and a Map. No reconnect, no resume, no checks.

import { once } from "node:events";
import { WebSocket } from "ws";
import { Pulse, residentBytes, Stopwatch } from "./stopwatch.mjs";

const BATCH = 1000;

async function connect(url) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/v1/ws?compression=none`, {
    headers: { Authorization: "Bearer bench-token" },
    perMessageDeflate: false,
    maxPayload: 0,
  });
  const [data] = await once(socket, "message");
  if (JSON.parse(data).type !== "auth_success") throw new Error("the server did not accept the token");
  return socket;
}

/** Subscribes and resolves with the rows of the snapshot by key. */
function load(socket, sql) {
  const rows = new Map();
  const send = (message) => socket.send(JSON.stringify(message));
  send({ type: "subscribe", subscription: { id: "bench-1", sql, options: { batch_size: BATCH } } });
  return new Promise((resolve) => {
    socket.on("message", function receive(data) {
      const frame = JSON.parse(data);
      if (frame.type === "subscription_ack") return;
      for (const row of frame.rows) rows.set(row.id, row);
      if (frame.batch_control.has_more) {
        const { last_seq_id } = frame.batch_control;
        send({ type: "next_batch", subscription_id: "bench-1", last_seq_id });
      } else {
        socket.off("message", receive);
        resolve(rows);
      }
    });
  });
}

function apply(rows, frame) {
  if (frame.change_type === "delete") for (const row of frame.old_values) rows.delete(row.id);
  else for (const row of frame.rows) rows.set(row.id, row);
}

/** The snapshot as an array. */
export async function snapshot(workload) {
  const socket = await connect(workload.url);
  const before = residentBytes();
  const pulse = new Pulse();
  const stopwatch = new Stopwatch();
  const loaded = await load(socket, workload.sql);
  const rows = [...loaded.values()];
  const result = { ...stopwatch.read(), ...pulse.stop(), bytes: residentBytes() - before };

  // Pages of rows that were written together overlap and skip on a server that announces nothing, see wire/snapshots.jsonl.
  if (rows.length < workload.rows * 0.99) throw new Error(`${rows.length} rows`);
  socket.terminate();
  return result;
}

/** Changes applied to the map until the last one is there; nobody reads the rows. */
export async function live(workload) {
  const socket = await connect(workload.url);
  const rows = await load(socket, workload.sql);
  const stopwatch = new Stopwatch();
  await new Promise((resolve) => {
    socket.on("message", (data) => {
      apply(rows, JSON.parse(data));
      if (rows.has(workload.markerId)) resolve();
    });
    workload.go();
  });
  const result = stopwatch.read();
  socket.terminate();
  return result;
}

/** Each change seen by the loop body. */
export async function events(workload) {
  const socket = await connect(workload.url);
  await load(socket, workload.sql);
  const stream = messages(socket);
  const stopwatch = new Stopwatch();
  workload.go();
  let seen = 0;
  for await (const event of stream) {
    if (event.type === "change") seen += 1;
    if (seen === workload.changes) break;
  }
  const result = stopwatch.read();
  socket.terminate();
  return result;
}

/** The messages as an async iterator, held in an array while the loop body is busy. */
async function* messages(socket) {
  let held = [];
  let wake = () => {};
  socket.on("message", (data) => {
    held.push(JSON.parse(data));
    wake();
  });
  for (;;) {
    if (held.length === 0) await new Promise((resolve) => (wake = resolve));
    const taken = held;
    held = [];
    yield* taken;
  }
}
