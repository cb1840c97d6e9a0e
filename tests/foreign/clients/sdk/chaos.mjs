// The endurance run: random cuts, freezes and restores, every frame numbered: `chaos.mjs GATEWAY_BINARY SECONDS CUTS SEED`.
//
// Several users with glasses, each with three apps: two plain ones that keep the SDK's rules, and one on the real SDK, in one
// process for all users. Every client sends all the time. The seed gives the same schedule again (not the same interleaving).
// Checked: the delivery promise for every frame (ledger.mjs); no app is a zombie at the end; no session is doubled; at least
// CUTS disturbances of live connections took place. Environment: USERS (8), TRACE (a file for every event, with the
// gateway's log at debug).
// Prints a summary; exit code 0 all held, 1 something did not, 2 usage. Bounded in time.

import { createHash } from "node:crypto";
import { appendFileSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { PlainApp, SdkApp } from "./apps.mjs";
import { closeLine, Gateway } from "./gateway.mjs";
import { Glasses } from "./glasses.mjs";
import { End, judge, SETTLE_MS } from "./ledger.mjs";
import { Proxy } from "./proxy.mjs";
import { sleep, until } from "./wait.mjs";

const SECRET = "a-secret-of-the-tests-of-32-bytes-or-more";
const USERS = Number(process.env.USERS ?? 8);
const SDK = "com.example.sdk";
const PLAIN = ["com.example.first", "com.example.second"];
const PACKAGES = [...PLAIN, SDK];
const TIMEOUT_MS = 3_000;
const APP_GRACE_MS = 8_000;
const AGE_MS = 30_000;
/** Glasses send so often, apps half as often. */
const PERIOD_MS = 100;

/** Mulberry32: the same numbers for the same seed. */
function random(seed) {
  let a = seed >>> 0;
  return () => {
    a = (a + 0x6d2b79f5) | 0;
    let t = Math.imul(a ^ (a >>> 15), 1 | a);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** What happens to which client and when, from the seed alone: `{at, target, kind, ms, away}`. */
function schedule(seed, seconds, cuts, targets) {
  const draw = random(seed);
  const span = (from, to) => Math.round(from + draw() * (to - from));
  const kinds = [
    [30, "reset", () => 0],
    [20, "end", () => 0],
    [15, "ghost", () => 0],
    // Most of them are over before a client notices, ...
    [15, "freeze", () => span(200, 2_000)],
    // ... these are noticed, ...
    [10, "freeze", () => span(TIMEOUT_MS + 500, TIMEOUT_MS + 3_000)],
    // ... and these outlive the grace of an app.
    [6, "freeze", () => TIMEOUT_MS + APP_GRACE_MS + 2_500],
    [4, "stop", () => span(500, TIMEOUT_MS + 3_000)],
  ];
  const all = Array.from({ length: cuts }, () => {
    let pick = draw() * 100;
    const [, kind, ms] = kinds.find(([share]) => (pick -= share) < 0);
    const target = kind === "stop" ? SDK : targets[Math.floor(draw() * targets.length)];
    // Glasses come back after `away`; apps as the SDK does.
    return { at: span(0, seconds * 1_000), target, kind, ms: ms(), away: span(50, 2_500) };
  });
  return all.sort((a, b) => a.at - b.at);
}

class Run {
  ends = new Map();
  phones = [];
  faults = [];
  applied = { reset: 0, end: 0, ghost: 0, freeze: 0, stop: 0 };
  closes = {};
  /** While the process of the SDK's apps is stopped: `[end, disturbance]` of each of them. */
  stopped = undefined;
  unexplained = [];
  refused = 0;
  peak = 0;
  folder = mkdtempSync(join(tmpdir(), "chaos-"));

  async set(binary) {
    this.proxy = await Proxy.start();
    this.sdk = await SdkApp.start(SDK, `key-of-${SDK}`);
    this.plain = await Promise.all(PLAIN.map((packageName) => PlainApp.start(packageName, `key-of-${packageName}`)));
    const list = [this.sdk, ...this.plain].map((app) => ({ package: app.packageName, api_key: app.apiKey, webhook_url: app.webhook }));
    writeFileSync(join(this.folder, "apps.json"), JSON.stringify(list), { mode: 0o600 });
    this.gateway = await Gateway.start(binary, {
      AUTH_JWT_SECRET: SECRET,
      APPS_FILE: join(this.folder, "apps.json"),
      STATE_FILE: join(this.folder, "state.json"),
      APP_WEBSOCKET_URL: `${this.proxy.url}/app-ws`,
      HEARTBEAT_INTERVAL_MS: "1000",
      CONNECTION_TIMEOUT_MS: String(TIMEOUT_MS),
      APP_GRACE_MS: String(APP_GRACE_MS),
      REPLAY_MAX_MESSAGES: "2000",
      REPLAY_MAX_AGE_MS: String(AGE_MS),
      LOG_LEVEL: process.env.TRACE ? "debug" : "info",
    });
    this.gateway.onLine((text) => {
      this.trace("gateway", text);
      this.#line(text);
    });
    this.proxy.target = this.gateway.port;
    for (const app of this.plain) app.onSession = (session) => this.#follow(session);
    this.sdk.onEvent((event) => this.#sdkSays(event));
    for (let i = 0; i < USERS; i += 1) await this.#addUser(`user-${i}@ex-ample.org`);
  }

  close() {
    this.over = true;
    for (const phone of this.phones) {
      phone.glasses.destroy();
      phone.proxy.close();
    }
    for (const app of [...(this.plain ?? []), this.sdk]) app?.end();
    this.proxy?.close();
    this.gateway?.kill();
    rmSync(this.folder, { recursive: true, force: true });
  }

  trace(what, ...details) {
    if (process.env.TRACE) appendFileSync(process.env.TRACE, `${Date.now()} ${what} ${details.join(" ")}\n`);
  }

  end(name) {
    let end = this.ends.get(name);
    if (!end) this.ends.set(name, (end = new End(name)));
    return end;
  }

  fault(text) {
    if (text) this.trace("FAULT", text);
    if (text) this.faults.push(text);
  }

  async #addUser(user) {
    const proxy = await Proxy.start();
    proxy.target = this.gateway.port;
    const phone = { user, proxy, end: this.end(user), n: 0, glasses: new Glasses({ url: proxy.url, secret: SECRET, user }) };
    this.phones.push(phone);
    phone.glasses.hear = ({ json }, ws) => {
      // What an abandoned connection still says does not count.
      if (phone.glasses.ws === ws && json.type === "display_event") this.#displayed(phone, json);
    };
    await this.#dial(phone);
    for (const packageName of PACKAGES) phone.glasses.send({ type: "start_app", packageName });
  }

  /** Connects until it is open; again when that ends. */
  async #dial(phone) {
    const { glasses, end } = phone;
    for (;;) {
      if (this.over) return;
      end.dials();
      glasses.ws = undefined;
      this.trace("dial", phone.user);
      if (await glasses.connect()) break;
      this.refused += 1;
      const wait = Number(glasses.refusals.at(-1)?.retryAfter);
      await sleep(wait > 0 && wait < 60 ? wait * 1_000 : 500);
    }
    const { ws } = glasses;
    end.lives(Date.now());
    this.trace("live", phone.user);
    ws.on("close", (code) => {
      if (glasses.ws !== ws || this.over) return;
      this.trace("lost", phone.user, code);
      end.loses(Date.now());
      sleep(phone.away ?? 500).then(() => this.#dial(phone));
    });
  }

  #displayed(phone, { packageName, layout }) {
    this.trace("display", phone.user, packageName, layout.text);
    this.fault(phone.end.gets(this.end(`${phone.user}-${packageName}`), Number(layout.text)));
  }

  #pressed(sessionId, packageName, n) {
    this.trace("press", sessionId, n);
    const sender = this.end(sessionId.slice(0, -packageName.length - 1));
    this.fault(this.end(sessionId).gets(sender, n));
  }

  /** A session of a plain app. */
  #follow(session) {
    const end = this.end(session.sessionId);
    session.tell = (event, details) => {
      if (session.over && event !== "lost") return;
      if (event !== "frame") this.trace(event, session.sessionId, JSON.stringify(details));
      switch (event) {
        case "connecting":
          return end.dials();
        case "live":
          return end.lives(Date.now(), details.fresh);
        case "lost":
          return end.loses(Date.now());
        case "frame":
          if (details.json.streamType === "button_press") this.#pressed(session.sessionId, session.app.packageName, details.json.data.n);
      }
    };
    // Whatever it had is let go.
    end.loses(Date.now());
  }

  #sdkSays({ event, at, sessionId, data, n, code }) {
    if (!sessionId || event === "webhook") return;
    const end = this.end(sessionId);
    if (!["data", "sent", "unsent"].includes(event)) this.trace(`sdk-${event}`, sessionId, code);
    switch (event) {
      case "session":
      case "resumed":
        end.lives(at, event === "session");
        // It said so before it was stopped.
        this.stopped?.push([end, end.hurts(Date.now())]);
        return;
      case "disconnected":
        end.loses(at);
        // It dials by itself after a second; what is logged then may be about either.
        if (![1000, 1001, 1008].includes(code)) setTimeout(() => end.state === "dark" && end.dials(), 900);
        return;
      case "data":
        return this.#pressed(sessionId, SDK, data.n);
      case "sent":
        return end.sent.push({ n, at });
    }
  }

  /** A line of the gateway's log: perhaps the end of a connection. */
  #line(text) {
    if (!text.includes(" close ")) return;
    const at = Date.now();
    const close = closeLine(text, at);
    if (!close) return;
    this.closes[close.cause] = (this.closes[close.cause] ?? 0) + 1;
    const name = close.class === "glasses" ? close.user : `${close.user}-${close.package}`;
    const end = this.ends.get(name);
    this.trace("close", name, close.cause, close.code, end?.state);
    if (!end || close.cause === "replaced") return;
    if (close.cause === "stale" && end.state === "live" && !end.connecting) this.unexplained.push(`${name}: ${close.reason}`);
    end.missed(at);
  }

  /** Every connected client sends a numbered frame, again and again. */
  async talk() {
    for (let turn = 0; !this.over; turn += 1) {
      for (const phone of this.phones) this.#press(phone);
      if (turn % 2 === 0) for (const phone of this.phones) for (const packageName of PACKAGES) this.#show(`${phone.user}-${packageName}`, packageName);
      await sleep(PERIOD_MS);
    }
  }

  #press(phone) {
    const { glasses, end } = phone;
    if (glasses.ws?.readyState !== WebSocket.OPEN) return undefined;
    phone.n += 1;
    end.sent.push({ n: phone.n, at: Date.now() });
    glasses.press(phone.n);
    return phone.n;
  }

  #show(sessionId, packageName) {
    const end = this.end(sessionId);
    const n = (end.n ?? 0) + 1;
    if (packageName === SDK) {
      if (!end.resumes) return;
      end.n = n;
      this.sdk.ask({ do: "card", sessionId, n });
      return;
    }
    const session = this.plain.find((app) => app.packageName === packageName).sessions.get(sessionId);
    if (session?.send({ type: "display_event", view: "main", layout: { layoutType: "text_wall", text: String(n) } })) {
      end.n = n;
      end.sent.push({ n, at: Date.now() });
    }
  }

  /** One disturbance. Whether there was a client to disturb. */
  disturb({ target, kind, ms, away }) {
    if (kind === "stop") return this.#stop(ms);
    const phone = this.phones.find(({ user }) => user === target);
    const end = this.end(target);
    const link = phone ? phone.proxy.current() : this.proxy.current(target);
    if (!link || link.frozen || end.state !== "live" || (target.endsWith(SDK) && this.stopped)) return false;
    const at = Date.now();
    this.trace(kind, target, ms, away);
    const wound = end.hurts(at);
    if (phone) phone.away = away;
    if (kind !== "freeze") {
      if (kind === "ghost") link.ghost();
      else link.cut(kind);
    } else {
      link.freeze();
      sleep(ms).then(() => {
        this.trace("thaw", target);
        if (!link.over) link.thaw();
        // Some networks are gone after all.
        if (away % 5 === 0) link.cut("reset");
        sleep(SETTLE_MS).then(() => link.over || end.heals(Date.now(), wound));
      });
      // And some phones do not wait for it: they change the network.
      if (phone && away % 3 === 0) this.#abandon(phone, Math.min(ms, away));
    }
    this.applied[kind] += 1;
    return true;
  }

  async #abandon(phone, after) {
    const { ws } = phone.glasses;
    await sleep(after);
    if (phone.glasses.ws !== ws || ws.readyState !== WebSocket.OPEN) return;
    this.trace("abandon", phone.user);
    phone.glasses.ws = undefined;
    phone.end.loses(Date.now());
    setTimeout(() => ws.terminate(), 5_000);
    await this.#dial(phone);
  }

  /** The process of the SDK's apps is stopped, with all their connections. */
  #stop(ms) {
    if (this.stopped) return false;
    const mine = [...this.ends.values()].filter(({ name }) => name.endsWith(`-${SDK}`));
    this.trace("stop", SDK, ms);
    // Also of those that are just connecting.
    const wounds = mine.map((end) => [end, end.hurts(Date.now())]);
    this.stopped = wounds;
    this.sdk.freeze();
    sleep(ms).then(async () => {
      this.trace("cont", SDK);
      this.sdk.thaw();
      await sleep(SETTLE_MS);
      this.stopped = undefined;
      for (const [end, wound] of wounds) end.heals(Date.now(), wound);
    });
    this.applied.stop += 1;
    return true;
  }

  /** No client is there twice. */
  async look() {
    const { sessions } = await this.gateway.api("/api/v1/sessions?limit=1000");
    const users = sessions.map((s) => s.user);
    if (new Set(users).size !== users.length) this.fault(`a session is doubled: ${users}`);
    for (const { user, apps } of sessions) {
      const packages = apps.map((t) => t.package);
      if (new Set(packages).size !== packages.length) this.fault(`an app of ${user} is doubled: ${packages}`);
    }
    return sessions;
  }
}

