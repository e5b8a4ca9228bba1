/** Types of what the package gives and takes. */

import type { KalamError } from "./errors.js";

/** What a FILE column holds: where the bytes are. */
export interface FileRef {
  /** The server's id of the stored file. */
  readonly id: string;
  /** The sub-directory that the server put it in. */
  readonly sub: string;
  /** File name as uploaded. */
  readonly name: string;
  /** In bytes. */
  readonly size: number;
  /** MIME type. */
  readonly mime: string;
  /** Of the bytes, in hexadecimal. */
  readonly sha256: string;
}

/** What JSON can be. */
export type Json = null | boolean | number | string | readonly Json[] | { readonly [key: string]: Json };

/** What a cell can be; which one of these follows the type of its column. */
export type Cell = Json | bigint | Date | Uint8Array | Float32Array | FileRef;

/** A row that no type parameter says more about. */
export type Row = { readonly [column: string]: Cell };

/** What a parameter `$1`, `$2`, ... can be. */
export type Param =
  | null
  | undefined
  | boolean
  | number
  | bigint
  | string
  | Date
  | Uint8Array
  | Float32Array
  | readonly unknown[]
  | { readonly [key: string]: unknown };

/** A column of rows. */
export interface Column {
  /** As it is selected. */
  readonly name: string;
  /** As SQL spells it: `BIGINT`, `DECIMAL(18,4)`. */
  readonly type: string;
  /** Whether it is of the primary key. */
  readonly primaryKey: boolean;
  /** Whether it is never NULL. */
  readonly notNull: boolean;
}

/** Checks and converts rows: a zod schema, or anything with such a `parse`. */
export interface Schema<T> {
  parse(row: unknown): T;
}

/** What BIGINT columns are shown as. Numbers beyond 2^53 are rounded by `"number"`. */
export type BigintMode = "bigint" | "number" | "string";

/** What TIMESTAMP columns are shown as: a date, or microseconds since the epoch as a bigint. */
export type TimestampMode = "date" | "microseconds";

/** How far live rows can be believed. */
export type Phase = "loading" | "live" | "reconnecting" | "unverified" | "partial";

/** One difference between two lists of live rows. */
export type Change<T = Row> =
  /** `row` came in at `index`. */
  | { readonly type: "insert"; readonly index: number; readonly row: T }
  /** `old` became `row`, which is at `index`. */
  | { readonly type: "update"; readonly index: number; readonly row: T; readonly old: T }
  /** `row` left; it was at `index`. */
  | { readonly type: "remove"; readonly index: number; readonly row: T }
  /** Everything may have changed: the first rows, or more changes than rows. */
  | { readonly type: "reset" };

/** Rows as an array that can not be changed. */
export interface RowList<T = Row> extends ReadonlyArray<T> {
  /** The columns of the rows; empty when the server did not tell them. */
  readonly columns: readonly Column[];
  /** For `JSON.stringify`: a copy with BIGINT as digits and bytes as arrays of numbers. */
  toJSON(): unknown[];
}

/** What a query returned. */
export interface QueryResult<T = Row> extends RowList<T> {
  /** How many rows the statement returned or changed, as the server counted. */
  readonly rowCount: number;
  /** What the server says, such as `Inserted 1 row(s)`. */
  readonly message: string | undefined;
  /** Whether the server probably left rows out: KalamDB returns 50 rows without a LIMIT and 1,000 with any. */
  readonly truncated: boolean;
}

/** The rows of a live query at one moment. A row that has not changed is the same object (`===`) in the next one. */
export interface Rows<T = Row> extends RowList<T> {
  /**
   * What turns the rows before into these, when applied in order: removals from the last to the first, insertions from
   * the first to the last, updates. A single `reset` when everything may have changed.
   */
  readonly changes: readonly Change<T>[];
  /** The newest write that these rows have seen: a number that does not say whose it is. */
  readonly lastSeqId: bigint | undefined;
  /** Where to go on after these rows: keep it, and give it back as `from`. */
  readonly checkpoint: string | undefined;
  /** How far these rows can be believed. */
  readonly phase: Phase;
}

