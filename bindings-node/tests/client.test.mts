import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";
import { Client, type ConnectOptions, connect, KalamError, startEmbedded, toJSON } from "kalam-live";
import { PASSWORD, place, server, soon } from "./support.mjs";

const code = (expected: string) => (error: unknown) => error instanceof KalamError && error.code === expected;

test("without a URL a server starts in this process", async () => {
  const client = await connect();
  assert.ok(client instanceof Client);
  assert.equal(client.state, "connected");
  await client.execute("CREATE NAMESPACE app");
  await client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY)");
  assert.equal(await client.execute("INSERT INTO app.t VALUES (1), (2)"), 2);
  await client.close();
  assert.equal(client.state, "closed");
});

test("an embedded server keeps its data in a directory", async (t) => {
  const { mkdtempSync, rmSync } = await import("node:fs");
  const { tmpdir } = await import("node:os");
  const directory = mkdtempSync(`${tmpdir()}/kalam-`);
  t.after(() => rmSync(directory, { recursive: true }));
  for (const expected of [0, 1]) {
    await using client = await connect({ url: `embedded:${directory}` });
    await client.execute("CREATE NAMESPACE IF NOT EXISTS app");
    await client.execute("CREATE TABLE IF NOT EXISTS app.t (id BIGINT PRIMARY KEY)");
    assert.equal((await client.queryAll("SELECT id FROM app.t")).length, expected);
    await client.execute("INSERT INTO app.t VALUES ($1)", [expected]);
  }
  await assert.rejects(connect({ url: "embedded:" }), code("config"));
});

test("a server that other clients connect to", async () => {
  await using own = await startEmbedded({ rootPassword: PASSWORD });
  assert.match(own.url, /^http:\/\/127\.0\.0\.1:\d+$/);
  assert.equal(own.rootPassword, PASSWORD);
  await using client = await connect({ url: own.url, user: "root", password: PASSWORD });
  assert.equal((await client.query("SELECT 1 AS one"))[0]?.one, 1n);
  await assert.rejects(startEmbedded({ port: 70_000 }), /option `port` must be a port/);
});

test("queries", async () => {
  await using at = await place("id BIGINT PRIMARY KEY, v TEXT");
  const { client, ns } = at;
  assert.equal(await client.execute(`INSERT INTO ${ns}.t VALUES (1, 'a'), (2, 'b')`), 2);
  const rows = await client.query<{ id: bigint; v: string }>(`SELECT id, v FROM ${ns}.t WHERE id >= $1`, [1]);
  assert.deepEqual(rows, [
    { id: 1n, v: "a" },
    { id: 2n, v: "b" },
  ]);
  assert.equal(rows.rowCount, 2);
  assert.equal(rows.truncated, false);
  assert.deepEqual(
    rows.columns.map(({ name, type, primaryKey }) => [name, type, primaryKey]),
    [
      ["id", "BIGINT", true],
      ["v", "TEXT", false],
    ],
  );
  assert.ok(Object.isFrozen(rows) && Object.isFrozen(rows[0]));
  assert.equal(Object.getPrototypeOf(rows[0]), Object.prototype);
  assert.equal((await client.queryOne(`SELECT v FROM ${ns}.t WHERE id = 2`))?.v, "b");
  assert.equal(await client.queryOne(`SELECT v FROM ${ns}.t WHERE id = 3`), undefined);
  const message = (await client.query(`DELETE FROM ${ns}.t WHERE id = 1`)).message;
  assert.match(message ?? "", /1/);
});

test("all rows, past the server's cap", async () => {
  await using at = await place("id BIGINT PRIMARY KEY, v TEXT");
  const { client, ns } = at;
  for (let start = 0; start < 5000; start += 500) {
    const values = Array.from({ length: 500 }, (_, i) => `(${start + i}, 'v${start + i}')`);
    await client.execute(`INSERT INTO ${ns}.t VALUES ${values.join(", ")}`);
  }
  const rows = await client.queryAll(`SELECT id, v FROM ${ns}.t`);
  assert.equal(rows.length, 5000, "more than one packet");
  assert.equal(new Set(rows.map((row) => row.id)).size, 5000);
  assert.ok(rows.every((row) => row.v === `v${row.id}`));
});

test("a transaction", async () => {
  await using at = await place("id BIGINT PRIMARY KEY, v TEXT");
  const { client, ns } = at;
  const insert = `INSERT INTO ${ns}.t VALUES ($1, $2)`;
  assert.equal(await client.batch([[insert, [1, "a"]], `INSERT INTO ${ns}.t VALUES (2, 'b')`]), 2);
  await assert.rejects(client.batch([[insert, [3, "c"]], "SELEC"]), code("invalid_sql"));
  assert.equal((await client.query(`SELECT id FROM ${ns}.t`)).length, 2, "all or none");
  await assert.rejects(
    client.batch([`INSERT INTO ${ns}.t VALUES (3, 'c')`, [insert, [1, "a"]]]),
    (error: KalamError) => error.code === "already_exists" && error.message.startsWith("Statement 2 failed"),
  );
  await assert.rejects(client.batch("SELECT 1"), /must be a list of statements, not a string/);
  await assert.rejects(client.batch([5 as unknown as string]), /statement 1 must be a string, not 5/);
});

