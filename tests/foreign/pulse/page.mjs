// What happens to a page: its network goes and comes, it is frozen, it is hidden, its connection falls into a black hole.
//
//   page.mjs short     some 25 s, with a gateway that pings every second
//   page.mjs full      18 minutes, with the gateway's usual times: frozen for 30 s and 2 min, hidden for 10 min
//
// Environment: PULSE_DIST, the client's dist/. Prints a line for each case. Exit: 0 all held; 1 not.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { WebSocket } from "ws";
import { FLAGS } from "./browser.mjs";
import { faultyProxy } from "./faulty_proxy.mjs";
import { gateway } from "./gateway.mjs";
import { service } from "./service.mjs";

const isFull = process.argv[2] === "full";
const { PULSE_DIST: dist } = process.env;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const PAGE = `<!doctype html><meta charset=utf-8><title>page</title><script type=module>
  import { PulseSocket } from "/pulse.js";
  const socket = new PulseSocket(new URLSearchParams(location.search).get("url"), [], {
    // Connections that are cut again and again are a flap, which waits for longer than this test.
    shouldReconnect: () => 100,
  });
  const events = [];
  for (const type of ["open", "resume", "suspend", "reset", "close", "message"]) {
    socket.addEventListener(type, (event) => events.push({ type, at: Date.now(), class: event.class, code: event.code, reason: event.reason, data: event.data }));
  }
  Object.assign(window, { socket, events });
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
async function openPage(url) {
  const files = createServer((request, response) => {
    const name = request.url.slice(1);
    const isScript = name === "pulse.js" || name === "pulse-report.js";
    response.writeHead(200, { "Content-Type": isScript ? "text/javascript" : "text/html" }).end(isScript ? readFileSync(`${dist}/${name}`) : PAGE);
  });
  await new Promise((done) => files.listen(0, "127.0.0.1", done));
  const place = mkdtempSync(join(tmpdir(), "pulse-page-"));
  const address = `http://127.0.0.1:${files.address().port}/?url=${encodeURIComponent(url)}`;
  const browser = spawn("chromium", [...FLAGS, `--user-data-dir=${place}`, "--remote-debugging-port=0", address], { detached: true, stdio: "ignore" });
  const port = await until(20_000, "Chromium listens", () => { try { return readFileSync(join(place, "DevToolsActivePort"), "utf8").split("\n")[0]; } catch { return null; } });
  const targets = () => fetch(`http://127.0.0.1:${port}/json`).then((answer) => answer.json());
  const target = await until(20_000, "a page", async () => (await targets()).find(({ type, url }) => type === "page" && url.includes("?url=")));
  const socket = new WebSocket(target.webSocketDebuggerUrl, { perMessageDeflate: false });
  await new Promise((done) => socket.once("open", done));
  const answers = new Map();
  socket.on("message", (text) => { const { id, result, error } = JSON.parse(text); answers.get(id)?.(error ? { error } : result); });
  let count = 0;
  const call = (method, params = {}) => new Promise((done) => { answers.set(++count, done); socket.send(JSON.stringify({ id: count, method, params })); });
  const evaluate = async (expression) => (await call("Runtime.evaluate", { expression, returnByValue: true, awaitPromise: true })).result?.value;
  const close = () => { process.kill(-browser.pid, "SIGKILL"); socket.terminate(); files.close(); files.closeAllConnections(); return sleep(200).then(() => rmSync(place, { recursive: true, force: true, maxRetries: 5 })); };
  const signal = (name) => process.kill(-browser.pid, name);
  return { call, evaluate, signal, close, events: () => evaluate("events"), state: () => evaluate("socket.state") };
}

/** Runs a case with a page of its own. */
async function one(name, values, run) {
  const served = await service();
  const front = await gateway(served.url, values);
  const proxy = await faultyProxy(front.port);
  const page = await openPage(`ws://127.0.0.1:${proxy.port}/page`);
  let said = "";
  let failure;
  try {
    await until(10_000, "open", async () => (await page.state()) === "open");
    said = await run({ page, front, proxy, served });
    const events = await page.events();
    if (events.some(({ type }) => type === "reset")) throw new Error("the session was lost");
    if (front.faults.length) throw new Error(front.faults[0]);
  } catch (error) { failure = error; }
  console.log(`${failure ? "FAILED" : "ok"} ${name}: ${failure ? failure.message : said}`);
  await page.close();
  proxy.stop();
  await front.kill();
  served.stop();
  return !failure;
}

const short = { ping_ms: 1000, grace_ms: 500, timeout_ms: 20_000, hold_ms: 60_000 };
const usual = isFull ? { hold_ms: 120_000 } : short;
const count = (events, type) => events.filter((event) => event.type === type).length;

