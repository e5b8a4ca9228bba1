// What a process and its threads may do with live queries open: end, be interrupted, forget. Each in a process of its own.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { before, test } from "node:test";
import { connect, startEmbedded } from "kalam-live";
import { PASSWORD, place, server, soon } from "./support.mjs";

const PRELUDE = `
import { connect, startEmbedded, KalamError } from "kalam-live";
import { setMaxListeners } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
const { URL: url, NS: ns, PASSWORD: password } = process.env;
const open = () => connect({ url, user: "root", password });
const threads = () => readdirSync("/proc/self/task")
  .map((task) => readFileSync(\`/proc/self/task/\${task}/comm\`, "utf8").trim())
  .filter((name) => name.startsWith("kalam"));
`;

let environment: NodeJS.ProcessEnv;

before(async () => {
  const { client, ns } = await place("id BIGINT PRIMARY KEY, v TEXT");
  await client.close();
  environment = { ...process.env, URL: (await server()).url, NS: ns, PASSWORD };
});

interface Ended {
  code: number | null;
  signal: string | null;
  out: string;
  err: string;
}

/** A program in a process of its own; a program that hangs is killed. */
function program(
  body: string,
  flags: string[] = [],
  variables: NodeJS.ProcessEnv = {},
): { ended: Promise<Ended>; kill(signal: NodeJS.Signals): void; said(text: string): Promise<void> } {
  const child = spawn(process.execPath, [...flags, "--input-type=module", "--eval", PRELUDE + body], {
    env: { ...environment, ...variables },
    cwd: new URL("../..", import.meta.url),
    timeout: 60_000,
  });
  let [out, err] = ["", ""];
  const waiting: (() => void)[] = [];
  child.stdout.on("data", (data) => {
    out += data;
    for (const look of waiting) look();
  });
  child.stderr.on("data", (data) => (err += data));
  const ended = new Promise<Ended>((resolve) => {
    child.on("close", (code, signal) => resolve({ code, signal, out, err }));
  });
  const said = (text: string) =>
    Promise.race([
      new Promise<void>((resolve) => waiting.push(() => out.includes(text) && resolve())),
      ended.then(({ err }) => {
        throw new Error(`it ended without saying ${text}: ${err}`);
      }),
    ]);
  return { ended, said, kill: (signal) => child.kill(signal) };
}

/** What it said, after it has ended well and quietly. */
async function run(body: string, flags?: string[]): Promise<string> {
  const { code, signal, out, err } = await program(body, flags).ended;
  assert.deepEqual({ code, signal, err }, { code: 0, signal: null, err: "" }, out);
  return out;
}

test("importing starts no thread and keeps nothing alive", async () => {
  assert.equal(await run("console.log(threads().length)"), "0\n");
});

for (const leave of [
  "",
  "await live.close()",
  "await client.close()",
  "await live.next(); live.next(); process.exit(0)",
  "for await (const _ of live) break",
]) {
  test(`a program ends with a live query: ${leave || "open, and nobody waits"}`, async () => {
    await run(`
      const client = await open();
      const live = client.liveTable(\`\${ns}.t\`);
      await live.loaded();
      const events = client.liveEvents(\`SELECT id FROM \${ns}.t\`);
      await events.next();
      ${leave}
    `);
  });
}

test("a pending read keeps the process alive", async () => {
  const waiting = program(`
    const client = await open();
    const live = client.liveTable(\`\${ns}.t\`);
    await live.next();
    process.on("beforeExit", () => console.log("nothing left to do"));
    live.next().then(({ value }) => console.log("rows", value.length));
    console.log("waiting");
  `);
  await waiting.said("waiting");
  const { client } = await place();
  await client.execute(`INSERT INTO ${environment.NS}.t VALUES (1, 'a')`);
  await client.close();
  const { code, out, err } = await waiting.ended;
  assert.deepEqual({ code, out, err }, { code: 0, out: "waiting\nrows 1\nnothing left to do\n", err: "" });
});

test("a token provider and listeners do not keep the process alive", async () => {
  await run(`
    const client = await open();
    client.on("state", () => {});
    client.on("disconnect", () => {});
  `);
});

test("an embedded server does not keep the process alive, and goes with its client", async () => {
  await run("await connect();");
  const out = await run(`
    const client = await connect();
    await client.close();
    console.log(threads().every((name) => name === "kalam-live"));
  `);
  assert.equal(out, "true\n");
});

test("Ctrl-C ends a program that waits", async () => {
  const waiting = program(`
    const client = await connect();
    await client.execute("CREATE NAMESPACE app");
    await client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY)");
    for await (const rows of client.liveTable("app.t")) console.log("waiting");
  `);
  await waiting.said("waiting");
  waiting.kill("SIGINT");
  const { signal, err } = await waiting.ended;
  assert.deepEqual({ signal, err }, { signal: "SIGINT", err: "" });
});

