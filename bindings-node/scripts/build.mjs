// Builds the package for this machine: the native library into npm/PLATFORM, the JavaScript into dist.
//
//   node scripts/build.mjs [PROFILE [--built]]      PROFILE of Cargo: fast (default), release, dev; --built: Cargo has run

import { execFileSync } from "node:child_process";
import { copyFileSync, mkdirSync, renameSync, rmSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = join(dirname(fileURLToPath(import.meta.url)), "..");
const profile = process.argv[2] ?? "fast";
const run = (command, ...args) =>
  execFileSync(command, args, { cwd: here, stdio: ["ignore", "pipe", "inherit"] });

const LIBRARIES = {
  linux: "libkalam_live_node.so",
  darwin: "libkalam_live_node.dylib",
  win32: "kalam_live_node.dll",
};

if (!process.argv.includes("--built")) {
  run("cargo", "build", "--quiet", "--package", "kalam-live-node", "--profile", profile);
}
const { target_directory: target } = JSON.parse(
  run("cargo", "metadata", "--format-version", "1", "--no-deps").toString(),
);
const directory = profile === "dev" ? "debug" : profile;
const { glibcVersionRuntime } = process.report.getReport().header;
const libc = process.platform !== "linux" ? "" : glibcVersionRuntime ? "-gnu" : "-musl";
const place = join(here, "npm", `${process.platform}-${process.arch}${libc}`);
mkdirSync(place, { recursive: true });
// A program may be running with the old one: it keeps it, since the new one is another file.
copyFileSync(join(target, directory, LIBRARIES[process.platform]), join(place, "kalam-live.node.new"));
renameSync(join(place, "kalam-live.node.new"), join(place, "kalam-live.node"));

rmSync(join(here, "dist"), { recursive: true, force: true });
run("node", "node_modules/typescript/bin/tsc", "--project", ".");