async function main() {
  const [binary, ...numbers] = process.argv.slice(2);
  const [seconds, cuts, seed] = numbers.map(Number);
  if (!binary || ![seconds, cuts, seed].every((n) => Number.isSafeInteger(n) && n >= 0) || seconds < 5) {
    console.error("usage: chaos.mjs GATEWAY_BINARY SECONDS CUTS SEED");
    return 2;
  }
  const run = new Run();
  try {
    await run.set(binary);
    return await play(run, seconds, cuts, seed);
  } catch (error) {
    console.log(`FAIL seed ${seed}: ${error.message}`);
    return 1;
  } finally {
    run.close();
  }
}

async function play(run, seconds, cuts, seed) {
  const users = run.phones.map(({ user }) => user);
  const names = users.flatMap((user) => [user, ...PACKAGES.map((packageName) => `${user}-${packageName}`)]);
  const waiting = schedule(seed, seconds, cuts, names);
  const print = createHash("sha256").update(JSON.stringify(waiting)).digest("hex").slice(0, 12);
  console.log(`seed ${seed}, schedule ${print}: ${cuts} disturbances in ${seconds} s, ${users.length} users, ${names.length} ends`);
  const missing = () => names.filter((name) => run.end(name).state !== "live");
  await until(30_000, () => `every client is there; not ${missing()}`, () => missing().length === 0);
  await sleep(2 * SETTLE_MS);

  const talking = run.talk();
  const started = Date.now();
  let looked = started;
  // One whose target is away at the moment waits for it; what cannot be done half a minute after the end never will.
  while ((waiting.length && Date.now() - started < (seconds + 30) * 1_000) || Date.now() - started < seconds * 1_000) {
    const due = waiting.filter(({ at }) => at <= Date.now() - started);
    for (const event of due) if (run.disturb(event)) waiting.splice(waiting.indexOf(event), 1);
    if (Date.now() - looked > 5_000) {
      looked = Date.now();
      await run.look();
    }
    await sleep(20);
  }

  // Every client has to come back: an app whose grace is over, too.
  const late = TIMEOUT_MS + APP_GRACE_MS + 30_000;
  await until(late, () => `every client is back; not ${missing().map((name) => `${name} (${run.end(name).state})`)}`, () => missing().length === 0).catch(async (error) => {
    run.fault(error.message);
    run.trace("sessions", JSON.stringify(await run.look()));
  });
  await sleep(2 * SETTLE_MS);
  await lastFrames(run, users);
  run.over = true;
  await talking;
  await sleep(2 * SETTLE_MS);
  return sumUp(run, { users, names, cuts, waiting, seed });
}

