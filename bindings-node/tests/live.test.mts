import assert from "node:assert/strict";
import { getEventListeners } from "node:events";
import { test } from "node:test";
import { KalamError, type Rows } from "kalam-live";
import { checkReplay } from "./replay.mjs";
import { place, soon, until } from "./support.mjs";

interface Row {
  id: bigint;
  v: string;
}

const TABLE = "id BIGINT PRIMARY KEY, v TEXT";

/** The next rows; that there are some is part of the test. */
async function next<T>(live: AsyncIterator<T, undefined>): Promise<T> {
  const { value, done } = await soon(live.next());
  assert.ok(!done, "there are rows");
  return value;
}

test("insert, update, delete", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t VALUES (1, 'a'), (2, 'b')`);
  const live = client.live<Row>(`SELECT id, v FROM ${ns}.t`);
  const first = await next(live);
  assert.deepEqual(first, [
    { id: 1n, v: "a" },
    { id: 2n, v: "b" },
  ]);
  assert.deepEqual([first.phase, first.changes], ["live", [{ type: "reset" }]]);
  assert.equal(typeof first.lastSeqId, "bigint");

  await client.execute(`INSERT INTO ${ns}.t VALUES (3, 'c')`);
  const second = await next(live);
  assert.equal(second[0], first[0], "an unchanged row is the same object");
  assert.deepEqual(second.changes, [{ type: "insert", index: 2, row: { id: 3n, v: "c" } }]);
  assert.equal(second.changes[0]!.type === "insert" && second.changes[0]!.row, second[2]);
  assert.equal(second.changes, second.changes, "made once");

  await client.execute(`UPDATE ${ns}.t SET v = 'B' WHERE id = 2`);
  const third = await next(live);
  const [update] = third.changes;
  assert.ok(update?.type === "update");
  assert.equal(update.old, second[1]);
  assert.equal(update.row, third[1]);
  assert.equal(third[1]!.v, "B");
  assert.equal(second[1]!.v, "b", "rows that were handed out do not change");

  await client.execute(`DELETE FROM ${ns}.t WHERE id = 1`);
  const fourth = await next(live);
  assert.deepEqual(fourth.changes, [{ type: "remove", index: 0, row: { id: 1n, v: "a" } }]);
  assert.deepEqual([fourth[0], fourth[1]], [third[1], third[2]]);
  assert.equal(live.rows, fourth);
  await live.close();
});

test("rows are plain and frozen", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t VALUES (1, 'a')`);
  const rows = await client.live<Row>(`SELECT id, v FROM ${ns}.t`).loaded();
  assert.ok(Array.isArray(rows));
  assert.throws(() => (rows as unknown as Row[]).push({ id: 2n, v: "b" }), TypeError);
  assert.throws(() => {
    (rows[0] as { v: string }).v = "b";
  }, TypeError);
  assert.deepEqual(Object.keys(rows), ["0"], "nothing but rows shows");
  assert.deepEqual(
    rows.columns.map((column) => column.name),
    ["id", "v"],
  );
});

test("whatever is done to the rows, the changes lead from one list to the next", async () => {
  let seed = 7;
  const random = (below: number) => (seed = (seed * 48271) % 2147483647) % below;
  for (const options of [{}, { orderBy: "v, id DESC" }, { orderBy: "v", limit: 20 }]) {
    await using at = await place(TABLE);
    const { client, ns } = at;
    await client.execute(`INSERT INTO ${ns}.t VALUES (-1, '0')`);
    const live = client.live<Row>(`SELECT id, v FROM ${ns}.t WHERE v < 'x'`, options);
    let shown: Rows<Row> = await live.loaded();
    await live.next();
    for (let round = 0; round < 40; round++) {
      const statements = Array.from({ length: 1 + random(20) }, () => {
        const [id, v] = [random(60), "abcxyz"[random(6)]];
        return [
          `DELETE FROM ${ns}.t WHERE id = ${id}`,
          `UPDATE ${ns}.t SET v = '${v}' WHERE id = ${id}`,
          `DELETE FROM ${ns}.t WHERE id = ${id + 100}`,
        ][random(3)]!;
      });
      const fresh = `INSERT INTO ${ns}.t VALUES (${round * 3}, '${"abc"[random(3)]}')`;
      // The first of every order, so that there is always something to see.
      const seen = `UPDATE ${ns}.t SET v = '0${round}' WHERE id = -1`;
      await client.batch([...(round < 20 ? [fresh] : []), ...statements, seen]);
      const rows = await next(live);
      checkReplay(shown, rows);
      const kept = new Set(rows.changes.flatMap((change) => (change.type === "reset" ? [] : [change.row])));
      const before = new Set<Row>(shown);
      assert.ok(
        rows.every((row) => before.has(row) || kept.has(row)),
        "others are the same objects",
      );
      shown = rows;
    }
    await live.close();
  }
});

