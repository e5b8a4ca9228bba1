/** Arrays of rows: the results of queries, and what turns one array of live rows into the next. */

import { type Decoder, toJSON } from "./decode.js";
import { scratch } from "./scratch.js";
import type { Change, Phase, QueryResult, RowList, Rows } from "./types.js";

// A kind of bindings-common/src/packet.rs.
const RESET = 3;

const PHASES: Phase[] = ["loading", "live", "reconnecting", "unverified", "partial"];

/**
 * Properties that do not show when the array is printed, compared or iterated. No getters: freezing an array that has one
 * makes V8 keep its elements in a hash table.
 */
function withProperties<R extends RowList<unknown>>(rows: unknown[], properties: PropertyDescriptorMap): R {
  Object.defineProperties(rows, { toJSON: { value: () => toJSON(rows) }, ...properties });
  return Object.freeze(rows) as unknown as R;
}

/** Makes the result of a query out of the packet in the scratch buffer and those that follow it. */
export async function readResult<T>(decoder: Decoder): Promise<QueryResult<T>> {
  decoder.readColumns();
  const rowCount = scratch.double(0);
  const message = scratch.note(2);
  const truncated = scratch.word(4) !== 0;
  const rows = await decoder.readAll();
  return withProperties<QueryResult<T>>(rows, {
    columns: { value: decoder.columns },
    rowCount: { value: rowCount },
    message: { value: message },
    truncated: { value: truncated },
  });
}

/** What a packet of live rows says, apart from new rows. */
interface Header {
  lastSeqId: bigint | undefined;
  checkpoint: string | undefined;
  phase: Phase;
}

/** Makes the next live rows out of `before` and the packets. `undefined` when they are not wanted any more. */
export async function readRows<T>(
  decoder: Decoder,
  before: readonly T[],
  isWanted: () => boolean,
): Promise<Rows<T> | undefined> {
  decoder.readColumns();
  const header: Header = {
    lastSeqId: scratch.version(0),
    phase: PHASES[scratch.word(2)]!,
    checkpoint: scratch.note(3),
  };
  if (scratch.kind === RESET) {
    const places = scratch.list(5, scratch.listed - 5);
    const fresh = (await decoder.readAll(isWanted)) as T[];
    if (!isWanted()) return undefined;
    return live(decoder, reset(before, places, fresh), header, [{ type: "reset" }]);
  }
  const lengths = [scratch.word(5), scratch.word(6), scratch.word(7)] as const;
  const removed = scratch.list(8, lengths[0]);
  const inserted = scratch.list(8 + lengths[0], lengths[1]);
  const updated = scratch.list(8 + lengths[0] + lengths[1], lengths[2]);
  const fresh = (await decoder.readAll(isWanted)) as T[];
  if (!isWanted()) return undefined;
  const changes: Change<T>[] = [];
  for (const index of removed) changes.push({ type: "remove", index, row: before[index]! });
  inserted.forEach((index, i) => {
    changes.push({ type: "insert", index, row: fresh[i]! });
  });
  const moved = removed.length + inserted.length > 0;
  const rows = moved ? merge(before, removed, inserted, fresh) : Array.from(before);
  for (let i = 0; i < updated.length; i++) {
    const index = updated[i]!;
    const row = fresh[inserted.length + i]!;
    changes.push({ type: "update", index, row, old: rows[index]! });
    rows[index] = row;
  }
  return live(decoder, rows, header, changes);
}

function live<T>(decoder: Decoder, rows: T[], header: Header, changes: Change<T>[]): Rows<T> {
  Object.defineProperty(changes, "toJSON", { value: () => toJSON(changes) });
  return withProperties<Rows<T>>(rows, {
    columns: { value: decoder.columns },
    lastSeqId: { value: header.lastSeqId },
    checkpoint: { value: header.checkpoint },
    phase: { value: header.phase },
    changes: { value: Object.freeze(changes) },
  });
}

/** `places`: for each row its place in `before` + 1, or 0 if it is the next of `fresh`. Empty: all are fresh. */
function reset<T>(before: readonly T[], places: Uint32Array, fresh: T[]): T[] {
  if (places.length === 0) return fresh;
  let next = 0;
  return Array.from(places, (place) => (place === 0 ? fresh[next++]! : before[place - 1]!));
}

/** One pass over the rows. `removed` are places in `before`, falling; `inserted` are places in the result, rising. */
function merge<T>(before: readonly T[], removed: Uint32Array, inserted: Uint32Array, fresh: T[]): T[] {
  const rows: T[] = [];
  let removal = removed.length - 1;
  let insertion = 0;
  for (let from = 0; ; from++) {
    while (insertion < inserted.length && inserted[insertion] === rows.length) rows.push(fresh[insertion++]!);
    if (from >= before.length) return rows;
    if (removal >= 0 && removed[removal] === from) removal--;
    else rows.push(before[from]!);
  }
}
