/** Live rows and events as async iterators. */

import { performance } from "node:perf_hooks";
import { Decoder, type Modes } from "./decode.js";
import { KalamError, report } from "./errors.js";
import { EventReader, type Told } from "./events.js";
import type { Handle } from "./native.js";
import { readRows } from "./rows.js";
import type { KalamEvent, Row, Rows, Schema } from "./types.js";
import { ENDED, NOTHING, ready, take } from "./wait.js";

/** @internal What a subscription is made of. */
export interface Parts {
  /** Kept as long as the subscription: its embedded server stops when nobody holds it. */
  client: object;
  /** Opens it; not called when the signal has aborted already. */
  open: () => Handle;
  modes: Modes;
  schema: Schema<unknown> | undefined;
  onCheckpoint: ((checkpoint: string) => unknown) | undefined;
  signal: AbortSignal | undefined;
}

/** The net for subscriptions that nobody closed: the end of their object ends them. */
const forgotten = new FinalizationRegistry<() => void>((end) => end());

/** Events of one packet, at most. */
const MOST_EVENTS = 1024;

/**
 * After rows that took long to make, the next are taken so many times as long later: a flood of changes then takes a
 * fifth of the event loop at most, and the more of it there is, the fewer states are made rows of.
 */
const PAUSE = 4;
/** In milliseconds. */
const MOST_PAUSE = 100;

/** What both kinds have in common. `P` is what one packet is read as, `T` what a loop sees. */
abstract class Subscription<P, T> implements AsyncIterableIterator<T>, AsyncDisposable {
  /** @internal */
  protected readonly decoder: Decoder | undefined;
  /** @internal */
  protected readonly client: object;
  readonly #onCheckpoint: Parts["onCheckpoint"];
  #checkpoint: string | undefined;
  #end: () => void = () => {};
  #onOver: (() => void) | undefined;
  #isOver = false;
  /** Why it is over, for the next call to tell. */
  #failure: { reason: unknown } | undefined;
  /** Calls of `next` that have no answer yet. */
  #waiting = 0;
  /** Resolves when every call that was made before has its answer. */
  #queue: Promise<unknown> | undefined;

  /** @internal */
  constructor({ client, open, modes, schema, onCheckpoint, signal }: Parts) {
    this.client = client;
    this.#onCheckpoint = onCheckpoint;
    if (signal?.aborted) {
      this.#isOver = true;
      this.#failure = { reason: signal.reason };
      return;
    }
    const handle = open();
    this.decoder = new Decoder(handle, modes, schema);
    // Neither of the two holds this object.
    const self = new WeakRef(this);
    const abort = () => self.deref()?.fail(signal?.reason);
    const end = () => {
      signal?.removeEventListener("abort", abort);
      handle.close();
    };
    signal?.addEventListener("abort", abort, { once: true });
    forgotten.register(this, end, this);
    this.#end = end;
  }

  /** The subscription's id, as `client.subscriptions()` lists it; `undefined` while it is being opened. */
  get id(): string | undefined {
    return this.decoder?.handle.id ?? undefined;
  }