test("ten thousand rows, loaded in several turns of the event loop and changed at once", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  const fill = async (from: number, to: number) => {
    for (let start = from; start < to; start += 1000) {
      const values = Array.from({ length: 1000 }, (_, i) => `(${start + i}, 'v${start + i}')`);
      await client.execute(`INSERT INTO ${ns}.t VALUES ${values.join(", ")}`);
    }
  };
  await fill(0, 10_000);
  const live = client.live<Row>(`SELECT id, v FROM ${ns}.t`);
  let turns = 0;
  const counting = setImmediate(function count() {
    turns++;
    Object.assign(counting, { next: setImmediate(count) });
  });
  let shown = await next(live);
  assert.equal(shown.length, 10_000);
  assert.ok(turns > 3, "others had their turn");
  clearImmediate((counting as { next?: NodeJS.Immediate }).next);
  await client.execute(`UPDATE ${ns}.t SET v = 'new' WHERE id < 5000`);
  while (shown.some((row) => row.id < 5000n && row.v !== "new")) {
    const rows = await next(live);
    checkReplay(shown, rows);
    shown = rows;
  }
  assert.equal(shown.filter((row) => row.v === "new").length, 5000);
  await live.close();
});

test("break, return and throw end the subscription", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  const none = async () => (await client.subscriptions()).length === 0;
  for await (const _ of client.liveTable(`${ns}.t`)) break;
  await until(none);
  await (async () => {
    for await (const _ of client.liveTable(`${ns}.t`)) return;
  })();
  await until(none);
  await assert.rejects(async () => {
    for await (const _ of client.liveTable(`${ns}.t`)) throw new RangeError("mine");
  }, RangeError);
  await until(none);
  const live = client.liveTable(`${ns}.t`);
  await live.next();
  await assert.rejects(live.throw(new RangeError("mine")), RangeError);
  assert.deepEqual(await live.next(), { value: undefined, done: true });
  await until(none);
  {
    await using scoped = client.liveTable(`${ns}.t`);
    await scoped.loaded();
  }
  await until(none);
});

test("return ends it while a read is pending", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  const both: AsyncIterableIterator<unknown>[] = [
    client.liveTable(`${ns}.t`),
    client.liveEvents(`SELECT id FROM ${ns}.t`, { initialData: false }),
  ];
  for (const live of both) {
    await live.next();
    const pending = live.next();
    assert.deepEqual(await soon(live.return!()), { value: undefined, done: true });
    assert.deepEqual(await soon(pending), { value: undefined, done: true });
  }
  const opening = client.liveTable(`${ns}.t`);
  const pending = opening.next();
  await opening.close();
  assert.equal((await soon(pending)).done, true, "also before it is open");
  await assert.rejects(opening.loaded(), (e: KalamError) => e.code === "closed");
});

test("a signal ends it while a read is pending, and is the reason", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  const controller = new AbortController();
  const { signal } = controller;
  const live = client.liveTable(`${ns}.t`, { signal });
  const events = client.liveEvents(`SELECT id FROM ${ns}.t`, { signal, initialData: false });
  await live.next();
  await events.next();
  const pending: Promise<unknown>[] = [live.next(), events.next()];
  const reason = new Error("enough");
  controller.abort(reason);
  for (const outcome of await soon(Promise.allSettled(pending))) {
    assert.ok(outcome.status === "rejected" && outcome.reason === reason, JSON.stringify(outcome));
  }
  assert.equal((await live.next()).done, true, "it is told once");
  await until(async () => (await client.subscriptions()).length === 0);

  const late = client.liveTable(`${ns}.t`, { signal });
  await assert.rejects(late.next(), reason);
  assert.equal((await late.next()).done, true);
  assert.equal(late.id, undefined);
  await assert.rejects(
    async () => {
      for await (const _ of client.live(`SELECT id FROM ${ns}.t`, { signal: AbortSignal.timeout(50) })) {
        // until the time is over
      }
    },
    { name: "TimeoutError" },
  );
});

