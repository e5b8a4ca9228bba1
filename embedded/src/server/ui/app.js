// The inspector page. What the server answers goes into the page as text, never as HTML.

const MOST_ROWS = 500; // shown of one result
const MOST_LIVE_ROWS = 2000; // shown of a live query
const REFRESH = 2000; // of connections and topics, in milliseconds

const $ = (id) => document.getElementById(id);

/** An element with attributes and children; strings become text. */
function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== undefined) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

// The session

const session = {
  get token() {
    return sessionStorage.getItem("token");
  },
  get user() {
    return JSON.parse(sessionStorage.getItem("user") ?? "null");
  },
  begin(answer) {
    sessionStorage.setItem("token", answer.access_token);
    sessionStorage.setItem("user", JSON.stringify(answer.user));
  },
  end() {
    sessionStorage.clear();
    watching?.stop();
    for (const id of ["tables", "results", "live-rows", "connections-list", "topics-list"]) $(id).replaceChildren();
    show();
  },
};

async function ask(method, path, body) {
  const headers = { "Content-Type": "application/json" };
  if (session.token) headers.Authorization = `Bearer ${session.token}`;
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const answer = await response.json();
  if (response.status === 401 && session.token) session.end();
  return { ok: response.ok, answer };
}

/** The results of statements, or an error with the server's sentence. */
async function sql(text) {
  const { ok, answer } = await ask("POST", "/v1/api/sql", { sql: text });
  if (!ok) throw new Error(answer.error?.message ?? answer.message ?? "The server refused");
  return answer;
}

async function logIn(event) {
  event.preventDefault();
  const { ok, answer } = await ask("POST", "/v1/api/auth/login", {
    user: $("user").value,
    password: $("password").value,
  });
  $("login-error").hidden = ok;
  if (!ok) {
    $("login-error").textContent = answer.message;
    return;
  }
  $("password").value = "";
  session.begin(answer);
  show();
}

function show() {
  const known = session.user !== null;
  $("login").hidden = known;
  $("inspector").hidden = !known;
  if (!known) return $("user").focus();
  $("who").textContent = `${session.user.id} (${session.user.role})`;
  open("sql");
  listTables();
}

// Tabs

let refreshing;

function open(tab) {
  for (const button of $("tabs").children) {
    const selected = button.dataset.tab === tab;
    button.setAttribute("aria-selected", selected);
    $(button.dataset.tab).hidden = !selected;
  }
  clearInterval(refreshing);
  const refresh = { connections: listConnections, topics: listTopics }[tab];
  if (refresh) {
    refresh();
    refreshing = setInterval(refresh, REFRESH);
  }
}

// Values

const isNumber = (type) => typeof type === "object" || ["SmallInt", "Int", "BigInt", "Float", "Double"].includes(type);

function shown(value, type) {
  if (value === null || value === undefined) return "NULL";
  if (type === "Timestamp" || type === "DateTime") {
    const date = new Date(Math.floor(value / 1000));
    return Number.isNaN(date.getTime()) ? String(value) : date.toISOString().replace("T", " ").replace("Z", "");
  }
  if (type === "Date") return new Date(value * 86_400_000).toISOString().slice(0, 10);
  if (type === "Time") return new Date(value / 1000).toISOString().slice(11, 23);
  return typeof value === "object" ? JSON.stringify(value) : String(value);
}

function cell(value, type) {
  const kind = value === null || value === undefined ? "null" : isNumber(type) ? "number" : undefined;
  return element("td", { class: kind }, shown(value, type));
}

function heads(schema) {
  const name = (type) => (typeof type === "object" ? Object.keys(type)[0] : type);
  return element("thead", {}, element("tr", {}, ...schema.map((column) => element("th", {}, column.name, element("small", {}, name(column.data_type))))));
}

function grid(schema, rows) {
  const body = rows.slice(0, MOST_ROWS).map((row) =>
    element("tr", {}, ...schema.map((column, at) => cell(row[at], column.data_type))),
  );
  return element("div", { class: "scroll" }, element("table", {}, heads(schema), element("tbody", {}, ...body)));
}

// SQL

async function run() {
  const text = $("statement").value;
  $("run").disabled = true;
  $("took").textContent = "running ...";
  try {
    const { results, took } = await sql(text);
    $("took").textContent = `${took} ms`;
    $("results").replaceChildren(...results.flatMap(result));
  } catch (error) {
    $("took").textContent = "";
    $("results").replaceChildren(element("p", { class: "error", role: "alert" }, error.message));
  } finally {
    $("run").disabled = false;
  }
  if (/^\s*(create|alter|drop)\b/i.test(text)) listTables();
}

