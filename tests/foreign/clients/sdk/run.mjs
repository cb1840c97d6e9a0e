// The app SDKs from npm, unmodified, and glasses as plain WebSocket clients against the gateway, case by case:
// `run.mjs GATEWAY_BINARY [NAME ...]`. Starts gateways, apps and proxies itself. Prints a line for each case, PASS or FAIL;
// exit code 0 all held, 1 something did not, 2 usage. Bounded in time.

import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { PlainApp, SdkApp, tryInit } from "./apps.mjs";
import { Gateway } from "./gateway.mjs";
import { Glasses } from "./glasses.mjs";
import { Proxy } from "./proxy.mjs";
import { sleep, throughout, until } from "./wait.mjs";

const [binary, ...names] = process.argv.slice(2);
const SECRET = "a-secret-of-the-tests-of-32-bytes-or-more";
/** What a busy machine may add to a time that is checked. */
const SLACK_MS = 10_000;
const FAST = { HEARTBEAT_INTERVAL_MS: "1000", CONNECTION_TIMEOUT_MS: "3000" };
const APP_GRACE_MS = 4_000;

const ONE = "com.example.one";
const TWO = "com.example.two";
const PLAIN = "com.example.plain";
/** The newer SDKs (bun_app.mjs), by the packages of their apps here. */
const NEWER = { "com.example.hono": "hono", "com.example.alpha": "alpha", "com.example.mini": "mini" };
const MINI = "com.example.mini";
const key = (packageName) => `key-of-${packageName}`;

const cases = {
  start_subscribe_display, heartbeats, default_settings, hyphens_and_several_packages, refusals, stop_app, cut, ghost,
  freeze_within_the_grace, freeze_beyond_the_grace, restart_glasses_at_once, restart_glasses_later, session_ends,
  two_processes, two_phones, start_while_unreachable,
  newer_start_cut_stop, newer_two_processes, newer_mini_waits_for_its_glasses, newer_mini_start_while_unreachable,
  restart_500_ms, restart_4000_ms, restart_6000_ms,
};

/** What a case has: a gateway of its own, a proxy before it, apps, glasses. All of it ends with the case. */
class Stage {
  #ends = [];
  folder = mkdtempSync(join(tmpdir(), "sdk-case-"));

  /** Starts apps (names of packages: real SDK; an object: that app), then a gateway that knows them. */
  async set(apps, env = {}) {
    this.proxy = await Proxy.start();
    this.#ends.push(() => this.proxy.close());
    const started = await Promise.all(
      apps.map(async (app) => {
        const made = typeof app === "string" ? await SdkApp.start(app, key(app)) : await app;
        this.#ends.push(() => made.end());
        return made;
      }),
    );
    const list = started.map((app) => ({ package: app.packageName, api_key: app.apiKey, webhook_url: app.webhook }));
    writeFileSync(join(this.folder, "apps.json"), JSON.stringify(list), { mode: 0o600 });
    this.env = {
      AUTH_JWT_SECRET: SECRET,
      APPS_FILE: join(this.folder, "apps.json"),
      STATE_FILE: join(this.folder, "state.json"),
      APP_WEBSOCKET_URL: `${this.proxy.url}/app-ws`,
      APP_GRACE_MS: String(APP_GRACE_MS),
      ...FAST,
      ...env,
    };
    await this.startGateway();
    return started;
  }

  async startGateway() {
    const port = this.gateway?.port ?? 0;
    this.gateway = await Gateway.start(binary, { ...this.env, LISTEN_ADDR: `127.0.0.1:${port}` });
    this.proxy.target = this.gateway.port;
    const { gateway } = this;
    this.#ends.push(() => gateway.kill());
  }

  also(end) {
    this.#ends.push(end);
  }

  async glasses(user) {
    const glasses = new Glasses({ url: this.gateway.url, secret: SECRET, user });
    this.#ends.push(() => glasses.destroy());
    await glasses.open();
    return glasses;
  }

