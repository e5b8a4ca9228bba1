/**
 * Live rows from KalamDB, kept right.
 *
 * ```ts
 * import { connect } from "kalam-live";
 *
 * const client = await connect(); // an embedded server, in memory
 * await client.execute("CREATE NAMESPACE app");
 * await client.execute("CREATE TABLE app.messages (id BIGINT PRIMARY KEY, body TEXT)");
 * await client.execute("INSERT INTO app.messages VALUES ($1, $2)", [1, "hello"]);
 * for await (const rows of client.live("SELECT * FROM app.messages")) {
 *   console.log(rows);
 * }
 * ```
 *
 * @module
 */

export { Client, connect, type Queries } from "./client.js";
export {
  type Committed,
  Consumer,
  type ConsumerOffsets,
  type ConsumerOptions,
  type FailedAction,
  type RunOptions,
  type RunSummary,
  type TopicRecord,
} from "./consumer.js";
export { toJSON } from "./decode.js";
export { type ErrorCode, KalamError } from "./errors.js";
export type {
  DownloadOptions,
  FileDownload,
  Files,
  FileUpload,
  UploadOptions,
  UploadProgress,
} from "./files.js";
export { type LogLevel, type LogLine, logs } from "./logs.js";
export type { ConnectOptions, EventOptions, LiveOptions, Params, QueryOptions } from "./options.js";
export { type EmbeddedOptions, EmbeddedServer, startEmbedded } from "./server.js";
export { LiveEvents, LiveRows } from "./subscription.js";
export type {
  BigintMode,
  Cell,
  Change,
  Checkpoint,
  ClientEvents,
  Column,
  Counters,
  FileRef,
  Health,
  Json,
  KalamEvent,
  Param,
  Phase,
  QueryResult,
  Repair,
  Row,
  RowList,
  Rows,
  Schema,
  State,
  Subscription,
  TimestampMode,
} from "./types.js";
