/** Calls of the user's own code. What it throws is reported and ends nothing. */

import { errorOf, type KalamError, report } from "./errors.js";
import type { Inbox, Tiding, TokenRequest } from "./native.js";
import type { ClientEvents, Repair, State } from "./types.js";
import { ready } from "./wait.js";

/** Who is told what happens to a connection. */
export interface Audience {
  tell(event: keyof ClientEvents, argument: unknown): void;
}

type TokenProvider = () => string | Promise<string>;

/**
 * Answers and tells until the client is gone. Waiting for it does not keep the process alive, and the audience may be
 * collected meanwhile.
 */
export async function serve(
  inbox: Inbox,
  audience: WeakRef<Audience>,
  tokenProvider: TokenProvider | undefined,
): Promise<void> {
  for (;;) {
    await ready(inbox, false);
    const tidings = inbox.take();
    if (tidings === null) return;
    for (const tiding of tidings) {
      // A provider that never answers must not hold up what comes after.
      if (tiding.what === "token") void answer(tiding.request!, tokenProvider);
      else audience.deref()?.tell(tiding.what, argument(tiding));
    }
  }
}

function argument({ what, failure, text }: Tiding): KalamError | State | Repair | undefined {
  switch (what) {
    case "disconnect":
    case "error":
      return errorOf(failure);
    case "state":
      return text as State;
    case "repair":
      return JSON.parse(text!) as Repair;
    default:
      return undefined;
  }
}

async function answer(request: TokenRequest, provider: TokenProvider | undefined): Promise<void> {
  try {
    const token: unknown = await provider?.();
    if (typeof token !== "string") throw new TypeError(`it must return a string, not ${typeof token}`);
    request.resolve(token);
  } catch (error) {
    // The text of the user's own error; it is shown in the error of the call that needed the token.
    request.fail(
      `tokenProvider failed: ${error instanceof Error ? `${error.name}: ${error.message}` : error}`,
    );
  }
}

/** Calls each listener; one that throws does not keep the others from being called. */
export function callEach(name: string, listeners: readonly unknown[], args: unknown[]): void {
  for (const listener of listeners) void callOne(name, listener as (...args: unknown[]) => unknown, args);
}

async function callOne(
  name: string,
  listener: (...args: unknown[]) => unknown,
  args: unknown[],
): Promise<void> {
  try {
    await listener(...args);
  } catch (error) {
    report(`a listener of "${name}"`, error);
  }
}
