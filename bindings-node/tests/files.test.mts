// Files: uploaded with their statement, downloaded by reference.

import assert from "node:assert/strict";
import { test } from "node:test";
import { connect, type FileRef, type KalamError, type UploadProgress } from "kalam-live";

const CONTENT = Uint8Array.from({ length: 300_000 }, (_, n) => (n * 31) % 251);
const INSERT = 'INSERT INTO app.docs (id, a, b) VALUES ($1, FILE("one"), FILE("two"))';

async function place() {
  const client = await connect();
  await client.execute("CREATE NAMESPACE app");
  await client.execute(
    "CREATE TABLE app.docs (id BIGINT PRIMARY KEY, a FILE, b FILE) WITH (TYPE = 'SHARED')",
  );
  return client;
}

const code = (code: string) => (error: KalamError) => error.code === code;

test("files come back as they were", async () => {
  await using client = await place();
  const told: UploadProgress[] = [];
  const files = {
    one: { content: CONTENT, name: "a b.bin", mime: "application/x-thing" },
    two: new Blob(["not really"], { type: "image/png" }),
  };
  const onProgress = (progress: UploadProgress) => told.push(progress);
  assert.equal(await client.executeWithFiles(INSERT, files, [1], { onProgress }), 1);
  const totalBytes = CONTENT.length + 10;
  assert.deepEqual(told.at(-1), { sentBytes: totalBytes, totalBytes });

  const row = await client.queryOne<{ a: FileRef; b: FileRef }>("SELECT a, b FROM app.docs");
  const a = await client.downloadFile(row!.a, "app.docs");
  assert.equal(a.mime, "application/x-thing");
  assert.ok(Buffer.from(a.content).equals(Buffer.from(CONTENT)));
  const b = await client.downloadFile(row!.b, "app.docs");
  assert.equal(Buffer.from(b.content).toString(), "not really");
  assert.deepEqual([row!.b.name, row!.b.mime], ["two", "image/png"]);
  await assert.rejects(client.downloadFile(row!.a, "app.other"), code("not_found"));
});

test("files that do not fit are refused, and nothing is stored", async () => {
  await using client = await place();
  const x = new Uint8Array(1);
  for (const files of [{}, { one: x }, { one: x, two: x, three: x }]) {
    await assert.rejects(client.executeWithFiles(INSERT, files, [1]), code("invalid_argument"));
  }
  const loose = client as unknown as { executeWithFiles(...args: unknown[]): Promise<number> };
  await assert.rejects(loose.executeWithFiles(INSERT, { one: 1, two: x }, [1]), TypeError);
  const aborted = { signal: AbortSignal.abort(new Error("enough")) };
  await assert.rejects(client.executeWithFiles(INSERT, { one: x, two: x }, [1], aborted), /enough/);
  assert.equal((await client.query("SELECT id FROM app.docs")).length, 0);
});
