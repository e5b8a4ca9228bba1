import { checkOptions, count, milliseconds, text } from "./check.js";
import { type NativeServer, native } from "./native.js";
import { answer } from "./wait.js";

/** What {@link startEmbedded} takes. */
export interface EmbeddedOptions {
  /** Where the data are; without it in memory. */
  directory?: string | undefined;
  /** 0, the default, is a free one. */
  port?: number | undefined;
  /** Without it one is generated when the data is created. */
  rootPassword?: string | undefined;
  /** Milliseconds that a consumer may hold a record of a topic before it is delivered again (30,000). */
  topicVisibility?: number | undefined;
}

/** An embedded server that other clients connect to. */
export class EmbeddedServer implements AsyncDisposable {
  readonly #native: NativeServer;

  /** @internal */
  constructor(native: NativeServer) {
    this.#native = native;
  }

  /** Where clients connect, such as `http://127.0.0.1:2900`. */
  get url(): string {
    return this.#native.url!;
  }

  /** The password of `root`; `undefined` when it was set by an earlier start on the same directory. */
  get rootPassword(): string | undefined {
    return this.#native.rootPassword ?? undefined;
  }

  /** Stops the server. May be called often. */
  async close(): Promise<void> {
    await answer(this.#native.stop());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close();
  }
}

const port = {
  is: "a port from 0 to 65535",
  check: (value: unknown) => count.check(value) && Number(value) < 65536,
};

/**
 * Starts an embedded server on this machine.
 *
 * ```ts
 * await using server = await startEmbedded({ rootPassword: "secret" });
 * await using client = await connect({ url: server.url, user: "root", password: "secret" });
 * ```
 */
export async function startEmbedded(options: EmbeddedOptions = {}): Promise<EmbeddedServer> {
  checkOptions(options, { directory: text, port, rootPassword: text, topicVisibility: milliseconds });
  const server = new native.EmbeddedServer();
  const { directory, rootPassword, topicVisibility } = options;
  await answer(server.start(directory, rootPassword, options.port ?? 0, topicVisibility));
  return new EmbeddedServer(server);
}
