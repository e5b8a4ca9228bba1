import assert from "node:assert/strict";
import { test } from "node:test";
import { KalamError, type TopicRecord } from "kalam-live";
import { type Place, place, soon, until } from "./support.mjs";

const code = (expected: string) => (error: unknown) => error instanceof KalamError && error.code === expected;

/** A namespace with a table `t` that feeds the topic `events`. */
async function topic(): Promise<Place & { name: string }> {
  const own = await place("id BIGINT PRIMARY KEY, v TEXT, at TIMESTAMP");
  await own.client.execute(`CREATE TOPIC ${own.ns}.events`);
  await own.client.execute(
    `ALTER TOPIC ${own.ns}.events ADD SOURCE ${own.ns}.t ON INSERT WITH (payload = 'full')`,
  );
  return { ...own, name: `${own.ns}.events`, [Symbol.asyncDispose]: async () => own.client.close() };
}

async function insert({ client, ns }: Place, ...ids: number[]): Promise<void> {
  for (const id of ids)
    await client.execute(`INSERT INTO ${ns}.t VALUES ($1, $2, '2026-01-02')`, [id, `row ${id}`]);
}

async function acked({ client, ns }: Place): Promise<unknown> {
  const sql = "SELECT last_acked_offset AS n FROM system.topic_offsets WHERE topic_id = $1";
  return (await client.queryOne(sql, [`${ns}.events`]))?.n;
}

test("poll, mark, commit", async () => {
  await using own = await topic();
  await insert(own, 7, 8);
  const consumer = own.client.consumer({
    topic: own.name,
    groupId: "g",
    start: "earliest",
    autoCommit: false,
  });
  const records: TopicRecord[] = [];
  while (records.length < 2) records.push(...(await soon(consumer.poll())));
  const [first] = records as [TopicRecord];
  assert.deepEqual(first.row, { id: 7n, v: "row 7", at: new Date("2026-01-02") });
  assert.deepEqual(
    [first.topic, first.partition, first.offset, first.key, first.op],
    [own.name, 0, 0, "7", "insert"],
  );
  assert.deepEqual([first.user, first.problem], [null, null]);
  assert.ok(first.timestamp instanceof Date && Object.isFrozen(first));
  assert.equal((JSON.parse(new TextDecoder().decode(first.payload)) as { id: string }).id, "7");
  consumer.markProcessed(first);
  assert.deepEqual(await consumer.commit(), { nextOffset: 1, heldBack: 0 });
  assert.deepEqual(consumer.offsets(), { position: 2, committed: 1, heldBack: 0, unfinished: 1 });
  await consumer.close();
  await assert.rejects(consumer.poll(), code("closed"));
  assert.equal(await acked(own), 0n);
});

test("a loop says that the record before is finished, and leaving it does not", async () => {
  await using own = await topic();
  await insert(own, 0, 1, 2);
  const consumer = own.client.consumer({ topic: own.name, groupId: "g", start: "earliest" });
  for await (const record of consumer) if (record.offset === 1) break;
  assert.equal(await acked(own), 0n);
});

test("a poll that is given up loses nothing, and two at once are refused", async () => {
  await using own = await topic();
  await using consumer = own.client.consumer({ topic: own.name, groupId: "g", start: "earliest" });
  const giveUp = new AbortController();
  const waiting = consumer.poll(60_000, giveUp.signal);
  await assert.rejects(consumer.poll(), code("invalid_argument"));
  giveUp.abort();
  await assert.rejects(waiting, (error: Error) => error.name === "AbortError");
  await insert(own, 0, 1);
  const offsets: number[] = [];
  while (offsets.length < 2) offsets.push(...(await soon(consumer.poll())).map((record) => record.offset));
  assert.deepEqual(offsets, [0, 1]);
});

