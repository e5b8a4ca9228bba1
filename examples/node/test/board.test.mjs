// The departures board in a real browser: rows appear, change in place and leave, and an outage shows and ends.

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { after, before, test } from "node:test";
import { connect, startEmbedded } from "kalam-live";
import { chromium } from "playwright-core";
import { TABLE, timeline } from "../departures/flights.mjs";

const HERE = join(import.meta.dirname, "..");
const SCREENSHOT = join(HERE, "build", "departures.png");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const root = { user: "root", password: "Board-Password-1" };

let directory;
let database;
let client;
let board;
let browser;
let page;

/** The relay, as a user starts it: resolves with its URL. */
async function startBoard(port = 0) {
  const args = ["--url", database.url, "--user", root.user, "--password", root.password, "--seconds", "0"];
  const child = spawn(process.execPath, ["departures/server.mjs", "--port", String(port), ...args], {
    cwd: HERE,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [url] = await once(createInterface(child.stdout), "line");
  return { url, port: Number(new URL(url).port), child };
}

async function stop({ child }) {
  child.kill("SIGINT");
  await once(child, "exit");
}

const state = (expected) => page.waitForSelector(`#connection[data-state=${expected}]`);
const texts = (id) => page.locator(`#flight-${id} td`).allTextContents();

before(async () => {
  directory = mkdtempSync(join(tmpdir(), "board-"));
  database = await startEmbedded({ directory, rootPassword: root.password });
  client = await connect({ url: database.url, ...root, reconnectMaxDelay: 200 });
  board = await startBoard();
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  page = await browser.newPage({ viewport: { width: 960, height: 720 } });
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => assert.fail(error));
  await page.goto(board.url);
});

after(async () => {
  await browser?.close();
  if (board) await stop(board);
  await client?.close();
  await database?.close();
  rmSync(directory, { recursive: true });
});

const insert = (id, flight, minute) =>
  client.execute(`INSERT INTO ${TABLE} VALUES ($1, $2, 'Miami Intl', $3, $3, 'scheduled')`, [
    id,
    flight,
    new Date(Date.UTC(2013, 6, 10, 0, minute)),
  ]);

test("rows appear, change in place and leave", async () => {
  await state("live");
  await insert(9001, "AA 1", 600);
  await insert(9002, "B6 2", 605);
  await page.waitForSelector("#flight-9002");
  assert.deepEqual(await texts(9001), ["AA 1", "Miami Intl", "10:00", "", "scheduled"]);
  assert.equal(await page.locator("#count").textContent(), "2 flights");

  await page.evaluate(() => {
    document.getElementById("flight-9001").mine = true;
  });
  await client.execute(`UPDATE ${TABLE} SET estimated = $1, status = 'delayed' WHERE id = 9001`, [
    new Date(Date.UTC(2013, 6, 10, 11, 15)),
  ]);
  await page.waitForSelector("#flight-9001 td.delayed.changed");
  assert.deepEqual(await texts(9001), ["AA 1", "Miami Intl", "10:00", "11:15", "delayed"]);
  assert.ok(await page.evaluate(() => document.getElementById("flight-9001").mine), "the same element");
  const order = await page.locator("#board tr").evaluateAll((lines) => lines.map((line) => line.id));
  assert.deepEqual(order, ["flight-9002", "flight-9001"], "sorted by the estimate");
  const marked = await page.locator("#flight-9001 td.changed").count();
  assert.equal(marked, 2, "only what changed is marked");

  await client.execute(`UPDATE ${TABLE} SET status = 'departed' WHERE id = 9002`);
  await page.waitForSelector("#flight-9002", { state: "detached" });
  await client.execute(`DELETE FROM ${TABLE} WHERE id = 9001`);
  await page.waitForSelector("#board:not(:has(tr))", { state: "attached" });
});

test("a day of departures fills the board", async () => {
  const until = timeline().filter(({ minute }) => minute < 16 * 60);
  for (const { sql, params } of until) await client.execute(sql, params);
  const selected = await client.queryAll(`SELECT id FROM ${TABLE} WHERE status <> 'departed'`);
  assert.ok(selected.length > 50, "the board is full");
  await page.waitForFunction(
    (count) => document.getElementById("board").rows.length === count,
    selected.length,
  );
  const shown = await page.locator("#board tr").evaluateAll((lines) => lines.map((line) => line.id));
  assert.deepEqual(
    shown.sort(),
    selected.map(({ id }) => `flight-${id}`).sort(),
    "the board equals the SELECT",
  );

  await page.waitForFunction(() => document.getAnimations().length === 0);
  const [late] = await page
    .locator("#board tr:nth-child(3)")
    .evaluateAll((lines) => lines.map((line) => line.id));
  await client.execute(`UPDATE ${TABLE} SET status = 'gate closed' WHERE id = $1`, [
    Number(late.split("-")[1]),
  ]);
  await page.waitForSelector("td.changed:text('gate closed')");
  mkdirSync(join(HERE, "build"), { recursive: true });
  await page.screenshot({ path: SCREENSHOT });
  assert.ok(statSync(SCREENSHOT).size > 20_000);
});

test("an outage of the database shows, and its end", async () => {
  const port = Number(new URL(database.url).port);
  await database.close();
  await state("reconnecting");
  assert.ok((await page.locator("#board tr.stale").count()) > 50, "the last rows stay");
  database = await startEmbedded({ directory, port });
  await state("live");
  assert.equal(await page.locator("#board tr.stale").count(), 0);
  await insert(9003, "DL 3", 700);
  await page.waitForSelector("#flight-9003");
});

test("an outage of the relay shows, and its end", async () => {
  const { port } = board;
  await stop(board);
  await state("reconnecting");
  await client.execute(`DELETE FROM ${TABLE} WHERE id = 9003`);
  board = await startBoard(port);
  await state("live");
  await page.waitForSelector("#flight-9003", { state: "detached" });
});
