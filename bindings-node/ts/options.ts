/** The options of clients and subscriptions. */

import { readFileSync } from "node:fs";
import * as is from "./check.js";
import { KalamError } from "./errors.js";
import type { Connecting, Subscribing } from "./native.js";
import type { BigintMode, Checkpoint, ClientEvents, Param, Schema, TimestampMode } from "./types.js";

/** What {@link connect} takes. Every time is in milliseconds. */
export interface ConnectOptions {
  /**
   * The server: `http`, `https`, `ws` or `wss`. Without it an embedded server is started in this process, in memory;
   * `embedded:PATH` keeps its data in the directory PATH. Either stops with the client, whose user is `root` unless
   * `user` says otherwise.
   */
  url?: string | undefined;
  /** Several nodes of one cluster, in place of `url`; attempts to connect rotate over them. */
  urls?: readonly string[] | undefined;
  /** Logs in with `password`. */
  user?: string | undefined;
  /** Of `user`. For an embedded server and the user `root` it is also set there. */
  password?: string | undefined;
  /** An access token (JWT) in place of a user. */
  token?: string | undefined;
  /** Returns a token; asked again when the server no longer accepts the last one. */
  tokenProvider?: (() => string | Promise<string>) | undefined;
  /** Of tables that are named without one. */
  namespace?: string | undefined;
  /** `connect` (10,000), `auth` (10,000), `request` (30,000), `subscribe` (15,000), `keepalive` (5,000), `pong` (5,000). */
  timeouts?: Partial<Record<(typeof TIMEOUTS)[number], number>> | undefined;
  /** Whether to connect again after a loss. */
  reconnect?: boolean | undefined;
  /** Upper bound of the first wait before that (1,000). It doubles each time. */
  reconnectDelay?: number | undefined;
  /** Upper bound of every wait (30,000). */
  reconnectMaxDelay?: number | undefined;
  /** Failures in a row after which to give up (never). */
  reconnectAttempts?: number | undefined;
  /** For every request, for gateways in front of the server. */
  headers?: Readonly<Record<string, string>> | undefined;
  /** Certificate authorities to trust beside those of the system: PEM, or the path of a PEM file. */
  tlsCa?: string | Uint8Array | undefined;
  /** The certificate chain to present, as `tlsCa`. */
  tlsClientCert?: string | Uint8Array | undefined;
  /** The private key of `tlsClientCert`, as `tlsCa`. */
  tlsClientKey?: string | Uint8Array | undefined;
  /** `http://[user:password@]host:port`. */
  proxy?: string | undefined;
  userAgent?: string | undefined;
  /** Whether the server may compress what it sends. */
  compression?: boolean | undefined;
  /** Greatest frame or answer that is accepted (64 MiB). */
  maxMessageBytes?: number | undefined;
  /** What BIGINT columns are shown as (`"bigint"`). */
  bigint?: BigintMode | undefined;
  /** What TIMESTAMP columns are shown as (`"date"`). */
  timestamp?: TimestampMode | undefined;
  /** The same as `client.on("connect", ...)`, from the first attempt on. */
  onConnect?: (() => unknown) | undefined;
  /** The same as `client.on("disconnect", ...)`. */
  onDisconnect?: ((...event: ClientEvents["disconnect"]) => unknown) | undefined;
  /** The same as `client.on("error", ...)`, from the first attempt on. */
  onError?: ((...event: ClientEvents["error"]) => unknown) | undefined;
}

/** What live rows and events begin with. */
interface SubscribeOptions {
  /** A name of your choice, for `cancelSubscription`; unique among the open ones of a client. */
  id?: string | undefined;
  /** Begin with so many of the newest rows, rather than all. */
  lastRows?: number | undefined;
  /** Rows in one page of what it begins with. Without it the client takes what suits the server. */
  batchSize?: number | undefined;
  /** Only rows written after this. */
  from?: Checkpoint | undefined;
  /** Called with the place to go on from when rows or an event are handed out. */
  onCheckpoint?: ((checkpoint: string) => unknown) | undefined;
  /** Ends the subscription; the loop throws the signal's reason. */
  signal?: AbortSignal | undefined;
}

/** How live rows are loaded and shown. */
export interface LiveOptions<T> extends SubscribeOptions {
  /** Show at most so many rows: with `orderBy` the first of that order, without it the most recently written. */
  limit?: number | undefined;
  /** The columns that identify a row, rather than the primary key. */
  keyColumns?: readonly string[] | undefined;
  /** Sort, as `"priority DESC, created_at"`. Without it rows stand in the order in which they arrived. */
  orderBy?: string | undefined;
  /**
   * Check the rows against the server: `false` never, a number every so many milliseconds. By default as often as the
   * server makes it necessary, which the embedded one does not.
   */
  verify?: boolean | number | undefined;
  /** Also show rows while the first snapshot is loading, in the phase `loading`. */
  partial?: boolean | undefined;
  /** Checks and converts each row: a zod schema, or anything with such a `parse`. */
  schema?: Schema<T> | undefined;
}

/** What a stream of events begins with. */
export interface EventOptions extends SubscribeOptions {
  /** `false`: begin with nothing, and see only what happens from now on. */
  initialData?: boolean | undefined;
}

