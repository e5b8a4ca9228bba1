// The inspector in a real browser: logging in, SQL, tables, a live query, connections; and what must not work.

import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { chromium } from "playwright-core";
import { root, start } from "./server.mjs";

const SCREENSHOTS = join(import.meta.dirname, "build");
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";
const EVIL = "<img src=x onerror=\"document.title='owned'\">";

let server;
let browser;
let page;
const problems = [];
const asked = new Set();

before(async () => {
  mkdirSync(SCREENSHOTS, { recursive: true });
  server = await start();
  await server.sql("CREATE NAMESPACE shop");
  await server.sql(
    "CREATE TABLE shop.orders (id BIGINT PRIMARY KEY, item TEXT, price DOUBLE, paid BOOLEAN, at TIMESTAMP) WITH (TYPE='SHARED', ACCESS_LEVEL='PUBLIC')",
  );
  await server.sql(
    "INSERT INTO shop.orders VALUES (1, 'tea', 3.5, true, '2026-11-30 06:00:00'), (2, 'coffee', 4.25, false, NULL)",
  );
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ["--no-sandbox"] });
  page = await browser.newPage({ viewport: { width: 1100, height: 700 } });
  page.setDefaultTimeout(20_000);
  page.on("pageerror", (error) => problems.push(error.message));
  page.on("console", (message) => {
    // Answers that refuse something are meant to be there.
    if (message.type() === "error" && !message.text().includes("status of 4")) problems.push(message.text());
  });
  page.on("request", (request) => asked.add(new URL(request.url()).origin));
  await page.goto(server.url);
});

after(async () => {
  await browser?.close();
  await server?.stop();
});

const tab = (name) => page.getByRole("tab", { name }).click();
const line = (text) => page.locator("#live-rows tbody tr", { hasText: text });
const shot = (name) => page.screenshot({ path: join(SCREENSHOTS, `${name}.png`) });

async function run(sql) {
  await tab("SQL");
  await page.getByLabel("SQL", { exact: true }).fill(sql);
  await page.keyboard.press("Control+Enter");
}

test("asks for a login, and says what was wrong with it", async () => {
  await page.getByLabel("Password").fill("wrong");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.locator("#login .error", { hasText: /\w/ }).waitFor();
  assert.equal(await page.locator("#inspector").isVisible(), false);
  await page.getByLabel("Password").fill(root.password);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.locator("#who", { hasText: "root (system)" }).waitFor();
});

test("lists the tables and shows their rows", async () => {
  await page.getByRole("button", { name: /^orders/ }).click();
  const cells = page.locator("#results tbody td");
  await cells.first().waitFor();
  const texts = await cells.allTextContents();
  for (const expected of ["1", "tea", "3.5", "true", "2026-11-30 06:00:00.000", "NULL"]) {
    assert.ok(texts.includes(expected), `${expected} in ${texts}`);
  }
  await shot("sql");
});

test("shows moments of all times, and what is cut off", async () => {
  const long = "a long text ".repeat(20);
  await run(
    `SELECT '1955-05-05 12:00:00'::TIMESTAMP AS a, '1972-02-03 04:05:06'::TIMESTAMP AS b, '${long}' AS c; SELECT created_at FROM system.users`,
  );
  const cells = page.locator("#results tbody td");
  await page.locator("#results td", { hasText: "1955-05-05 12:00:00.000" }).waitFor();
  const texts = await cells.allTextContents();
  assert.equal(texts[1], "1972-02-03 04:05:06.000");
  assert.match(texts[3], /^20\d\d-/);
  assert.equal(await cells.nth(2).getAttribute("title"), long);
  assert.equal(await cells.nth(0).getAttribute("title"), null);
});

test("fits a narrow window", async () => {
  await server.sql("CREATE NAMESPACE a_namespace_whose_name_is_longer_than_the_list_is_wide");
  await server.sql(
    "CREATE TABLE a_namespace_whose_name_is_longer_than_the_list_is_wide.t (id INT PRIMARY KEY)",
  );
  await page.getByLabel("Read the list of tables again").click();
  const name = page.locator(".namespace", { hasText: "a_namespace" });
  await name.waitFor();
  const inside = (outer, inner) => outer.x + outer.width >= inner.x + inner.width;
  assert.ok(inside(await page.locator("aside").boundingBox(), await name.boundingBox()));
  await page.setViewportSize({ width: 380, height: 700 });
  assert.equal(await page.evaluate(() => document.documentElement.scrollWidth), 380);
  const [title, out] = [page.locator("header strong"), page.getByRole("button", { name: "Log out" })];
  const middle = async (part) => (({ y, height }) => y + height / 2)(await part.boundingBox());
  assert.ok(Math.abs((await middle(title)) - (await middle(out))) < 10, "one line for both");
  await shot("narrow");
  await page.setViewportSize({ width: 1100, height: 700 });
  await server.sql("DROP NAMESPACE a_namespace_whose_name_is_longer_than_the_list_is_wide CASCADE");
});

test("shows the results of several statements, and errors", async () => {
  await run("SELECT count(*) AS n FROM shop.orders; UPDATE shop.orders SET paid = true WHERE id = 2");
  await page.locator("#results", { hasText: "1 row" }).waitFor();
  await run("SELECT nothing FROM shop.orders");
  await page.locator("#results .error", { hasText: "nothing" }).waitFor();
});