test("a handler of Ctrl-C may close the client, which ends the loop", async () => {
  const waiting = program(`
    const client = await open();
    process.once("SIGINT", () => client.close());
    for await (const rows of client.liveTable(\`\${ns}.t\`)) console.log("waiting");
    console.log("ended");
  `);
  await waiting.said("waiting");
  waiting.kill("SIGINT");
  const { code, out, err } = await waiting.ended;
  assert.deepEqual({ code, err }, { code: 0, err: "" });
  assert.match(out, /ended\n$/);
});

/** Both take the records of `${ns}.events` until Ctrl-C, and put those that they have finished into `${ns}.bills`. */
const WORKERS = {
  "a worker loop": `
    console.log(await consumer.run(bill, { concurrency: 3, signal: stop.signal }));
    await consumer.close();
  `,
  "a loop over records with a signal": `
    const own = client.consumer({ topic, groupId: "g", start: "earliest", signal: stop.signal });
    try {
      for await (const record of own) await bill(record);
    } catch (error) {
      if (error !== stop.signal.reason) throw error;
    }
  `,
};

for (const [name, worker] of Object.entries(WORKERS)) {
  const together = name === "a worker loop" ? 3 : 1;
  test(`Ctrl-C ends ${name} when what is being handled is finished`, async () => {
    await using visible = await startEmbedded({ rootPassword: PASSWORD, topicVisibility: 1000 });
    await using client = await connect({ url: visible.url, user: "root", password: PASSWORD });
    await client.execute("CREATE NAMESPACE app");
    await client.execute("CREATE TABLE app.orders (id BIGINT PRIMARY KEY)");
    await client.execute("CREATE TABLE app.bills (id BIGINT PRIMARY KEY)");
    await client.execute("CREATE TOPIC app.events");
    await client.execute("ALTER TOPIC app.events ADD SOURCE app.orders ON INSERT WITH (payload = 'full')");
    await client.execute("INSERT INTO app.orders VALUES (0), (1), (2), (3), (4), (5)");
    const working = program(
      `
      const client = await open();
      const stop = new AbortController();
      process.once("SIGINT", () => stop.abort());
      const topic = "app.events";
      const consumer = client.consumer({ topic, groupId: "g", start: "earliest" });
      async function bill({ offset }) {
        console.log("begun", offset);
        const work = setInterval(() => {}, 1000); // keeps the process, as work would
        if (offset > 0) await new Promise((resolve) => stop.signal.addEventListener("abort", resolve));
        clearInterval(work);
        await client.execute("INSERT INTO app.bills VALUES ($1)", [offset]); // twice would fail
        console.log("finished", offset);
      }
      ${worker}
      await client.close();
    `,
      [],
      { URL: visible.url },
    );
    await working.said(`begun ${together}`);
    working.kill("SIGINT");
    const { code, signal, out, err } = await working.ended;
    assert.deepEqual({ code, signal, err }, { code: 0, signal: null, err: "" }, out);
    const handled = [...Array(together + 1).keys()];
    const said = (what: string) =>
      [...out.matchAll(RegExp(`^${what} (.*)$`, "gm"))].map(([, n]) => Number(n));
    assert.deepEqual(said("begun"), handled);
    assert.deepEqual(said("finished").sort(), handled);
    if (together > 1) assert.match(out, /{ handled: 4, failed: 0 }/);
    const sql = "SELECT last_acked_offset AS n FROM system.topic_offsets WHERE topic_id = 'app.events'";
    assert.equal((await client.queryOne(sql))?.n, BigInt(together));
    // The next worker gets what was not begun, and nothing else.
    const stop = new AbortController();
    await using next = client.consumer({ topic: "app.events", groupId: "g" });
    const left: number[] = [];
    const summary = next.run(
      async ({ offset }) => {
        left.push(offset);
        await client.execute("INSERT INTO app.bills VALUES ($1)", [offset]);
        if (offset === 5) stop.abort();
      },
      { signal: stop.signal },
    );
    assert.deepEqual(await soon(summary), { handled: 5 - together, failed: 0 });
    assert.deepEqual(left, [0, 1, 2, 3, 4, 5].slice(together + 1));
    assert.equal((await client.query("SELECT id FROM app.bills")).length, 6);
    assert.equal((await client.queryOne(sql))?.n, 5n);
  });
}

test("an error that nobody catches ends the program with it", async () => {
  const { code, err } = await program(`
    const client = await open();
    const live = client.liveTable(\`\${ns}.t\`);
    await live.next();
    live.next();
    throw new RangeError("mine");
  `).ended;
  assert.equal(code, 1);
  assert.match(err, /RangeError: mine/);
});

