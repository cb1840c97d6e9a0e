// Random cuts on the relay: the client as glasses, and then as an app, exchanges numbered messages with an ordinary peer on the other
// side. The client's network breaks, and nothing is lost, doubled or reordered in either direction. The ordinary peer's log is the proof.
//
//   relay_cuts.mjs DISTURBANCES SEED
//
// Environment: PULSE_DIST, the client's dist/; PULSE_GATEWAY, the gateway's binary. Prints a line for each run. Exit: 0 all held; 1 not.
import { faultyProxy } from "./faulty_proxy.mjs";
import { realGateway } from "./real_gateway.mjs";
import { WebSocket } from "ws";

const [disturbances, seed] = [Number(process.argv[2]), Number(process.argv[3])];
const { PULSE_DIST: dist, PULSE_GATEWAY: binary } = process.env;
const { PulseSocket } = await import(`${dist}/esm/index.js`);
const SPEED = 10;
const HOWS = ["fin", "rst", "half", "hole"];
const PATHS = { glasses: "/glasses-ws?user=ada", app: "/app-ws?user=ada&package=p.x" };
/** One in so many messages is long. */
const LONG_EVERY = 9;

let state = seed;
const random = (below) => Math.floor(((state = (Math.imul(state, 1664525) + 1013904223) >>> 0) / 2 ** 32) * below);
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

/** A clock that runs `SPEED` times as fast: at most ten tries in one of its minutes. */
function fastClock() {
  const start = Date.now();
  return {
    now: () => start + Math.round((Date.now() - start) * SPEED),
    setTimeout: (run, ms) => setTimeout(run, ms / SPEED),
    clearTimeout: (timer) => clearTimeout(timer),
  };
}

/** Message `n` of a role. Positions of heads are never kept for peers without pulse. */
function make(role, n) {
  const type = role === "app" ? "display_event" : n % 5 ? "button_press" : "head_position";
  return JSON.stringify({ type, n, text: "x".repeat(n % LONG_EVERY ? random(300) : random(120_000)) });
}

/** Checks the numbers that one side hears. */
function listener(role) {
  const self = { next: 0, faults: [], others: {} };
  self.hear = (data) => {
    const frame = JSON.parse(data);
    const own = role === "glasses" && frame.type === "data_stream" ? frame.data : frame;
    if (own.n === undefined) { self.others[frame.type] = (self.others[frame.type] ?? 0) + 1; return; }
    if (own.n !== self.next) self.faults.push(`heard ${own.n}, not ${self.next}`);
    self.next = own.n + 1;
  };
  return self;
}

/** Breaks connections, one after the other, each after a random number of bytes. */
async function disturb(proxy) {
  let done = 0;
  for (; done < disturbances; done++) {
    while (!proxy.links.size) await sleep(5);
    proxy.breakAfter(random(30_000), HOWS[done % HOWS.length]);
    const until = Date.now() + 5000;
    while ([...proxy.links].some((link) => link.cutAt < Infinity) && Date.now() < until) await sleep(5);
  }
  return done;
}

