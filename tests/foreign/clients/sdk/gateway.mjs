// The gateway as a child process: its ports, its log, its admin API.

import { spawn } from "node:child_process";
import { createInterface } from "node:readline";
import { until } from "./wait.mjs";

export class Gateway {
  /** Every line of its log so far, as `{at, text}`. */
  lines = [];
  #listeners = [];

  /** Starts it and waits for its ports. `env` is all that it is given, on top of loopback addresses. */
  static async start(binary, env) {
    const gateway = new Gateway();
    gateway.binary = binary;
    gateway.env = env;
    const all = { PATH: process.env.PATH, LISTEN_ADDR: "127.0.0.1:0", ADMIN_ADDR: "127.0.0.1:0", ...env };
    gateway.child = spawn(binary, [], { env: all, stdio: ["ignore", "ignore", "pipe"] });
    gateway.exit = new Promise((resolve) => {
      gateway.child.once("exit", (code, signal) => resolve({ code, signal }));
      gateway.child.once("error", (error) => resolve({ error: error.message }));
    });
    gateway.exit.then((end) => (gateway.ended = end));
    createInterface({ input: gateway.child.stderr }).on("line", (text) => {
      gateway.lines.push({ at: Date.now(), text });
      for (const listen of gateway.#listeners) listen(text);
    });
    const find = (name) => {
      if (gateway.ended) throw new Error(`the gateway ended at its start: ${JSON.stringify(gateway.ended)} ${gateway.tail()}`);
      for (const { text } of gateway.lines) {
        const found = text.match(new RegExp(` ${name}=[0-9.]+:([0-9]+)`));
        if (found) return Number(found[1]);
      }
      return undefined;
    };
    gateway.port = await until(10_000, "the gateway says listen=", () => find("listen"));
    gateway.adminPort = await until(10_000, "the gateway says admin=", () => find("admin"));
    return gateway;
  }

  get url() {
    return `ws://127.0.0.1:${this.port}`;
  }

  onLine(listen) {
    this.#listeners.push(listen);
  }

  /** Ended connections that its log tells of, as objects of the line's fields, from the line `from` on. */
  closes(from = 0) {
    return this.lines.slice(from).map(({ at, text }) => closeLine(text, at)).filter(Boolean);
  }

  tail(count = 5) {
    return this.lines.slice(-count).map(({ text }) => text).join("\n");
  }

  async api(path) {
    const response = await fetch(`http://127.0.0.1:${this.adminPort}${path}`, { signal: AbortSignal.timeout(5_000) });
    if (!response.ok) throw new Error(`${path}: HTTP ${response.status}`);
    return response.headers.get("content-type")?.includes("json") ? response.json() : response.text();
  }

  /** Ends it as an operator does; its exit, which must come within `ms`. */
  async stop(ms = 20_000) {
    if (this.ended) return this.ended;
    this.child.kill("SIGTERM");
    const end = await Promise.race([this.exit, until(ms, "the gateway exits after SIGTERM", () => this.ended)]).catch((error) => error);
    if (end instanceof Error) {
      this.kill();
      throw end;
    }
    return end;
  }

  /** At once, whatever state it is in. */
  kill() {
    if (!this.ended) this.child.kill("SIGKILL");
  }
}

/** The fields of a line about an ended connection, or undefined of another. */
export function closeLine(text, at) {
  const start = text.indexOf(" close class=");
  if (start < 0) return undefined;
  const fields = { at };
  for (const [, key, bare, quoted] of text.slice(start).matchAll(/ ([a-z_]+)=(?:"((?:[^"\\]|\\.)*)"|([^\s"]*))/g)) {
    fields[key] = bare ?? quoted;
  }
  return fields;
}
