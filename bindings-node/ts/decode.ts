/** Makes frozen objects of the rows in the scratch buffer. */

import { endianness } from "node:os";
import { KalamError } from "./errors.js";
import type { Handle } from "./native.js";
import { scratch } from "./scratch.js";
import type { BigintMode, Column, Schema, TimestampMode } from "./types.js";
import { more, turn } from "./wait.js";

// The tags of bindings-common/src/packet.rs.
const NULL = 0;
const FALSE = 1;
const TRUE = 2;
const NUMBER = 3;
const BIGINT = 4;
const TIMESTAMP = 5;
const TEXT = 6;
const TEXT_UNICODE = 7;
const JSON_TEXT = 8;
const JSON_UNICODE = 9;
const BYTES = 10;
const EMBEDDING = 11;
const ABSENT = 12;
const INTEGER = 13;

const littleEndian = endianness() === "LE";

/** Shorter slices of a string are copies; longer ones would keep the text of the whole packet alive. */
const SHORT = 13;

/** How values are shown. */
export interface Modes {
  bigint: BigintMode;
  timestamp: TimestampMode;
}

/** Reads the rows of one handle. */
export class Decoder {
  columns: readonly Column[] = Object.freeze([]);
  #names: string[] = [];
  #Row = plainObject();
  /** Whether a column has the one name that assigning does not make a property of. */
  #oddName = false;

  constructor(
    readonly handle: Handle,
    readonly modes: Modes,
    readonly schema: Schema<unknown> | undefined,
  ) {}

  /** Takes over the columns that a packet announces. */
  readColumns(): void {
    if (!scratch.hasNewColumns) return;
    const columns = JSON.parse(this.handle.columns) as Column[];
    this.columns = Object.freeze(columns.map((column) => Object.freeze(column)));
    this.#names = columns.map((column) => column.name);
    this.#Row = plainObject();
    this.#oddName = this.#names.includes("__proto__");
  }

  /** All rows that the packet announces; those that did not fit into it are fetched in later turns of the event loop. */
  async readAll(isWanted: () => boolean = () => true): Promise<unknown[]> {
    const { total } = scratch;
    const rows: unknown[] = [];
    this.readInto(rows);
    while (rows.length < total) {
      await turn();
      if (!isWanted()) break;
      more(this.handle);
      if (scratch.rows === 0) throw new KalamError("protocol", "rows are missing: please report it");
      this.readInto(rows);
    }
    return rows;
  }

  /** The rows of this packet. */
  readInto(rows: unknown[]): void {
    this.#read(rows, this.schema);
    scratch.shrink();
  }

  /** The rows of this packet as they are, for events. */
  readPlain(): unknown[] {
    const rows: unknown[] = [];
    this.#read(rows, undefined);
    return rows;
  }

  #read(rows: unknown[], schema: Schema<unknown> | undefined): void {
    const { bytes, words, signed, doubles, integers, stride, columns, text: textStart, blobs } = scratch;
    const names = this.#names;
    const { bigint, timestamp } = this.modes;
    const text = bytes.latin1Slice(textStart, textStart + scratch.textLength);
    let tags = scratch.cells;
    for (let i = 0; i < scratch.rows; i++, tags += stride) {
      const row = new this.#Row();
      let slot = (tags + stride) / 8 - columns;
      for (let c = 0; c < columns; c++, slot++) {
        let value: unknown;
        const tag = bytes[tags + c];
        switch (tag) {
          case INTEGER:
            value = signed[slot * 2];
            break;
          case NUMBER:
            value = doubles[slot];
            break;
          case TEXT: {
            const start = words[slot * 2]!;
            const length = words[slot * 2 + 1]!;
            value =
              length < SHORT
                ? text.substring(start, start + length)
                : bytes.latin1Slice(textStart + start, textStart + start + length);
            break;
          }
          case BIGINT:
            value = bigint === "number" ? wide(slot) : integers[slot];
            if (bigint === "string") value = String(value);
            break;
          case NULL:
            value = null;
            break;
          case TIMESTAMP:
            value = timestamp === "date" ? toDate(slot) : integers[slot];
            break;
          case FALSE:
            value = false;
            break;
          case TRUE:
            value = true;
            break;
          case TEXT_UNICODE:
          case JSON_TEXT:
          case JSON_UNICODE: {
            const start = textStart + words[slot * 2]!;
            value = bytes.utf8Slice(start, start + words[slot * 2 + 1]!);
            if (tag !== TEXT_UNICODE) value = parse(value as string);
            break;
          }
          case BYTES:
          case EMBEDDING: {
            const start = blobs + words[slot * 2]!;
            const memory = bytes.buffer.slice(start, start + words[slot * 2 + 1]!);
            value = tag === BYTES ? new Uint8Array(memory) : new Float32Array(memory);
            break;
          }
          case ABSENT:
            continue;
        }
        if (this.#oddName) define(row, names[c]!, value);
        else row[names[c]!] = value;
      }
      rows.push(schema ? schema.parse(Object.freeze(row)) : Object.freeze(row));
    }
  }
}

function define(row: Record<string, unknown>, name: string, value: unknown): void {
  Object.defineProperty(row, name, { value, enumerable: true, configurable: true, writable: true });
}

/**
 * Makes plain objects, `{}`. The engine sees how many properties those of one such constructor get, and keeps room for
 * them in the object itself, which `{}` has for four.
 */
function plainObject(): new () => Record<string, unknown> {
  function Row() {}
  Row.prototype = Object.prototype;
  return Row as never;
}

/** A 64-bit integer as the nearest number, without a bigint on the way. */
function wide(slot: number): number {
  const [low, high] = littleEndian ? [slot * 2, slot * 2 + 1] : [slot * 2 + 1, slot * 2];
  return scratch.signed[high]! * 2 ** 32 + scratch.words[low]!;
}

/** Microseconds as a date; those beyond what a date can hold stay the integer. */
function toDate(slot: number): Date | bigint {
  const microseconds = wide(slot);
  if (Number.isSafeInteger(microseconds)) return new Date(Math.floor(microseconds / 1000));
  const exact = scratch.integers[slot]!;
  const date = new Date(Number((exact - (((exact % 1000n) + 1000n) % 1000n)) / 1000n));
  return Number.isNaN(date.getTime()) ? exact : date;
}

/** JSON of a cell, frozen as its row is. A column type of a newer server may hold what is no JSON. */
function parse(text: string): unknown {
  try {
    return freeze(JSON.parse(text));
  } catch {
    return text;
  }
}

function freeze(value: unknown): unknown {
  if (typeof value !== "object" || value === null) return value;
  for (const part of Object.values(value)) freeze(part);
  return Object.freeze(value);
}

/**
 * A copy that `JSON.stringify` takes: BIGINT as digits, whatever its size, BYTES and EMBEDDING as arrays of numbers.
 * Dates are left to it.
 */
export function toJSON(value: unknown): unknown {
  if (typeof value === "bigint") return value.toString();
  if (typeof value !== "object" || value === null || value instanceof Date) return value;
  if (value instanceof Uint8Array || value instanceof Float32Array || Array.isArray(value)) {
    return Array.from(value as ArrayLike<unknown>, toJSON);
  }
  return Object.fromEntries(Object.entries(value).map(([key, field]) => [key, toJSON(field)]));
}
