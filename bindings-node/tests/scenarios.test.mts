// Plays `tests/scenarios` through the public API, against the embedded server or the one at `KALAM_TEST_URL`.

import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { after, test } from "node:test";
import {
  type Client,
  type Column,
  type Consumer,
  type Counters,
  connect,
  type FileRef,
  KalamError,
  type LiveEvents,
  type LiveRows,
  type Row,
  type RowList,
  type Rows,
  startEmbedded,
  type UploadProgress,
} from "kalam-live";
import { checkReplay } from "./replay.mjs";
import { PASSWORD, server, soon, until } from "./support.mjs";
import { plain as plainCells, TopicSteps } from "./topicsteps.mjs";

// biome-ignore lint/suspicious/noExplicitAny: the steps are data
type Step = Record<string, any>;

const DIRECTORY = join(import.meta.dirname, "..", "..", "..", "tests", "scenarios");
const SCENARIOS = readdirSync(DIRECTORY).filter((name) => name.endsWith(".json"));
const DAY = 86_400_000;
let count = 0;

interface Target {
  url: string;
  user: string;
  password: string;
}

/** Undefined where it can not be played: how long a consumer may hold a record is known of our own server only. */
async function target(topicVisibility: number | undefined): Promise<Target | undefined> {
  const { KALAM_TEST_URL: url, KALAM_TEST_USER: user, KALAM_TEST_PASSWORD: password } = process.env;
  if (url) return topicVisibility === undefined ? { url, user: user!, password: password! } : undefined;
  const own =
    topicVisibility !== undefined &&
    (await startEmbedded({ rootPassword: PASSWORD, topicVisibility: topicVisibility * 1000 }));
  if (own) after(() => own.close());
  return { url: (own || (await server())).url, user: "root", password: PASSWORD };
}

/** `{"bytes": [0, 255]}` among parameters are bytes. */
const withBytes = (_key: string, value: unknown) =>
  value instanceof Object && "bytes" in value && Array.isArray(value.bytes)
    ? Uint8Array.from(value.bytes)
    : value;

test("there are scenarios", () => {
  assert.ok(SCENARIOS.length > 20);
});

for (const file of SCENARIOS) {
  test(`scenario ${file}`, async () => {
    const ns = `s${process.pid}_${++count}`;
    const text = readFileSync(join(DIRECTORY, file), "utf8").replaceAll("{ns}", ns);
    const { steps, topic_visibility } = JSON.parse(text, withBytes);
    const at = await target(topic_visibility);
    if (!at) return;
    const client = await connect({ ...at, timestamp: "microseconds" });
    await client.execute(`CREATE NAMESPACE ${ns}`);
    const player = new Player(at, client, ns);
    const here = process.env.KALAM_TEST_URL ? "incomplete" : "complete";
    try {
      for (const step of steps) {
        if ((step.only ?? here) === here) await soon(player.play(step), 60_000);
      }
    } finally {
      await player.leave();
      await client.execute(`DROP NAMESPACE ${ns} CASCADE`);
      await client.close();
    }
  });
}

