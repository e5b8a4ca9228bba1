/** Consumers of topics. */

import * as is from "./check.js";
import { Decoder, type Modes } from "./decode.js";
import { errorOf, KalamError, report } from "./errors.js";
import type { Consuming, Handle, NativeConsumer, NativeWork } from "./native.js";
import { scratch } from "./scratch.js";
import type { Row } from "./types.js";
import { answer, ENDED, NOTHING, ready, take, turn } from "./wait.js";

/** What {@link Client.consumer} takes. Every time is in milliseconds. */
export interface ConsumerOptions {
  /** The topic, with its namespace: `app.orders`. */
  topic: string;
  /** The consumers that share the records; the server keeps their progress. */
  groupId: string;
  /** Where a group begins that is new (`"latest"`). */
  start?: "latest" | "earliest" | number | undefined;
  /** The partition to read (0). */
  partitionId?: number | undefined;
  /** The most records that one poll gives (100). */
  maxPollRecords?: number | undefined;
  /** How long a poll waits for records (30,000). */
  pollTimeout?: number | undefined;
  /** Whether what was marked is committed by itself (`true`). */
  autoCommit?: boolean | undefined;
  /** How long what was marked may wait for that (5,000). */
  autoCommitInterval?: number | undefined;
  /**
   * Closes the consumer, once a loop that is at a record asks for the next one: that record is finished and committed, and the
   * loop throws the signal's reason.
   */
  signal?: AbortSignal | undefined;
}

/** One record of a topic: what was done to a row. */
export interface TopicRecord<T = Row> {
  /** The topic, with its namespace. */
  readonly topic: string;
  readonly partition: number;
  /** Its place in the partition. */
  readonly offset: number;
  /** The primary key of the row, as text. */
  readonly key: string | null;
  /** What was done to the row. */
  readonly op: "insert" | "update" | "delete";
  /** When; in the form of TIMESTAMP columns. */
  readonly timestamp: Date | bigint;
  /** Owner of the row, where it has one. */
  readonly user: string | null;
  /** The bytes of the record: JSON, unless somebody else writes to the topic. */
  readonly payload: Uint8Array;
  /** What of the record could not be read; the rest is as good as it gets. */
  readonly problem: string | null;
  /** The payload as a row, each cell typed by its column; `null` when it is no row of a table that may be read. */
  readonly row: T | null;
}

/** What a commit did. */
export interface Committed {
  /** The first offset that the group has not committed, as far as this consumer knows. */
  readonly nextOffset: number;
  /** Records that are finished and not committed yet: something before them is not. */
  readonly heldBack: number;
}

/** Where a consumer and its group are. */
export interface ConsumerOffsets {
  /** The offset of the next record that will be handed out, as far as is known. */
  readonly position: number;
  /** The first offset that the group has not committed, as far as this consumer knows. */
  readonly committed: number;
  readonly heldBack: number;
  /** Records that were handed out and are not finished. */
  readonly unfinished: number;
}

/** What becomes of a record that failed. */
export type FailedAction = "skip" | "hold" | undefined;

/** How {@link Consumer.run} works. Every time is in milliseconds. */
export interface RunOptions<T = Row> {
  /** Records that are handled at the same time, of different keys (1). */
  concurrency?: number | undefined;
  /** How often a record is handled before it has failed (3). */
  maxAttempts?: number | undefined;
  /** The first pause between attempts, at most (250); it doubles each time. */
  backoff?: number | undefined;
  /** Every pause, at most (5,000, or `backoff` if that is more). */
  maxBackoff?: number | undefined;
  /** How long one attempt may take (no limit). What runs longer is not stopped, but counts as failed. */
  timeout?: number | undefined;
  /**
   * Decides about a record that failed: `"skip"` counts it as finished, `"hold"` keeps it unfinished (no commit passes it,
   * those of its key that follow wait, and the server delivers it again). Without an answer it goes to the dead letter
   * topic if there is one, and is held otherwise. When it throws, that is reported and the record held; any other answer ends the
   * loop with the code `invalid_argument`, and the record is held.
   */
  onFailed?: ((record: TopicRecord<T>, error: string) => FailedAction | Promise<FailedAction>) | undefined;
  /** `namespace.name` of a table, and of the topic that it feeds; both are made when they are missing. */
  deadLetterTopic?: string | undefined;
  /** Stops it: nothing more is begun; what runs is finished and committed. */
  signal?: AbortSignal | undefined;
}

