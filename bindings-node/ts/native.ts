/** The native half: finds the library that fits this machine, and says what it offers. */

import { readFileSync } from "node:fs";
import { join } from "node:path";

/** Wakes what waits: see wait.ts. */
export interface Wakeups {
  drain(): number[];
}

/** Something that can be waited for. */
export interface Pollable {
  /** Whether there is something to take. If not, `token` is woken as soon as there is. */
  poll(wakeups: Wakeups, token: number): boolean;
}

/** A running call, a live query, a stream of events. */
export interface Handle extends Pollable {
  /** The length of the packet, written to `buffer` if it fits; -1: nothing yet, -2: the end, -3: failed. */
  take(buffer: Buffer, max: number): number;
  more(buffer: Buffer): number;
  copy(buffer: Buffer): number;
  close(): void;
  readonly columns: string;
  readonly failure: Failure | null;
  readonly id: string | null;
}

export interface Failure {
  code: string;
  message: string;
  retryable: boolean;
  serverCode?: string;
}

export interface Upload {
  placeholder: string;
  name: string;
  mime?: string;
  content: Uint8Array;
}

/** Counts what was sent. */
export interface SentBytes {
  readonly sentBytes: number;
}

export interface TokenRequest {
  resolve(token: string): void;
  fail(reason: string): void;
}

export interface Tiding {
  what: "token" | "connect" | "disconnect" | "error" | "repair" | "state";
  failure?: Failure;
  text?: string;
  request?: TokenRequest;
}

export interface Inbox extends Pollable {
  take(): Tiding[] | null;
}

export interface Log extends Pollable {
  take(): { level: string; target: string; message: string }[];
}

export interface Connecting {
  urls?: string[];
  directory?: string;
  rootPassword?: string;
  user?: string;
  password?: string;
  token?: string;
  tokenProvider: boolean;
  namespace?: string;
  timeouts: Record<string, number>;
  reconnect: boolean;
  reconnectDelay?: number;
  reconnectMaxDelay?: number;
  reconnectAttempts?: number;
  headers: Record<string, string>;
  tlsCa?: Buffer;
  tlsClientCert?: Buffer;
  tlsClientKey?: string;
  proxy?: string;
  userAgent?: string;
  compression: boolean;
  maxMessageBytes?: number;
}

export interface Subscribing {
  id?: string;
  lastRows?: number;
  batchSize?: number;
  from?: string;
  initialData?: boolean;
  limit?: number;
  keyColumns?: string[];
  orderBy?: string;
  partial?: boolean;
  verify?: boolean | number;
}

export interface NativeClient {
  open(): Handle;
  inbox(): Inbox;
  query(sql: string, params: string | undefined, user: string | undefined): Handle;
  queryAll(sql: string, params: string | undefined): Handle;
  execute(sql: string, params: string | undefined, user: string | undefined): Handle;
  executeWithFiles(sql: string, params: string | undefined, files: Upload[], progress: SentBytes): Handle;
  downloadFile(file: string, table: string, user: string | undefined): Handle;
  batch(statements: [sql: string, params: string | undefined][]): Handle;
  consumer(options: Consuming): NativeConsumer;
  live(sql: string, params: string | undefined, table: boolean, options: Subscribing): Handle;
  liveEvents(sql: string, params: string | undefined, options: Subscribing): Handle;
  subscriptions(): Handle;
  cancelSubscription(id: string): Handle;
  connect(): Handle;
  disconnect(): Handle;
  health(): Handle;
  close(): Handle;
  networkChanged(): void;
  counters(): string;
  readonly state: string;
}

export interface Consuming {
  topic: string;
  groupId: string;
  start?: string;
  partitionId?: number;
  maxPollRecords?: number;
  pollTimeout?: number;
  autoCommit?: boolean;
  autoCommitInterval?: number;
}

export interface Working {
  concurrency?: number;
  maxAttempts?: number;
  backoff?: number;
  maxBackoff?: number;
  deadLetterTopic?: string;
  onFailed: boolean;
}

export interface NativeConsumer {
  poll(timeout: number | undefined): Handle;
  mark(offset: number): void;
  commit(): Handle;
  commitLater(): void;
  seek(offset: number): Handle;
  close(): Handle;
  offsets(): string;
  run(options: Working): NativeWork;
  readonly failure: Failure | null;
  readonly isClosed: boolean;
}

export interface NativeWork {
  jobs(): Handle;
  handled(offset: number, error?: string): void;
  decide(offset: number, action: string | undefined): void;
  stop(): void;
  summary(): string;
}

export interface NativeServer {
  start(
    directory: string | undefined,
    rootPassword: string | undefined,
    port: number,
    topicVisibility: number | undefined,
  ): Handle;
  stop(): Handle;
  readonly url: string | null;
  readonly rootPassword: string | null;
}

interface Native {
  Wakeups: new (callback: () => void) => Wakeups;
  Client: new (options: Connecting) => NativeClient;
  EmbeddedServer: new () => NativeServer;
  LogHandle: new (level: string) => Log;
  UploadProgress: new () => SentBytes;
  errorCodes(): string[];
}

/** The platforms for which a package `@kalam-live/PLATFORM` is published. */
const PLATFORMS = [
  "darwin-arm64",
  "darwin-x64",
  "linux-arm64-gnu",
  "linux-arm64-musl",
  "linux-x64-gnu",
  "linux-x64-musl",
  "win32-x64",
];

function platform(): string {
  const name = `${process.platform}-${process.arch}`;
  return process.platform === "linux" ? `${name}-${isMusl() ? "musl" : "gnu"}` : name;
}

function isMusl(): boolean {
  try {
    return readFileSync("/usr/bin/ldd", "utf8").includes("musl");
  } catch {
    // No ldd: Node.js itself knows the glibc that it runs on.
    const report = process.report as (NodeJS.ProcessReport & { excludeNetwork?: boolean }) | undefined;
    if (!report) return false;
    report.excludeNetwork = true;
    const { header } = report.getReport() as { header?: { glibcVersionRuntime?: string } };
    return header?.glibcVersionRuntime === undefined;
  }
}

function load(): Native {
  const name = platform();
  // Beside this package when it was built here, and else in a package of its own.
  const places = [join(__dirname, "..", "npm", name, "kalam-live.node"), `@kalam-live/${name}`];
  const reasons: string[] = [];
  for (const place of places) {
    try {
      return require(place) as Native;
    } catch (error) {
      const missing = (error as NodeJS.ErrnoException).code === "MODULE_NOT_FOUND";
      if (!missing) reasons.push(`${place}: ${(error as Error).message}`);
    }
  }
  throw new Error(explain(name, reasons));
}

function explain(name: string, reasons: string[]): string {
  if (reasons.length > 0) return `kalam-live can not load its native library: ${reasons.join("; ")}`;
  if (!PLATFORMS.includes(name)) {
    return `kalam-live has no native library for ${name}; there are ${PLATFORMS.join(", ")}`;
  }
  return (
    `kalam-live can not find its native library: the package @kalam-live/${name} is not installed. ` +
    "It is an optional dependency: install again without --omit=optional, on the platform it is to run on"
  );
}

export const native: Native = load();
