import { EventEmitter } from "node:events";
import { type Audience, callEach, serve } from "./callbacks.js";
import { checkText } from "./check.js";
import { Consumer, type ConsumerOptions, consuming } from "./consumer.js";
import { Decoder, type Modes } from "./decode.js";
import {
  checkDownload,
  checkUpload,
  type DownloadOptions,
  type FileDownload,
  type Files,
  type UploadOptions,
  uploaded,
  uploads,
} from "./files.js";
import { type NativeClient, native } from "./native.js";
import {
  type ConnectOptions,
  checkEvents,
  checkLive,
  checkQuery,
  connecting,
  type EventOptions,
  type LiveOptions,
  type Params,
  type QueryOptions,
} from "./options.js";
import { encodeParams } from "./params.js";
import { readResult } from "./rows.js";
import { LiveEvents, LiveRows, type Parts } from "./subscription.js";
import type {
  ClientEvents,
  Counters,
  FileRef,
  Health,
  QueryResult,
  Row,
  RowList,
  State,
  Subscription,
} from "./types.js";
import { answer, result } from "./wait.js";

/** SQL as one user. */
export interface Queries {
  /**
   * The rows that `sql` returns. `params` are the values of `$1`, `$2` and so on.
   *
   * ```ts
   * const rows = await client.query<{ id: bigint; body: string }>("SELECT id, body FROM app.messages WHERE room = $1", ["main"]);
   * ```
   */
  query<T = Row>(sql: string, params?: Params | null, options?: QueryOptions<T>): Promise<QueryResult<T>>;
  /** The first row, or `undefined` when there is none. */
  queryOne<T = Row>(sql: string, params?: Params | null, options?: QueryOptions<T>): Promise<T | undefined>;
  /** Executes `sql` and resolves with how many rows it has changed. */
  execute(sql: string, params?: Params | null): Promise<number>;
}

/** A connection to a server: see {@link connect}. */
export class Client extends EventEmitter<ClientEvents> implements Queries, AsyncDisposable {
  readonly #native: NativeClient;
  readonly #modes: Modes;

  /** @internal */
  constructor(options: ConnectOptions) {
    super();
    this.#native = new native.Client(connecting(options));
    this.#modes = { bigint: options.bigint ?? "bigint", timestamp: options.timestamp ?? "date" };
    const { onConnect, onDisconnect, onError } = options;
    if (onConnect) this.on("connect", onConnect);
    if (onDisconnect) this.on("disconnect", onDisconnect);
    if (onError) this.on("error", onError);
  }