/** What a worker loop did. */
export interface RunSummary {
  readonly handled: number;
  readonly failed: number;
}

const OPTIONS: Record<string, is.Rule> = {
  topic: is.text,
  groupId: is.text,
  start: is.either(is.oneOf("latest", "earliest"), is.count),
  partitionId: is.count,
  maxPollRecords: is.count,
  pollTimeout: is.milliseconds,
  autoCommit: is.flag,
  autoCommitInterval: is.milliseconds,
  signal: is.signal,
};

const RUN: Record<string, is.Rule> = {
  concurrency: is.count,
  maxAttempts: is.count,
  backoff: is.milliseconds,
  maxBackoff: is.milliseconds,
  timeout: is.milliseconds,
  onFailed: is.callback,
  deadLetterTopic: is.text,
  signal: is.signal,
};

/** @internal */
export function consuming(options: ConsumerOptions): Consuming {
  is.checkOptions(options ?? null, OPTIONS);
  const { signal: _, start, ...rest } = options;
  if (rest.topic === undefined || rest.groupId === undefined) {
    throw new TypeError("options `topic` and `groupId` are needed");
  }
  const consuming = defined(rest) as Consuming;
  if (start !== undefined) consuming.start = String(start);
  return consuming;
}

/** Without what is `undefined`: the native half has the defaults. */
function defined<O extends object>(options: O): { [K in keyof O]: Exclude<O[K], undefined> } {
  const given = Object.entries(options).filter(([, value]) => value !== undefined);
  return Object.fromEntries(given) as { [K in keyof O]: Exclude<O[K], undefined> };
}

/** Records taken from the native half at once, at most. */
const MOST = 1024;
/** After so many records that were handled at once, everything else has a turn. */
const TURN = 256;

interface Job<T> {
  record: TopicRecord<T>;
  error: string | null;
}

/** Reads the records of one handle. */
class RecordReader<T> {
  readonly #decoder: Decoder;

  constructor(
    handle: Handle,
    modes: Modes,
    readonly topic: string,
    readonly partition: number,
  ) {
    this.#decoder = new Decoder(handle, modes, undefined);
  }

  /** The records of the packet in the scratch buffer. */
  read(): Job<T>[] {
    this.#decoder.readColumns();
    const rows = this.#decoder.readPlain() as Record<string, unknown>[];
    scratch.shrink();
    const own = this.#decoder.columns.filter((column) => !column.name.startsWith("@"));
    return rows.map((flat) => {
      const row = flat["@row"] ? Object.fromEntries(own.map(({ name }) => [name, flat[name]])) : null;
      const record = {
        topic: this.topic,
        partition: this.partition,
        offset: flat["@offset"],
        key: flat["@key"],
        op: flat["@op"],
        timestamp: flat["@timestamp"],
        user: flat["@user"],
        payload: flat["@payload"],
        problem: flat["@problem"],
        row: row && Object.freeze(row),
      } as TopicRecord<T>;
      return { record: Object.freeze(record), error: flat["@error"] as string | null };
    });
  }
}

/**
 * One member of a group of consumers that share the records of a topic: see {@link Client.consumer}.
 *
 * Every record is handed out at least once: what was not finished before the consumer ended, or within the server's
 * visibility timeout, is delivered again, to this or another member.
 */
export class Consumer<T = Row> implements AsyncIterableIterator<TopicRecord<T>>, AsyncDisposable {
  readonly #native: NativeConsumer;
  readonly #options: ConsumerOptions;
  readonly #modes: Modes;
  /** @internal Kept as long as this: its embedded server stops when nobody holds it. */
  protected readonly client: object;
  #records: TopicRecord<T>[] = [];
  #current: TopicRecord<T> | undefined;

