// Every example runs as a user would run it, and says what its page promises.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { test } from "node:test";

const HERE = join(import.meta.dirname, "..");

const run = (name) =>
  execFileSync(process.execPath, ["--throw-deprecation", name], {
    cwd: HERE,
    encoding: "utf8",
    timeout: 60_000,
  });

test("every example has a test", () => {
  const tested = readdirSync(join(HERE, "test")).map((name) =>
    readFileSync(join(HERE, "test", name), "utf8"),
  );
  for (const name of readdirSync(HERE).filter((name) => name.endsWith(".mjs"))) {
    assert.ok(
      tested.some((text) => text.includes(`"${name}"`)),
      name,
    );
  }
});

test("a worker", () => {
  const lines = run("billing_worker.mjs").trimEnd().split("\n");
  assert.equal(lines.pop(), "{ handled: 3, failed: 0 }");
  assert.deepEqual(lines.sort(), ["insert milk", "insert sugar", "insert tea"]);
});

test("the first program of the README", async () => {
  const readme = readFileSync(join(HERE, "..", "..", "README.md"), "utf8");
  const program = /```js\n(.*?)```/s.exec(readme)[1];
  const child = spawn(process.execPath, ["--input-type=module", "--eval", program], { cwd: HERE });
  // It loops for ever: what counts is its first line.
  const [line] = await once(createInterface(child.stdout), "line");
  child.kill("SIGINT");
  await once(child, "exit");
  assert.match(line, /hello/);
});

test("first query", () => {
  assert.equal(run("first_query.mjs"), "1n hello\n");
});

test("live rows", () => {
  const lines = run("live_rows.mjs").trim().split("\n");
  assert.ok(lines.includes("3 open: measure, ship, write"), lines.join("\n"));
  assert.equal(lines.at(-1), "0 open: nothing to do");
});

test("raw events", () => {
  const lines = run("raw_events.mjs").trim().split("\n");
  assert.deepEqual(
    lines.map((line) => line.split(" ")[0]),
    ["ack", "initial_data_batch", "insert", "update", "delete"],
  );
  assert.equal(lines[3], "update hello again (was hello)");
});

test("resume", () => {
  const [first, second] = run("resume.mjs").split("away, and back again\n");
  const items = (text) =>
    text
      .trim()
      .split("\n")
      .map((line) => line.split(" ").at(-1));
  assert.deepEqual([items(first), items(second)], [["tea", "milk"], ["honey"]]);
});
