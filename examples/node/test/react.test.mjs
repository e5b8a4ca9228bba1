import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { connect } from "kalam-live";
import { createElement, memo } from "react";
import { act, create } from "react-test-renderer";
import { useLiveRows } from "../react/useLiveRows.mjs";

globalThis.IS_REACT_ACT_ENVIRONMENT = true;
// The renderer says that it is deprecated; it is only used to run the hook.
const { error } = console;
console.error = (message, ...rest) => String(message).includes("deprecated") || error(message, ...rest);

let client;

before(async () => {
  client = await connect();
  await client.execute("CREATE NAMESPACE app");
  await client.execute("CREATE TABLE app.messages (id BIGINT PRIMARY KEY, room TEXT, body TEXT)");
  await client.execute(
    "INSERT INTO app.messages VALUES (1, 'main', 'hello'), (2, 'main', 'hi'), (3, 'other', 'hey')",
  );
});

after(() => client.close());

/** Looks again and again, while React does what there is to do. */
async function until(condition) {
  while (!(await condition())) await act(() => new Promise((resolve) => setTimeout(resolve, 5)));
}

let shown;
const rendered = [];

const Message = memo(({ row }) => {
  rendered.push(row.body);
  return createElement("li", null, row.body);
});

function Room({ room }) {
  const open = () => client.live("SELECT id, body FROM app.messages WHERE room = $1", [room]);
  shown = useLiveRows(open, [room]);
  return shown.rows.map((row) => createElement(Message, { key: row.id, row }));
}

function Broken() {
  shown = useLiveRows(() => client.live("SELECT id FROM app.nothing"));
  return null;
}

async function render(element) {
  let root;
  await act(async () => {
    root = create(element);
  });
  return root;
}

test("useLiveRows", async () => {
  const bodies = () => shown.rows.map((row) => row.body).join();
  const root = await render(createElement(Room, { room: "main" }));
  await until(() => bodies() === "hello,hi");
  assert.deepEqual([shown.phase, shown.error], ["live", undefined]);
  assert.deepEqual(rendered.splice(0), ["hello", "hi"]);

  await act(() => client.execute("UPDATE app.messages SET body = 'HI' WHERE id = 2"));
  await until(() => bodies() === "hello,HI");
  assert.deepEqual(rendered.splice(0), ["HI"], "an unchanged row is the same object, and skipped");

  await act(async () => root.update(createElement(Room, { room: "other" })));
  await until(() => bodies() === "hey");
  await until(async () => (await client.subscriptions()).length === 1);

  await act(async () => root.unmount());
  await until(async () => (await client.subscriptions()).length === 0);
});

test("useLiveRows shows an error", async () => {
  const root = await render(createElement(Broken));
  await until(() => shown.error);
  assert.equal(shown.error.code, "not_found");
  await act(async () => root.unmount());
});