/** One thing that a subscription told, in the order in which the server told it. */
export type KalamEvent<T = Row> =
  /** The server has accepted the subscription. */
  | { readonly type: "ack" }
  /** A page of the rows as they were at the start. */
  | {
      readonly type: "initial_data_batch";
      readonly rows: readonly T[];
      readonly hasMore: boolean;
      readonly lastSeqId: bigint | undefined;
    }
  | { readonly type: "insert"; readonly rows: readonly T[]; readonly lastSeqId: bigint | undefined }
  /** `oldRows`: for each row the key and the changed columns as they were. */
  | {
      readonly type: "update";
      readonly rows: readonly T[];
      readonly oldRows: readonly Partial<T>[];
      readonly lastSeqId: bigint | undefined;
    }
  /** `rows`: as they were. */
  | { readonly type: "delete"; readonly rows: readonly T[]; readonly lastSeqId: bigint | undefined }
  /** The subscription goes on after a lost connection; nothing is missing, nothing comes twice. */
  | { readonly type: "resumed" }
  /** `message`: what may be missing, for a person. */
  | { readonly type: "gap_possible"; readonly message: string }
  /** The reader was too slow: so many events were dropped. The subscription goes on after the last one before. */
  | { readonly type: "lagged"; readonly dropped: number }
  /** What a newer server tells. */
  | { readonly type: "unknown" };

/**
 * Where to go on: `checkpoint` of rows or of a stream of events, or what `onCheckpoint` was called with.
 *
 * Its text says whose data it is of; at others everything is loaded instead, and `gap_possible` says so. A bare `lastSeqId`
 * is accepted too, and is unproven.
 */
export type Checkpoint = bigint | string;

/** The state of the connection. */
export type State = "idle" | "connecting" | "connected" | "reconnecting" | "closed";

/** An open subscription. */
export interface Subscription {
  /** Its name, for `cancelSubscription`. */
  readonly id: string;
  /** The SQL as the server gets it: parameters bound, key columns added. */
  readonly query: string;
  /** How far it is. */
  readonly stage: "waiting" | "subscribing" | "loading" | "ready";
  /** The newest write received. */
  readonly lastSeqId: bigint | undefined;
}

/** What the server says about its health. */
export interface Health {
  /** `healthy`, when it is. */
  readonly status: string;
  /** Of the server. */
  readonly version: string;
  /** Of its API, such as `v1`. */
  readonly apiVersion: string;
  /** When the server was built. */
  readonly buildDate: string;
}

/** What has been counted since the client was made. */
export interface Counters {
  /** Frames received. */
  readonly frames: number;
  /** Bytes received, as they were on the wire. */
  readonly bytes: number;
  /** Messages sent, pings aside. */
  readonly sent: number;
  /** Connections established. */
  readonly connects: number;
  /** Frames of a type that this version does not know. */
  readonly unknownFrames: number;
  /** Frames for subscriptions that are not open any more. */
  readonly lateFrames: number;
  /** How often a reader of events was too slow. */
  readonly lagged: number;
  /** Queries that checked live rows. */
  readonly verifyQueries: number;
  /** Checks that put rows right. */
  readonly verifyRepairs: number;
}

/** Rows of a live query were wrong, since the server had left something out, and were put right. */
export interface Repair {
  /** The id of the subscription. */
  readonly subscription: string;
  /** What it was that showed: `unconfirmed`, `mismatch`, `newest_rows`, `schema`, `reconnect` or `traffic`. */
  readonly reason: string;
  /** HTTP queries that it took. */
  readonly queries: number;
  /** Bytes of their answers. */
  readonly bytes: number;
  /** Rows that were missing. */
  readonly added: number;
  /** Rows with other content. */
  readonly changed: number;
  /** Rows that were gone. */
  readonly removed: number;
}

/** The events of a client, for `client.on`. */
export interface ClientEvents {
  /** The connection stands, for the first time or again. */
  connect: [];
  /** The connection is lost. */
  disconnect: [error: KalamError];
  /** Connecting failed, or the server reported an error that belongs to no call. Without a listener nothing happens. */
  error: [error: KalamError];
  /** The connection is in another state. */
  state: [state: State];
  repair: [repair: Repair];
}