async function one(role) {
  const other = role === "app" ? "glasses" : "app";
  const gateway = await realGateway(binary, undefined, {
    UPSTREAM: undefined, ALLOW_UNAUTHENTICATED: "1", FLAPPING_LIMIT: "0", HEARTBEAT_INTERVAL_MS: "1000", CONNECTION_TIMEOUT_MS: "3000",
    GLASSES_GRACE_MS: "60000", APP_GRACE_MS: "60000",
    // The ordinary glasses never wait for an app: what the app has not acknowledged must have room (`ledger_full`).
    MAX_PENDING_BYTES: "67108864", REPLAY_MAX_BYTES: "33554432",
  });
  const proxy = await faultyProxy(gateway.port);
  // The ordinary peer is connected without the proxy.
  const plain = new WebSocket(`ws://127.0.0.1:${gateway.port}${PATHS[other]}`);
  const heardByPlain = listener(role);
  plain.onmessage = ({ data }) => heardByPlain.hear(data);
  await new Promise((done) => { plain.onopen = done; });
  const socket = new PulseSocket(`ws://127.0.0.1:${proxy.port}${PATHS[role]}`, [], { maxBufferedBytes: 4 << 20, environment: fastClock(), shouldReconnect: () => 50 });
  const heard = listener(other);
  const seen = { opens: 0, resumes: 0, resets: 0, suspends: 0, unconfirmedAtLoss: 0, close: null };
  socket.onopen = () => seen.opens++;
  socket.onresume = () => seen.resumes++;
  socket.onreset = () => seen.resets++;
  socket.onsuspend = () => { seen.suspends++; if (socket.bufferedAmount) seen.unconfirmedAtLoss++; };
  socket.onclose = (event) => { seen.close = event.code; };
  socket.onmessage = ({ data }) => heard.hear(data);
  while (!seen.opens) await sleep(5);
  const subscription = JSON.stringify({ type: "subscription_update", subscriptions: ["*"] });
  if (role === "app") socket.send(subscription); else plain.send(subscription);
  await sleep(300);
  let isOver = false;
  const disturbing = disturb(proxy).then((count) => { isOver = true; return count; });
  const limit = Date.now() + 30_000 + disturbances * 3000;
  const sent = { up: 0, down: 0 };
  while ((!isOver || sent.up < 200) && seen.close === null && Date.now() < limit) {
    while (socket.bufferedAmount < 300_000 && sent.up - heardByPlain.next < 64) socket.send(make(role, sent.up++));
    while (plain.bufferedAmount < 300_000 && sent.down - heard.next < 64) plain.send(make(other, sent.down++));
    await sleep(5);
  }
  const breaks = await disturbing;
  while ((heardByPlain.next < sent.up || heard.next < sent.down) && Date.now() < limit) await sleep(20);
  const metrics = await gateway.metrics();
  // The last disturbance may still be due.
  for (const link of proxy.links) link.cutAt = Infinity;
  while (socket.state !== "open" && Date.now() < limit) await sleep(20);
  socket.close(1000, "done");
  while (seen.close === null && Date.now() < limit) await sleep(20);
  await sleep(300);
  const resets = Object.entries(metrics).filter(([name]) => name.startsWith("pulsegate_pulse_resets_total")).reduce((sum, [, count]) => sum + count, 0);
  const dirty = metrics[`pulsegate_pulse_losses_total{acknowledged="false"}`];
  const losses = dirty + metrics[`pulsegate_pulse_losses_total{acknowledged="true"}`];
  const faults = [...heard.faults, ...heardByPlain.faults];
  const checks = {
    "the ordinary peer has everything": heardByPlain.next === sent.up && sent.up >= 200,
    "the client has everything": heard.next === sent.down && sent.down > 0,
    "in order and once": faults.length === 0,
    "one session": seen.opens === 1 && seen.resets === 0 && resets === 0,
    "one acknowledgement": (heard.others[role === "app" ? "tpa_connection_ack" : "connection_ack"] ?? 0) === 1,
    "every disturbance": breaks === disturbances,
    "half of the losses with unacknowledged messages": 2 * dirty >= losses && 2 * seen.unconfirmedAtLoss >= seen.suspends,
    "ended well": seen.close === 1000,
    "no grace after the farewell": role === "glasses" || heardByPlain.others.app_stopped === 1,
  };
  const failed = Object.keys(checks).filter((check) => !checks[check]);
  const summary = `${breaks} disturbances, ${sent.up} messages up, ${sent.down} down, ${seen.resumes} resumed; ${seen.unconfirmedAtLoss} up and ${dirty} down of ${losses} losses unacknowledged`;
  console.log(`${failed.length ? "FAILED" : "ok"} relay, the client as ${role}: ${summary}`);
  if (failed.length) console.log(`  not: ${failed.join("; ")}\n  ${JSON.stringify({ seen, faults: faults.slice(0, 3), heard: heard.next, heardByPlain: heardByPlain.next, others: [heard.others, heardByPlain.others] })}`);
  proxy.stop();
  plain.close();
  await gateway.kill();
  return failed.length === 0;
}

let failures = 0;
for (const role of ["glasses", "app"]) failures += !(await one(role));
process.exit(failures ? 1 : 0);
