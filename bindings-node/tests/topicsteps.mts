// The steps of scenarios about consumers of topics.

import assert from "node:assert/strict";
import type { Client, Consumer, ConsumerOptions, TopicRecord } from "kalam-live";

// biome-ignore lint/suspicious/noExplicitAny: the steps are data
type Step = Record<string, any>;

const milliseconds = (seconds: number | undefined) => (seconds === undefined ? undefined : seconds * 1000);

/** Part of the player. */
export class TopicSteps {
  readonly consumers = new Map<string, Consumer>();
  /** What each was given, by offset. */
  readonly #given = new Map<string, Map<number, TopicRecord>>();

  async consumer(client: Client, step: Step): Promise<void> {
    const { topic, group: groupId, options = {} } = step;
    const { start, partition, max_poll_records, auto_commit, auto_commit_interval, poll_timeout } = options;
    const wanted: ConsumerOptions = {
      topic,
      groupId,
      start,
      partitionId: partition,
      maxPollRecords: max_poll_records,
      autoCommit: auto_commit,
      autoCommitInterval: milliseconds(auto_commit_interval),
      pollTimeout: milliseconds(poll_timeout),
    };
    this.consumers.set(step.consumer, client.consumer(wanted));
    this.#given.set(step.consumer, new Map());
  }

  async poll(_client: Client, { poll: name, records: expected = [], timeout }: Step): Promise<void> {
    const records: TopicRecord[] = [];
    do records.push(...(await this.consumers.get(name)!.poll(milliseconds(timeout))));
    while (records.length < expected.length);
    compare(records, expected);
    for (const record of records) this.#given.get(name)!.set(record.offset, record);
  }

  async iterate(client: Client, { iterate: name, records: expected, closes_client }: Step): Promise<void> {
    const records: TopicRecord[] = [];
    for await (const record of this.consumers.get(name)!) {
      records.push(record);
      if (records.length !== expected.length) continue;
      if (!closes_client) break;
      await client.close();
    }
    compare(records, expected);
  }

  async mark(_client: Client, { mark: name, offsets }: Step): Promise<void> {
    for (const offset of offsets)
      this.consumers.get(name)!.markProcessed(this.#given.get(name)!.get(offset)!);
  }

  async commit(_client: Client, step: Step): Promise<void> {
    const { nextOffset: next_offset, heldBack: held_back } = await this.consumers.get(step.commit)!.commit();
    among({ next_offset, held_back }, step);
  }

  async commit_later(_client: Client, step: Step): Promise<void> {
    this.consumers.get(step.commit_later)!.commitLater();
  }

  async seek(_client: Client, step: Step): Promise<void> {
    await this.consumers.get(step.seek)!.seek(step.to);
  }

  async position(_client: Client, step: Step): Promise<void> {
    assert.equal(this.consumers.get(step.position)!.position, step.is);
  }

  async offsets(_client: Client, step: Step): Promise<void> {
    const { heldBack: held_back, ...rest } = this.consumers.get(step.offsets)!.offsets();
    assert.deepEqual({ ...rest, held_back }, step.are);
  }

  async run(_client: Client, step: Step): Promise<void> {
    const { fails = [], on_failed = {}, options = {} } = step;
    const { max_attempts, dead_letter_topic, concurrency } = options;
    const keys: (string | null)[] = [];
    let failures = 0;
    let attempts = 0;
    const stop = new AbortController();
    const look = () => {
      if (keys.length + failures >= step.handled + step.failed) stop.abort();
    };
    const summary = await this.consumers.get(step.run)!.run(
      ({ key }) => {
        attempts++;
        if (fails.includes(key)) throw new Error("on purpose");
        keys.push(key);
        look();
      },
      {
        concurrency,
        maxAttempts: max_attempts,
        backoff: 1,
        maxBackoff: 5,
        deadLetterTopic: dead_letter_topic,
        signal: stop.signal,
        onFailed: ({ key }, error) => {
          assert.equal(error, "on purpose");
          failures++;
          look();
          return on_failed[key!];
        },
      },
    );
    among({ ...summary, attempts, keys: keys.sort() }, step);
  }
}

/** Compares those of our values that the step names. */
function among(ours: Step, step: Step): void {
  for (const [name, value] of Object.entries(ours))
    if (name in step) assert.deepEqual(value, step[name], name);
}

/** Compares what is named of each record. */
function compare(records: TopicRecord[], expected: Step[]): void {
  assert.deepEqual(
    records.map(({ offset }) => offset),
    expected.map(({ offset }) => offset),
  );
  for (const [i, named] of expected.entries()) {
    const record = records[i]!;
    const ours: Step = {
      ...record,
      problem: record.problem !== null,
      row: record.row && plain(Object.values(record.row)),
    };
    for (const name of Object.keys(named))
      assert.deepEqual(ours[name], named[name], `${name} of ${record.offset}`);
  }
}

/** Cells without a scheme of columns: every integer is a number. */
export const plain = (cells: unknown[]) =>
  cells.map((cell) => (typeof cell === "bigint" ? Number(cell) : cell));
