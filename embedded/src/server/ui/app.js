// The page: logging in, tabs, and what each tab shows.

import { get, isLoggedIn, logIn, logOut, session, sql } from "./api.js";
import { element, grid, line, note, refresh } from "./grid.js";
import { follow } from "./live.js";
import { instant } from "./values.js";

const at = (id) => document.getElementById(id);
const REFRESH_EVERY = 2000;
/** More lines than this make a browser slow; the count says how many there are. */
const MOST_LINES = 1000;

// Logging in

function showLogin() {
  stopLive();
  at("inspector").hidden = true;
  at("login").hidden = false;
  at("login-form").elements.password.focus();
}

async function showInspector() {
  const { user } = await get("/v1/api/auth/me");
  at("who").textContent = `${user.id} (${user.role})`;
  at("login").hidden = true;
  at("inspector").hidden = false;
  select(location.hash.slice(1) || "sql");
  await showTables();
}

at("login-form").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { user, password } = event.target.elements;
  const problem = event.target.querySelector(".error");
  problem.textContent = "";
  try {
    await logIn(user.value, password.value);
    password.value = "";
    await showInspector();
  } catch (error) {
    problem.textContent = error.message;
  }
});
at("logout").addEventListener("click", () => {
  logOut();
  showLogin();
});
session.ended = showLogin;

// Tabs

const tabs = [...document.querySelectorAll("[data-tab]")];
let refreshing;

function select(name) {
  const known = tabs.some((tab) => tab.dataset.tab === name) ? name : "sql";
  for (const tab of tabs) tab.setAttribute("aria-selected", String(tab.dataset.tab === known));
  for (const panel of document.querySelectorAll("[data-panel]")) panel.hidden = panel.dataset.panel !== known;
  history.replaceState(null, "", `#${known}`);
  clearInterval(refreshing);
  const shown = { connections: showConnections, topics: showTopics }[known];
  if (shown) {
    void shown();
    refreshing = setInterval(() => document.hidden || at("inspector").hidden || shown(), REFRESH_EVERY);
  }
}
for (const tab of tabs) tab.addEventListener("click", () => select(tab.dataset.tab));

// Tables

const quoted = (name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);

async function showTables() {
  try {
    const rows = await objects("SELECT namespace_id, table_name, table_type FROM system.tables");
    rows.sort((a, b) =>
      `${a.namespace_id}.${a.table_name}`.localeCompare(`${b.namespace_id}.${b.table_name}`),
    );
    const list = [];
    for (const { namespace_id: namespace, table_name: table, table_type: type } of rows) {
      if (list.at(-1)?.namespace !== namespace) {
        const title = element("div", { class: "namespace", title: namespace }, namespace);
        list.push(Object.assign(title, { namespace }));
      }
      const name = `${quoted(namespace)}.${quoted(table)}`;
      const open = () => run(`SELECT * FROM ${name} LIMIT 100`);
      const live = () => watch(`SELECT * FROM ${name}`);
      const entry = element(
        "div",
        { class: "table" },
        element(
          "button",
          { onclick: open, title: `Show rows of ${name}` },
          table,
          " ",
          element("small", {}, type),
        ),
        element("button", { onclick: live, title: `Follow ${name} live` }, "live"),
      );
      list.push(Object.assign(entry, { namespace }));
    }
    at("tables").replaceChildren(...(list.length > 0 ? list : [note("There are none yet.")]));
  } catch (error) {
    at("tables").replaceChildren(note(error.message, "error"));
  }
}
at("reload-tables").addEventListener("click", showTables);

async function objects(text) {
  const { results } = await sql(text);
  const { schema, rows } = results[0];
  return rows.map((row) => Object.fromEntries(schema.map((column, n) => [column.name, row[n]])));
}

// SQL

async function run(text) {
  select("sql");
  const { sql: box } = at("sql-form").elements;
  box.value = text;
  at("sql-status").textContent = "running";
  try {
    const { results, took } = await sql(text);
    at("sql-status").textContent = `${took} ms at the server`;
    at("results").replaceChildren(...results.flatMap(shownResult));
    if (/\b(create|drop|alter)\b/i.test(text)) await showTables();
  } catch (error) {
    at("sql-status").textContent = "";
    at("results").replaceChildren(note(error.message, "error"));
  }
}

function shownResult({ schema, rows, row_count: count, message }) {
  if (!schema || schema.length === 0) return [note(message ?? `${count} rows`)];
  const columns = [...schema].sort((a, b) => a.index - b.index);
  const shown = rows.slice(0, MOST_LINES);
  const rest = rows.length - shown.length;
  const said = `${rows.length} row${rows.length === 1 ? "" : "s"}${rest > 0 ? `, the first ${MOST_LINES} shown` : ""}`;
  return [note(said), grid(columns, shown)];
}

at("sql-form").addEventListener("submit", (event) => {
  event.preventDefault();
  void run(event.target.elements.sql.value);
});
for (const form of [at("sql-form"), at("live-form")]) {
  form.elements.sql.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
}

