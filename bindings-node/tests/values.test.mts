import assert from "node:assert/strict";
import { test } from "node:test";
import type { Row } from "kalam-live";
import { place } from "./support.mjs";

const COLUMNS = `id BIGINT PRIMARY KEY, b BOOLEAN, si SMALLINT, i INT, f FLOAT, d DOUBLE, dec DECIMAL(18,4), t TEXT,
  js JSON, ts TIMESTAMP, dt DATETIME, da DATE, ti TIME, u UUID, by BYTES`;

const SAMPLE = {
  id: 9007199254740993n,
  b: true,
  si: -7,
  i: 2147483647,
  f: 1.5,
  d: 0.1,
  dec: "12.3400",
  t: "héllo 日本 🎈, longer than thirteen characters",
  js: { a: [1, null, { b: "ü" }] },
  ts: new Date("2026-01-02T03:04:05.678Z"),
  dt: new Date("1969-12-31T23:59:59.999Z"),
  da: "2026-01-02",
  ti: "03:04:05",
  u: "550e8400-e29b-41d4-a716-446655440000",
  by: new Uint8Array([0, 127, 255]),
};

const NAMES = Object.keys(SAMPLE).join(", ");
const PLACES = Object.keys(SAMPLE)
  .map((_, i) => `$${i + 1}`)
  .join(", ");
const PARAMS = Object.values(SAMPLE);

test("every type goes in as a parameter and comes out the same, by query, live and as an event", async () => {
  await using at = await place(COLUMNS);
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t (${NAMES}) VALUES (${PLACES})`, PARAMS);
  const sql = `SELECT ${NAMES} FROM ${ns}.t`;
  const [row] = await client.query(sql);
  assert.deepEqual(row, SAMPLE);
  const [live] = await client.live(sql).loaded();
  assert.deepEqual(live, SAMPLE);
  const events = client.liveEvents(sql);
  await events.next();
  const { value: batch } = await events.next();
  assert.ok(batch?.type === "initial_data_batch");
  assert.deepEqual(batch.rows, [SAMPLE]);
  await events.close();
  assert.ok(Object.isFrozen((row!.js as { a: object }).a), "JSON is as frozen as its row");
});

test("NULL in every column", async () => {
  await using at = await place(COLUMNS);
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t (id, t) VALUES ($1, $2)`, [-9223372036854775807n, undefined]);
  const expected = {
    ...Object.fromEntries(Object.keys(SAMPLE).map((name) => [name, null])),
    id: -(2n ** 63n - 1n),
  };
  assert.deepEqual(await client.query(`SELECT ${NAMES} FROM ${ns}.t`), [expected]);
});

test("numbers of every size", async () => {
  await using at = await place("id BIGINT PRIMARY KEY, d DOUBLE");
  const { client, ns } = at;
  const numbers = [0, -1, 1.5, 2 ** 31, 2 ** 53, 1e300, Number.MIN_VALUE, -0.1];
  for (const [i, number] of numbers.entries())
    await client.execute(`INSERT INTO ${ns}.t VALUES ($1, $2)`, [i, number]);
  const rows = await client.live(`SELECT id, d FROM ${ns}.t`, { orderBy: "id" }).loaded();
  assert.deepEqual(
    rows.map((row) => row.d),
    numbers,
  );
});

test("texts of every kind", async () => {
  await using at = await place("id BIGINT PRIMARY KEY, v TEXT");
  const { client, ns } = at;
  const texts = [
    "",
    "short",
    "exactly 12 ch",
    "é",
    "a long text of only ASCII characters",
    "日本".repeat(40),
    "\u{1f388}",
    "\ufeffbom",
    "a\nb\t\\ \" '",
  ];
  for (const [i, text] of texts.entries())
    await client.execute(`INSERT INTO ${ns}.t VALUES ($1, $2)`, [i, text]);
  const rows = await client.live(`SELECT id, v FROM ${ns}.t`, { orderBy: "id" }).loaded();
  assert.deepEqual(
    rows.map((row) => row.v),
    texts,
  );
  const huge = "é".repeat(400_000) + "x".repeat(400_000);
  await client.execute(`INSERT INTO ${ns}.t VALUES (100, $1)`, [huge]);
  assert.equal(
    (await client.queryOne(`SELECT v FROM ${ns}.t WHERE id = 100`))?.v,
    huge,
    "more than the buffer holds",
  );
});

test("column names that are special to JavaScript", async () => {
  await using at = await place();
  const { client } = at;
  const [row] = await client.query('SELECT 1 AS "__proto__", 2 AS "constructor", 3 AS "toString"');
  assert.deepEqual(Object.entries(row!), [
    ["__proto__", 1n],
    ["constructor", 2n],
    ["toString", 3n],
  ]);
  assert.equal(Object.getPrototypeOf(row), Object.prototype);
});

