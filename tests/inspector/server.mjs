// The command `kalam-embedded`, and SQL on it.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";

const target = process.env.CARGO_TARGET_DIR ?? join(import.meta.dirname, "../../target");
const COMMAND = process.env.KALAM_EMBEDDED ?? join(target, "fast", "kalam-embedded");

export const root = { user: "root", password: "Inspector-Password-1" };

export async function start(...more) {
  const child = spawn(COMMAND, ["serve", "--memory", "--port", "0", ...more], {
    env: { ...process.env, KALAM_ROOT_PASSWORD: root.password },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(createInterface(child.stdout), "line");
  const url = /http:\S+/.exec(line)[0];
  let token;
  const ask = async (path, body) => {
    const headers = {
      "content-type": "application/json",
      ...(token && { authorization: `Bearer ${token}` }),
    };
    const response = await fetch(url + path, { method: "POST", headers, body: JSON.stringify(body) });
    const answer = await response.json();
    if (!response.ok) throw new Error(JSON.stringify(answer));
    return answer;
  };
  token = (await ask("/v1/api/auth/login", root)).access_token;
  return {
    url,
    sql: (text) => ask("/v1/api/sql", { sql: text }),
    async stop() {
      child.kill("SIGTERM");
      await once(child, "exit");
    },
  };
}