function result({ schema, rows, row_count, message }) {
  if (!schema) return [element("p", {}, message ?? `${row_count} rows`)];
  const more = rows.length > MOST_ROWS ? `, the first ${MOST_ROWS} are shown` : "";
  return [element("p", { class: "dim" }, `${row_count} row${row_count === 1 ? "" : "s"}${more}`), grid(schema, rows)];
}

async function listTables() {
  try {
    const { results } = await sql("SELECT namespace_id, table_name, table_type FROM system.tables ORDER BY namespace_id, table_name");
    const parts = [];
    let last;
    for (const [namespace, table, type] of results[0].rows) {
      if (namespace !== last) parts.push(element("h3", {}, namespace));
      last = namespace;
      const select = `SELECT * FROM ${quoted(namespace)}.${quoted(table)}`;
      parts.push(
        element(
          "div",
          { class: "table" },
          element("button", { title: `${namespace}.${table}`, onclick: () => browse(select) }, table),
          element("small", {}, type),
          element("button", { class: "watch", title: "Watch it live", onclick: () => watch(select) }, "live"),
        ),
      );
    }
    if (parts.length === 0) parts.push(element("p", { class: "dim" }, "There is no table yet."));
    $("tables").replaceChildren(...parts);
  } catch {
    $("tables").replaceChildren(element("p", { class: "dim" }, "The list of tables is for the roles dba and system."));
  }
}

const quoted = (name) => (/^[a-z_][a-z0-9_]*$/.test(name) ? name : `"${name.replaceAll('"', '""')}"`);

function browse(select) {
  open("sql");
  $("statement").value = `${select} LIMIT 100`;
  run();
}

function watch(select) {
  open("live");
  $("live-sql").value = select;
  startWatching();
}

// Live

let watching;

function startWatching(event) {
  event?.preventDefault();
  watching?.stop();
  const text = $("live-sql").value.trim();
  if (text) watching = new Watch(text);
}

/** One live query on a WebSocket of its own. Reconnects by itself, with a fresh snapshot. */
class Watch {
  constructor(text) {
    this.text = text;
    this.ended = false;
    $("live-stop").disabled = false;
    $("live-rows").replaceChildren();
    this.connect();
  }

  connect() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    // Browsers do not read gzip frames by themselves.
    this.socket = new WebSocket(`${scheme}://${location.host}/v1/ws?compress=false`);
    this.say("connecting ...");
    this.socket.onopen = () => this.send({ type: "authenticate", method: "jwt", token: session.token, protocol: { serialization: "json", compression: "none" } });
    this.socket.onmessage = ({ data }) => this.frame(JSON.parse(data));
    this.socket.onclose = ({ reason }) => {
      clearInterval(this.pinging);
      if (this.ended) return;
      this.say(`the connection ended${reason ? ` (${reason})` : ""}, trying again ...`);
      this.retry = setTimeout(() => this.connect(), 1000);
    };
  }

  send(frame) {
    this.socket.send(JSON.stringify(frame));
  }

  say(text) {
    $("live-state").textContent = text;
    $("live-state").classList.remove("error");
  }

  stop(error) {
    this.ended = true;
    clearTimeout(this.retry);
    clearInterval(this.pinging);
    this.socket.close();
    $("live-stop").disabled = true;
    this.say(error ?? "stopped");
    $("live-state").classList.toggle("error", error !== undefined);
  }

  frame(frame) {
    switch (frame.type) {
      case "auth_success":
        // The server closes what is silent.
        this.pinging = setInterval(() => this.send({ type: "ping" }), 4000);
        this.send({ type: "subscribe", subscription: { id: "live", sql: this.text, options: {} } });
        break;
      case "auth_error":
        this.stop(frame.message);
        break;
      case "error":
        this.stop(`${frame.code}: ${frame.message}`);
        break;
      case "subscription_ack":
        this.begin(frame.schema);
        break;
      case "initial_data_batch":
        for (const row of frame.rows) this.put(row, false);
        if (frame.batch_control.has_more) this.send({ type: "next_batch", subscription_id: "live", last_seq_id: frame.batch_control.last_seq_id });
        else this.loaded = true;
        this.count();
        break;
      case "change":
        this.change(frame);
        this.count();
        break;
    }
  }

  begin(schema) {
    // The version changes with each write and says nothing; a deleted row is not shown.
    this.schema = schema.filter(({ name }) => name !== "_seq" && name !== "_deleted");
    this.key = schema.filter(({ flags }) => flags?.includes("pk")).map(({ name }) => name);
    if (this.key.length === 0) return this.stop("Select the primary key too: without it changes can not be matched to rows");
    this.rows = new Map();
    this.changes = 0;
    this.loaded = false;
    this.body = element("tbody");
    const table = element("table", {}, heads(this.schema), this.body);
    $("live-rows").replaceChildren(element("div", { class: "scroll" }, table));
  }

  keyOf(row) {
    return JSON.stringify(this.key.map((name) => row[name]));
  }

  change({ change_type, rows, old_values }) {
    this.changes += 1;
    if (change_type === "delete") {
      const key = this.keyOf(old_values[0]);
      this.rows.get(key)?.line?.remove();
      this.rows.delete(key);
    } else {
      this.put(rows[0], true);
    }
  }

  /** A column that an update does not carry is NULL. */
  put(row, marked) {
    const key = this.keyOf(row);
    const held = this.rows.get(key);
    if (held === undefined) {
      const shows = this.rows.size < MOST_LIVE_ROWS;
      const line = shows ? element("tr", marked ? { class: "added" } : {}, ...this.schema.map(({ name, data_type }) => cell(row[name], data_type))) : undefined;
      if (line) this.body.append(line);
      this.rows.set(key, { row, line });
      return;
    }
    this.schema.forEach(({ name, data_type }, at) => {
      if (JSON.stringify(held.row[name] ?? null) === JSON.stringify(row[name] ?? null) || !held.line) return;
      const changed = cell(row[name], data_type);
      changed.classList.add("changed");
      held.line.children[at].replaceWith(changed);
    });
    held.row = row;
  }

  count() {
    const more = this.rows.size > MOST_LIVE_ROWS ? `, ${MOST_LIVE_ROWS} are shown` : "";
    this.say(`${this.loaded ? "live" : "loading"}: ${this.rows.size} rows${more}, ${this.changes} changes seen`);
  }
}