test("as another user", async () => {
  await using at = await place();
  const { client } = at;
  await client.execute("CREATE USER 'ann' WITH PASSWORD 'Ann-Password-1' ROLE 'user'");
  const user = await client.asUser("ann").queryOne("SELECT CURRENT_USER() AS name");
  assert.equal(user?.name, "ann");
});

test("errors", async () => {
  await using at = await place();
  const { client, ns } = at;
  const error = await client.query(`SELECT * FROM ${ns}.nothing`).catch((error: unknown) => error);
  assert.ok(error instanceof KalamError && error instanceof Error);
  assert.equal(error.code, "not_found");
  assert.equal(error.retryable, false);
  assert.equal(typeof error.serverCode, "string");
  assert.match(error.stack ?? "", /^KalamError: /);
  assert.deepEqual(JSON.parse(JSON.stringify(error)), {
    name: "KalamError",
    code: "not_found",
    message: error.message,
    retryable: false,
    serverCode: error.serverCode,
  });
  await assert.rejects(client.live(`SELECT id FROM ${ns}.t ORDER BY id`).next(), (error: KalamError) =>
    error.message.includes("the orderBy option"),
  );
  await assert.rejects(client.execute("SELEC"), code("invalid_sql"));
  await assert.rejects(client.cancelSubscription("nothing"), code("not_found"));
  const { url } = await server();
  await assert.rejects(connect({ url, user: "root", password: "wrong" }), (error: Error) => {
    assert.doesNotMatch(error.message, /wrong/);
    return code("auth_failed")(error);
  });
  const nobody = connect({ url: "http://127.0.0.1:9", user: "a", password: "b" });
  await assert.rejects(nobody, code("disconnected"));
});

test("every code of the core has its type", async () => {
  const { errorCodes } = createRequire(import.meta.url)("../../dist/native.js").native;
  const declared = (await import("node:fs")).readFileSync(
    new URL("../../ts/errors.ts", import.meta.url),
    "utf8",
  );
  for (const each of errorCodes() as string[]) assert.match(declared, new RegExp(`\\| "${each}"`));
});

test("calls after close reject", async () => {
  const at = await place("id BIGINT PRIMARY KEY");
  const { client, ns } = at;
  const live = client.liveTable(`${ns}.t`);
  await live.loaded();
  await Promise.all([client.close(), client.close()]);
  await client.close();
  const calls: Promise<unknown>[] = [
    client.query("SELECT 1"),
    client.queryAll(`SELECT id FROM ${ns}.t`),
    client.execute("SELECT 1"),
    client.batch(["SELECT 1"]),
    client.connect(),
    client.health(),
    client.asUser("root").query("SELECT 1"),
    client.liveTable(`${ns}.t`).next(),
    client.liveEvents(`SELECT id FROM ${ns}.t`).next(),
  ];
  for (const outcome of await soon(Promise.allSettled(calls))) {
    assert.ok(outcome.status === "rejected" && code("closed")(outcome.reason), JSON.stringify(outcome));
  }
  while (!(await live.next()).done) {
    // What was there before the end.
  }
});