  end() {
    for (const end of this.#ends.reverse()) end();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

const session = (user, packageName) => `${user}-${packageName}`;

/** The glasses start an app, and it is there: acknowledged, subscribed, told to the glasses. */
async function startApp(glasses, app) {
  const id = session(glasses.user, app.packageName);
  const [from, seen] = [glasses.frames.length, app.events.length];
  glasses.send({ type: "start_app", packageName: app.packageName });
  await app.expect(10_000, "onSession", (e) => e.event === "session" && e.sessionId === id, seen);
  await glasses.expect(5_000, "app_started", (j) => j.type === "app_started" && j.packageName === app.packageName, from);
  await works(glasses, app);
  return id;
}

let presses = 1_000_000;

/** A press reaches the app's handler, and what the app shows reaches the glasses, within `ms`. */
async function works(glasses, app, ms = 5_000) {
  const id = session(glasses.user, app.packageName);
  // An app whose handlers are not there yet is not subscribed, so a press may pass it by.
  const mine = new Set();
  let last;
  await until(ms, () => `a press reaches ${app.packageName} of ${glasses.user}; ${JSON.stringify(glasses.ends)}`, async () => {
    if (glasses.ws.readyState === WebSocket.OPEN && (!last || performance.now() - last > 250)) {
      glasses.press((presses += 1));
      mine.add(presses);
      last = performance.now();
    }
    return pressed(app, id).some((n) => mine.has(n));
  });
  const [from, text] = [glasses.frames.length, `shown ${Math.max(...mine)}`];
  app.ask({ do: "show", sessionId: id, text });
  await glasses.expect(ms, `the display of ${text}`, (j) => j.type === "display_event" && j.layout.text === text, from);
}

/** The numbers of the presses that reached the app's handler. */
function pressed(app, sessionId, from = 0) {
  return app.of("data", sessionId, from).filter((e) => e.stream === "button_press").map((e) => e.data.n);
}

async function start_subscribe_display(stage) {
  const [app] = await stage.set([ONE]);
  const glasses = await stage.glasses("first@example.org");
  const ack = await glasses.expect(SLACK_MS, "connection_ack on open", (j) => j.type === "connection_ack");
  assert.equal(typeof ack.json.sessionId, "string");
  glasses.send({ type: "connection_init" });
  await until(SLACK_MS, "a second connection_ack", () => glasses.of("connection_ack").length === 2);
  assert.equal(glasses.of("connection_ack")[1].json.sessionId, ack.json.sessionId, "one stable session id");

  const id = await startApp(glasses, app);
  const [webhook] = app.webhooks("session_request", id);
  assert.equal(webhook.userId, glasses.user);
  assert.equal(new URL(webhook.mentraOSWebsocketUrl ?? webhook.augmentOSWebsocketUrl).pathname, "/app-ws");
  await app.expect(SLACK_MS, "the webhook is answered 200", (e) => e.event === "webhook_answered" && e.status === 200);
  const from = glasses.frames.length;
  app.ask({ do: "show", sessionId: id, text: 'verbatim: "ä" \\ 👓' });
  const shown = await glasses.expect(SLACK_MS, "the display", (j) => j.type === "display_event", from);
  // Nothing added, nothing taken away, nothing written anew: as JSON.stringify wrote it in the app, its empty sessionId included.
  assert.equal(JSON.stringify(shown.json), shown.text);
  assert.deepEqual(Object.keys(shown.json).sort(), ["layout", "packageName", "sessionId", "timestamp", "type", "view"]);
  assert.deepEqual([shown.json.sessionId, shown.json.packageName, shown.json.view], ["", ONE, "main"]);
  assert.equal(shown.json.layout.text, 'verbatim: "ä" \\ 👓');
  glasses.ws.send(Buffer.from([1, 2, 3, 255]));
  await app.expect(SLACK_MS, "audio", (e) => e.stream === "audio_chunk" && e.data === "010203ff");
  glasses.send({ type: "ping" });
  await glasses.expect(SLACK_MS, "pong", (j) => j.type === "pong");
  const list = await stage.gateway.api("/api/v1/sessions");
  assert.deepEqual(list.sessions.map((s) => [s.user, !!s.glasses, s.apps.map((t) => t.package)]), [[glasses.user, true, [ONE]]]);
  await glasses.close();
  assert.equal(app.of("stop", id).length, 0);
}

async function heartbeats(stage) {
  const [app] = await stage.set([ONE]);
  const glasses = await stage.glasses("beats@example.org");
  const id = await startApp(glasses, app);
  const before = glasses.pings;
  await throughout(5_000, "no client is closed", () => glasses.ends.length === 0 && app.of("disconnected", id).length === 0);
  assert.ok(glasses.pings - before >= 3, `${glasses.pings - before} pings in 5 s`);
  const page = await stage.gateway.api("/api/v1/connections?class=app");
  assert.equal(page.connections.length, 1);
  assert.equal(page.connections[0].state, "healthy");
  await works(glasses, app);
}

async function default_settings(stage) {
  const [app] = await stage.set([ONE], { HEARTBEAT_INTERVAL_MS: undefined, CONNECTION_TIMEOUT_MS: undefined, APP_GRACE_MS: undefined });
  const glasses = await stage.glasses("defaults@example.org");
  const id = await startApp(glasses, app);
  await throughout(18_000, "no client is closed", () => glasses.ends.length === 0 && app.of("disconnected", id).length === 0);
  assert.ok(glasses.pings >= 1, "pinged at least once in 18 s");
  stage.proxy.of(id)[0].cut("reset");
  await app.expect(2_000 + SLACK_MS, "resumed", (e) => e.event === "resumed");
  await works(glasses, app);
  assert.equal(app.of("session", id).length, 1);
}

async function hyphens_and_several_packages(stage) {
  const [one, two] = await stage.set([ONE, TWO]);
  const glasses = await stage.glasses("anna-lena.meyer-x@ex-ample.org");
  const other = await stage.glasses("anna@ex-ample.org");
  const [first, second] = [await startApp(glasses, one), await startApp(glasses, two)];
  const third = await startApp(other, one);
  glasses.press(1);
  other.press(2);
  await until(SLACK_MS, "both apps hear the press", () => pressed(one, first).includes(1) && pressed(two, second).includes(1));
  await until(SLACK_MS, "the other session's too", () => pressed(one, third).includes(2));
  assert.ok(!pressed(one, first).includes(2) && !pressed(two, second).includes(2) && !pressed(one, third).includes(1), "and no other's");
  const list = await stage.gateway.api("/api/v1/sessions");
  const found = Object.fromEntries(list.sessions.map((s) => [s.user, s.apps.map((t) => t.package).sort()]));
  assert.deepEqual(found, { "anna-lena.meyer-x@ex-ample.org": [ONE, TWO], "anna@ex-ample.org": [ONE] });
}

async function refusals(stage) {
  const plain = PlainApp.start(PLAIN, key(PLAIN));
  const [app, raw] = await stage.set([ONE, plain]);
  const glasses = await stage.glasses("refused@example.org");
  await startApp(glasses, app);
  const url = `${stage.gateway.url}/app-ws`;
  const init = (user, packageName, apiKey = key(packageName)) => ({ sessionId: session(user, packageName), packageName, apiKey });
  const refused = async (what, asked, code, word, path = url) => {
    const seen = await tryInit(path, asked);
    const error = seen.frames.find((f) => f.type === "tpa_connection_error");
    assert.ok(error, `${what}: tpa_connection_error; seen ${JSON.stringify(seen)}`);
    if (word) assert.equal(error.code, word, what);
    assert.equal(seen.end?.code, code, `${what}: ${JSON.stringify(seen)}`);
    assert.doesNotMatch(seen.end.reason, /App stopped|User session ended/, what);
    assert.ok(!seen.frames.some((f) => f.type === "tpa_connection_ack"), what);
  };
  await refused("a bad key", init(glasses.user, ONE, "wrong"), 1008, "INVALID_API_KEY");
  await refused("a bad key, on the old path", init(glasses.user, ONE, "wrong"), 1008, "INVALID_API_KEY", `${stage.gateway.url}/tpa-ws`);
  await refused("an unknown package", init(glasses.user, "com.example.nobody", "any"), 1008);
  await refused("not started", init(glasses.user, PLAIN), 1008, "APP_NOT_STARTED");
  await refused("a session that is not known", init("nobody@example.org", ONE), 1013);
  await works(glasses, app);
  for (const [what, headers] of [["none", {}], ["a wrong one", { Authorization: `Bearer ${new Glasses({ secret: "x".repeat(40), user: "eve@example.org" }).token}` }]]) {
    const response = await upgrade(`${stage.gateway.url}/glasses-ws`, headers);
    assert.equal(response.status, 401, `${what}: ${JSON.stringify(response)}`);
    assert.equal(JSON.parse(response.body).type, "connection_error", what);
  }
  // A client that says nothing, or something else, first.
  const silent = await tryInit(url, { type: "subscription_update", subscriptions: [] });
  assert.ok(silent.end && silent.end.code !== 1000 && silent.end.code !== 1001, `something else first: ${JSON.stringify(silent)}`);
  assert.equal(raw.webhooks.length, 0);
}

/** The HTTP answer to an upgrade that is refused. */
function upgrade(url, headers) {
  const ws = new WebSocket(url, { headers });
  return new Promise((resolve, reject) => {
    ws.on("error", () => {});
    ws.on("open", () => (ws.terminate(), reject(new Error(`${url} opened`))));
    ws.on("unexpected-response", (_request, response) => {
      let body = "";
      response.on("data", (chunk) => (body += chunk));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body }));
    });
  });
}

