// The client against the gateway itself: refusals, drains, the service's own end, takeovers, holds that are over, routes without pulse.
// Environment: PULSE_GATEWAY, the gateway's binary. Times are lower bounds; no test fails because the machine is slow.
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { WebSocket as Raw, WebSocketServer } from "ws";
import { faultyProxy } from "./faulty_proxy.mjs";
import { realGateway } from "./real_gateway.mjs";

const { PulseSocket } = await import(process.env.PULSE_MAIN ?? "../../../src/client/js/src/index.ts");
const binary = process.env.PULSE_GATEWAY;
const options = { skip: binary ? false : "PULSE_GATEWAY is not set" };
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));

async function until(what, condition, ms = 20_000) {
  for (const deadline = Date.now() + ms; ; await sleep(10)) {
    const value = condition();
    if (value) return value;
    assert.ok(Date.now() < deadline, `not within ${ms} ms: ${what}`);
  }
}

/** A service that echoes, and refuses the next handshakes with `answers`: [status, Retry-After]. */
async function echo() {
  const self = { sockets: [], urls: [], answers: [], received: [] };
  const server = createServer((_, response) => response.writeHead(404).end());
  const sockets = new WebSocketServer({ noServer: true, perMessageDeflate: false });
  server.on("upgrade", (request, socket, head) => {
    self.urls.push(request.url);
    const [status, after] = self.answers.shift() ?? [];
    if (status) return socket.end(`HTTP/1.1 ${status} No\r\n${after ? `Retry-After: ${after}\r\n` : ""}Content-Length: 0\r\nConnection: close\r\n\r\n`);
    sockets.handleUpgrade(request, socket, head, (client) => {
      self.sockets.push(client);
      client.on("message", (data, isBinary) => { self.received.push(data.toString()); client.send(data, { binary: isBinary }); });
      client.on("error", () => {});
    });
  });
  await new Promise((done) => server.listen(0, "127.0.0.1", done));
  self.url = `http://127.0.0.1:${server.address().port}`;
  self.stop = () => { self.sockets.forEach((one) => one.terminate()); server.close(); server.closeAllConnections(); };
  return self;
}

/** A gateway, its service, and a client with its events and what it was sent. */
async function rig(settings, use) {
  const served = await echo();
  const front = await realGateway(binary, served.url, { HEARTBEAT_INTERVAL_MS: "500", CONNECTION_TIMEOUT_MS: "10000", ...settings });
  const proxy = await faultyProxy(front.port);
  const self = { served, front, proxy, events: [], frames: [], attempts: [], tries: [] };
  class Recorder extends WebSocket {
    constructor(url, protocols) {
      super(url, protocols);
      self.tries.push({ url, at: Date.now() });
      this.addEventListener("message", ({ data }) => { if (typeof data === "string" && data[0] === "\x01" && data[1] === "{") self.frames.push(JSON.parse(data.slice(1))); });
      this.addEventListener("close", ({ code }) => self.frames.push({ closed: code }));
    }
  }
  self.open = (path = "/chat?a=1", more = {}) => {
    const target = (attempt) => { self.attempts.push(attempt.why); return `ws://127.0.0.1:${proxy.port}${path}`; };
    self.socket = new PulseSocket(target, ["chat.v1", "chat.v2"], { WebSocket: Recorder, ...more });
    for (const type of ["open", "resume", "suspend", "reset", "message", "close"]) self.socket.addEventListener(type, (event) => self.events.push({ ...event, at: Date.now() }));
    return self.socket;
  };
  self.event = (type, nth = 1) => until(`${type} ${nth}`, () => self.events.filter((event) => event.type === type)[nth - 1]);
  self.types = () => self.events.map(({ type }) => type);
  self.has = (kind) => self.frames.find((frame) => frame[kind] !== undefined)?.[kind];
  try { return await use(self); } finally {
    self.socket?.close();
    proxy.stop();
    await front.kill();
    served.stop();
  }
}

test("401: a new token is fetched once, at once", options, () => rig({}, async (it) => {
  it.served.answers.push([401]);
  it.open();
  await it.event("open");
  assert.deepEqual([it.attempts, it.has("refused").status, it.has("closed")], [["start", "rejected"], 401, 4401]);
  assert.deepEqual(it.served.urls, ["/chat?a=1", "/chat?a=1"]);
  assert.equal(it.socket.protocol, "chat.v1");
}));

test("403 twice: it stops, and says why", options, () => rig({}, async (it) => {
  it.served.answers.push([403], [403], [403]);
  it.open();
  const { code, class: why } = await it.event("close");
  await sleep(300);
  assert.deepEqual([code, why, it.attempts, it.types()], [4403, "rejected", ["start", "rejected"], ["close"]]);
}));