const WORKER = `
  import { Worker, isMainThread, parentPort } from "node:worker_threads";
  const body = (leave) => \`
    import { connect } from "kalam-live";
    import { parentPort } from "node:worker_threads";
    const { URL: url, NS: ns, PASSWORD: password } = process.env;
    const client = await connect({ url, user: "root", password });
    const live = client.liveTable(ns + ".t");
    parentPort.postMessage((await live.loaded()).length);
    \${leave}
  \`;
  const work = (leave) => new Promise((resolve, reject) => {
    const worker = new Worker(new globalThis.URL("data:text/javascript," + encodeURIComponent(
      body(leave).replace('"kalam-live"', JSON.stringify(import.meta.resolve("kalam-live"))))));
    worker.on("error", reject);
    worker.on("exit", resolve);
    worker.on("message", () => leave.includes("forever") && worker.terminate());
  });
`;

test("worker threads, one after the other and together", async () => {
  const out = await run(`
    ${WORKER}
    for (const leave of ["await client.close()", "", "await client.close()"]) {
      console.log(await work(leave));
    }
    console.log((await Promise.all([work(""), work("await client.close()")])).join());
    const client = await open();
    console.log((await client.liveTable(ns + ".t").loaded()).length >= 0);
  `);
  assert.equal(out, "0\n0\n0\n0,0\ntrue\n");
});

test("a worker is terminated while it waits", async () => {
  const out = await run(`
    ${WORKER}
    for (let i = 0; i < 3; i++) console.log(await work("await live.next(); await live.next(); // forever"));
  `);
  assert.equal(out, "1\n1\n1\n");
});

test("handles that are collected close their subscriptions", async () => {
  const out = await run(
    `
    const client = await open();
    const { signal } = new AbortController();
    setMaxListeners(0, signal);
    for (let i = 0; i < 50; i++) {
      const live = client.liveTable(\`\${ns}.t\`, { signal });
      await live.loaded();
      const events = client.liveEvents(\`SELECT id FROM \${ns}.t\`, { signal });
      await events.next();
    }
    while ((await client.subscriptions()).length > 2) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    console.log("collected");
  `,
    ["--expose-gc"],
  );
  assert.equal(out, "collected\n");
});

test("a client that is collected disconnects, unless a live query of it is read", async () => {
  const out = await run(
    `
    const registry = new FinalizationRegistry(() => console.log("collected"));
    async function forget() {
      const client = await open();
      registry.register(client);
      const { length } = await client.query("SELECT 1 AS one");
      return length;
    }
    await forget();
    async function keep() {
      const client = await connect();
      await client.execute("CREATE NAMESPACE app");
      await client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY)");
      return client.liveTable("app.t");
    }
    const live = await keep();
    const pending = live.next();
    for (let i = 0; i < 50; i++) {
      gc();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    console.log("rows", (await pending).value.length);
  `,
    ["--expose-gc"],
  );
  assert.equal(out, "collected\nrows 0\n");
});

test("opening and closing leaves nothing behind", async () => {
  const out = await run(
    `
    const client = await open();
    const cycle = async () => {
      const live = client.live(\`SELECT id, v FROM \${ns}.t\`);
      await live.next();
      await live.close();
    };
    const settle = async () => {
      for (let i = 0; i < 3; i++) {
        gc();
        await new Promise((resolve) => setTimeout(resolve, 20));
      }
      return process.memoryUsage();
    };
    for (let i = 0; i < 2000; i++) await cycle();
    const before = await settle();
    for (let i = 0; i < 8000; i++) await cycle();
    const after = await settle();
    const grown = (name) => (after[name] - before[name]) / 1024;
    // The process grows by about 20 MB until 14,000 cycles, and no more up to 36,000: a handle of a few KB each would show.
    if (grown("heapUsed") > 300 || grown("external") > 300 || grown("rss") > 32 * 1024) {
      console.log("grown by KiB:", grown("heapUsed"), grown("external"), grown("rss"));
    }
    console.log((await client.subscriptions()).length);
  `,
    ["--expose-gc"],
  );
  assert.equal(out, "0\n");
});

test("collecting garbage all the time breaks nothing", async () => {
  const out = await run(
    `
    const client = await connect();
    await client.execute("CREATE NAMESPACE app");
    await client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT, j JSON)");
    const live = client.live("SELECT id, v, j FROM app.t");
    const events = client.liveEvents("SELECT id, v, j FROM app.t");
    let seen = 0;
    const counting = (async () => {
      for await (const event of events) if ((seen += event.rows?.length ?? 0) === 500) break;
    })();
    const writing = (async () => {
      for (let i = 0; i < 500; i++) {
        await client.execute("INSERT INTO app.t VALUES ($1, $2, $3)", [i, "a longer text " + i, { i }]);
        if (i % 10 === 0) gc();
      }
    })();
    for await (const rows of live) {
      gc();
      if (rows.some((row) => row.v !== "a longer text " + row.id || row.j.i !== Number(row.id))) throw rows;
      if (rows.length === 500) break;
    }
    await Promise.all([writing, counting]);
    await client.close();
    console.log(seen);
  `,
    ["--expose-gc"],
  );
  assert.equal(out, "500\n");
});
