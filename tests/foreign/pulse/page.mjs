// What happens to a page: its network goes and comes, it is frozen, it is hidden, its connection falls into a black hole. Against the
// gateway itself, which the page loads the client from.
//
//   page.mjs short     some 25 s, with a gateway that pings every second
//   page.mjs full      some 11 minutes: 30 black holes; with the gateway's usual times stopped for 30 s and 2 min, hidden for 10 min
//
// Environment: PULSE_GATEWAY, the gateway's binary; PULSE_DIST, the client's dist/, from which a page loads the client if the gateway has
// another one. Prints a line for each case. Exit: 0 all held; 1 not.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import { FLAGS } from "./browser.mjs";
import { faultyProxy } from "./faulty_proxy.mjs";
import { realGateway } from "./real_gateway.mjs";
import { service } from "./service.mjs";

const isFull = process.argv[2] === "full";
const { PULSE_DIST: dist, PULSE_GATEWAY: binary } = process.env;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
/** A page with a socket, its events, and what the platform's sockets saw. */
const PAGE = `<!doctype html><meta charset=utf-8><title>page</title><script type=module>
  const { url, client } = Object.fromEntries(new URLSearchParams(location.search));
  const { PulseSocket } = await import(client);
  const seen = { heardAt: 0, ownCloses: 0, states: [], hello: null, stall: 0, tries: 0 };
  class Recorder extends WebSocket {
    constructor(...args) {
      super(...args);
      seen.tries++;
      this.addEventListener("message", ({ data }) => {
        seen.heardAt = Date.now();
        if (typeof data === "string" && data.startsWith('\\x01{"hello"')) seen.hello = JSON.parse(data.slice(1)).hello;
      });
    }
    // The client gives an open connection up.
    close(...args) { if (this.readyState === 1) seen.ownCloses++; super.close(...args); }
    send(data) { if (typeof data === "string" && data.startsWith('\\x01{"state"')) seen.states.push(JSON.parse(data.slice(1)).state); super.send(data); }
  }
  // How late this machine lets timers be; the latest of the last seconds.
  const ticks = [];
  let last = Date.now();
  setInterval(() => { ticks.push(Date.now() - last - 20); last = Date.now(); ticks.splice(0, ticks.length - 100); seen.stall = Math.max(...ticks); }, 20);
  const socket = new PulseSocket(url, [], {
    WebSocket: Recorder,
    // Connections that are cut again and again are a flap, which waits for longer than this test; ten tries a minute are allowed.
    shouldReconnect: () => 100,
  });
  const events = [];
  for (const type of ["open", "resume", "suspend", "reset", "close", "message"]) {
    socket.addEventListener(type, (event) => events.push({ type, at: Date.now(), heardAt: seen.heardAt, stall: seen.stall, class: event.class, code: event.code, reason: event.reason, data: event.data }));
  }
  Object.assign(window, { socket, events, seen });
</script>`;

async function until(ms, what, condition) {
  const deadline = Date.now() + ms;
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
    await sleep(20);
  }
}

