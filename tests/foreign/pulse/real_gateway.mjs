// The gateway itself, as a process of its own, in front of a service.
import { spawn } from "node:child_process";
import { existsSync } from "node:fs";

/** Starts `binary` with these settings. Resolves when it listens. */
export async function realGateway(binary, upstream, settings = {}) {
  if (!existsSync(binary)) throw new Error(`${binary} does not exist`);
  const env = {
    PATH: process.env.PATH, UPSTREAM: upstream, PULSE: "1", LISTEN_ADDR: "127.0.0.1:0", ADMIN_ADDR: "127.0.0.1:0", DRAIN_MS: "0", DRAIN_DELAY_MS: "0",
    ...settings,
  };
  const child = spawn(binary, [], { env, stdio: ["ignore", "pipe", "pipe"] });
  const self = { log: "", port: 0, admin: 0, pid: child.pid };
  const ended = new Promise((done) => child.on("close", done));
  const found = (pattern) => Number(self.log.match(pattern)?.[1] ?? 0);
  await new Promise((done, fail) => {
    const timer = setTimeout(() => fail(new Error(`the gateway does not listen: ${self.log}`)), 20_000);
    const read = (data) => {
      self.log += data;
      self.port ||= found(/ listen=127\.0\.0\.1:(\d+)/);
      self.admin ||= found(/ admin=127\.0\.0\.1:(\d+)/) || found(/ admin=http:\/\/127\.0\.0\.1:(\d+)/);
      if (self.port && self.admin) { clearTimeout(timer); done(); }
    };
    child.stdout.on("data", read);
    child.stderr.on("data", read);
    child.on("close", (code) => fail(new Error(`the gateway ended with ${code}: ${self.log}`)));
  });
  /** The metrics: name with labels → value. */
  self.metrics = async () => {
    const text = await (await fetch(`http://127.0.0.1:${self.admin}/metrics`)).text();
    const lines = text.split("\n").filter((line) => line && !line.startsWith("#"));
    return Object.fromEntries(lines.map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ") + 1))]));
  };
  self.signal = (name) => child.kill(name);
  self.kill = () => { child.kill("SIGKILL"); return ended; };
  self.end = () => { child.kill("SIGTERM"); return ended; };
  return self;
}