for (const status of [429, 503]) {
  test(`${status} with Retry-After: it comes back then`, options, () => rig({}, async (it) => {
    it.served.answers.push([status, 2]);
    it.open();
    await it.event("open");
    const { retry_ms, status: said } = it.has("refused");
    assert.deepEqual([said, retry_ms, it.has("closed"), it.attempts], [status, 2000, 4000 + status, ["start", "told"]]);
    assert.ok(it.tries[1].at - it.tries[0].at >= 2000);
  }));

  test(`${status} without Retry-After is an overload`, options, () => rig({}, async (it) => {
    it.served.answers.push([status]);
    let close;
    it.open("/chat", { shouldReconnect: (info) => { close = info; return 10; } });
    await it.event("open");
    assert.deepEqual([close.code, close.class, it.has("refused").retry_ms ?? 0], [4000 + status, "overload", 0]);
  }));
}

test("a drain: bye, 1012, back when told; the session is reset", options, () => rig({ DRAIN_MS: "1000" }, async (it) => {
  it.open();
  await it.event("open");
  it.socket.send("before");
  await it.event("message");
  await until("all is acknowledged", () => it.socket.bufferedAmount === 0);
  const ended = it.front.end();
  const suspend = await it.event("suspend");
  it.socket.send("while away");
  const bye = it.has("bye");
  assert.deepEqual([suspend.code, suspend.class, bye.why], [1012, "told", "restart"]);
  assert.ok(suspend.retryMs >= bye.retry_ms - 20 && suspend.retryMs <= bye.retry_ms + bye.spread_ms, `${suspend.retryMs} of ${JSON.stringify(bye)}`);
  await ended;
  const next = await realGateway(binary, it.served.url, {});
  it.proxy.target = next.port;
  try {
    const { unconfirmed, sent } = await it.event("reset");
    assert.deepEqual([unconfirmed, sent], [["while away"], 0]);
    await it.event("open", 2);
    assert.ok(it.tries[1].at >= suspend.at + bye.retry_ms - 20);
  } finally { await next.kill(); }
}));

for (const [code, reason] of [[1000, "done"], [4123, "of its own"]]) {
  test(`the service closes with ${code}: the end comes behind all messages, and is final`, options, () => rig({}, async (it) => {
    it.open();
    await it.event("open");
    const [peer] = it.served.sockets;
    for (let i = 0; i < 50; i++) peer.send(`s${i}`);
    peer.close(code, reason);
    const close = await it.event("close");
    assert.deepEqual([close.code, close.reason, close.class, close.wasClean], [code, reason, "over", true]);
    assert.equal(it.events.filter(({ type }) => type === "message").length, 50);
    assert.deepEqual([it.has("end"), it.has("closed"), it.tries.length], [{ code, reason }, code, 1]);
  }));
}

test("the service closes while the client is away: it gets the messages and the end", options, () => rig({}, async (it) => {
  it.open("/chat", { shouldReconnect: ({ code }) => (code === 1006 ? 300 : undefined) });
  await it.event("open");
  await until("the hello is proved", () => it.frames.some(({ ping }) => ping !== undefined));
  it.proxy.refusing = true;
  it.proxy.breakAll("rst");
  await it.event("suspend");
  it.served.sockets[0].send("kept");
  it.served.sockets[0].close(4321, "over");
  await sleep(200);
  it.proxy.refusing = false;
  const close = await it.event("close");
  assert.deepEqual([close.code, it.types()], [4321, ["open", "suspend", "resume", "message", "close"]]);
}));

test("the service goes away with 1001: another session begins", options, () => rig({}, async (it) => {
  it.open();
  await it.event("open");
  it.served.sockets[0].close(1001, "moved");
  await it.event("open", 2);
  assert.deepEqual([it.types(), it.served.sockets.length], [["open", "reset", "suspend", "open"], 2]);
}));

test("the connection to the service is lost: 1012, and another session begins", options, () => rig({}, async (it) => {
  it.open();
  await it.event("open");
  it.served.sockets[0].terminate();
  await it.event("open", 2);
  const suspend = await it.event("suspend");
  assert.deepEqual([suspend.code, it.socket.quality.resets], [1012, 1]);
  assert.ok(["told", "restart"].includes(suspend.class), suspend.class);
}));

test("the session is taken over: 4003 after a bye is final until reconnect()", options, () => rig({}, async (it) => {
  it.open();
  await it.event("open");
  await until("the hello is proved", () => it.frames.some(({ ping }) => ping !== undefined));
  const { resume, conn } = it.has("hello");
  const second = new Raw(`ws://127.0.0.1:${it.front.port}/chat?a=1&pulse=1&resume=${conn.split(".")[0]}`, ["chat.v1"], { perMessageDeflate: false });
  await new Promise((done) => second.once("open", done));
  const answer = new Promise((done) => second.once("message", (data) => done(JSON.parse(data.toString().slice(1)))));
  second.send(`\x01${JSON.stringify({ resume, rx: 0 })}`);
  assert.equal((await answer).hello.resumed, true);
  const close = await it.event("close");
  assert.deepEqual([close.code, close.class, it.has("bye").why, it.tries.length], [4003, "replaced", "replaced", 1]);
  second.terminate();
  it.socket.reconnect();
  await it.event("open", 2);
}));

