// Packs what is published into build/pack: the package, and one package for each platform whose library was built.
//
//   node scripts/pack.mjs [--all]      --all: it is an error if a platform was not built

import { execFileSync } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = join(dirname(fileURLToPath(import.meta.url)), "..");
const out = join(here, "build", "pack");
const stage = join(out, "stage");

rmSync(out, { recursive: true, force: true });
mkdirSync(stage, { recursive: true });

const {
  devDependencies: _,
  scripts: __,
  ...manifest
} = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
const platforms = readdirSync(join(here, "npm"));
// Only in what is published: here they would be looked for in the registry before they are there.
manifest.optionalDependencies = Object.fromEntries(
  platforms.map((platform) => [`@kalam-live/${platform}`, manifest.version]),
);
writeFileSync(join(stage, "package.json"), `${JSON.stringify(manifest, null, 2)}\n`);
for (const name of ["dist", "README.md"]) cpSync(join(here, name), join(stage, name), { recursive: true });
cpSync(join(here, "..", "LICENSE"), join(stage, "LICENSE"));

const packed = [stage];
if (process.argv.includes("--all")) {
  const missing = platforms.filter((platform) => !existsSync(join(here, "npm", platform, "kalam-live.node")));
  if (missing.length > 0) throw new Error(`not built: ${missing.join(", ")}`);
}
for (const platform of platforms) {
  const directory = join(here, "npm", platform);
  if (existsSync(join(directory, "kalam-live.node"))) packed.push(directory);
}
for (const directory of packed) {
  const { version } = JSON.parse(readFileSync(join(directory, "package.json"), "utf8"));
  if (version !== manifest.version)
    throw new Error(`${directory} has version ${version}, not ${manifest.version}`);
  execFileSync("npm", ["pack", "--silent", "--pack-destination", out], {
    cwd: directory,
    stdio: ["ignore", "inherit", "inherit"],
  });
}
rmSync(stage, { recursive: true });