test("a signal that outlives subscriptions keeps nothing of them", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  const { signal } = new AbortController();
  for (let i = 0; i < 20; i++) {
    const live = client.liveTable(`${ns}.t`, { signal });
    if (i % 2) await live.next();
    await live.close();
  }
  await client.query("SELECT 1", [], { signal });
  assert.equal(getEventListeners(signal, "abort").length, 0);
});

test("a second loop over a live query that one waits for is refused", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  for (const live of [client.liveTable<Row>(`${ns}.t`), client.liveEvents(`SELECT id FROM ${ns}.t`)]) {
    let seen = 0;
    const loop = async () => {
      for await (const _ of live) {
        seen += 1;
        await live.close();
      }
    };
    const first = loop();
    await assert.rejects(soon(loop()), /another loop waits for this already/);
    await soon(first);
    assert.equal(seen, 1, "the first is not disturbed");
  }
  const twice = client.liveTable<Row>(`${ns}.t`);
  assert.equal((await next(twice)).length, 0);
  await client.execute(`INSERT INTO ${ns}.t VALUES (1, 'x')`);
  for await (const rows of twice) {
    assert.equal(rows.length, 1, "a loop may go on where calls of next have been");
    break;
  }
});

test("calls of next that are made at once are served in order", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  const live = client.live<Row>(`SELECT id, v FROM ${ns}.t`);
  const waiting = Array.from({ length: 4 }, () => live.next());
  const lengths: number[] = [];
  for (const [i, each] of waiting.entries()) {
    lengths.push((await soon(each)).value!.length);
    await client.execute(`INSERT INTO ${ns}.t VALUES (${i}, 'x')`);
  }
  assert.deepEqual(lengths, [0, 1, 2, 3]);
  const events = client.liveEvents(`SELECT id FROM ${ns}.t`);
  const types = await Promise.all([events.next(), events.next()]);
  assert.deepEqual(
    types.map(({ value }) => value!.type),
    ["ack", "initial_data_batch"],
  );
  const [last, ended] = [live.next(), live.next()];
  assert.equal((await soon(last)).value!.length, 4);
  await live.close();
  assert.equal((await soon(ended)).done, true);
});

test("what fails to open is told by the loop, once, and by nobody else", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  const unhandled: unknown[] = [];
  const listen = (reason: unknown) => unhandled.push(reason);
  process.on("unhandledRejection", listen);
  const forgotten = client.live("SELEC");
  const live = client.live(`SELECT * FROM ${ns}.nothing`);
  await assert.rejects(soon(live.next()), (e: KalamError) => e.code === "not_found");
  assert.deepEqual(await live.next(), { value: undefined, done: true });
  await assert.rejects(client.live("SELECT 1").loaded(), KalamError);
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(unhandled, []);
  process.off("unhandledRejection", listen);
  assert.ok(forgotten);
});

