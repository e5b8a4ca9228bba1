/** Makes events out of packets. */

import type { Decoder } from "./decode.js";
import { scratch } from "./scratch.js";
import type { KalamEvent } from "./types.js";

/** Words of an event in the lists. */
const WORDS = 14;

/** How checkpoints are spelled, but for the version in the middle. */
type Spelling = readonly [before: string, after: string];

/** An event, and where to go on after it. */
export class Told<T> {
  constructor(
    readonly event: KalamEvent<T>,
    readonly version: bigint | undefined,
    readonly spelling: Spelling,
  ) {}

  get checkpoint(): string | undefined {
    return this.version === undefined ? undefined : this.spelling.join(this.version.toString());
  }
}

/** Reads the events of one subscription. */
export class EventReader<T> {
  #spelling: Spelling = ["", ""];

  /** The events of the packet in the scratch buffer. */
  read(decoder: Decoder): Told<T>[] {
    decoder.readColumns();
    const rows = decoder.readPlain() as T[];
    const count = scratch.listed / WORDS;
    const told: Told<T>[] = [];
    let next = 0;
    for (let i = 0; i < count; i++) {
      const at = i * WORDS;
      const length = scratch.word(at + 1);
      const oldLength = scratch.word(at + 2);
      const own = rows.slice(next, next + length);
      const old = rows.slice(next + length, next + length + oldLength);
      next += length + oldLength;
      const spelling = scratch.note(at + 12)?.split("\n");
      if (spelling) this.#spelling = [spelling[0]!, spelling[1] ?? ""];
      told.push(new Told(Object.freeze(event<T>(at, own, old)), scratch.version(at + 10), this.#spelling));
    }
    scratch.shrink();
    return told;
  }
}

function event<T>(at: number, rows: T[], oldRows: Partial<T>[]): KalamEvent<T> {
  switch (scratch.word(at)) {
    case 0:
      return { type: "ack" };
    case 1: {
      const hasMore = scratch.word(at + 3) !== 0;
      return { type: "initial_data_batch", rows, hasMore, lastSeqId: scratch.version(at + 4) };
    }
    case 2:
      return { type: "insert", rows, lastSeqId: scratch.version(at + 4) };
    case 3:
      return { type: "update", rows, oldRows, lastSeqId: scratch.version(at + 4) };
    case 4:
      return { type: "delete", rows, lastSeqId: scratch.version(at + 4) };
    case 5:
      return { type: "resumed" };
    case 6:
      return { type: "gap_possible", message: scratch.note(at + 8) ?? "" };
    case 7:
      return { type: "lagged", dropped: scratch.double(at + 6) };
    default:
      return { type: "unknown" };
  }
}