test("wrong options are named", async () => {
  const wrong: [unknown, RegExp][] = [
    [{ url: 7 }, /option `url` must be a string, not 7/],
    [{ urls: "http://a" }, /option `urls` must be an array of strings, not a value of type string/],
    [{ pasword: "Secret" }, /there is no option `pasword`; there are url, /],
    [{ user: "a", password: ["Secret"] }, /option `password` must be a string, not an array/],
    [{ tokenProvider: "Secret" }, /option `tokenProvider` must be a function/],
    [{ timeouts: { conect: 1 } }, /option `timeouts` must be an object with any of connect/],
    [{ timeouts: { connect: -1 } }, /option `timeouts`/],
    [{ reconnectDelay: "1s" }, /option `reconnectDelay` must be a number of milliseconds/],
    [{ reconnectAttempts: 1.5 }, /option `reconnectAttempts` must be a whole number/],
    [{ headers: { a: 1 } }, /option `headers`/],
    [{ bigint: "big" }, /option `bigint` must be "bigint" or "number" or "string"/],
    [{ onError: 1 }, /option `onError` must be a function/],
    ["http://localhost", /connect takes an object: connect\(\{ url: /],
  ];
  for (const [options, message] of wrong) {
    const opening = connect(options as ConnectOptions);
    await assert.rejects(opening, (error: Error) => {
      assert.ok(error instanceof TypeError, error.message);
      assert.match(error.message, message);
      assert.doesNotMatch(error.message, /Secret/);
      return true;
    });
  }
  await assert.rejects(connect({ url: "http://a", urls: [] }), code("config"));
  await assert.rejects(connect({ url: "http://a", user: "a" }), code("config"));
  await assert.rejects(connect({ url: "http://a", tlsCa: "/nothing.pem" }), /can not read \/nothing.pem/);
  await assert.rejects(connect({ url: "http://a", tlsClientCert: "x" }), code("config"));

  await using at = await place("id BIGINT PRIMARY KEY");
  const { client, ns } = at;
  const sql = `SELECT id FROM ${ns}.t`;
  // biome-ignore lint/suspicious/noExplicitAny: what JavaScript lets pass
  const loose = client as any;
  const calls: [() => unknown, RegExp][] = [
    [() => loose.live(sql, { limit: "3" }), /option `limit` must be a whole number/],
    [() => loose.live(sql, { last_rows: 3 }), /there is no option `last_rows`/],
    [
      () => loose.live(sql, { verify: "often" }),
      /option `verify` must be a boolean or a number of milliseconds/,
    ],
    [() => loose.live(sql, { signal: {} }), /option `signal` must be an AbortSignal/],
    [() => loose.live(sql, { schema: {} }), /option `schema`/],
    [() => loose.live(sql, { from: 1 }), /option `from` must be a bigint or string/],
    [() => loose.live(7), /sql must be a string, not 7/],
    [() => loose.live(sql, "a"), /options must be an object/],
    [() => loose.liveTable(), /table must be a string/],
    [() => loose.liveEvents(sql, [], { initialData: 1 }), /option `initialData` must be a boolean/],
    [() => loose.asUser(), /user must be a string/],
  ];
  for (const [call, message] of calls)
    assert.throws(call, (e: Error) => e instanceof TypeError && message.test(e.message));
  for (const call of [loose.query(1), loose.execute(), loose.queryAll(sql, 7), loose.batch([1])]) {
    await assert.rejects(call, TypeError);
  }
  await assert.rejects(client.live(sql, { limit: 0 }).next(), code("invalid_argument"));
  await assert.rejects(client.live(sql, { from: "nowhere" }).next(), code("invalid_argument"));
});

test("a query is given up by its signal", async () => {
  await using at = await place("id BIGINT PRIMARY KEY, v TEXT");
  const { client } = at;
  const reason = new Error("enough");
  const aborted = { signal: AbortSignal.abort(reason) };
  await assert.rejects(client.query("SELECT 1", null, aborted), reason);
  await assert.rejects(client.queryAll("SELECT 1", null, aborted), reason);
  await assert.rejects(client.query(`INSERT INTO ${at.ns}.t VALUES (9, 'never')`, null, aborted), reason);
  const controller = new AbortController();
  const query = client.query("SELECT 1", [], { signal: controller.signal });
  controller.abort(reason);
  await assert.rejects(query, reason);
  assert.equal((await client.query("SELECT 1 AS one")).length, 1, "the client goes on");
  const rows = await client.query(`SELECT count(*) AS n FROM ${at.ns}.t`);
  assert.equal(rows[0]!.n, 0n, "what was aborted before was not sent");
});

test("rows by a schema", async () => {
  await using at = await place("id BIGINT PRIMARY KEY, v TEXT");
  const { client, ns } = at;
  await client.execute(`INSERT INTO ${ns}.t VALUES (1, 'a')`);
  class Thing {
    constructor(readonly id: number) {}
  }
  const schema = { parse: (row: unknown) => new Thing(Number((row as { id: bigint }).id)) };
  const [thing] = await client.query(`SELECT id FROM ${ns}.t`, [], { schema });
  assert.ok(thing instanceof Thing && thing.id === 1);
  const refuse = {
    parse(): never {
      throw new RangeError("not this one");
    },
  };
  await assert.rejects(client.query(`SELECT id FROM ${ns}.t`, [], { schema: refuse }), RangeError);
  await assert.rejects(client.live(`SELECT id FROM ${ns}.t`, { schema: refuse }).next(), RangeError);
});

test("JSON of everything", () => {
  const value = {
    a: 2n ** 63n - 1n,
    b: new Uint8Array([1, 255]),
    c: [1n, null],
    d: new Date(0),
    e: Float32Array.of(0.5),
  };
  assert.equal(
    JSON.stringify(toJSON(value)),
    '{"a":"9223372036854775807","b":[1,255],"c":["1",null],"d":"1970-01-01T00:00:00.000Z","e":[0.5]}',
  );
});
