/**
 * Waiting: one callback wakes everything of this thread that became ready together.
 *
 * Only a wait that somebody asked for keeps the process alive; one for tokens and tidings does not.
 */

import { setInterval } from "node:timers";
import { errorOf } from "./errors.js";
import { type Handle, native, type Pollable, type Wakeups } from "./native.js";
import { scratch } from "./scratch.js";

const waiting = new Map<number, () => void>();
let wakeups: Wakeups | undefined;
let lastToken = 0;
let held = 0;
let keepAlive: NodeJS.Timeout | undefined;

function wake(): void {
  for (const token of wakeups!.drain()) {
    const resolve = waiting.get(token);
    waiting.delete(token);
    resolve?.();
  }
}

/** Resolves when there is something to take; `undefined` when there is already. Carries no data. */
export function ready(source: Pollable, holds = true): Promise<void> | undefined {
  wakeups ??= new native.Wakeups(wake);
  const token = (lastToken = (lastToken + 1) >>> 0);
  if (source.poll(wakeups, token)) return undefined;
  return new Promise((resolve) => {
    if (!holds) {
      waiting.set(token, resolve);
      return;
    }
    hold();
    waiting.set(token, () => {
      release();
      resolve();
    });
  });
}

function hold(): void {
  // The longest that a timer can wait; what it does is nothing.
  keepAlive ??= setInterval(() => {}, 0x7fffffff);
  if (held++ === 0) keepAlive.ref();
}

function release(): void {
  if (--held === 0) keepAlive!.unref();
}

/** What `Handle.take` returns in place of a length. */
export const NOTHING = -1;
export const ENDED = -2;
export const FAILED = -3;

/** Puts the next packet into the scratch buffer; `NOTHING` or `ENDED` if there is none. Throws what it failed with. */
export function take(handle: Handle, max = 0): number {
  return fetched(handle, handle.take(scratch.bytes, max));
}

/** Puts the rows that did not fit into the packet before into the scratch buffer. */
export function more(handle: Handle): void {
  fetched(handle, handle.more(scratch.bytes));
}

function fetched(handle: Handle, length: number): number {
  if (length === FAILED) throw errorOf(handle.failure);
  if (length > scratch.bytes.length) {
    scratch.grow(length);
    handle.copy(scratch.bytes);
  }
  return length;
}

/** Waits for a call, leaves its packet in the scratch buffer, and returns what `read` makes of it. */
export async function result<T>(handle: Handle, signal: AbortSignal | undefined, read: () => T): Promise<T> {
  const abort = () => handle.close();
  signal?.addEventListener("abort", abort, { once: true });
  try {
    await ready(handle);
    signal?.throwIfAborted();
    take(handle);
    return read();
  } finally {
    signal?.removeEventListener("abort", abort);
  }
}

/** Waits for a call whose result is JSON. */
export function answer<T>(handle: Handle, signal?: AbortSignal): Promise<T> {
  return result(handle, signal, () => JSON.parse(scratch.note(0) ?? "null") as T);
}

/** Lets everything else of the event loop have a turn. */
export function turn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
