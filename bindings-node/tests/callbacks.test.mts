import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, KalamError, logs, type State, startEmbedded } from "kalam-live";
import { open, PASSWORD, place, server, soon, until } from "./support.mjs";

/** The warnings of the process that `run` causes. */
async function warnings(run: () => Promise<void>): Promise<string[]> {
  const told: string[] = [];
  const listen = (warning: Error) => told.push(`${warning.name}: ${warning.message}`);
  process.on("warning", listen);
  await run();
  await until(() => told.length > 0);
  process.off("warning", listen);
  return told;
}

/** A token of root, as a program of the user's would get it. */
async function login(url: string): Promise<string> {
  const response = await fetch(`${url}/v1/api/auth/login`, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ user: "root", password: PASSWORD }),
  });
  return ((await response.json()) as { access_token: string }).access_token;
}

test("tokens by a provider, also one that takes its time", async () => {
  const { url } = await server();
  let asked = 0;
  const tokenProvider = async () => {
    asked++;
    await new Promise((resolve) => setTimeout(resolve, 5));
    return login(url);
  };
  await using client = await connect({ url, tokenProvider });
  assert.equal((await client.query("SELECT 1 AS one"))[0]?.one, 1n);
  assert.ok(asked >= 1);
});

test("a provider that throws, returns nonsense or never answers", async () => {
  const { url } = await server();
  const broken = () => {
    throw new RangeError("no luck");
  };
  await assert.rejects(connect({ url, tokenProvider: broken }), (error: KalamError) => {
    assert.match(error.message, /tokenProvider failed: RangeError: no luck/);
    return error instanceof KalamError;
  });
  const nonsense = () => 7 as unknown as string;
  await assert.rejects(connect({ url, tokenProvider: nonsense }), /must return a string, not number/);
  const silent = () => new Promise<string>(() => {});
  const opening = connect({ url, tokenProvider: silent, timeouts: { auth: 100 } });
  await assert.rejects(soon(opening), (error: KalamError) => error.code === "timeout");
});

test("a callback that throws or rejects is reported and ends nothing", async () => {
  await using at = await place("id BIGINT PRIMARY KEY");
  const { client, ns } = at;
  const told = await warnings(async () => {
    const live = client.liveTable(`${ns}.t`, {
      onCheckpoint: () => {
        throw new RangeError("from a checkpoint");
      },
    });
    await client.execute(`INSERT INTO ${ns}.t VALUES (1)`);
    let rows = (await live.next()).value!;
    while (rows.length < 1) rows = (await live.next()).value!;
    await live.close();
  });
  assert.match(
    told.join("\n"),
    /KalamWarning: onCheckpoint, given to kalam-live, failed: RangeError: from a checkpoint/,
  );

  const later = await warnings(async () => {
    const onConnect = async () => {
      throw new RangeError("from a listener");
    };
    await using other = await open({ onConnect });
    assert.equal((await other.query("SELECT 1 AS one")).length, 1);
  });
  assert.match(later.join("\n"), /a listener of "connect", given to kalam-live, failed: RangeError/);
});

test("events of a client", async () => {
  const own = await startEmbedded({ rootPassword: PASSWORD });
  const port = Number(new URL(own.url).port);
  const told: string[] = [];
  const client = await connect({
    url: own.url,
    user: "root",
    password: PASSWORD,
    reconnectDelay: 20,
    reconnectMaxDelay: 50,
    onConnect: () => told.push("connect"),
    onDisconnect: (error) => told.push(`disconnect ${error.code}`),
    onError: (error) => told.push(`error ${error.code}`),
  });
  const states: State[] = [];
  client.on("state", (state) => states.push(state));
  await until(() => told.includes("connect"));
  await own.close();
  await until(() => told.some((line) => line.startsWith("error ")));
  await using again = await startEmbedded({ rootPassword: PASSWORD, port });
  await until(() => told.filter((line) => line === "connect").length === 2);
  assert.equal(again.url, own.url);
  await client.close();
  assert.match(told[1]!, /^disconnect (disconnected|unavailable)$/);
  await until(() => states.at(-1) === "closed");
  assert.ok(states.includes("reconnecting") && states.includes("connected"), states.join());
  assert.equal(client.counters().connects, 2);
});

test("an error event without a listener is no error", async () => {
  const nobody = connect({ url: "http://127.0.0.1:9", user: "a", password: "b" });
  await assert.rejects(nobody, (error: KalamError) => error.code === "disconnected");
});

test("the log", async () => {
  const lines: string[] = [];
  const listen = ({ level, target, message }: { level: string; target: string; message: string }) =>
    lines.push(`${level} ${target} ${message}`);
  logs.level = "trace";
  logs.on("line", listen);
  await using at = await place("id BIGINT PRIMARY KEY");
  await at.client.liveTable(`${at.ns}.t`).loaded();
  await until(() => lines.length > 0);
  assert.match(lines[0]!, /^(trace|debug|info|warn|error) kalam_/);
  assert.ok(!lines.some((line) => line.includes(PASSWORD)));
  logs.off("line", listen);
  logs.level = "warn";
});
