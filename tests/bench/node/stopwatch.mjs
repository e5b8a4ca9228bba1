// Time and memory of this process.

import { readFileSync } from "node:fs";
import { performance } from "node:perf_hooks";
import { memoryUsage, pid } from "node:process";

/**
 * Wall time; how long the event loop was busy meanwhile, which is wall time too and so includes waiting for a core; and the
 * CPU time of the thread that it runs on.
 */
export class Stopwatch {
  #start = performance.now();
  #loop = performance.eventLoopUtilization();
  #cpu = threadNanoseconds();

  read() {
    const { active } = performance.eventLoopUtilization(this.#loop);
    return {
      seconds: (performance.now() - this.#start) / 1000,
      busySeconds: active / 1000,
      cpuSeconds: (threadNanoseconds() - this.#cpu) / 1e9,
    };
  }
}

/** Of the main thread, whose number is the one of the process. */
function threadNanoseconds() {
  return Number(readFileSync(`/proc/self/task/${pid}/schedstat`, "utf8").split(" ")[0]);
}

/** The longest time that the event loop was kept from anything else, measured by how late a timer of 1 ms is. */
export class Pulse {
  #last = performance.now();
  #longest = 0;
  #timer = setInterval(() => this.#beat(), 1);

  #beat() {
    const now = performance.now();
    this.#longest = Math.max(this.#longest, now - this.#last - 1);
    this.#last = now;
  }

  stop() {
    this.#beat();
    clearInterval(this.#timer);
    return { blockedSeconds: this.#longest / 1000 };
  }
}

export function residentBytes() {
  return memoryUsage().rss;
}