async function stop_app(stage) {
  const [app, other, raw] = await stage.set([ONE, TWO, PlainApp.start(PLAIN, key(PLAIN))]);
  const glasses = await stage.glasses("stops@example.org");
  const id = await startApp(glasses, app);
  await startApp(glasses, other);
  const plain = await startPlain(glasses, raw);
  const from = glasses.frames.length;
  const started = app.webhooks("session_request", id).length;
  glasses.send({ type: "stop_app", packageName: ONE });
  glasses.send({ type: "stop_app", packageName: PLAIN });
  await app.expect(5_000, "onStop", (e) => e.event === "stop" && e.sessionId === id);
  for (const packageName of [ONE, PLAIN]) {
    await glasses.expect(SLACK_MS, "app_stopped", (j) => j.type === "app_stopped" && j.packageName === packageName, from);
  }
  // The plain one tells the last words apart: its stop_request may come before them, as the contract has both.
  const stopped = raw.webhooks.some((w) => w.type === "stop_request");
  if (!stopped) {
    await until(SLACK_MS, "the plain app's end", () => plain.ends.length === 1);
    assert.deepEqual(plain.ends[0], { code: 1000, reason: "App stopped" });
    assert.ok(plain.frames.some((f) => f.type === "app_stopped"));
  }
  await throughout(APP_GRACE_MS + 3_000, "it is not revived after its grace", () => app.webhooks("session_request", id).length === started);
  assert.equal(raw.webhooks.filter((w) => w.type === "session_request").length, 1);
  await works(glasses, other);
  // And it can be started again.
  await startApp(glasses, app);
}

/** The glasses start a plain app: its session, live. */
async function startPlain(glasses, app) {
  const id = session(glasses.user, app.packageName);
  glasses.send({ type: "start_app", packageName: app.packageName });
  return until(10_000, `the plain app is live; ${JSON.stringify(glasses.frames.at(-1)?.json)}`, () => {
    const found = app.sessions.get(id);
    return found?.live && found;
  });
}