const cases = [
  ["a black hole is noticed within ping + grace + 0.1 s", short, async ({ page, front, proxy, served }) => {
    const late = [];
    for (let i = 0; i < (isFull ? 30 : 3); i++) {
      await until(120_000, "open", async () => (await page.state()) === "open" && proxy.links.size > 0);
      served.connections[0].socket.send(`mark ${i}`);
      const heard = await until(5000, "a mark", async () => (await page.events()).find(({ data }) => data === `mark ${i}`)?.at);
      proxy.breakAll("hole");
      const suspends = count(await page.events(), "suspend");
      await until(10_000, "suspend", async () => count(await page.events(), "suspend") > suspends);
      late.push((await page.events()).filter(({ type }) => type === "suspend").at(-1).at - heard - front.values.ping_ms - front.values.grace_ms);
    }
    late.sort((a, b) => a - b);
    // A ping may have come after the mark.
    const worst = late[Math.ceil(late.length * 0.99) - 1];
    if (worst > front.values.ping_ms + 100) throw new Error(`${worst} ms late`);
    return `${late.length} times, the latest ${worst} ms after the deadline that counts from the last message; a ping may have moved it by up to 1 s`;
  }],
  ["when the network comes back, a black hole is noticed within 3.5 s", { ...short, ping_ms: 30_000, grace_ms: 30_000 }, async ({ page, proxy }) => {
    proxy.breakAll("hole");
    await page.call("Network.enable");
    const network = (offline) => page.call("Network.emulateNetworkConditions", { offline, latency: 0, downloadThroughput: -1, uploadThroughput: -1 });
    await network(true);
    await sleep(300);
    await network(false);
    const from = Date.now();
    await until(5000, "suspend", async () => count(await page.events(), "suspend"));
    const ms = (await page.events()).find(({ type }) => type === "suspend").at - from;
    if (ms > 3500) throw new Error(`${ms} ms`);
    await until(10_000, "resume", async () => count(await page.events(), "resume"));
    return `${ms} ms`;
  }],
  ...[[isFull ? 30 : 5, 0], ...(isFull ? [[120, 1]] : [])].map(([seconds, reconnects]) => [`stopped for ${seconds} s: ${reconnects} reconnects`, usual, async ({ page, served }) => {
    page.signal("SIGSTOP");
    served.connections[0].socket.send("while away");
    await sleep(seconds * 1000);
    page.signal("SIGCONT");
    await until(20_000, "the message", async () => (await page.events()).some(({ data }) => data === "while away"));
    await sleep(5000);
    const events = await page.events();
    const resumes = count(events, "resume");
    if (resumes !== reconnects || (await page.state()) !== "open") throw new Error(`${resumes} resumed: ${JSON.stringify(events)}`);
    return "open, and the message came";
  }]),
  ["frozen by Chromium for 3 s: no reconnect but for Chromium's own close", usual, async ({ page, served, front }) => {
    await page.call("Page.enable");
    await page.call("Page.setWebLifecycleState", { state: "frozen" });
    served.connections[0].socket.send("while frozen");
    await sleep(3000);
    await page.call("Page.setWebLifecycleState", { state: "active" });
    await until(20_000, "the message", async () => (await page.events()).some(({ data }) => data === "while frozen"));
    await sleep(4000);
    const resumes = count(await page.events(), "resume");
    // Chromium ends the connections of a page that it has frozen with 1001, "going away".
    const closes = front.closed.filter(({ code }) => code === 1001).length;
    if (resumes !== closes || (await page.state()) !== "open") throw new Error(`${resumes} resumed: ${JSON.stringify(front.closed)}`);
    return `Chromium closed ${closes} time, and the message came`;
  }],
  [`hidden for ${isFull ? 600 : 5} s: no reconnect`, usual, async ({ page, front }) => {
    await page.call("Page.enable");
    const { windowId } = await page.call("Browser.getWindowForTarget");
    await page.call("Browser.setWindowBounds", { windowId, bounds: { windowState: "minimized" } });
    const isHidden = await page.evaluate("document.hidden");
    await sleep((isFull ? 600 : 5) * 1000);
    await page.call("Browser.setWindowBounds", { windowId, bounds: { windowState: "normal" } });
    await sleep(4000);
    const events = await page.events();
    if (front.opened.length !== 1) throw new Error(JSON.stringify(events));
    return `document.hidden was ${isHidden}; states told: ${JSON.stringify(front.states)}`;
  }],
];

let failures = 0;
for (const [name, values, run] of cases) failures += !(await one(name, values, run));
process.exit(failures ? 1 : 0);