test("follows a query and marks what changes", async () => {
  await page.getByTitle("Follow shop.orders live").click();
  await line("coffee").waitFor();
  await server.sql("UPDATE shop.orders SET price = 9.75 WHERE id = 2");
  await line("coffee").locator("td.changed", { hasText: "9.75" }).waitFor();
  assert.equal(await line("coffee").locator("td.changed").count(), 1, "only the cell that changed is marked");
  await server.sql("INSERT INTO shop.orders VALUES (3, 'water', 1, false, NULL)");
  await page.locator("#live-rows tr.added", { hasText: "water" }).waitFor();
  await server.sql("UPDATE shop.orders SET paid = NULL WHERE id = 3");
  await line("water").locator("td.changed", { hasText: "NULL" }).waitFor();
  await shot("live");
  await server.sql("DELETE FROM shop.orders WHERE id = 1");
  await line("tea").waitFor({ state: "detached" });
  assert.match(await page.locator("#live-status").textContent(), /live, 2 rows, 4 changes/);
});

test("rows that enter and leave a filter", async () => {
  await page.getByLabel("SQL of the live query").fill("SELECT id, item FROM shop.orders WHERE price > 5");
  await page.getByRole("button", { name: "Follow", exact: true }).click();
  await page.locator("#live-status", { hasText: "live, 1 rows" }).waitFor();
  await server.sql("UPDATE shop.orders SET price = 2 WHERE id = 2");
  await line("coffee").waitFor({ state: "detached" });
});

test("says why a query can not be followed", async () => {
  await page.getByLabel("SQL of the live query").fill("SELECT count(*) FROM shop.orders");
  await page.getByRole("button", { name: "Follow", exact: true }).click();
  await page.locator("#live-rows .error", { hasText: /\w/ }).waitFor();
});

test("what is in the rows is text", async () => {
  await page.getByTitle("Follow shop.orders live").click();
  await page.locator("#live-status", { hasText: "live," }).waitFor();
  await server.sql(`INSERT INTO shop.orders VALUES (4, '${EVIL.replaceAll("'", "''")}', 0, true, NULL)`);
  await line("<img").waitFor();
  await run("SELECT * FROM shop.orders WHERE id = 4");
  await page.locator("#results", { hasText: "<img" }).waitFor();
  assert.equal(await page.locator("img").count(), 0);
  assert.equal(await page.title(), "Kalam inspector");
});

test("shows who is connected and what they follow", async () => {
  await tab("Connections");
  await page.locator("#subscriptions", { hasText: "SELECT * FROM shop.orders" }).waitFor();
  assert.match(await page.locator("#connections tbody").textContent(), /root127\.0\.0\.1:\d+/);
  await shot("connections");
});

test("shows topics, and how far behind their groups are", async () => {
  await server.sql("CREATE TOPIC shop.changes");
  await server.sql("ALTER TOPIC shop.changes ADD SOURCE shop.orders ON INSERT");
  await server.sql(
    "INSERT INTO shop.orders VALUES (5, 'milk', 2, true, NULL), (6, 'cake', 4, true, NULL), (7, 'pie', 5, true, NULL)",
  );
  // Acknowledges what it gives.
  await server.sql("CONSUME FROM shop.changes GROUP 'billing' FROM EARLIEST LIMIT 2");
  await tab("Topics");
  await page.locator("#topics tr", { hasText: "shop.orders on insert" }).waitFor();
  const group = page.locator("#groups tbody tr", { hasText: "billing" });
  await group.waitFor();
  assert.deepEqual(await group.locator("td").allTextContents(), ["shop.changes", "billing", "0", "1", "1"]);
  await shot("topics");
});

test("the page talks to nobody else, and nothing failed in it", async () => {
  assert.deepEqual(
    [...asked].filter((origin) => origin !== "null"),
    [server.url],
  );
  const { headers } = await fetch(server.url).then((response) => ({ headers: response.headers }));
  assert.match(headers.get("content-security-policy"), /default-src 'none'; script-src 'self'/);
  assert.deepEqual(problems, []);
});

test("logging out forgets the token", async () => {
  await page.getByRole("button", { name: "Log out" }).click();
  await page.locator("#login").waitFor();
  await page.reload();
  await page.locator("#login").waitFor();
  assert.equal(await page.evaluate(() => sessionStorage.length), 0);
});

test("a user who is no admin still has SQL and live queries", async () => {
  await server.sql("CREATE USER 'ann' WITH PASSWORD 'Ann-Password-1' ROLE 'user'");
  await page.getByLabel("User").fill("ann");
  await page.getByLabel("Password").fill("Ann-Password-1");
  await page.getByRole("button", { name: "Log in" }).click();
  await page.locator("#who", { hasText: "ann (user)" }).waitFor();
  await run("SELECT item FROM shop.orders WHERE id = 3");
  await page.locator("#results td", { hasText: "water" }).waitFor();
  await tab("Connections");
  await page.locator("#connections .error", { hasText: "'dba' and 'system'" }).waitFor();
});

test("can be left out", async () => {
  const bare = await start("--no-ui");
  try {
    for (const path of ["/", "/ui/app.js"]) assert.equal((await fetch(bare.url + path)).status, 404);
  } finally {
    await bare.stop();
  }
});