async function cut(stage) {
  const [app] = await stage.set([ONE]);
  const glasses = await stage.glasses("cut@example.org");
  const id = await startApp(glasses, app);
  // Each way of losing a connection, and several times in a row.
  let n = 0;
  for (const how of ["reset", "end", "reset"]) {
    const closes = stage.gateway.closes().length;
    const [seen, at] = [app.events.length, performance.now()];
    stage.proxy.of(id)[0].cut(how);
    await until(SLACK_MS, "the gateway says that it is closed", () => stage.gateway.closes().slice(closes).find((c) => c.package === ONE));
    const sent = [];
    for (let i = 0; i < 10; i += 1) {
      sent.push((n += 1));
      glasses.press(n);
    }
    await app.expect(1_000 + SLACK_MS, "resumed", (e) => e.event === "resumed" && e.sessionId === id, seen);
    const after = performance.now() - at;
    assert.ok(after > 900, `back after ${after.toFixed()} ms`);
    glasses.press((n += 1));
    sent.push(n);
    await until(SLACK_MS, "the presses arrive", () => pressed(app, id, seen).includes(n));
    assert.deepEqual(pressed(app, id, seen), sent, `${how}: once, and in order`);
    await sleep(300);
    assert.deepEqual(pressed(app, id, seen), sent, `${how}: and not again`);
    await works(glasses, app);
  }
  // The other direction: the glasses are away.
  for (let round = 0; round < 2; round += 1) {
    const closes = stage.gateway.closes().length;
    const from = glasses.frames.length;
    glasses.ws.terminate();
    await until(SLACK_MS, "the gateway says that the glasses are gone", () => stage.gateway.closes().slice(closes).find((c) => c.class === "glasses"));
    const texts = Array.from({ length: 10 }, (_, i) => `while away ${round} ${i}`);
    for (const text of texts) app.ask({ do: "show", sessionId: id, text });
    app.ask({ do: "state" });
    await app.expect(SLACK_MS, "it has shown them", (e) => e.event === "state", app.events.length);
    await glasses.open();
    await until(SLACK_MS, "the displays arrive", () => glasses.of("display_event", from).length === texts.length);
    assert.equal(glasses.frames[from].json.type, "connection_ack", "the ack comes first");
    assert.deepEqual(glasses.of("display_event", from).map(({ json }) => json.layout.text), texts);
    await works(glasses, app);
  }
  assert.equal(app.of("session", id).length, 1, "onSession is called once");
  assert.equal(app.webhooks("session_request", id).length, 1, "and so is the webhook");
  assert.equal(app.of("stop", id).length, 0);
}

async function ghost(stage) {
  const [app] = await stage.set([ONE], { CONNECTION_TIMEOUT_MS: "10000", HEARTBEAT_INTERVAL_MS: "3000" });
  const glasses = await stage.glasses("ghost@example.org");
  const id = await startApp(glasses, app);
  // The app is gone and back before the gateway has noticed.
  const seen = app.events.length;
  stage.proxy.of(id)[0].ghost();
  for (let n = 1; n <= 5; n += 1) glasses.press(n);
  await app.expect(1_000 + SLACK_MS, "resumed", (e) => e.event === "resumed", seen);
  for (let n = 6; n <= 10; n += 1) glasses.press(n);
  await until(SLACK_MS, "the presses after its return arrive", () => pressed(app, id, seen).includes(10));
  const numbers = pressed(app, id, seen);
  assert.deepEqual(numbers.filter((n) => n > 5), [6, 7, 8, 9, 10]);
  assert.deepEqual(numbers, [...new Set(numbers)].sort((a, b) => a - b), "what was in doubt at most once, and in order");
  const replaced = await until(SLACK_MS, "the ghost is closed", () => stage.gateway.closes().find((c) => c.package === ONE && c.cause === "replaced"));
  assert.equal(replaced.code, "1000");
  // And a late end of the ghost does not touch the new connection.
  for (const link of stage.proxy.links) if (link.ghostly) link.upstream.destroy();
  await throughout(2_500, "the new one stays", () => app.of("disconnected", id, seen).length === 1);
  await works(glasses, app);
  assert.equal(app.of("session", id).length, 1);
}

async function freeze_within_the_grace(stage) {
  const [app] = await stage.set([ONE], { APP_GRACE_MS: "15000" });
  const glasses = await stage.glasses("freeze@example.org");
  const id = await startApp(glasses, app);
  const seen = app.events.length;
  app.freeze();
  const end = await until(4_000 + SLACK_MS, "the gateway closes it", () => stage.gateway.closes().find((c) => c.package === ONE));
  assert.deepEqual([end.code, end.cause], ["3008", "stale"]);
  for (let n = 1; n <= 20; n += 1) glasses.press(n);
  app.thaw();
  await app.expect(1_000 + 2 * SLACK_MS, "resumed", (e) => e.event === "resumed", seen);
  await until(SLACK_MS, "the presses arrive", () => pressed(app, id, seen).includes(20));
  assert.deepEqual(pressed(app, id, seen), Array.from({ length: 20 }, (_, i) => i + 1));
  await works(glasses, app);
  assert.equal(app.of("session", id).length, 1);
  assert.equal(app.webhooks("session_request", id).length, 1);
}