  /** @internal */
  async open(tokenProvider: ConnectOptions["tokenProvider"]): Promise<this> {
    void serve(this.#native.inbox(), new WeakRef<Audience>(this), tokenProvider);
    await answer(this.#native.open());
    return this;
  }

  /** @internal */
  tell(name: keyof ClientEvents, argument: unknown): void {
    callEach(name, this.rawListeners(name), argument === undefined ? [] : [argument]);
  }

  async query<T = Row>(
    sql: string,
    params?: Params | null,
    options: QueryOptions<T> = {},
  ): Promise<QueryResult<T>> {
    return this.#query<T>(undefined, sql, params, options);
  }

  async queryOne<T = Row>(
    sql: string,
    params?: Params | null,
    options: QueryOptions<T> = {},
  ): Promise<T | undefined> {
    return (await this.#query<T>(undefined, sql, params, options))[0];
  }

  async execute(sql: string, params?: Params | null): Promise<number> {
    return answer(this.#native.execute(checkText("sql", sql), encodeParams(params), undefined));
  }

  async #query<T>(
    user: string | undefined,
    sql: string,
    params: Params | null | undefined,
    options: QueryOptions<T>,
  ): Promise<QueryResult<T>> {
    checkQuery(options);
    const handle = this.#native.query(checkText("sql", sql), encodeParams(params), user);
    const decoder = new Decoder(handle, this.#modes, options.schema);
    return result(handle, options.signal, () => readResult<T>(decoder));
  }

  /** All rows of a SELECT without ORDER BY and LIMIT, fetched in pages: KalamDB returns at most 1,000 at once. */
  async queryAll<T = Row>(
    sql: string,
    params?: Params | null,
    options: QueryOptions<T> = {},
  ): Promise<RowList<T>> {
    checkQuery(options);
    const handle = this.#native.queryAll(checkText("sql", sql), encodeParams(params));
    const decoder = new Decoder(handle, this.#modes, options.schema);
    return result(handle, options.signal, () => readResult<T>(decoder));
  }

  /**
   * Executes statements in one transaction: all of them, or on an error none. Each is SQL, or a pair of SQL and
   * parameters. Resolves with how many rows they have changed.
   */
  async batch(statements: Iterable<string | readonly [sql: string, params?: Params]>): Promise<number> {
    if (typeof statements === "string")
      throw new TypeError("statements must be a list of statements, not a string");
    const list = Array.from(statements, (statement, i): [string, string | undefined] => {
      const [sql, params] = Array.isArray(statement) ? statement : [statement, undefined];
      return [checkText(`statement ${i + 1}`, sql), encodeParams(params)];
    });
    return answer(this.#native.batch(list));
  }

  /**
   * Executes one statement with files and resolves with how many rows it has changed. `FILE("name")` in it stands for the
   * file of that name in `files`. It is sent once: without an answer it may have been applied.
   *
   * ```ts
   * await client.executeWithFiles('INSERT INTO app.pets VALUES ($1, FILE("photo"))', { photo: await openAsBlob("cat.png") }, [1]);
   * ```
   */
  async executeWithFiles(
    sql: string,
    files: Files,
    params?: Params | null,
    options: UploadOptions = {},
  ): Promise<number> {
    checkUpload(options);
    checkText("sql", sql);
    const encoded = encodeParams(params);
    const sent = await uploads(files);
    options.signal?.throwIfAborted();
    return uploaded(sent, options, (progress) => this.#native.executeWithFiles(sql, encoded, sent, progress));
  }

  /** The bytes of the file that a cell of `table` refers to. Rejects with `not_found` when there is no such file. */
  async downloadFile(file: FileRef, table: string, options: DownloadOptions = {}): Promise<FileDownload> {
    checkDownload(options);
    const handle = this.#native.downloadFile(JSON.stringify(file), checkText("table", table), options.user);
    const decoder = new Decoder(handle, this.#modes, undefined);
    const [download] = await result(handle, options.signal, () => readResult<FileDownload>(decoder));
    return download!;
  }

  /** `query`, `queryOne` and `execute` as another user, where the rights of this one allow it. */
  asUser(user: string): Queries {
    checkText("user", user);
    const query = async <T>(sql: string, params?: Params | null, options: QueryOptions<T> = {}) =>
      this.#query<T>(user, sql, params, options);
    return {
      query,
      queryOne: async <T>(sql: string, params?: Params | null, options?: QueryOptions<T>) =>
        (await query<T>(sql, params, options))[0],
      execute: async (sql, params) =>
        answer(this.#native.execute(checkText("sql", sql), encodeParams(params), user)),
    };
  }

  /**
   * The rows of `SELECT columns FROM namespace.table [WHERE ...]`, again whenever they have changed.
   *
   * ```ts
   * for await (const rows of client.live("SELECT id, body FROM app.messages WHERE room = $1", ["main"])) {
   *   console.log(rows.length, rows.changes);
   * }
   * ```
   *
   * The SQL is without ORDER BY and LIMIT: see the options `orderBy` and `limit`.
   */
  live<T = Row>(sql: string, options?: LiveOptions<T>): LiveRows<T>;
  live<T = Row>(sql: string, params: Params | null | undefined, options?: LiveOptions<T>): LiveRows<T>;
  live<T = Row>(sql: string, second?: Params | LiveOptions<T> | null, third?: LiveOptions<T>): LiveRows<T> {
    const [params, options = {}] = split(second, third);
    const [checked, encoded] = [checkLive(options), encodeParams(params)];
    checkText("sql", sql);
    return new LiveRows<T>(this.#parts(options, () => this.#native.live(sql, encoded, false, checked)));
  }

  /** All rows and columns of a table, as {@link live}. */
  liveTable<T = Row>(table: string, options: LiveOptions<T> = {}): LiveRows<T> {
    const checked = checkLive(options);
    checkText("table", table);
    return new LiveRows<T>(this.#parts(options, () => this.#native.live(table, undefined, true, checked)));
  }

  /**
   * What the server tells about a query, event by event, for programs that keep their own state. A reader that is too
   * slow gets one `lagged` event in place of those that were dropped; the subscription then goes on after the last one
   * that it took.
   */
  liveEvents<T = Row>(sql: string, options?: EventOptions): LiveEvents<T>;
  liveEvents<T = Row>(sql: string, params: Params | null | undefined, options?: EventOptions): LiveEvents<T>;
  liveEvents<T = Row>(
    sql: string,
    second?: Params | EventOptions | null,
    third?: EventOptions,
  ): LiveEvents<T> {
    const [params, options = {}] = split(second, third);
    const [checked, encoded] = [checkEvents(options), encodeParams(params)];
    checkText("sql", sql);
    return new LiveEvents<T>(this.#parts(options, () => this.#native.liveEvents(sql, encoded, checked)));
  }

  #parts(options: LiveOptions<unknown> | EventOptions, open: Parts["open"]): Parts {
    return {
      client: this,
      open,
      modes: this.#modes,
      schema: "schema" in options ? options.schema : undefined,
      onCheckpoint: options.onCheckpoint,
      signal: options.signal,
    };
  }

  /**
   * A consumer of a topic.
   *
   * ```ts
   * await using consumer = client.consumer({ topic: "app.orders", groupId: "billing", start: "earliest" });
   * for await (const record of consumer) console.log(record.op, record.row); // the next one says that this one is finished
   * ```
   */
  consumer<T = Row>(options: ConsumerOptions): Consumer<T> {
    return new Consumer<T>(this, this.#native.consumer(consuming(options)), options, this.#modes);
  }

  /** The open live queries, oldest first. */
  async subscriptions(): Promise<Subscription[]> {
    type Told = Omit<Subscription, "lastSeqId"> & { lastSeqId: string | null };
    const told = await answer<Told[]>(this.#native.subscriptions());
    return told.map(({ lastSeqId, ...rest }) => ({
      ...rest,
      lastSeqId: lastSeqId === null ? undefined : BigInt(lastSeqId),
    }));
  }

  /** Ends a live query by its id; a loop over it ends. Rejects with `not_found` when there is none of that id. */
  async cancelSubscription(id: string): Promise<void> {
    await answer(this.#native.cancelSubscription(checkText("id", id)));
  }

  /** The state of the connection; see also `on("state", ...)`. */
  get state(): State {
    return this.#native.state as State;
  }

  /** What has been counted since the client was made. */
  counters(): Counters {
    return JSON.parse(this.#native.counters()) as Counters;
  }

  /** What the server says about its health. KalamDB answers only to callers on its own machine. */
  async health(): Promise<Health> {
    return answer(this.#native.health());
  }

  /** Closes the connection. Live queries stay, with their rows, and go on after {@link connect}. */
  async disconnect(): Promise<void> {
    await answer(this.#native.disconnect());
  }

  /** Connects again after {@link disconnect}. */
  async connect(): Promise<void> {
    await answer(this.#native.connect());
  }

  /** Tells that the network has changed: the client tries at once instead of waiting, or tests its connection. */
  networkChanged(): void {
    this.#native.networkChanged();
  }

  /** Ends every live query, closes the connection, and stops the embedded server if there is one. */
  async close(): Promise<void> {
    await answer(this.#native.close());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

/** Parameters and options, of which either may be left out. */
function split<O>(
  second: Params | O | null | undefined,
  third: O | undefined,
): [Params | undefined, O | undefined] {
  if (third !== undefined || second === null || second === undefined || Array.isArray(second)) {
    return [(second as Params | null) ?? undefined, third];
  }
  return [undefined, second as O];
}

/**
 * Connects to a server: `await connect({ url: "http://localhost:2900", user: "alice", password: "..." })`.
 *
 * Without `url` an embedded server is started in this process, in memory; `embedded:PATH` keeps its data in a directory.
 *
 * Rejects with a {@link KalamError}: `config` for a wrong option, `auth_failed`, `disconnected` when the server can not be
 * reached.
 */
export async function connect(options: ConnectOptions = {}): Promise<Client> {
  if (typeof options === "string")
    throw new TypeError('connect takes an object: connect({ url: "http://..." })');
  return new Client(options).open(options.tokenProvider);
}
