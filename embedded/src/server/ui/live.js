// A live query over its own WebSocket: the rows by key, and what changed.

import { currentToken } from "./api.js";

/** The server closes a connection that is silent for ten seconds, and a page can not send WebSocket pings. */
const PING_EVERY = 4000;
const LONGEST_PAUSE = 10_000;

/**
 * `told` has: `state(text)`, `failed(message)`, `reset(columns, rows)`, `added(key, row)`, `changed(key, before, row)`,
 * `removed(key)`. Returns a function that ends it.
 */
export function follow(sql, told) {
  let socket;
  let timer;
  let attempts = 0;
  let over = false;

  const end = () => {
    over = true;
    clearTimeout(timer);
    socket?.close();
  };
  const fail = (message) => {
    end();
    told.failed(message);
  };

  function open() {
    const { protocol, host } = location;
    socket = new WebSocket(`${protocol === "https:" ? "wss" : "ws"}://${host}/v1/ws?compress=false`);
    const mine = socket;
    const send = (message) => mine.send(JSON.stringify(message));
    const held = new Held(told, send);
    let ping;
    mine.onopen = () => {
      const wish = { serialization: "json", compression: "none" };
      send({ type: "authenticate", method: "jwt", token: currentToken(), protocol: wish });
      ping = setInterval(() => send({ type: "ping" }), PING_EVERY);
    };
    mine.onmessage = ({ data }) => {
      const frame = JSON.parse(data);
      switch (frame.type) {
        case "auth_success":
          send({ type: "subscribe", subscription: { id: "page", sql, options: { batch_size: 1000 } } });
          break;
        case "auth_error":
        case "error":
          fail(frame.message);
          break;
        case "subscription_ack":
          if (!held.columnsAre(frame.schema)) fail("Select the primary key too: rows are told apart by it.");
          break;
        case "initial_data_batch":
          if (held.batch(frame)) {
            attempts = 0;
            told.state("live");
          }
          break;
        case "change":
          held.change(frame);
          break;
      }
    };
    mine.onclose = () => {
      clearInterval(ping);
      if (over) return;
      const pause = Math.min(LONGEST_PAUSE, 500 * 2 ** attempts++) * (0.5 + Math.random() / 2);
      told.state(`reconnecting in ${(pause / 1000).toFixed(1)} s`);
      timer = setTimeout(open, pause);
    };
  }

  told.state("loading");
  open();
  return end;
}

/** The rows of one connection. */
class Held {
  #rows = new Map();
  #loaded = false;

  constructor(told, send) {
    this.told = told;
    this.send = send;
  }

  /** False when rows can not be told apart. */
  columnsAre(schema) {
    this.columns = schema.filter((column) => !["_seq", "_deleted"].includes(column.name));
    this.key = schema.filter((column) => column.flags?.includes("pk")).map((column) => column.name);
    return this.key.length > 0;
  }

  #keyOf(row) {
    return JSON.stringify(this.key.map((name) => row[name]));
  }

  #cells(row) {
    return this.columns.map((column) => row[column.name] ?? null);
  }

  /** True with the last batch of the snapshot. */
  batch({ rows, batch_control: control }) {
    for (const row of rows) this.#rows.set(this.#keyOf(row), this.#cells(row));
    if (control.has_more) {
      this.send({ type: "next_batch", subscription_id: "page", last_seq_id: control.last_seq_id });
      return false;
    }
    this.#loaded = true;
    this.told.reset(this.columns, this.#rows);
    return true;
  }

  change({ change_type: kind, rows = [], old_values: old = [] }) {
    if (kind === "delete") {
      for (const row of old) {
        const key = this.#keyOf(row);
        if (this.#rows.delete(key)) this.told.removed(key);
      }
      return;
    }
    for (const row of rows) {
      // A column that is not there is NULL.
      const [key, now] = [this.#keyOf(row), this.#cells(row)];
      const before = this.#rows.get(key);
      this.#rows.set(key, now);
      if (!this.#loaded) continue;
      if (before === undefined) this.told.added(key, now);
      else this.told.changed(key, before, now);
    }
  }
}