async function freeze_beyond_the_grace(stage) {
  const [app] = await stage.set([ONE]);
  const glasses = await stage.glasses("frozen@example.org");
  const id = await startApp(glasses, app);
  app.freeze();
  const end = await until(4_000 + SLACK_MS, "the gateway closes it", () => stage.gateway.closes().find((c) => c.package === ONE));
  assert.equal(end.code, "3008");
  // By then its session_request has been posted, and waits in a socket without an accept.
  await sleep(APP_GRACE_MS + 2_000);
  app.thaw();
  await app.expect(10_000, "the session_request", () => app.webhooks("session_request", id).length >= 2);
  await works(glasses, app, 10_000);
  await throughout(APP_GRACE_MS + 3_000, () => `exactly one; ${app.webhooks("session_request", id).length - 1}`, () => app.webhooks("session_request", id).length === 2);
  await works(glasses, app);
  const open = await stage.gateway.api("/api/v1/connections?class=app");
  assert.equal(open.connections.filter((c) => c.state !== "closing").length, 1, "one connection of it");
}

async function restart(stage, away) {
  const [app, other] = await stage.set([ONE, TWO]);
  const glasses = await stage.glasses("restart@example.org");
  const id = await startApp(glasses, app);
  await startApp(glasses, other);
  // It is written at most once a second.
  await sleep(1_500);
  const end = await stage.gateway.stop();
  assert.deepEqual(end, { code: 0, signal: null });
  await until(SLACK_MS, "the glasses are told", () => glasses.ends.length === 1);
  assert.equal(glasses.ends[0].code, 1012, JSON.stringify(glasses.ends[0]));
  const lost = app.of("disconnected", id)[0];
  assert.equal(lost?.code, 1012, JSON.stringify(lost));
  if (away) {
    await sleep(1_000);
    await stage.startGateway();
    await sleep(10_000);
  } else {
    await stage.startGateway();
  }
  await glasses.open();
  await Promise.all([works(glasses, app, 20_000), works(glasses, other, 20_000)]);
  await throughout(APP_GRACE_MS + 2_000, "no client is closed any more", () => glasses.ends.length === 1);
  await Promise.all([works(glasses, app), works(glasses, other)]);
  const webhooks = app.webhooks("session_request", id).length - 1;
  assert.ok(webhooks <= 1, `${webhooks} session_requests after the restart`);
  const list = await stage.gateway.api("/api/v1/sessions");
  assert.deepEqual(list.sessions.map((s) => [s.user, s.apps.map((t) => t.package).sort()]), [[glasses.user, [ONE, TWO]]]);
}

async function restart_glasses_at_once(stage) {
  await restart(stage, false);
}

async function restart_glasses_later(stage) {
  await restart(stage, true);
}

async function session_ends(stage) {
  const [app, raw] = await stage.set([ONE, PlainApp.start(PLAIN, key(PLAIN))], { GLASSES_GRACE_MS: "2000" });
  const glasses = await stage.glasses("ends@example.org");
  const id = await startApp(glasses, app);
  const plain = await startPlain(glasses, raw);
  const at = performance.now();
  await glasses.close();
  await until(2_000 + SLACK_MS, "the app's end", () => plain.ends.length === 1);
  const after = performance.now() - at;
  assert.ok(after >= 1_900, `after ${after.toFixed()} ms`);
  assert.deepEqual(plain.ends[0], { code: 1000, reason: "User session ended" });
  assert.ok(plain.frames.some((f) => f.type === "app_stopped"), "app_stopped before it");
  await app.expect(SLACK_MS, "onStop", (e) => e.event === "stop" && e.sessionId === id && e.reason === "User session ended");
  assert.equal((await stage.gateway.api("/api/v1/sessions")).total, 0);
  await throughout(APP_GRACE_MS + 2_000, "no app is revived", () => app.webhooks("session_request", id).length === 1 && raw.webhooks.length === 1);
}