  /** Throws when another loop waits already: each of the two would see a part only. */
  [Symbol.asyncIterator](): this {
    if (this.#waiting > 0) throw new Error("another loop waits for this already: open a live query for each");
    return this;
  }

  /** What comes next. Calls that are made at once are served in order. Rejects once with why it ended, if it failed. */
  abstract next(): Promise<IteratorResult<T, undefined>>;

  /** Ends the subscription at once, also while a `next` waits, which then is the end. May be called often. */
  async close(): Promise<void> {
    this.over();
  }

  async return(): Promise<IteratorResult<T, undefined>> {
    this.over();
    return { value: undefined, done: true };
  }

  async throw(error: unknown): Promise<IteratorResult<T, undefined>> {
    this.over();
    throw error;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.over();
  }

  /** @internal */
  protected get isOver(): boolean {
    return this.#isOver;
  }

  /** @internal */
  protected over(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    forgotten.unregister(this);
    this.#end();
    this.#onOver?.();
  }

  /** @internal Resolves after so many milliseconds, or when it is over. */
  protected sleep(milliseconds: number): Promise<void> {
    return new Promise((resolve) => {
      const awake = () => {
        clearTimeout(timer);
        this.#onOver = undefined;
        resolve();
      };
      const timer = setTimeout(awake, milliseconds);
      this.#onOver = awake;
    });
  }

  /** @internal */
  protected fail(reason: unknown): void {
    if (this.#isOver) return;
    this.#failure = { reason };
    this.over();
  }

  /** @internal Runs calls one after the other. `next` says how many calls of that name it is. */
  protected inOrder<R>(call: () => Promise<R>, next = 0): Promise<R> {
    const before = this.#queue;
    this.#waiting += next;
    const answer = before ? before.then(call) : call();
    const answered = () => {
      this.#waiting -= next;
    };
    const settled = answer.then(answered, answered);
    this.#queue = settled;
    void settled.then(() => {
      if (this.#queue === settled) this.#queue = undefined;
    });
    return answer;
  }

  /** @internal */
  protected get isIdle(): boolean {
    return this.#queue === undefined;
  }

  /** @internal Waits for the next packet and reads it; `undefined` at the end. */
  protected async pull(): Promise<P | undefined> {
    try {
      await this.pause();
      while (!this.#isOver) {
        const { handle } = this.decoder!;
        const wait = ready(handle);
        if (wait) await wait;
        if (this.#isOver) break;
        const start = performance.now();
        const length = take(handle, MOST_EVENTS);
        if (length === NOTHING) continue;
        if (length === ENDED) {
          this.over();
          break;
        }
        const packet = await this.read(this.decoder!);
        this.took(performance.now() - start);
        if (packet !== undefined) return packet;
      }
    } catch (reason) {
      this.fail(reason);
    }
    const failure = this.#failure;
    this.#failure = undefined;
    if (failure) throw failure.reason;
    return undefined;
  }

  /** @internal What has to pass before the next packet is taken. */
  protected pause(): Promise<void> | undefined {
    return undefined;
  }

  /** @internal So many milliseconds went into what was taken last. */
  protected took(_milliseconds: number): void {}

  /** @internal What the packet in the scratch buffer is; `undefined` when it is not wanted any more. */
  protected abstract read(decoder: Decoder): P | Promise<P | undefined>;

  /** @internal */
  protected handedOut(what: { readonly checkpoint: string | undefined }): void {
    if (!this.#onCheckpoint) return;
    const { checkpoint } = what;
    if (checkpoint === undefined || checkpoint === this.#checkpoint) return;
    this.#checkpoint = checkpoint;
    void call("onCheckpoint", this.#onCheckpoint, checkpoint);
  }
}

/** Calls what the user gave. What it throws or rejects with is reported. */
async function call(name: string, callback: (argument: string) => unknown, argument: string): Promise<void> {
  try {
    await callback(argument);
  } catch (error) {
    report(name, error);
  }
}

/**
 * The rows of a live query: `for await (const rows of client.live(sql))`.
 *
 * Each step of the loop gets the newest complete {@link Rows}; a slow loop skips the states between. Leaving the loop, by
 * whatever way, ends the subscription.
 */
export class LiveRows<T = Row> extends Subscription<Rows<T>, Rows<T>> {
  #newest: Rows<T> | undefined;
  #notBefore = 0;
  /** They were waited for by `loaded`, and no loop has seen them yet. */
  #first: Rows<T> | undefined;

  /** The rows that were handed out last; `undefined` before the first. */
  get rows(): Rows<T> | undefined {
    return this.#newest;
  }

  /** Waits until the first rows are there. They are still the first that a loop sees. */
  loaded(): Promise<Rows<T>> {
    return this.inOrder(async () => {
      if (this.#newest) return this.#newest;
      const rows = await this.pull();
      if (!rows) throw new KalamError("closed", "the live query was closed before its rows were there");
      this.#newest = this.#first = rows;
      return rows;
    });
  }

  next(): Promise<IteratorResult<Rows<T>, undefined>> {
    return this.inOrder(async () => {
      const first = this.isOver ? undefined : this.#first;
      const rows = first ?? (await this.pull());
      this.#first = undefined;
      if (!rows) return { value: undefined, done: true };
      this.#newest = rows;
      this.handedOut(rows);
      return { value: rows, done: false };
    }, 1);
  }

  /** @internal */
  protected override pause(): Promise<void> | undefined {
    const left = this.#notBefore - performance.now();
    return left >= 1 && !this.isOver ? this.sleep(left) : undefined;
  }

  /** @internal */
  protected override took(milliseconds: number): void {
    this.#notBefore = performance.now() + Math.min(milliseconds * PAUSE, MOST_PAUSE);
  }

  /** @internal */
  protected override read(decoder: Decoder): Promise<Rows<T> | undefined> {
    return readRows<T>(decoder, this.#newest ?? [], () => !this.isOver);
  }
}

/** The events of a live query: `for await (const event of client.liveEvents(sql))`. */
export class LiveEvents<T = Row> extends Subscription<Told<T>[], KalamEvent<T>> {
  /** Those that no loop has seen yet, the next one last. */
  #coming: Told<T>[] = [];
  /** The last one that was handed out. */
  #last: Told<T> | undefined;
  readonly #reader = new EventReader<T>();

  /**
   * Where to go on after the event that was handed out last: keep it, and give it back as `from`. `undefined` before the
   * first rows, and between the pages of what it begins with.
   */
  get checkpoint(): string | undefined {
    return this.#last?.checkpoint;
  }

  next(): Promise<IteratorResult<KalamEvent<T>, undefined>> {
    if (this.isIdle) {
      const event = this.#pop();
      if (event) return Promise.resolve({ value: event, done: false });
    }
    return this.inOrder(async () => {
      const event = this.#pop() ?? (await this.#fill());
      return event ? { value: event, done: false } : { value: undefined, done: true };
    }, 1);
  }

  /** All events that are there, at least one; none when there will be no more. Cheaper than a loop over each. */
  take(): Promise<KalamEvent<T>[]> {
    return this.inOrder(async () => {
      const coming = this.isOver ? [] : this.#coming.reverse();
      this.#coming = [];
      const told = coming.length > 0 ? coming : ((await this.pull()) ?? []);
      return told.map((each) => this.#handOut(each));
    });
  }

  async #fill(): Promise<KalamEvent<T> | undefined> {
    this.#coming = ((await this.pull()) ?? []).reverse();
    return this.#pop();
  }

  #pop(): KalamEvent<T> | undefined {
    if (this.isOver) return undefined;
    const told = this.#coming.pop();
    return told && this.#handOut(told);
  }

  #handOut(told: Told<T>): KalamEvent<T> {
    this.#last = told;
    this.handedOut(told);
    return told.event;
  }

  /** @internal */
  protected override read(decoder: Decoder): Told<T>[] {
    return this.#reader.read(decoder);
  }
}
