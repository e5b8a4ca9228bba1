// The packed package, installed into empty projects and used there.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";

const HERE = join(import.meta.dirname, "..", "..");
const PACKED = join(HERE, "build", "pack");

const BODY = `
  const client = await connect();
  await client.execute("CREATE NAMESPACE app");
  await client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)");
  await client.execute("INSERT INTO app.t VALUES ($1, $2)", [1, "hello, from a longer text: é"]);
  for await (const rows of client.live("SELECT id, v FROM app.t")) {
    console.log(JSON.stringify(rows), rows[0].id === 1n);
    break;
  }
  const failed = await client.query("SELEC").catch((error) => error);
  console.log(failed instanceof KalamError, failed.code);
  await client.close();
`;
const SAID = '[{"id":"1","v":"hello, from a longer text: é"}] true\ntrue invalid_sql\n';

let project: string;

function run(command: string, ...args: string[]): string {
  return execFileSync(command, args, { cwd: project, timeout: 120_000, encoding: "utf8" });
}

function write(name: string, text: string): string {
  const path = join(project, name);
  writeFileSync(path, text);
  return path;
}

before(() => {
  execFileSync(process.execPath, [join(HERE, "scripts", "pack.mjs")], { stdio: "ignore" });
  project = mkdtempSync(`${tmpdir()}/kalam-project-`);
  write("package.json", '{ "name": "project", "private": true }');
  const tarballs = readdirSync(PACKED).map((name) => join(PACKED, name));
  assert.equal(tarballs.length, 2, "the package, and the one of this platform");
  // Offline: the packages of other platforms are optional and not published yet.
  run("npm", "install", "--offline", "--no-audit", "--no-fund", "--silent", ...tarballs);
});

after(() => rmSync(project, { recursive: true }));

test("what is packed", () => {
  const installed = join(project, "node_modules", "kalam-live");
  const manifest = JSON.parse(readFileSync(join(installed, "package.json"), "utf8"));
  const platforms = readdirSync(join(HERE, "npm"));
  const optional = Object.keys(manifest.optionalDependencies);
  assert.deepEqual(optional.sort(), platforms.map((name) => `@kalam-live/${name}`).sort());
  assert.deepEqual(
    [manifest.devDependencies, manifest.scripts, manifest.dependencies],
    [undefined, undefined, undefined],
  );
  assert.deepEqual(readdirSync(installed).sort(), ["LICENSE", "README.md", "dist", "package.json"]);
  assert.match(
    readFileSync(join(installed, "dist", "native.js"), "utf8"),
    new RegExp(platforms.join('[",\\s]+')),
  );
});

test("ESM", () => {
  write("main.mjs", `import { connect, KalamError } from "kalam-live"; ${BODY}`);
  assert.equal(run(process.execPath, "main.mjs"), SAID);
});

test("CommonJS", () => {
  write("main.cjs", `const { connect, KalamError } = require("kalam-live"); (async () => { ${BODY} })();`);
  assert.equal(run(process.execPath, "main.cjs"), SAID);
});

test("ESM and CommonJS in one program are the same package", () => {
  write(
    "both.mjs",
    `import { createRequire } from "node:module";
     import { KalamError } from "kalam-live";
     console.log(createRequire(import.meta.url)("kalam-live").KalamError === KalamError);`,
  );
  assert.equal(run(process.execPath, "both.mjs"), "true\n");
});

test("TypeScript, as ESM and as CommonJS", () => {
  const types = join(project, "node_modules", "@types");
  mkdirSync(types, { recursive: true });
  cpSync(join(HERE, "node_modules", "@types", "node"), join(types, "node"), { recursive: true });
  cpSync(join(HERE, "node_modules", "undici-types"), join(project, "node_modules", "undici-types"), {
    recursive: true,
  });
  const program = `
    import { connect, KalamError, type Rows } from "kalam-live";
    interface Thing { id: bigint; v: string }
    async function main(): Promise<void> {
      const client = await connect();
      await client.execute("CREATE NAMESPACE app");
      await client.execute("CREATE TABLE app.t (id BIGINT PRIMARY KEY, v TEXT)");
      await client.execute("INSERT INTO app.t VALUES ($1, $2)", [1, "hello, from a longer text: é"]);
      for await (const rows of client.live<Thing>("SELECT id, v FROM app.t")) {
        const same: Rows<Thing> = rows;
        console.log(JSON.stringify(same), rows[0]?.id === 1n);
        break;
      }
      const failed: unknown = await client.query("SELEC").catch((error: unknown) => error);
      if (failed instanceof KalamError) console.log(true, failed.code);
      await client.close();
    }
    void main();
  `;
  write("main.mts", program);
  write("other.cts", program);
  write(
    "tsconfig.json",
    '{ "compilerOptions": { "strict": true, "target": "es2022", "lib": ["es2023", "esnext.disposable"], "module": "nodenext", "types": ["node"], "outDir": "out" }, "files": ["main.mts", "other.cts"] }',
  );
  run(process.execPath, join(HERE, "node_modules", "typescript", "bin", "tsc"));
  assert.equal(run(process.execPath, join("out", "main.mjs")), SAID);
  assert.equal(run(process.execPath, join("out", "other.cjs")), SAID);
});

for (const [runtime, ...args] of [
  ["bun", "run", "main.mjs"],
  ["deno", "run", "--allow-all", "--node-modules-dir=manual", "main.mjs"],
] as const) {
  test(`${runtime}`, () => {
    write("main.mjs", `import { connect, KalamError } from "kalam-live"; ${BODY}`);
    assert.equal(run(join(HERE, "node_modules", ".bin", runtime), ...args), SAID);
  });
}

test("a platform without a library gets a clear message", () => {
  const broken = (platform: string, arch: string) => `
    Object.defineProperty(process, "platform", { value: ${JSON.stringify(platform)} });
    Object.defineProperty(process, "arch", { value: ${JSON.stringify(arch)} });
    try { require("kalam-live"); } catch (error) { console.log(error.message); }`;
  write("sunos.cjs", broken("sunos", "sparc"));
  assert.match(
    run(process.execPath, "sunos.cjs"),
    /no native library for sunos-sparc; there are darwin-arm64, /,
  );
  write("darwin.cjs", broken("darwin", "arm64"));
  assert.match(
    run(process.execPath, "darwin.cjs"),
    /the package @kalam-live\/darwin-arm64 is not installed. It is an optional dependency: install again/,
  );
  const library = join(project, "node_modules", "@kalam-live", "linux-x64-gnu", "kalam-live.node");
  writeFileSync(library, "no library");
  write("damaged.cjs", 'try { require("kalam-live"); } catch (error) { console.log(error.message); }');
  assert.match(
    run(process.execPath, "damaged.cjs"),
    /can not load its native library: .*(file too short|invalid ELF)/,
  );
});