/** A page in Chromium, driven by the protocol of its developer tools. */
async function openPage(url, gatewayPort) {
  const client = `http://127.0.0.1:${gatewayPort}/.well-known/pulsegate/pulse.js`;
  const served = await (await fetch(client)).text();
  const isServed = served.replace(/pulse-report-[^"]+/, "pulse-report.js") === readFileSync(`${dist}/pulse.js`, "utf8");
  const files = createServer((request, response) => {
    const name = request.url.slice(1);
    const isScript = name === "pulse.js" || name === "pulse-report.js";
    response.writeHead(200, { "Content-Type": isScript ? "text/javascript" : "text/html" }).end(isScript ? readFileSync(`${dist}/${name}`) : PAGE);
  });
  await new Promise((done) => files.listen(0, "127.0.0.1", done));
  const place = mkdtempSync(join(tmpdir(), "pulse-page-"));
  const address = `http://127.0.0.1:${files.address().port}/?${new URLSearchParams({ url, client: isServed ? client : "/pulse.js" })}`;
  const browser = spawn("chromium", [...FLAGS, `--user-data-dir=${place}`, "--remote-debugging-port=0", address], { detached: true, stdio: "ignore" });
  const port = await until(60_000, "Chromium listens", () => { try { return readFileSync(join(place, "DevToolsActivePort"), "utf8").split("\n")[0]; } catch { return null; } });
  const targets = () => fetch(`http://127.0.0.1:${port}/json`).then((answer) => answer.json());
  const target = await until(60_000, "a page", async () => (await targets()).find(({ type, url }) => type === "page" && url.includes("?url=")));
  const socket = new WebSocket(target.webSocketDebuggerUrl, { perMessageDeflate: false });
  await new Promise((done) => socket.once("open", done));
  const answers = new Map();
  socket.on("message", (text) => { const { id, result, error } = JSON.parse(text); answers.get(id)?.(error ? { error } : result); });
  let count = 0;
  const call = (method, params = {}) => new Promise((done) => { answers.set(++count, done); socket.send(JSON.stringify({ id: count, method, params })); });
  const evaluate = async (expression) => (await call("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true })).result?.value;
  const close = () => { process.kill(-browser.pid, "SIGKILL"); socket.terminate(); files.close(); files.closeAllConnections(); return sleep(200).then(() => rmSync(place, { recursive: true, force: true, maxRetries: 5 })); };
  const signal = (name) => process.kill(-browser.pid, name);
  return { call, evaluate, signal, close, isServed, events: () => evaluate("events"), state: () => evaluate("socket?.state"), seen: () => evaluate("seen") };
}

/** Runs a case with a page of its own. */
async function one(name, settings, run) {
  const served = await service();
  const front = await realGateway(binary, served.url.replace("ws:", "http:"), settings);
  const proxy = await faultyProxy(front.port);
  const page = await openPage(`ws://127.0.0.1:${proxy.port}/page`, front.port);
  let said = "";
  let failure;
  try {
    await until(60_000, "open", async () => (await page.state()) === "open");
    said = await run({ page, front, proxy, served });
    if (count(await page.events(), "reset")) throw new Error("the session was lost");
  } catch (error) { failure = error; }
  const from = page.isServed ? "" : "; the client is that of dist/, because the gateway has another one";
  console.log(`${failure ? "FAILED" : "ok"} ${name}: ${failure ? failure.message : said}${from}`);
  await page.close();
  proxy.stop();
  await front.kill();
  served.stop();
  return !failure;
}

const short = { HEARTBEAT_INTERVAL_MS: "1000", CONNECTION_TIMEOUT_MS: "2500" };
const patient = { HEARTBEAT_INTERVAL_MS: "1000", CONNECTION_TIMEOUT_MS: "10000" };
const usual = isFull ? { HOLD_MS: "120000" } : patient;
const count = (events, type) => events.filter((event) => event.type === type).length;

/** Checks that the client gave no connection up, and reconnected only `resumes` times. */
async function calm(page, resumes) {
  const [events, seen] = [await page.events(), await page.seen()];
  const actual = [seen.ownCloses, count(events, "resume"), seen.tries, await page.state()];
  if (actual.join() !== [0, resumes, resumes + 1, "open"].join()) throw new Error(`${actual}: ${JSON.stringify(events)}`);
  return seen;
}

const hole = ["a black hole is noticed within ping + grace + 0.1 s", short, async ({ page, proxy, served }) => {
  const times = isFull ? 30 : 3;
  const late = [];
  const { ping_ms: ping, grace_ms: grace } = (await page.seen()).hello;
  for (let i = 0; i < times; i++) {
    await until(120_000, "open", async () => (await page.state()) === "open" && proxy.links.size > 0);
    served.connections[0].socket.send(`mark ${i}`);
    await until(20_000, "a mark", async () => (await page.events()).some(({ data }) => data === `mark ${i}`));
    await sleep((i * 397) % 1000);
    proxy.breakAll("hole");
    await until(60_000, "suspend", async () => count(await page.events(), "suspend") > i);
    const { at, heardAt, stall } = (await page.events()).filter(({ type }) => type === "suspend")[i];
    // A timer of the page was late by `stall` at most, for want of a processor.
    late.push(Math.max(0, at - heardAt - ping - grace - Math.max(0, stall - 20)));
  }
  late.sort((a, b) => a - b);
  const p99 = late[Math.ceil(late.length * 0.99) - 1];
  // Of a few times, one may fall on a moment in which the machine is busy with something else.
  if ((isFull ? p99 : late[times >> 1]) > 100) throw new Error(`${p99} ms late: ${late}`);
  return `${times} times, p50 ${late[times >> 1]} ms and p99 ${p99} ms after the deadline of ${ping + grace} ms`;
}];

const online = ["when the network comes back, a black hole is noticed within 3.5 s", { HEARTBEAT_INTERVAL_MS: "30000", CONNECTION_TIMEOUT_MS: "90000" }, async ({ page, proxy }) => {
  proxy.breakAll("hole");
  await page.call("Network.enable");
  const network = (offline) => page.call("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
  await page.evaluate("addEventListener('online', () => { window.onlineAt = Date.now(); }), true");
  await network(true);
  await sleep(300);
  await network(false);
  await until(60_000, "suspend", async () => count(await page.events(), "suspend"));
  const { at, stall } = (await page.events()).find(({ type }) => type === "suspend");
  const ms = at - (await page.evaluate("window.onlineAt"));
  if (ms - stall > 3500) throw new Error(`${ms} ms`);
  await until(60_000, "resume", async () => count(await page.events(), "resume"));
  return `${ms} ms after the event`;
}];

const stopped = (seconds, resumes) => [`stopped for ${seconds} s: ${resumes} reconnects`, usual, async ({ page, served }) => {
  page.signal("SIGSTOP");
  served.connections[0].socket.send("while away");
  await sleep(seconds * 1000);
  page.signal("SIGCONT");
  await until(60_000, "the message", async () => (await page.events()).some(({ data }) => data === "while away"));
  await sleep(5000);
  await calm(page, resumes);
  return "open, and the message came";
}];

const frozen = ["frozen by Chromium for 3 s: no reconnect but for Chromium's own close", usual, async ({ page, served }) => {
  await page.call("Page.enable");
  await page.call("Page.setWebLifecycleState", { state: "frozen" });
  served.connections[0].socket.send("while frozen");
  await sleep(3000);
  await page.call("Page.setWebLifecycleState", { state: "active" });
  await until(60_000, "the message", async () => (await page.events()).some(({ data }) => data === "while frozen"));
  await sleep(4000);
  // Chromium may end the connections of a page that it freezes.
  const resumes = count(await page.events(), "resume");
  await calm(page, Math.min(resumes, 1));
  return `Chromium closed ${resumes} connections, and the message came`;
}];

const hidden = [`hidden for ${isFull ? 600 : 5} s: no reconnect`, usual, async ({ page }) => {
  await page.call("Page.enable");
  const { windowId } = await page.call("Browser.getWindowForTarget");
  await page.call("Browser.setWindowBounds", { windowId, bounds: { windowState: "minimized" } });
  const isHidden = await page.evaluate("document.hidden");
  await sleep((isFull ? 600 : 5) * 1000);
  await page.call("Browser.setWindowBounds", { windowId, bounds: { windowState: "normal" } });
  await sleep(4000);
  const { states } = await calm(page, 0);
  return `document.hidden was ${isHidden}; states told: ${JSON.stringify(states)}`;
}];

// What waits runs side by side; what measures runs alone.
let failures = 0;
const waiting = isFull ? [stopped(30, 0), stopped(120, 1), frozen, hidden] : [stopped(6, 0), frozen, hidden];
for (const held of await Promise.all(waiting.map((args) => one(...args)))) failures += !held;
for (const args of [hole, online]) failures += !(await one(...args));
process.exit(failures ? 1 : 0);
