// Compiles the tests and runs them by node:test.
//
//   node scripts/test.mjs [FILE...]      FILE: client, live, ...; all by default

import { spawnSync } from "node:child_process";
import { readdirSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = join(dirname(fileURLToPath(import.meta.url)), "..");
const run = (...args) => {
  const { status } = spawnSync(process.execPath, args, { cwd: here, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
};

rmSync(join(here, "build", "tests"), { recursive: true, force: true });
run("node_modules/typescript/bin/tsc", "--project", "tests");
const wanted = process.argv.slice(2);
const files = readdirSync(join(here, "build", "tests")).filter(
  (name) => name.endsWith(".test.mjs") && (wanted.length === 0 || wanted.includes(name.split(".")[0])),
);
run(
  "--test",
  "--test-reporter=spec",
  "--test-concurrency=2",
  ...files.map((name) => join("build", "tests", name)),
);
