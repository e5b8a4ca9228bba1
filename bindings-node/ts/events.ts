/** Makes events out of packets. */

import type { Decoder } from "./decode.js";
import { scratch } from "./scratch.js";
import type { KalamEvent } from "./types.js";

/** Words of an event in the lists. */
const WORDS = 10;

/** The events of the packet in the scratch buffer. */
export function readEvents<T>(decoder: Decoder): KalamEvent<T>[] {
  decoder.readColumns();
  const rows = decoder.readPlain() as T[];
  const count = scratch.words[5]! / WORDS;
  const events: KalamEvent<T>[] = [];
  let next = 0;
  for (let i = 0; i < count; i++) {
    const at = i * WORDS;
    const length = scratch.word(at + 1);
    const oldLength = scratch.word(at + 2);
    const own = rows.slice(next, next + length);
    const old = rows.slice(next + length, next + length + oldLength);
    next += length + oldLength;
    events.push(Object.freeze(event(at, own, old)));
  }
  scratch.shrink();
  return events;
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