test("checkpoints", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t VALUES (1, 'a')`);
  const told: string[] = [];
  const live = client.live<Row>(`SELECT id, v FROM ${ns}.t`, { onCheckpoint: (place) => told.push(place) });
  const rows = await next(live);
  await client.execute(`INSERT INTO ${ns}.t VALUES (2, 'b')`);
  const more = await next(live);
  assert.deepEqual(told, [rows.checkpoint, more.checkpoint]);
  assert.ok(more.checkpoint?.endsWith(`:${more.lastSeqId}`));
  await live.close();
  await client.execute(`INSERT INTO ${ns}.t VALUES (3, 'c')`);
  const later = client.live<Row>(`SELECT id, v FROM ${ns}.t`, { from: told[1]! });
  const since = await next(later);
  assert.deepEqual(since, [{ id: 3n, v: "c" }]);
  assert.equal(since.phase, "partial");
  await later.close();
  // A bare number does not say whose it is, and another's is of no use.
  for (const [from, ids, gaps] of [
    [told[1]!, [3n], 0],
    [more.lastSeqId!, [3n], 1],
    [`another:${more.lastSeqId}`, [1n, 2n, 3n], 1],
  ] as const) {
    const types: string[] = [];
    for await (const event of client.liveEvents<Row>(`SELECT id, v FROM ${ns}.t`, { from })) {
      types.push(event.type);
      if (!("rows" in event) || event.rows.length === 0) continue;
      assert.deepEqual(
        event.rows.map((row) => row.id),
        ids,
      );
      break;
    }
    assert.equal(types.filter((type) => type === "gap_possible").length, gaps);
  }
});

test("options", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t VALUES (1, 'a'), (2, 'b'), (3, 'c')`);
  const sql = `SELECT id, v FROM ${ns}.t`;
  const ids = async (live: AsyncIterator<Rows<Row>, undefined>) => {
    const rows = await next(live);
    await live.return?.();
    return rows.map((row) => row.id);
  };
  assert.deepEqual(await ids(client.live(sql, { orderBy: "id DESC", limit: 2 })), [3n, 2n]);
  assert.deepEqual(await ids(client.live(sql, [], { lastRows: 1 })), [3n]);
  assert.deepEqual(await ids(client.live(`${sql} WHERE id > $1`, [1], { verify: false, batchSize: 1 })), [
    2n,
    3n,
  ]);
  assert.deepEqual(await ids(client.live(sql, null, { keyColumns: ["v"], partial: true, orderBy: "v" })), [
    1n,
    2n,
    3n,
  ]);
  const named = client.liveTable(`${ns}.t`, { id: "mine" });
  await named.loaded();
  assert.equal(named.id, "mine");
  const [subscription] = await client.subscriptions();
  assert.equal(subscription!.id, "mine");
  assert.equal(subscription!.stage, "ready");
  assert.equal(typeof subscription!.lastSeqId, "bigint");
  await client.cancelSubscription("mine");
  while (!(await soon(named.next())).done) {
    // the rows that were there
  }
});

test("live rows follow a schema, and keep its objects", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t VALUES (1, 'a')`);
  const schema = { parse: (row: unknown) => ({ name: (row as Row).v.toUpperCase() }) };
  const live = client.live(`SELECT id, v FROM ${ns}.t`, { schema });
  const rows = await next(live);
  assert.deepEqual(rows, [{ name: "A" }]);
  await client.execute(`INSERT INTO ${ns}.t VALUES (2, 'b')`);
  const more = await next(live);
  assert.equal(more[0], rows[0]);
  await live.close();
});

test("events: batches, old values, the end", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t VALUES (1, 'a')`);
  const told: string[] = [];
  const events = client.liveEvents<Row>(`SELECT id, v FROM ${ns}.t`, {
    onCheckpoint: (place) => told.push(place),
  });
  assert.deepEqual(await next(events), { type: "ack" });
  const batch = await next(events);
  assert.ok(batch.type === "initial_data_batch" && !batch.hasMore);
  assert.deepEqual(batch.rows, [{ id: 1n, v: "a" }]);
  await client.execute(`UPDATE ${ns}.t SET v = 'b' WHERE id = 1`);
  const update = await next(events);
  assert.ok(update.type === "update");
  assert.deepEqual(update.rows, [{ id: 1n, v: "b" }]);
  assert.equal(update.oldRows[0]?.v, "a");
  assert.equal(told.at(-1), events.checkpoint);
  assert.ok(events.checkpoint?.endsWith(`:${update.lastSeqId}`));
  await client.execute(`DELETE FROM ${ns}.t WHERE id = 1`);
  const taken = await soon(events.take());
  assert.deepEqual(
    taken.map((event) => event.type),
    ["delete"],
  );
  await events.close();
  assert.deepEqual(await events.take(), []);
  assert.deepEqual(await events.next(), { value: undefined, done: true });
});

test("events beyond one packet, and of pages", async () => {
  await using at = await place(TABLE);
  const { client, ns } = at;
  for (let start = 0; start < 3000; start += 1000) {
    const values = Array.from({ length: 1000 }, (_, i) => `(${start + i}, 'v${start + i}')`);
    await client.execute(`INSERT INTO ${ns}.t VALUES ${values.join(", ")}`);
  }
  const events = client.liveEvents<Row>(`SELECT id, v FROM ${ns}.t`, { batchSize: 100 });
  const ids: bigint[] = [];
  for await (const event of events) {
    if (event.type !== "initial_data_batch") continue;
    ids.push(...event.rows.map((row) => row.id));
    if (!event.hasMore) break;
  }
  assert.deepEqual(
    ids,
    Array.from({ length: 3000 }, (_, i) => BigInt(i)),
  );
});