async function two_processes(stage) {
  const [app] = await stage.set([ONE]);
  const twin = await SdkApp.start(ONE, key(ONE));
  stage.also(() => twin.end());
  const glasses = await stage.glasses("twins@example.org");
  const id = await startApp(glasses, app);
  const [webhook] = app.webhooks("session_request", id);
  const before = stage.proxy.accepted;
  const body = { type: "session_request", sessionId: id, userId: glasses.user, timestamp: new Date(), mentraOSWebsocketUrl: webhook.mentraOSWebsocketUrl };
  const answer = await fetch(twin.webhook, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
  assert.equal(answer.status, 200, "the second process connects");
  await app.expect(SLACK_MS, "the first is stopped", (e) => e.event === "stop" && e.sessionId === id);
  await throughout(8_000, () => `at most 3 connections; ${stage.proxy.accepted - before}`, () => stage.proxy.accepted - before <= 3);
  assert.equal(stage.proxy.of(id).length, 1, "one of them is left");
  await works(glasses, twin);
}

async function two_phones(stage) {
  const [app] = await stage.set([ONE]);
  const calm = await stage.glasses("calm@example.org");
  await startApp(calm, app);
  let over = false;
  let opened = 0;
  const phones = [1, 2].map(() => new Glasses({ url: stage.gateway.url, secret: SECRET, user: "fight@example.org" }));
  stage.also(() => {
    over = true;
    for (const phone of phones) phone.destroy();
  });
  const fight = async (phone) => {
    while (!over) {
      if (await phone.connect()) {
        opened += 1;
        const { ws } = phone;
        await until(60_000, "its end", () => over || ws.readyState === WebSocket.CLOSED);
      } else {
        await sleep(50);
      }
    }
  };
  const fights = phones.map(fight);
  const until_ = performance.now() + 20_000;
  while (performance.now() < until_) {
    const from = performance.now();
    await works(calm, app);
    const took = performance.now() - from;
    assert.ok(took < SLACK_MS, `the others are affected: ${took.toFixed()} ms`);
    await sleep(200);
  }
  over = true;
  await Promise.all(fights);
  // The first two opened without replacing another, or only the first.
  assert.ok(opened <= 17, `${opened} opened in 20 s`);
  const refusals = phones.flatMap((phone) => phone.refusals);
  const refused = refusals.find((r) => r.status === 429);
  assert.ok(refused, `429; seen ${JSON.stringify(refusals.slice(-2))}`);
  assert.ok(Number(refused.retryAfter) >= 1, `Retry-After: ${refused.retryAfter}`);
  assert.ok(refusals.every((r) => r.status === 429));
  assert.equal(calm.ends.length, 0);
}

/**
 * The webhook arrives but the app cannot connect for longer than the SDK's 5 s: it answers 500, and its abandoned session,
 * which no handler is registered with, still makes its third attempt after 7 s. Whatever becomes of that, a working app is
 * to be there in the end.
 */
async function start_while_unreachable(stage) {
  const [app] = await stage.set([ONE]);
  const glasses = await stage.glasses("late@example.org");
  const id = session(glasses.user, ONE);
  stage.proxy.down = true;
  glasses.send({ type: "start_app", packageName: ONE });
  await app.expect(10_000, "the webhook is answered 500", (e) => e.event === "webhook_answered" && e.status === 500);
  stage.proxy.down = false;
  await works(glasses, app, 45_000);
  await throughout(10_000, "it stays", () => app.of("stop", id).length === 0);
  await works(glasses, app);
}

const newer = (packageName) => SdkApp.start(packageName, key(packageName), NEWER[packageName]);

/** Does the same for each of the newer SDKs at one time: each has its app and its user. */
function eachNewer(apps, each) {
  return Promise.all(apps.map((app) => each(app).catch((error) => {
    throw new Error(`${app.kind}: ${error.message}`);
  })));
}

/** Connections that the gateway has opened to apps that its log, which must be at debug, calls so. */
function opened(stage, name) {
  return stage.gateway.lines.filter(({ text }) => text.includes(" open class=app ") && text.includes(` ${name} `)).length;
}

/** What the gateway says is open of apps: `user package`, each as often as it is there. */
async function openApps(stage) {
  const { connections } = await stage.gateway.api("/api/v1/connections?class=app");
  return connections.filter((c) => c.state !== "closing").map((c) => `${c.user} ${c.package}`).sort();
}

async function newer_start_cut_stop(stage) {
  const apps = await stage.set(Object.keys(NEWER).map(newer), { LOG_LEVEL: "debug" });
  await eachNewer(apps, async (app) => {
    const { packageName } = app;
    const glasses = await stage.glasses(`${app.kind}-anna@ex-ample.org`);
    const id = await startApp(glasses, app);
    await app.expect(SLACK_MS, "the webhook is answered 200", (e) => e.event === "webhook_answered" && e.status === 200);
    glasses.send({ type: "head_position", position: "up" });
    await app.expect(SLACK_MS, "the other stream", (e) => e.stream === "head_position" && e.data.position === "up");
    glasses.ws.send(Buffer.from([1, 2, 3, 255]));
    await app.expect(SLACK_MS, "audio", (e) => e.stream === "audio_chunk" && e.data === "010203ff");
    // Heartbeats are answered, too.
    await throughout(4_000, "it stays", () => app.of("disconnected", id).length === 0 && glasses.ends.length === 0);
    let n = 0;
    for (const how of ["reset", "end"]) {
      const [seen, closes] = [app.events.length, stage.gateway.closes().length];
      stage.proxy.of(id)[0].cut(how);
      await until(SLACK_MS, "the gateway says that it is closed", () => stage.gateway.closes().slice(closes).find((c) => c.package === packageName));
      const sent = Array.from({ length: 10 }, () => (n += 1));
      for (const press of sent) glasses.press(press);
      await app.expect(1_000 + SLACK_MS, "resumed", (e) => e.event === "resumed" && e.sessionId === id, seen);
      await until(SLACK_MS, "the presses arrive", () => pressed(app, id, seen).includes(n));
      assert.deepEqual(pressed(app, id, seen), sent, `${how}: once, and in order`);
      await works(glasses, app);
    }
    assert.equal(app.of("session", id).length, 1, "onSession is called once");
    assert.equal(app.webhooks("session_request", id).length, 1, "and so is the webhook");
    assert.equal(app.of("stop", id).length, 0);
    const opens = () => opened(stage, `package=${packageName}`);
    const before = opens();
    glasses.send({ type: "stop_app", packageName });
    await app.expect(SLACK_MS, "onStop", (e) => e.event === "stop" && e.sessionId === id);
    await until(SLACK_MS, "its connection is over", () => stage.proxy.of(id).length === 0);
    await throughout(8_000, "it stays away", () => opens() === before && stage.proxy.of(id).length === 0);
    await startApp(glasses, app);
  });
}

/** A session_request has reached another process of the app: that takes the app's place, and the older one stays away. */
async function newer_two_processes(stage) {
  const apps = await stage.set(Object.keys(NEWER).map(newer), { LOG_LEVEL: "debug" });
  await eachNewer(apps, async (app) => {
    const { packageName } = app;
    const twin = await newer(packageName);
    stage.also(() => twin.end());
    const ask = async (glasses, id) => {
      const { mentraOSWebsocketUrl } = app.webhooks("session_request", id)[0];
      const body = { type: "session_request", sessionId: id, userId: glasses.user, timestamp: new Date(), mentraOSWebsocketUrl };
      const answer = await fetch(twin.webhook, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
      assert.equal(answer.status, 200, "the second process connects");
    };
    // One app is there when its twin comes; the other one's connection has just been cut, and it will be back.
    const [here, away] = [await stage.glasses(`${app.kind}-here@example.org`), await stage.glasses(`${app.kind}-away@example.org`)];
    const ids = [await startApp(here, app), await startApp(away, app)];
    const mine = (glasses) => opened(stage, `user=${glasses.user} package=${packageName}`);
    const least = [here, away].map(mine);
    stage.proxy.of(ids[1])[0].cut("reset");
    await Promise.all([ask(here, ids[0]), ask(away, ids[1])]);
    await app.expect(SLACK_MS, "the first is stopped", (e) => e.event === "stop" && e.sessionId === ids[0]);
    const counts = () => [here, away].map((glasses, i) => mine(glasses) - least[i]);
    await throughout(30_000, () => `at most two connections; ${counts()}`, () => counts().every((count) => count <= 2));
    assert.ok(counts().every((count) => count >= 1), `each twin has connected: ${counts()}`);
    assert.deepEqual(stage.gateway.closes().filter((c) => c.class === "app" && c.user === "-"), [], "nor any that was refused");
    for (const id of ids) assert.equal(stage.proxy.of(id).length, 1, "one of them is left");
    await works(here, twin);
    // Whichever of the two came last has it, and the other one was stopped.
    const stopped = [app, twin].map((process) => process.of("stop", ids[1]).length);
    assert.deepEqual([...stopped].sort(), [0, 1], `one is stopped, once: ${stopped}`);
    await works(away, stopped[0] ? twin : app);
  });
  const one = apps.flatMap((app) => ["away", "here"].map((which) => `${app.kind}-${which}@example.org ${app.packageName}`));
  assert.deepEqual(await openApps(stage), one.sort());
}

/** Its first message is `reconnect` then, and it is told to wait, not to go. */
async function newer_mini_waits_for_its_glasses(stage) {
  const [app] = await stage.set([newer(MINI)], { APP_GRACE_MS: "30000" });
  const glasses = await stage.glasses("later@example.org");
  const id = await startApp(glasses, app);
  const seen = app.events.length;
  await glasses.close();
  stage.proxy.of(id)[0].cut("reset");
  const [link] = await until(1_000 + SLACK_MS, "it is back", () => stage.proxy.of(id).length && stage.proxy.of(id));
  await throughout(3_000, "it waits", () => !link.acked && !link.over && app.of("resumed", id, seen).length === 0);
  await glasses.open();
  await app.expect(SLACK_MS, "resumed", (e) => e.event === "resumed", seen);
  await works(glasses, app);
  assert.deepEqual([app.of("session", id).length, app.webhooks("session_request", id).length], [1, 1]);
  // One that is cut while it waits does not come back by itself. It is asked at once when its glasses are here.
  await glasses.close();
  stage.proxy.of(id)[0].cut("reset");
  const [waiting] = await until(1_000 + SLACK_MS, "it is back", () => stage.proxy.of(id).length && stage.proxy.of(id));
  await throughout(1_000, "it waits", () => !waiting.acked && !waiting.over);
  const closes = stage.gateway.closes().length;
  waiting.cut("reset");
  await until(SLACK_MS, "the gateway says that it is closed", () => stage.gateway.closes().slice(closes).find((c) => c.package === MINI));
  await glasses.open();
  await works(glasses, app, SLACK_MS);
  assert.equal(app.webhooks("session_request", id).length, 2);
}

/**
 * What is left of the session that failed comes back by itself, after 1 s and 5 s, with no handler listening in it. It must not take
 * the next one's place. One app can connect before its first attempt, the other between the two.
 */
async function newer_mini_start_while_unreachable(stage) {
  const [app] = await stage.set([newer(MINI)]);
  for (const unreachable of [0, 2_000]) {
    const glasses = await stage.glasses(`mini-late-${unreachable}@example.org`);
    const id = session(glasses.user, MINI);
    const seen = app.events.length;
    stage.proxy.down = true;
    glasses.send({ type: "start_app", packageName: MINI });
    await app.expect(10_000, "the webhook is answered 500", (e) => e.event === "webhook_answered" && e.status === 500, seen);
    await sleep(unreachable);
    stage.proxy.down = false;
    await works(glasses, app, 45_000);
    await throughout(5_000, "it stays", () => app.of("stop", id).length === 0);
    await works(glasses, app);
    assert.deepEqual((await openApps(stage)).filter((app) => app.startsWith(glasses.user)), [`${glasses.user} ${MINI}`]);
  }
}

/** Comes back as a phone does: so long after each loss, and each attempt in vain. */
function comeBack(stage, glasses, every) {
  let over = false;
  stage.also(() => (over = true));
  const follow = () =>
    glasses.ws.once("close", async () => {
      do await sleep(every);
      while (!over && !(await glasses.connect()));
      if (!over) follow();
    });
  follow();
}

/** The gateway is away for `pause`; 10 s after it is back each app works, and is there once. The SDKs' own attempts are at 1 and 3 s, or 1 and 5 s. */
async function restartAfter(stage, pause) {
  const apps = await stage.set([ONE, ...Object.keys(NEWER).map(newer)], { HEARTBEAT_INTERVAL_MS: undefined, CONNECTION_TIMEOUT_MS: undefined, APP_GRACE_MS: undefined });
  // The phone of one tries again every 5 s, as the newer ones do; the other's at once.
  const phones = [await stage.glasses(`patient-${pause}@example.org`), await stage.glasses(`quick-${pause}@example.org`)];
  const pairs = phones.flatMap((glasses) => apps.map((app) => [glasses, app]));
  for (const glasses of phones) await Promise.all(apps.map((app) => startApp(glasses, app)));
  comeBack(stage, phones[0], 5_000);
  comeBack(stage, phones[1], 200);
  // It is written at most once a second.
  const file = stage.env.STATE_FILE;
  await until(SLACK_MS, "the state file has them all", () => pairs.every(([glasses, app]) => noted(file, glasses.user, app.packageName)));
  assert.deepEqual(await stage.gateway.stop(), { code: 0, signal: null });
  const seen = apps.map((app) => app.events.length);
  await sleep(pause);
  await stage.startGateway();
  const deadline = performance.now() + 10_000;
  await Promise.all(pairs.map(([glasses, app]) => works(glasses, app, deadline - performance.now())));
  const all = pairs.map(([glasses, app]) => `${glasses.user} ${app.packageName}`).sort();
  let open;
  const there = async () => JSON.stringify((open = await openApps(stage))) === JSON.stringify(all);
  // Longer than the SDKs' last timers.
  await throughout(8_000, () => `each is there once: ${open}`, there);
  await Promise.all(pairs.map(([glasses, app]) => works(glasses, app)));
  for (const [i, app] of apps.entries()) {
    for (const { user } of phones) {
      const id = session(user, app.packageName);
      const [asked, begun] = [app.webhooks("session_request", id, seen[i]).length, app.of("session", id, seen[i]).length];
      assert.ok(asked <= 1 && begun <= 1, `${app.packageName} of ${user}: ${asked} session_requests, ${begun} sessions`);
    }
  }
  const { sessions } = await stage.gateway.api("/api/v1/sessions");
  assert.deepEqual(sessions.map((s) => [s.user, s.apps.map((t) => t.package).sort()]), phones.map(({ user }) => [user, apps.map((app) => app.packageName).sort()]));
}

/** Whether the state file has an app of a user. */
function noted(file, user, packageName) {
  if (!existsSync(file)) return false;
  const text = readFileSync(file, "utf8");
  return text.includes(user) && text.slice(text.indexOf(user)).includes(packageName);
}

async function restart_500_ms(stage) {
  await restartAfter(stage, 500);
}

async function restart_4000_ms(stage) {
  await restartAfter(stage, 4_000);
}

async function restart_6000_ms(stage) {
  await restartAfter(stage, 6_000);
}

async function main() {
  const chosen = names.length ? names : Object.keys(cases);
  if (!binary || chosen.some((name) => !Object.hasOwn(cases, name))) {
    console.error(`usage: run.mjs GATEWAY_BINARY [NAME ...]\nnames: ${Object.keys(cases).join(" ")}`);
    return 2;
  }
  let failed = 0;
  const queue = [...chosen];
  const worker = async () => {
    for (let name; (name = queue.shift()); ) if (!(await play(name))) failed += 1;
  };
  // Most of a case is waiting; more at once would slow each other's checks of time down.
  await Promise.all(Array.from({ length: Number(process.env.AT_ONCE ?? 3) }, worker));
  console.log(`${chosen.length - failed} of ${chosen.length} held`);
  return failed ? 1 : 0;
}

async function play(name) {
  const stage = new Stage();
  const from = performance.now();
  const seconds = () => ((performance.now() - from) / 1_000).toFixed(1);
  let timer;
  try {
    const late = new Promise((_, reject) => (timer = setTimeout(() => reject(new Error("not over within 120 s")), 120_000)));
    await Promise.race([cases[name](stage), late]);
    console.log(`PASS ${name} ${seconds()} s`);
    return true;
  } catch (error) {
    console.log(`FAIL ${name} ${seconds()} s: ${error.message.split("\n").slice(0, 12).join(" | ")}`);
    if (process.env.VERBOSE) console.log(error.stack, stage.gateway?.tail(20));
    return false;
  } finally {
    clearTimeout(timer);
    stage.end();
  }
}

process.exit(await main());