/** How a query is made. */
export interface QueryOptions<T> {
  /** Gives the query up; the call rejects with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Checks and converts each row: a zod schema, or anything with such a `parse`. */
  schema?: Schema<T> | undefined;
}

/** The values of `$1`, `$2` and so on. */
export type Params = readonly Param[];

const TIMEOUTS = ["connect", "auth", "request", "subscribe", "keepalive", "pong"] as const;
const EMBEDDED = "embedded:";

const CONNECT: Record<keyof ConnectOptions, is.Rule> = {
  url: is.text,
  urls: is.texts,
  user: is.text,
  password: is.text,
  token: is.text,
  tokenProvider: is.callback,
  namespace: is.text,
  timeouts: is.record(is.milliseconds, [...TIMEOUTS]),
  reconnect: is.flag,
  reconnectDelay: is.milliseconds,
  reconnectMaxDelay: is.milliseconds,
  reconnectAttempts: is.count,
  headers: is.record(is.text),
  tlsCa: is.pem,
  tlsClientCert: is.pem,
  tlsClientKey: is.pem,
  proxy: is.text,
  userAgent: is.text,
  compression: is.flag,
  maxMessageBytes: is.count,
  bigint: is.oneOf("bigint", "number", "string"),
  timestamp: is.oneOf("date", "microseconds"),
  onConnect: is.callback,
  onDisconnect: is.callback,
  onError: is.callback,
};

const SUBSCRIBE: Record<keyof SubscribeOptions, is.Rule> = {
  id: is.text,
  lastRows: is.count,
  batchSize: is.count,
  from: {
    is: "a bigint or string",
    check: (value) => typeof value === "bigint" || typeof value === "string",
  },
  onCheckpoint: is.callback,
  signal: is.signal,
};

const LIVE: Record<keyof LiveOptions<unknown>, is.Rule> = {
  ...SUBSCRIBE,
  limit: is.count,
  keyColumns: is.texts,
  orderBy: is.text,
  verify: is.either(is.flag, is.milliseconds),
  partial: is.flag,
  schema: is.schema,
};

const EVENTS: Record<keyof EventOptions, is.Rule> = { ...SUBSCRIBE, initialData: is.flag };

const QUERY: Record<keyof QueryOptions<unknown>, is.Rule> = { signal: is.signal, schema: is.schema };

/** @internal */
export function connecting(options: ConnectOptions): Connecting {
  is.checkOptions(options, CONNECT);
  const { url, urls, user, password, tlsClientCert, tlsClientKey } = options;
  if (url !== undefined && urls !== undefined)
    throw new KalamError("config", "give `url` or `urls`, not both");
  if ((tlsClientCert === undefined) !== (tlsClientKey === undefined)) {
    throw new KalamError("config", "give `tlsClientCert` and `tlsClientKey` together");
  }
  const embedded = urls === undefined && (url === undefined || url.startsWith(EMBEDDED));
  const directory = embedded ? url?.slice(EMBEDDED.length) : undefined;
  if (directory === "") {
    const hint = `write ${EMBEDDED}PATH, or leave the URL out for one in memory`;
    throw new KalamError("config", `"${EMBEDDED}" names no directory: ${hint}`);
  }
  const { bigint, timestamp, onConnect, onDisconnect, onError, tokenProvider, ...rest } = options;
  return defined({
    ...rest,
    urls: embedded ? undefined : [...(urls ?? [url!])],
    url: undefined,
    directory,
    rootPassword: embedded && user === "root" ? password : undefined,
    tokenProvider: tokenProvider !== undefined,
    timeouts: defined(options.timeouts ?? {}),
    reconnect: options.reconnect ?? true,
    headers: defined(options.headers ?? {}),
    compression: options.compression ?? true,
    tlsCa: readPem("tlsCa", options.tlsCa),
    tlsClientCert: readPem("tlsClientCert", tlsClientCert),
    tlsClientKey: readPem("tlsClientKey", tlsClientKey)?.toString(),
  }) as unknown as Connecting;
}

/** @internal */
export function checkLive(options: LiveOptions<unknown>): Subscribing {
  is.checkOptions(options, LIVE);
  const { onCheckpoint, signal, schema, from, ...rest } = options;
  return defined({ ...rest, from: from?.toString() }) as Subscribing;
}

/** @internal */
export function checkEvents(options: EventOptions): Subscribing {
  is.checkOptions(options, EVENTS);
  const { onCheckpoint, signal, from, ...rest } = options;
  return defined({ ...rest, from: from?.toString() }) as Subscribing;
}

/** Comes before the SQL is sent: with a signal that was aborted already nothing must happen. @internal */
export function checkQuery(options: QueryOptions<unknown>): void {
  is.checkOptions(options, QUERY);
  options.signal?.throwIfAborted();
}

/** Without what is `undefined`. */
function defined<T extends object>(options: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined)) as never;
}

function readPem(option: string, source: string | Uint8Array | undefined): Buffer | undefined {
  if (source === undefined) return undefined;
  if (source instanceof Uint8Array) return Buffer.from(source);
  if (source.includes("-----BEGIN")) return Buffer.from(source);
  try {
    return readFileSync(source);
  } catch (error) {
    const reason = (error as NodeJS.ErrnoException).code ?? String(error);
    throw new KalamError("config", `option \`${option}\`: can not read ${source}: ${reason}`);
  }
}
