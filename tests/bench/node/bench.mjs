// Measures the npm package against a client written by hand, in interleaved rounds.
//
//   bench.mjs --server PATH [--rounds N] [--output FILE]     the driver: prints a table
//   bench.mjs run WHO TASK URL TABLE                         one measurement, as one JSON line
//
// Each measurement is a process of its own; ratios are taken within a round, since machines drift.

import { execFileSync } from "node:child_process";
import { appendFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { prepare, startServer } from "./control.mjs";

const BY_HAND = { name: "written by hand", module: "handwritten" };
const OURS = { name: "kalam-live", module: "ours" };

const TIME = { what: "time until the final state", unit: "ms", of: (sample) => sample.seconds * 1e3 };
const BUSY = { what: "event loop busy", unit: "ms", of: (sample) => sample.busySeconds * 1e3 };
const CPU = { what: "CPU time of its thread", unit: "ms", of: (sample) => sample.cpuSeconds * 1e3 };
const TAKES = { what: "times that the loop body ran", unit: "", of: (sample) => sample.takes };
const LOAD = { what: "snapshot", unit: "ms", of: (sample) => sample.seconds * 1e3 };
const BLOCKED = {
  what: "longest that a timer was late",
  unit: "ms",
  of: (sample) => sample.blockedSeconds * 1e3,
};
const HELD = { what: "memory", unit: "MB", of: (sample) => sample.bytes / 1e6 };
const TAKE = {
  what: "CPU time of a take of one change, garbage collection included",
  unit: "ms",
  of: (sample) => (sample.cpuSeconds * 1e3) / sample.takes,
};

/** `timesAsGood`: what a figure's median ratio must reach; `atMost`: what its median must not exceed. */
const SCENARIOS = [
  {
    title: "live, 100,000 changes on 10,000 rows",
    task: "live",
    table: "update_10000_100000",
    who: [BY_HAND, OURS],
    figures: [{ ...TIME, timesAsGood: 1.5 }, { ...BUSY, timesAsGood: 5 }, { ...CPU, timesAsGood: 5 }, TAKES],
  },
  {
    title: "live_events, 100,000 events each seen by the loop body",
    task: "events",
    table: "update_10000_100000",
    who: [BY_HAND, OURS],
    figures: [{ ...TIME, timesAsGood: 1 }, BUSY, CPU],
  },
  {
    title: "live, snapshot of 100,000 rows as an array",
    task: "snapshot",
    table: "update_100000_1000",
    who: [BY_HAND, OURS],
    figures: [{ ...LOAD, atMost: 600 }, { ...BLOCKED, atMost: 20 }, BUSY, CPU, HELD],
  },
  {
    title: "live, single changes with 100,000 rows held",
    task: "live",
    table: "update_100000_200_r100",
    who: [OURS],
    figures: [{ ...TAKE, atMost: 1 }],
  },
];

const here = fileURLToPath(import.meta.url);

async function run(module, task, url, table) {
  const workload = await prepare(url, table);
  const sample = await (await import(`./${module}.mjs`))[task](workload);
  console.log(JSON.stringify(sample));
}

function measure({ module }, { task, table }, server) {
  const url = module === BY_HAND.module ? server.plain : server.complete;
  const out = execFileSync(process.execPath, [here, "run", module, task, url, table], {
    encoding: "utf8",
    timeout: 180_000,
    stdio: ["ignore", "pipe", "inherit"],
  });
  return JSON.parse(out);
}

function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

const short = (value) => Number(value.toPrecision(3)).toString();

const spread = (values) =>
  `${short(median(values))} [${short(Math.min(...values))}..${short(Math.max(...values))}]`;

const verdict = (reached) => (reached ? "met" : "**missed**");

function render({ title, who, figures }, samples) {
  const lines = [
    `\n### Node.js: ${title}\n`,
    "| what | who | median [min..max] | times as good as written by hand | must reach |",
    "|---|---|---|---|---|",
  ];
  for (const { what, unit, of, timesAsGood, atMost } of figures) {
    for (const [i, { name }] of who.entries()) {
      const values = samples.map((round) => of(round[i]));
      if (values.some((value) => value === undefined)) continue;
      const isOurs = name === OURS.name;
      const ratios = isOurs && who.length > 1 ? samples.map((round) => of(round[0]) / of(round[i])) : [];
      const compared = ratios.every(Number.isFinite) && ratios.length > 0;
      const must = [];
      if (isOurs && atMost) must.push(`at most ${atMost}: ${verdict(median(values) <= atMost)}`);
      if (isOurs && timesAsGood)
        must.push(`${timesAsGood} times as good: ${verdict(median(ratios) >= timesAsGood)}`);
      const label = unit ? `${what} (${unit})` : what;
      lines.push(
        `| ${label} | ${name} | ${spread(values)} | ${compared ? spread(ratios) : ""} | ${must.join("; ")} |`,
      );
    }
  }
  return `${lines.join("\n")}\n`;
}

async function drive() {
  const { values: options } = parseArgs({
    options: {
      server: { type: "string" },
      rounds: { type: "string", default: "5" },
      output: { type: "string" },
    },
  });
  const server = await startServer(options.server);
  let report = "";
  for (const scenario of SCENARIOS) {
    console.error(`${scenario.title} ...`);
    const rounds = Array.from({ length: Number(options.rounds) }, () =>
      scenario.who.map((contestant) => measure(contestant, scenario, server)),
    );
    report += render(scenario, rounds);
  }
  server.stop();
  console.log(report);
  if (options.output) appendFileSync(options.output, report);
}

if (process.argv[2] === "run") await run(...process.argv.slice(3));
else await drive();