  /** @internal */
  constructor(client: object, consumer: NativeConsumer, options: ConsumerOptions, modes: Modes) {
    if (consumer.failure) throw errorOf(consumer.failure);
    this.client = client;
    this.#native = consumer;
    this.#options = options;
    this.#modes = modes;
    const self = new WeakRef(this);
    const abort = () => {
      const consumer = self.deref();
      // The record that a loop is at is still to be marked: the loop closes when it goes on.
      if (consumer && !consumer.#current) void consumer.close();
    };
    options.signal?.addEventListener("abort", abort, { once: true });
    if (options.signal?.aborted) abort();
  }

  /**
   * The next records, at most `maxPollRecords`; none when there were none within `timeout` milliseconds. With a signal that
   * aborts, the records that it waited for are there for the next poll.
   */
  async poll(timeout?: number, signal?: AbortSignal): Promise<TopicRecord<T>[]> {
    if (timeout !== undefined && !is.milliseconds.check(timeout)) {
      throw new TypeError(`timeout must be ${is.milliseconds.is}`);
    }
    return this.#poll(timeout, signal, this.#options.maxPollRecords ?? 100);
  }

  async #poll(timeout: number | undefined, signal: AbortSignal | undefined, most: number) {
    signal?.throwIfAborted();
    const handle = this.#native.poll(timeout);
    const reader = new RecordReader<T>(
      handle,
      this.#modes,
      this.#options.topic,
      this.#options.partitionId ?? 0,
    );
    let abort: (() => void) | undefined;
    try {
      const waiting = ready(handle);
      if (waiting && signal) {
        const aborted = new Promise<void>((resolve) => {
          abort = resolve;
          signal.addEventListener("abort", resolve as () => void, { once: true });
        });
        await Promise.race([waiting, aborted]);
        if (signal.aborted) {
          handle.close();
          throw signal.reason;
        }
      } else {
        await waiting;
      }
      const records: TopicRecord<T>[] = [];
      while (take(handle, most) !== ENDED) for (const { record } of reader.read()) records.push(record);
      return records;
    } finally {
      if (abort) signal?.removeEventListener("abort", abort);
    }
  }

  /** The record is finished. It is committed with the next commit, once everything before it is finished too. */
  markProcessed(record: TopicRecord<T>): void {
    this.#native.mark(record.offset);
  }

