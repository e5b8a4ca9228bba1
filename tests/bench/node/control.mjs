// The frame server: started, told what to do, and ended with the benchmark.

import { spawn } from "node:child_process";
import { request } from "node:http";
import { createInterface } from "node:readline";

/** One workload at the frame server, encoded beforehand, so that no measurement includes it. */
export async function prepare(url, table) {
  const answer = await post(url, `/bench/prepare?table=${table}`);
  return {
    url,
    rows: answer.rows,
    changes: answer.changes,
    finalSeq: answer.final_seq,
    markerId: String(answer.marker_id),
    sql: `SELECT id, room, sender, body, n, at FROM bench.${table}`,
    /** Lets the changes flow. */
    go: () => post(url, `/bench/go?table=${table}`),
  };
}

function post(url, path) {
  return new Promise((resolve, reject) => {
    const sending = request(url + path, { method: "POST" }, async (response) => {
      let text = "";
      for await (const part of response.setEncoding("utf8")) text += part;
      resolve(JSON.parse(text || "null"));
    });
    sending.on("error", reject).end();
  });
}

/** A running frame server; it ends with its standard input, so also when the benchmark is killed. */
export async function startServer(program) {
  const child = spawn(program, [], { stdio: ["pipe", "pipe", "inherit"] });
  for await (const line of createInterface(child.stdout)) {
    return { ...JSON.parse(line), stop: () => child.stdin.end() };
  }
  throw new Error(`${program} has said nothing`);
}