test("BIGINT as number or string", async () => {
  for (const [bigint, expected] of [
    ["number", [1, 9007199254740992, -2]],
    ["string", ["1", "9007199254740993", "-2"]],
  ] as const) {
    await using at = await place("id BIGINT PRIMARY KEY, n BIGINT", { bigint });
    const { client, ns } = at;
    await client.execute(`INSERT INTO ${ns}.t VALUES (1, 1), (2, 9007199254740993), (3, -2)`);
    const rows = await client.live(`SELECT id, n FROM ${ns}.t`, { orderBy: "id" }).loaded();
    assert.deepEqual(
      rows.map((row) => row.n),
      expected,
    );
    assert.equal(typeof rows.lastSeqId, "bigint", "a version is no cell");
  }
});

test("TIMESTAMP as microseconds", async () => {
  await using at = await place("id BIGINT PRIMARY KEY, at TIMESTAMP", { timestamp: "microseconds" });
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t VALUES (1, '2026-01-02T03:04:05.000006Z')`);
  assert.equal((await client.queryOne(`SELECT at FROM ${ns}.t`))?.at, 1767323045000006n);
});

test("JSON.stringify of rows", async () => {
  await using at = await place("id BIGINT PRIMARY KEY, at TIMESTAMP, by BYTES");
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t VALUES ($1, $2, X'07')`, [2n ** 60n, new Date(0)]);
  const expected = [{ id: "1152921504606846976", at: "1970-01-01T00:00:00.000Z", by: [7] }];
  const sql = `SELECT id, at, by FROM ${ns}.t`;
  const live = client.live(sql);
  const rows = await live.loaded();
  assert.deepEqual(JSON.parse(JSON.stringify(rows)), expected);
  assert.deepEqual(JSON.parse(JSON.stringify(rows.changes)), [{ type: "reset" }]);
  await live.next();
  await client.execute(`DELETE FROM ${ns}.t WHERE id = $1`, [2n ** 60n]);
  const { value: after } = await live.next();
  assert.deepEqual(JSON.parse(JSON.stringify(after!.changes)), [
    { type: "remove", index: 0, row: expected[0] },
  ]);
});

test("parameters that no column holds", async () => {
  await using at = await place();
  const { client } = at;
  const circle: Record<string, unknown> = {};
  circle.self = circle;
  const wrong: [unknown, RegExp][] = [
    [Number.NaN, /params: \$1 is NaN, which is no finite number/],
    [Number.POSITIVE_INFINITY, /params: \$1 is Infinity/],
    [2n ** 63n, /params: \$1 does not fit into 64 bits/],
    ["\ud800", /params: \$1 has half of a surrogate pair/],
    [circle, /params: \$1 can not be written as JSON: .*circular/i],
    [{ n: Number.NaN }, /params: \$1 can not be written as JSON: it has NaN/],
    [{ n: 1n }, /params: \$1 can not be written as JSON/],
    [new Date(Number.NaN), /params: \$1 is an invalid date/],
    [Float32Array.of(Number.NaN), /params: \$1 has a number that is not finite/],
    [Symbol("x"), /params: \$1 is a symbol, which no column type holds/],
    [() => 1, /params: \$1 is a function/],
    [new Map(), /params: \$1 is a Map, which no column type holds/],
  ];
  for (const [value, message] of wrong) {
    await assert.rejects(client.query("SELECT $1 AS v", [value as never]), message);
    assert.throws(() => client.live("SELECT id FROM a.b WHERE id = $1", [value as never]), message);
  }
  await assert.rejects(client.query("SELECT $1", { 0: 1 } as never), /params must be an array/);
});

test("parameters of a live query are bound by their types", async () => {
  await using at = await place(COLUMNS);
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t (${NAMES}) VALUES (${PLACES})`, PARAMS);
  const found = async (filter: string, value: unknown): Promise<Row | undefined> => {
    const live = client.live(`SELECT id FROM ${ns}.t WHERE ${filter}`, [value as never]);
    const rows = await live.loaded();
    await live.close();
    return rows[0];
  };
  for (const [filter, value] of [
    ["id = $1", SAMPLE.id],
    ["b = $1", true],
    ["i = $1", SAMPLE.i],
    ["d = $1", SAMPLE.d],
    ["t = $1", SAMPLE.t],
    ["ts = $1", SAMPLE.ts],
    ["da = $1", SAMPLE.da],
    ["u = $1", SAMPLE.u],
    ["dec = $1", SAMPLE.dec],
  ] as const) {
    assert.deepEqual(await found(filter, value), { id: SAMPLE.id }, filter);
  }
});
