/** The core's log as events. */

import { EventEmitter } from "node:events";
import { callEach } from "./callbacks.js";
import { native } from "./native.js";
import { ready } from "./wait.js";

export type LogLevel = "trace" | "debug" | "info" | "warn" | "error";

export interface LogLine {
  /** How important it is. */
  readonly level: LogLevel;
  /** The part of the client that wrote it, such as `kalam_live::runtime::owner`. */
  readonly target: string;
  /** What happened, for a person. */
  readonly message: string;
}

/**
 * The log of every client of this process: `logs.on("line", ({ level, target, message }) => ...)`. Nothing is kept
 * before there is a listener.
 */
class Logs extends EventEmitter<{ line: [line: LogLine] }> {
  #level: LogLevel = "warn";
  #isPulled = false;

  constructor() {
    super();
    this.on("newListener" as never, (() => this.#pull()) as never);
  }

  /** Lines of this level and above are told. */
  get level(): LogLevel {
    return this.#level;
  }

  set level(level: LogLevel) {
    this.#level = level;
    if (this.#isPulled) new native.LogHandle(level);
  }

  #pull(): void {
    if (this.#isPulled) return;
    this.#isPulled = true;
    void this.#tell();
  }

  async #tell(): Promise<void> {
    const log = new native.LogHandle(this.#level);
    do {
      await ready(log, false);
      for (const line of log.take()) callEach("line", this.rawListeners("line"), [line]);
    } while (this.listenerCount("line") > 0);
    this.#isPulled = false;
    new native.LogHandle("off");
  }
}

export const logs: Logs = new Logs();