  /** Commits what is finished, as far as nothing before it is unfinished. What is held back is committed later by itself. */
  commit(): Promise<Committed> {
    return answer(this.#native.commit());
  }

  /** As {@link commit}, without waiting: a failure is logged, and tried again with the next commit. */
  commitLater(): void {
    this.#native.commitLater();
  }

  /** Moves the **group** to `offset`, also back, and goes on there. Stop its other members before. */
  async seek(offset: number): Promise<void> {
    if (!is.count.check(offset)) throw new TypeError(`offset must be ${is.count.is}`);
    await answer(this.#native.seek(offset));
    this.#records = [];
    this.#current = undefined;
  }

  /** The offset of the next record that will be handed out, as far as is known. */
  get position(): number {
    return this.#records[0]?.offset ?? this.offsets().position;
  }

  /** Where the consumer and its group are. */
  offsets(): ConsumerOffsets {
    return JSON.parse(this.#native.offsets()) as ConsumerOffsets;
  }

  /** Commits what may be committed and ends, within five seconds. May be called often. */
  async close(): Promise<void> {
    await answer(this.#native.close());
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  /** The next record, however long it takes. Asking for it says that the one before is finished. */
  async next(): Promise<IteratorResult<TopicRecord<T>, undefined>> {
    if (this.#current) {
      this.#native.mark(this.#current.offset);
      this.#current = undefined;
    }
    const { signal } = this.#options;
    // After the end nothing that was taken is begun: its commit would come too late.
    while (!this.#native.isClosed && !signal?.aborted) {
      // Reversed, so that the first is cheap to take.
      this.#current = this.#records.pop();
      if (this.#current) return { value: this.#current, done: false };
      try {
        this.#records = (await this.#poll(undefined, undefined, MOST)).reverse();
      } catch (error) {
        if (error instanceof KalamError && error.code === "closed") break;
        // What may pass is waited out; a poll takes long enough not to be a busy loop.
        if (!(error instanceof KalamError && error.retryable)) throw error;
      }
    }
    await this.close();
    signal?.throwIfAborted();
    return { value: undefined, done: true };
  }

  /** A loop that is left closes the consumer; the record that it was at is not finished. */
  async return(): Promise<IteratorResult<TopicRecord<T>, undefined>> {
    await this.close();
    return { value: undefined, done: true };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }

  /**
   * Handles records until the signal aborts: those of one key one after the other, those of different keys at the same time,
   * failures again after a pause. Commits what is finished.
   *
   * ```ts
   * await consumer.run(async (record) => console.log(record.op, record.row), { concurrency: 8, signal });
   * ```
   */
  async run(handler: (record: TopicRecord<T>) => unknown, options: RunOptions<T> = {}): Promise<RunSummary> {
    if (typeof handler !== "function") throw new TypeError("the handler must be a function");
    is.checkOptions(options, RUN);
    const { concurrency, maxAttempts, backoff, maxBackoff, deadLetterTopic, signal } = options;
    const given = { concurrency, maxAttempts, backoff, maxBackoff, deadLetterTopic };
    const work = this.#native.run({ ...defined(given), onFailed: options.onFailed !== undefined });
    const stop = () => work.stop();
    signal?.addEventListener("abort", stop, { once: true });
    if (signal?.aborted) stop();
    try {
      const jobs = work.jobs();
      const reader = new RecordReader<T>(
        jobs,
        this.#modes,
        this.#options.topic,
        this.#options.partitionId ?? 0,
      );
      await this.#work(work, jobs, reader, handler, options);
    } finally {
      signal?.removeEventListener("abort", stop);
      work.stop();
    }
    const { handled, failed } = JSON.parse(work.summary()) as RunSummary;
    return { handled, failed };
  }

  async #work(
    work: NativeWork,
    jobs: Handle,
    reader: RecordReader<T>,
    handler: (record: TopicRecord<T>) => unknown,
    options: RunOptions<T>,
  ): Promise<void> {
    const running = new Set<Promise<void>>();
    for (let taken = 0; ; taken++) {
      const length = take(jobs, MOST);
      if (length === ENDED) return;
      if (length === NOTHING) {
        await ready(jobs);
        continue;
      }
      for (const { record, error } of reader.read()) {
        const done =
          error === null
            ? attempt(work, record, handler, options.timeout)
            : decide(work, record, error, options);
        running.add(done);
        void done.finally(() => running.delete(done));
      }
      if (taken % TURN === TURN - 1) await turn();
    }
  }
}

async function attempt<T>(
  work: NativeWork,
  record: TopicRecord<T>,
  handler: (record: TopicRecord<T>) => unknown,
  timeout: number | undefined,
): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  try {
    const handling = handler(record);
    if (timeout === undefined) {
      await handling;
    } else {
      const late = new Promise((_, reject) => {
        timer = setTimeout(() => reject(new Error(`the handler took longer than ${timeout} ms`)), timeout);
      });
      await Promise.race([handling, late]);
    }
    work.handled(record.offset);
  } catch (error) {
    work.handled(record.offset, textOf(error));
  } finally {
    clearTimeout(timer);
  }
}

/** What was thrown, whatever it is, as text. */
function textOf(thrown: unknown): string {
  try {
    return String(thrown instanceof Error ? thrown.message : thrown);
  } catch {
    return "what was thrown has no text";
  }
}

async function decide<T>(
  work: NativeWork,
  record: TopicRecord<T>,
  error: string,
  options: RunOptions<T>,
): Promise<void> {
  let action: string | undefined;
  try {
    const decided: unknown = await options.onFailed?.(record, error);
    // What is no word ends the loop, as a word does that is none of them.
    if (decided !== undefined && decided !== null) {
      action = typeof decided === "string" ? decided : `a ${typeof decided}`;
    }
  } catch (failure) {
    report("onFailed", failure);
    action = "hold";
  }
  work.decide(record.offset, action);
}