test("a worker loop", async () => {
  await using own = await topic();
  await insert(own, ...Array(20).keys());
  await using consumer = own.client.consumer({ topic: own.name, groupId: "g", start: "earliest" });
  const stop = new AbortController();
  const seen = new Set<string | null>();
  const failed = new Map<number, string>();
  let most = 0;
  let running = 0;
  const summary = consumer.run(
    async (record) => {
      most = Math.max(most, ++running);
      try {
        if (record.key === "3") throw new Error("three");
        if (record.key === "4") await new Promise(() => {});
        await new Promise((resolve) => setImmediate(resolve));
        seen.add(record.key);
      } finally {
        running--;
      }
    },
    {
      concurrency: 4,
      maxAttempts: 2,
      backoff: 1,
      maxBackoff: 10,
      timeout: 100,
      deadLetterTopic: `${own.ns}.dead`,
      signal: stop.signal,
      onFailed: (record, error) => {
        failed.set(record.offset, error);
        return record.key === "4" ? "skip" : undefined;
      },
    },
  );
  await until(() => seen.size === 18 && failed.size === 2);
  stop.abort();
  assert.deepEqual(await soon(summary), { handled: 18, failed: 2 });
  assert.deepEqual([failed.get(3), failed.get(4)], ["three", "the handler took longer than 100 ms"]);
  assert.ok(most > 1, "at the same time");
  const dead = await own.client.query(`SELECT source_offset, error FROM ${own.ns}.dead`);
  assert.deepEqual([...dead], [{ source_offset: 3n, error: "three" }]);
  assert.equal(await acked(own), 19n);
  await consumer.seek(18);
  assert.deepEqual(
    (await soon(consumer.poll())).map((record) => record.offset),
    [18, 19],
  );
});

test("what a handler throws may be anything", async () => {
  await using own = await topic();
  await insert(own, 0, 1, 2, 3);
  await using consumer = own.client.consumer({ topic: own.name, groupId: "g", start: "earliest" });
  const thrown = [Object.create(null), undefined, Object.assign(new Error(), { message: 7 })] as const;
  const stop = new AbortController();
  const failed: string[] = [];
  const summary = consumer.run(
    (record) => {
      if (record.offset === 3) return stop.abort();
      throw thrown[record.offset];
    },
    {
      maxAttempts: 1,
      signal: stop.signal,
      onFailed: (_, error) => {
        failed.push(error);
        return "skip";
      },
    },
  );
  assert.deepEqual(await soon(summary), { handled: 1, failed: 3 });
  assert.deepEqual(failed, ["what was thrown has no text", "undefined", "7"]);
});

test("what onFailed should not answer ends the loop and loses nothing", async () => {
  await using own = await topic();
  await insert(own, 0, 1, 2);
  for (const answer of ["later", true, {}]) {
    await using consumer = own.client.consumer({
      topic: own.name,
      groupId: `g ${String(answer)}`,
      start: "earliest",
    });
    const handled: number[] = [];
    const run = consumer.run(
      (record) => {
        handled.push(record.offset);
        if (record.offset === 1) throw new Error("on purpose");
      },
      { maxAttempts: 1, onFailed: () => answer as never },
    );
    await assert.rejects(soon(run), code("invalid_argument"));
    // The next one, of another key, may have been begun with the decision.
    assert.deepEqual(handled.slice(0, 2), [0, 1]);
    assert.deepEqual(await consumer.commit(), { nextOffset: 1, heldBack: handled.length - 2 });
  }
});

test("a signal ends a loop that waits", async () => {
  await using own = await topic();
  const stop = new AbortController();
  const consumer = own.client.consumer({ topic: own.name, groupId: "g", signal: stop.signal });
  const next = consumer.next();
  stop.abort(new Error("enough"));
  await assert.rejects(soon(next), { message: "enough" });
});

test("what is wrong", async () => {
  await using own = await topic();
  await using none = own.client.consumer({ topic: `${own.ns}.none`, groupId: "g" });
  await assert.rejects(soon(none.poll()), code("not_found"));
  assert.throws(
    () => own.client.consumer({ topic: own.name, groupId: "g", maxPollRecords: 0 }),
    code("config"),
  );
  assert.throws(() => own.client.consumer({ topic: own.name } as never), TypeError);
  assert.throws(
    () => own.client.consumer({ topic: own.name, groupId: "g", start: "middle" as never }),
    TypeError,
  );
  await using consumer = own.client.consumer({ topic: own.name, groupId: "g" });
  await assert.rejects(
    consumer.run(() => {}, { concurrency: 0 }),
    code("config"),
  );
  await assert.rejects(consumer.run(undefined as never), TypeError);
  assert.deepEqual(await consumer.poll(10), []);
});