// Connections and topics

async function listConnections() {
  const { ok, answer } = await ask("GET", "/v1/api/inspect/connections");
  $("connections-state").textContent = ok
    ? `${answer.connections.length} WebSockets, ${answer.connections.reduce((sum, one) => sum + one.subscriptions.length, 0)} subscriptions`
    : answer.message;
  if (!ok) return;
  const text = (name) => ({ name, data_type: "Text" });
  const number = (name) => ({ name, data_type: "BigInt" });
  const ago = (seconds) => (seconds < 120 ? `${seconds} s` : `${Math.round(seconds / 60)} min`);
  const parts = answer.connections.flatMap((one) => [
    element("h3", {}, `${one.user ?? "not authenticated"} `, element("span", { class: "dim" }, `from ${one.peer}, open for ${ago(one.open_seconds)}, ${one.queued_frames} frames (${one.queued_bytes} bytes) wait`)),
    one.subscriptions.length === 0
      ? element("p", { class: "dim" }, "no subscription")
      : grid([text("id"), text("state"), text("query"), number("changes sent")], one.subscriptions.map((each) => [each.id, each.state, each.sql, each.changes])),
  ]);
  $("connections-list").replaceChildren(...parts);
}

async function listTopics() {
  try {
    const { results } = await sql("SELECT * FROM system.topics; SELECT * FROM system.topic_offsets");
    $("topics-state").textContent = results[0].row_count === 0 ? "There is no topic yet: CREATE TOPIC name" : "";
    const [topics, offsets] = results;
    const parts = [element("h3", {}, "Topics"), grid(topics.schema, topics.rows)];
    parts.push(element("h3", {}, "Consumer groups"), offsets.rows.length === 0 ? element("p", { class: "dim" }, "no group yet") : grid(offsets.schema, offsets.rows));
    $("topics-list").replaceChildren(...parts);
  } catch (error) {
    $("topics-state").textContent = error.message;
    $("topics-list").replaceChildren();
  }
}

$("login").addEventListener("submit", logIn);
$("logout").addEventListener("click", () => session.end());
$("reload").addEventListener("click", listTables);
$("run").addEventListener("click", run);
$("statement").addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) run();
});
$("live-form").addEventListener("submit", startWatching);
$("live-stop").addEventListener("click", () => watching?.stop());
$("tabs").addEventListener("click", ({ target }) => target.dataset.tab && open(target.dataset.tab));
show();