/** No zombie: what is sent now gets to every client, both ways. */
async function lastFrames(run, users) {
  for (const user of users) {
    const last = run.end(user).sent.at(-1)?.n ?? 0;
    for (const packageName of PACKAGES) {
      const app = run.end(`${user}-${packageName}`);
      const shown = app.sent.at(-1)?.n ?? 0;
      await until(10_000, "", () => (app.got.get(run.end(user))?.at(-1) ?? 0) > last).catch(() => run.fault(`${app.name} is a zombie: nothing of its glasses gets there any more`));
      await until(10_000, "", () => (run.end(user).got.get(app)?.at(-1) ?? 0) > shown).catch(() => run.fault(`${app.name} is a zombie: nothing of it gets to its glasses any more`));
    }
  }
}

async function sumUp(run, { users, names, cuts, waiting, seed }) {
  const sessions = await run.look();
  const found = sessions.map((s) => `${s.user} ${s.glasses ? "glasses" : "none"} ${s.apps.map((t) => t.package).sort()}`).sort();
  const wanted = users.map((user) => `${user} glasses ${[...PACKAGES].sort()}`).sort();
  if (JSON.stringify(found) !== JSON.stringify(wanted)) run.fault(`the sessions at the end: ${found.join("; ")}`);

  for (const name of names) run.end(name).ends(Date.now());
  const totals = { sent: 0, arrived: 0, promised: 0, queued: 0, replayed: 0, doubtful: 0, beyond: 0 };
  for (const user of users) {
    for (const packageName of PACKAGES) {
      const [glasses, app] = [run.end(user), run.end(`${user}-${packageName}`)];
      for (const fault of judge(glasses, app, { grace: APP_GRACE_MS - SETTLE_MS, age: AGE_MS - SETTLE_MS }, totals)) run.fault(fault);
      for (const fault of judge(app, glasses, { grace: 60_000 - SETTLE_MS, age: AGE_MS - SETTLE_MS }, totals)) run.fault(fault);
    }
  }
  const done = Object.values(run.applied).reduce((sum, n) => sum + n, 0);
  if (waiting.length) run.fault(`only ${done} of ${cuts} disturbances found a live connection`);
  if (cuts >= 50 && totals.queued < cuts) run.fault(`only ${totals.queued} frames were checked that had to wait: this run proves little`);
  const resumes = names.reduce((sum, name) => sum + run.end(name).resumes - 1, 0);
  const list = (counts) => Object.entries(counts).map(([key, count]) => `${key} ${count}`).join(", ");

  console.log(`disturbances: ${list(run.applied)}; connections that came back: ${resumes}; upgrades refused: ${run.refused}`);
  console.log(`the gateway's causes: ${list(run.closes)}; stale without a disturbance: ${run.unexplained.length}`);
  console.log(
    `frames: ${totals.sent} sent (one for each receiver), ${totals.arrived} arrived; ${totals.promised} promised, of them ${totals.queued} had to wait ` +
      `for an absent peer; ${totals.replayed} waited and arrived; ${totals.doubtful} in doubt and missing; ${totals.beyond} after a grace`,
  );
  const metrics = await run.gateway.api("/metrics").catch(() => "");
  for (const line of String(metrics).split("\n")) {
    if (/^[a-z_]*(replay|doubt|resume|takeover|false_death|webhook)[a-z_]*(\{[^}]*\})? [1-9]/.test(line)) console.log(`  ${line}`);
  }
  for (const text of run.unexplained.slice(0, 5)) console.log(`  stale without a disturbance: ${text}`);
  for (const fault of run.faults.slice(0, 20)) console.log(`  FAULT ${fault}`);
  const held = run.faults.length === 0;
  console.log(`${held ? "PASS" : "FAIL"} seed ${seed}: ${run.faults.length} faults`);
  return held ? 0 : 1;
}

process.exit(await main());