test("big is announced before a long message, both ways whole", options, () => rig({}, async (it) => {
  it.open();
  await it.event("open");
  const text = "é".repeat(150_000);
  it.socket.send(text);
  const { data } = await it.event("message");
  assert.ok(data === text);
  assert.equal(it.has("big"), 300_000);
}));

test("a message over the gateway's limit throws, and the session goes on", options, () => rig({ UPSTREAM_MAX_MESSAGE_BYTES: "1000" }, async (it) => {
  it.open();
  await it.event("open");
  assert.equal(it.socket.session.maxMessageBytes, 1000);
  assert.throws(() => it.socket.send("x".repeat(1001)), { name: "QuotaExceededError" });
  it.socket.send("x".repeat(1000));
  assert.equal((await it.event("message")).data.length, 1000);
}));

test("the hold is over: reset with what was not confirmed", options, () => rig({ HOLD_MS: "300" }, async (it) => {
  it.open("/chat", { shouldReconnect: () => 700 });
  await it.event("open");
  assert.equal(it.socket.session.holdMs, 300);
  it.socket.send("confirmed");
  await it.event("message");
  await until("all is acknowledged", () => it.socket.bufferedAmount === 0);
  it.proxy.refusing = true;
  it.proxy.breakAll("rst");
  it.socket.send("under way");
  await it.event("suspend");
  it.socket.send("waiting");
  await sleep(1500);
  it.proxy.refusing = false;
  const { unconfirmed, sent } = await it.event("reset");
  assert.equal(unconfirmed.at(-1), "waiting");
  assert.ok(sent < unconfirmed.length && unconfirmed.length <= 2);
  await it.event("open", 2);
  assert.equal((await it.front.metrics())['pulsegate_pulse_holds_ended_total{why="expired"}'], 1);
}));

test("close says farewell: the service sees the code at once, and nothing is held", options, () => rig({}, async (it) => {
  it.open();
  await it.event("open");
  const closed = new Promise((done) => it.served.sockets[0].once("close", (code, reason) => done([code, reason.toString()])));
  it.socket.send("last");
  it.socket.close(4002, "mine");
  assert.deepEqual(await closed, [4002, "mine"]);
  assert.deepEqual(it.served.received, ["last"]);
  await it.event("close");
  assert.equal((await it.front.metrics())['pulsegate_pulse_sessions{state="held"}'], 0);
}));

// A ping goes behind the frame in progress and before every other frame, so its rx must not be beyond that of those that wait.
test("rx never goes back, even if the client reads slowly", options, () => rig({}, async (it) => {
  const slow = new Raw(`ws://127.0.0.1:${it.front.port}/chat?pulse=1`, [], { perMessageDeflate: false });
  const counts = [];
  slow.on("message", (data, isBinary) => {
    const text = isBinary ? "" : data.toString("utf8", 0, 2000);
    if (text.startsWith("\x01{")) counts.push(JSON.parse(text.slice(1)).rx);
  });
  await new Promise((done) => slow.once("message", done));
  slow.send('\x01{"rx":0}');
  slow.pause();
  (await until("the service has it", () => it.served.sockets[0])).send("x".repeat(1 << 20));
  await sleep(200);
  for (let i = 0; i < 70; i++) slow.send("y");
  await sleep(1500);
  slow.resume();
  await until("all is acknowledged", () => counts.includes(70));
  await sleep(500);
  slow.terminate();
  const told = counts.filter((rx) => rx !== undefined);
  assert.deepEqual(told, [...told].sort((one, other) => one - other));
}));

const place = mkdtempSync(join(tmpdir(), "pulse-routes-"));
after(() => rmSync(place, { recursive: true, force: true }));

test("a route without pulse: a plain reconnecting socket", options, async () => {
  const served = await echo();
  const file = join(place, "gateway.toml");
  writeFileSync(file, `[[route]]\nname = "plain"\npath = "/plain"\nupstream = "${served.url}"\n[[route]]\nname = "rest"\nupstream = "${served.url}"\npulse = true\n`);
  const front = await realGateway(binary, undefined, { CONFIG_FILE: file, PULSE: undefined, UPSTREAM: undefined });
  const proxy = await faultyProxy(front.port);
  const socket = new PulseSocket(`ws://127.0.0.1:${proxy.port}/plain`, [], { shouldReconnect: () => 50 });
  const events = [];
  for (const type of ["open", "suspend", "message", "resume", "reset"]) socket.addEventListener(type, (event) => events.push(type === "message" ? event.data : type));
  try {
    socket.send("\x01one");
    await until("an echo", () => events.includes("\x01one"));
    assert.deepEqual([events, socket.session, served.urls], [["open", "\x01one"], null, ["/plain?pulse=1"]]);
    proxy.breakAll("rst");
    await until("open again", () => events.filter((type) => type === "open").length === 2);
    assert.deepEqual([events.slice(2), served.urls[1]], [["suspend", "open"], "/plain"]);
  } finally {
    socket.close();
    proxy.stop();
    await front.kill();
    served.stop();
  }
});
