// What the tests share: one embedded server for each file, a namespace for each test.

import { after } from "node:test";
import { type Client, type ConnectOptions, connect, type EmbeddedServer, startEmbedded } from "kalam-live";

export const PASSWORD = "Test-Password-1";

let started: Promise<EmbeddedServer> | undefined;
let namespaces = 0;

/** The server of this file. */
export function server(): Promise<EmbeddedServer> {
  started ??= startEmbedded({ rootPassword: PASSWORD });
  return started;
}

after(async () => (await started)?.close());

/** A client at the server of this file, as root unless the options say otherwise. */
export async function open(options: ConnectOptions = {}): Promise<Client> {
  const { url } = await server();
  return connect({ url, user: "root", password: PASSWORD, ...options });
}

export interface Place extends AsyncDisposable {
  client: Client;
  /** Its namespace. */
  ns: string;
}

/** A client with an empty namespace of its own, and if wanted a table `t` in it. */
export async function place(table?: string, options: ConnectOptions = {}): Promise<Place> {
  const client = await open(options);
  const ns = `n${process.pid}_${++namespaces}`;
  await client.execute(`CREATE NAMESPACE ${ns}`);
  if (table) await client.execute(`CREATE TABLE ${ns}.t (${table})`);
  const dispose = async () => client.close();
  return { client, ns, [Symbol.asyncDispose]: dispose };
}

/** Resolves when the condition holds; it is looked at again and again. */
export async function until(condition: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await condition())) await new Promise((resolve) => setTimeout(resolve, 2));
}

/** Rejects when a promise takes longer than everything that is sound. */
export async function soon<T>(promise: Promise<T>, milliseconds = 20_000): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`it takes more than ${milliseconds} ms`)), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}