/** A cell as the wire writes it, which only the value of its column type becomes. */
function toWire(value: unknown, { type }: Column): unknown {
  if (value === null) return null;
  const kind = type.replace(/\(.*/, "");
  const wrong = () => assert.fail(`${String(value)} is not what a ${type} column gives`);
  switch (kind) {
    case "BOOLEAN":
      return typeof value === "boolean" ? value : wrong();
    case "SMALLINT":
    case "INT":
    case "FLOAT":
    case "DOUBLE":
      return typeof value === "number" ? value : wrong();
    case "BIGINT":
      return typeof value === "bigint" ? value.toString() : wrong();
    case "DECIMAL":
    case "TEXT":
    case "UUID":
      return typeof value === "string" ? value : wrong();
    case "TIMESTAMP":
    case "DATETIME":
      return typeof value === "bigint" ? Number(value) : wrong();
    case "DATE":
      return typeof value === "string" ? Date.parse(value) / DAY : wrong();
    case "TIME":
      return typeof value === "string" ? Date.parse(`1970-01-01T${value}Z`) * 1000 : wrong();
    case "JSON":
      return value;
    case "BYTES":
      return value instanceof Uint8Array ? [...value] : wrong();
    default:
      return wrong();
  }
}

const wire = (rows: RowList) =>
  rows.map((row) => rows.columns.map((column) => toWire(row[column.name], column)));

/** Cells without a scheme of columns: those of events and single rows. */
const plain = (row: Row): unknown[] => plainCells(Object.values(row));

/** In an order that does not depend on that of the server. */
const sorted = (rows: unknown[]) => rows.map((row) => JSON.stringify(row)).sort();

const content = ({ text, bytes }: Step): Uint8Array =>
  text === undefined
    ? Uint8Array.from({ length: bytes }, (_, n) => (n * 31) % 251)
    : new TextEncoder().encode(text);

/** The state of one scenario. */
class Player extends TopicSteps {
  readonly #target: Target;
  readonly #ns: string;
  readonly #clients: Map<string | undefined, Client>;
  readonly #lives = new Map<string, LiveRows>();
  readonly #shown = new Map<string, Rows>();
  readonly #streams = new Map<string, LiveEvents>();
  readonly #checkpoints = new Map<string, string>();
  readonly #kept = new Map<string, string>();

  constructor(target: Target, client: Client, ns: string) {
    super();
    this.#target = target;
    this.#ns = ns;
    this.#clients = new Map([[undefined, client]]);
  }

  async leave(): Promise<void> {
    for (const [name, client] of this.#clients) if (name !== undefined) await client.close();
  }

  async play(step: Step): Promise<void> {
    const what = Object.keys(step)[0]!;
    const client = this.#clients.get(step.on)!;
    const steps = this as unknown as Record<string, (client: Client, step: Step) => Promise<void>>;
    assert.ok(steps[what], `there is no step ${what} in ${this.#ns}`);
    try {
      await steps[what](client, step);
    } catch (error) {
      if (!(error instanceof KalamError)) throw error;
      assert.equal(error.code, step.error, `${JSON.stringify(step)}: ${error.message}`);
      return;
    }
    assert.equal(step.error, undefined, `${JSON.stringify(step)} should fail`);
  }

  // Statements.

  async execute(client: Client, step: Step): Promise<void> {
    const affected = await client.execute(step.execute, step.params);
    if ("affected" in step) assert.equal(affected, step.affected);
  }

  async fill(client: Client, { fill, from, to }: Step): Promise<void> {
    for (let start = from; start < to; start += 300) {
      const numbers = Array.from({ length: Math.min(300, to - start) }, (_, i) => start + i);
      const values = numbers.map((n) => `(${n}, 'v${n}')`).join(", ");
      await client.execute(`INSERT INTO ${fill} (id, v) VALUES ${values}`);
    }
  }

  async query(client: Client, step: Step): Promise<void> {
    const queries = step.as_user ? client.asUser(step.as_user) : client;
    const result = await queries.query(step.query, step.params);
    if (step.types)
      assert.deepEqual(
        result.columns.map((column) => column.type),
        step.types,
      );
    if (step.columns)
      assert.deepEqual(
        result.columns.map((column) => column.name),
        step.columns,
      );
    if (step.rows) assert.deepEqual(wire(result), step.rows);
  }

  async query_one(client: Client, step: Step): Promise<void> {
    const row = await client.queryOne(step.query_one, step.params);
    assert.deepEqual(row ? plain(row) : null, step.row);
  }

  async query_all(client: Client, step: Step): Promise<void> {
    const rows = await client.queryAll(step.query_all);
    const first = new Set(rows.map((row) => Object.values(row)[0]));
    assert.deepEqual([rows.length, first.size], [step.count, step.count]);
  }

  async batch(client: Client, step: Step): Promise<void> {
    const affected = await client.batch(step.batch);
    assert.equal(
      affected,
      step.affected.reduce((sum: number, n: number) => sum + n, 0),
    );
  }

  async execute_with_files(client: Client, step: Step): Promise<void> {
    const files = Object.fromEntries(
      Object.entries<Step>(step.files).map(([placeholder, file]) => [
        placeholder,
        { content: content(file), name: file.name, mime: file.mime },
      ]),
    );
    let last: UploadProgress | undefined;
    const onProgress = (progress: UploadProgress) => {
      last = progress;
    };
    const affected = await client.executeWithFiles(step.execute_with_files, files, step.params, {
      onProgress,
    });
    const totalBytes = Object.values(files).reduce((sum, file) => sum + file.content.length, 0);
    assert.deepEqual([affected, last], [step.affected, { sentBytes: totalBytes, totalBytes }]);
  }

  async download_file(client: Client, step: Step): Promise<void> {
    const row = await client.queryOne(step.download_file);
    const file = Object.values(row!)[0] as FileRef;
    const download = await client.downloadFile(file, step.table);
    assert.deepEqual([file.name, download.mime], [step.name, step.mime]);
    assert.ok(Buffer.from(content(step)).equals(download.content));
  }

  // Subscriptions.

  #options(step: Step): Step {
    const { from, last_rows, batch_size, key_columns, order_by, verify, ...rest } = step.options ?? {};
    const name = step[Object.keys(step)[0]!];
    return {
      ...rest,
      lastRows: last_rows,
      batchSize: batch_size,
      keyColumns: key_columns,
      orderBy: order_by,
      verify: typeof verify === "number" ? verify * 1000 : verify,
      from: typeof from === "object" ? this.#kept.get(from.checkpoint) : from?.toString(),
      onCheckpoint: (checkpoint: string) => this.#checkpoints.set(name, checkpoint),
    };
  }

  async live(client: Client, step: Step): Promise<void> {
    const live = client.live(step.sql, step.params, this.#options(step));
    await live.loaded();
    this.#lives.set(step.live, live);
  }

  async live_table(client: Client, step: Step): Promise<void> {
    const live = client.liveTable(step.table, this.#options(step));
    await live.loaded();
    this.#lives.set(step.live_table, live);
  }

  async live_events(client: Client, step: Step): Promise<void> {
    const { initial_data, ...options } = this.#options(step);
    const events = client.liveEvents(step.sql, step.params, { ...options, initialData: initial_data });
    if (step.error) await events.next();
    this.#streams.set(step.live_events, events);
  }

  async rows(client: Client, step: Step): Promise<void> {
    const name = step.rows;
    const selected = step.equal_select ? await client.queryAll(step.equal_select) : undefined;
    // KalamDB, which leaves things out, does not promise every order.
    const asSet =
      selected !== undefined || (step.order === "complete" && process.env.KALAM_TEST_URL !== undefined);
    const given: unknown[] = selected ? wire(selected) : (step.are ?? []);
    const expected = asSet ? sorted(given) : given;
    const shown = () => {
      const rows = this.#shown.get(name);
      return rows && (asSet ? sorted(wire(rows)) : wire(rows));
    };
    const isThere = () => {
      const rows = shown();
      return JSON.stringify(rows) === JSON.stringify(expected) && this.#shown.get(name)!.phase !== "loading";
    };
    try {
      const deadline = Date.now() + 10_000;
      while (!isThere()) await soon(this.#next(name), deadline - Date.now());
    } catch (error) {
      assert.deepEqual(shown(), expected, `${JSON.stringify(step)}: ${error}`);
      throw error;
    }
  }

  async #next(name: string): Promise<void> {
    const { value: rows } = await this.#lives.get(name)!.next();
    assert.ok(rows, `${name} has ended`);
    checkReplay(this.#shown.get(name) ?? [], rows);
    this.#shown.set(name, rows);
  }

  async phase(_client: Client, step: Step): Promise<void> {
    while (this.#shown.get(step.phase)!.phase !== step.is) await this.#next(step.phase);
  }

  async events(_client: Client, step: Step): Promise<void> {
    for (const [i, type] of step.types.entries()) {
      const { value: event } = await this.#streams.get(step.events)!.next();
      assert.equal(event?.type, type);
      const rows = event && "rows" in event ? event.rows.map(plain) : [];
      assert.deepEqual(rows, step.rows[i]);
    }
  }

  async checkpoint(_client: Client, step: Step): Promise<void> {
    this.#kept.set(step.as, this.#checkpoints.get(step.checkpoint)!);
  }

  #handle(name: string): LiveRows | LiveEvents | Consumer {
    return (this.#lives.get(name) ?? this.#streams.get(name) ?? this.consumers.get(name))!;
  }

  async close(_client: Client, step: Step): Promise<void> {
    await this.#handle(step.close).close();
  }

  async cancel(client: Client, step: Step): Promise<void> {
    await client.cancelSubscription(step.cancel);
  }

  async ended(_client: Client, step: Step): Promise<void> {
    for await (const _ of this.#handle(step.ended)) {
      // What is left before the end.
    }
  }

  async subscriptions(client: Client, step: Step): Promise<void> {
    const expected = JSON.stringify(step.subscriptions);
    await until(async () => JSON.stringify((await client.subscriptions()).map(({ id }) => id)) === expected);
  }

  // The connection.

  async client(_client: Client, step: Step): Promise<void> {
    const { url } = this.#target;
    this.#clients.set(step.client, await connect({ url, user: step.user, password: step.password }));
  }

  async disconnect(client: Client): Promise<void> {
    await client.disconnect();
  }

  async connect(client: Client): Promise<void> {
    await client.connect();
  }

  async network_changed(client: Client): Promise<void> {
    client.networkChanged();
  }

  async health(client: Client): Promise<void> {
    assert.equal((await client.health()).status, "healthy");
  }

  async counters(client: Client, step: Step): Promise<void> {
    assert.equal(client.counters()[step.counters as keyof Counters], step.is);
  }

  async state(client: Client, step: Step): Promise<void> {
    await until(() => client.state === step.state);
  }
}