// Live

let stop;

function stopLive() {
  stop?.();
  stop = undefined;
  at("live-stop").disabled = true;
}

function watch(text) {
  select("live");
  stopLive();
  at("live-form").elements.sql.value = text;
  at("live-rows").replaceChildren();
  at("live-stop").disabled = false;
  const shown = new LiveGrid(at("live-rows"));
  let state = "loading";
  let changes = 0;
  const status = () => {
    at("live-status").textContent = `${state}, ${shown.count} rows, ${changes} changes`;
  };
  const counted =
    (how) =>
    (...what) => {
      changes += 1;
      how.apply(shown, what);
      status();
    };
  stop = follow(text, {
    state(now) {
      state = now;
      status();
    },
    failed(message) {
      stopLive();
      at("live-status").textContent = "";
      at("live-rows").prepend(note(message, "error"));
    },
    reset(columns, rows) {
      shown.reset(columns, rows);
      status();
    },
    added: counted(shown.added),
    changed: counted(shown.changed),
    removed: counted(shown.removed),
  });
}

/** The lines of a live query, the newest on top. */
class LiveGrid {
  count = 0;
  #lines = new Map();
  #columns = [];
  #body;

  constructor(place) {
    this.place = place;
  }

  reset(columns, rows) {
    this.#columns = columns;
    const table = grid(columns, []);
    this.#body = table.querySelector("tbody");
    this.#lines.clear();
    for (const [key, row] of rows) this.#add(key, row);
    this.count = rows.size;
    this.place.replaceChildren(table);
  }

  #add(key, row) {
    const tr = line(this.#columns, row);
    this.#lines.set(key, tr);
    this.#body.prepend(tr);
    if (this.#lines.size > MOST_LINES) {
      const [[oldest, last]] = this.#lines;
      last.remove();
      this.#lines.delete(oldest);
    }
    return tr;
  }

  added(key, row) {
    this.count += 1;
    this.#add(key, row).classList.add("added");
  }

  changed(key, before, row) {
    const tr = this.#lines.get(key);
    if (tr) refresh(tr, this.#columns, before, row);
  }

  removed(key) {
    this.count -= 1;
    const tr = this.#lines.get(key);
    if (!tr) return;
    this.#lines.delete(key);
    tr.classList.add("removed");
    setTimeout(() => tr.remove(), 1500);
  }
}

at("live-form").addEventListener("submit", (event) => {
  event.preventDefault();
  watch(event.target.elements.sql.value);
});
at("live-stop").addEventListener("click", () => {
  stopLive();
  at("live-status").textContent = "stopped";
});

// Connections and topics

const named = (names) => names.map((name) => ({ name }));

/** Shows what `read` brings, or why it can not be had. */
async function fill(id, read, none) {
  try {
    const { columns, rows } = await read();
    at(id).replaceChildren(rows.length > 0 ? grid(columns, rows) : note(none));
  } catch (error) {
    at(id).replaceChildren(note(error.message, "error"));
  }
}

const table = (names, objects, ...cells) => ({
  columns: named(names),
  rows: objects.map((object) => cells.map((cell) => cell(object))),
});

async function showConnections() {
  const connections = async () =>
    table(
      ["user", "address", "since", "last heard", "live queries", "queued"],
      (await get("/v1/api/connections")).connections,
      (c) => c.user_id,
      (c) => c.peer,
      (c) => instant(c.connected_at),
      (c) => instant(c.last_ping_at),
      (c) => c.subscriptions,
      (c) => `${c.queued_bytes} B`,
    );
  const queries = async () =>
    table(
      ["user", "query", "since", "changes", "last change"],
      await objects("SELECT user_id, query, created_at, changes, last_update FROM system.live"),
      (q) => q.user_id,
      (q) => q.query,
      (q) => instant(q.created_at),
      (q) => q.changes,
      (q) => (q.changes === "0" ? "" : instant(q.last_update)),
    );
  await fill("connections", connections, "Nobody is connected.");
  await fill("subscriptions", queries, "There are none.");
}

async function showTopics() {
  const topics = async () =>
    table(
      ["topic", "partitions", "routes"],
      await objects("SELECT topic_id, partitions, routes FROM system.topics"),
      (t) => t.topic_id,
      (t) => t.partitions,
      (t) =>
        JSON.parse(t.routes)
          .map((route) => `${route.table_id} on ${route.op} (${route.payload_mode})`)
          .join("\n"),
    );
  const groups = async () =>
    table(
      ["topic", "group", "partition", "acknowledged up to", "lag"],
      (await get("/v1/api/topics/groups")).groups,
      (g) => g.topic_id,
      (g) => g.group_id,
      (g) => g.partition_id,
      (g) => g.last_acked_offset,
      (g) => g.lag,
    );
  await fill("topics", topics, "There are none yet.");
  await fill("groups", groups, "Nobody has consumed yet.");
}

if (isLoggedIn()) showInspector().catch(showLogin);
else showLogin();
