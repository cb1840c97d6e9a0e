// Apps: on the real SDK, each in a process of its own, and plain clients that behave as it does.

import { fork, spawn } from "node:child_process";
import { mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import WebSocket from "ws";
import { until } from "./wait.mjs";

const beside = (file) => new URL(file, import.meta.url);

/** Bun as npm has it: in the package of this machine's kind, which is the only one that is installed. */
function bun() {
  const packages = beside("node_modules/@oven/");
  const [mine] = readdirSync(packages);
  return new URL(`${mine}/bin/bun`, packages).pathname;
}

/** An app on the real SDK: the present one (sdk_app.mjs), or a newer one on Bun (bun_app.mjs says which `kind` there is). */
export class SdkApp {
  /** What it said so far, oldest first. */
  events = [];
  #listeners = [];

  static async start(packageName, apiKey, kind) {
    const app = new SdkApp();
    Object.assign(app, { packageName, apiKey, kind, folder: mkdtempSync(join(tmpdir(), "sdk-app-")) });
    const log = openSync(join(app.folder, "log"), "w");
    const stdio = ["ignore", log, log, "ipc"];
    app.child = kind
      ? spawn(bun(), [beside("bun_app.mjs").pathname, packageName, apiKey, kind], { stdio })
      : fork(beside("sdk_app.mjs"), [packageName, apiKey], { stdio });
    app.child.on("message", (event) => {
      app.events.push(event);
      for (const listen of app.#listeners) listen(event);
    });
    app.child.once("exit", () => (app.exited = true));
    const { port } = await app.expect(30_000, "listens", ({ event }) => event === "listening");
    app.webhook = `http://127.0.0.1:${port}/webhook`;
    return app;
  }

  onEvent(listen) {
    this.#listeners.push(listen);
  }

  ask(message) {
    this.child.send(message);
  }

  /** Events of one kind and, if one is named, of one session. */
  of(event, sessionId, from = 0) {
    return this.events.slice(from).filter((e) => e.event === event && (sessionId === undefined || e.sessionId === sessionId));
  }

  /** Webhooks of one type for one session. */
  webhooks(type, sessionId, from = 0) {
    return this.events.slice(from).filter((e) => e.event === "webhook" && e.type === type && e.sessionId === sessionId);
  }

  expect(ms, what, fits, from = 0) {
    const seen = () => `${this.packageName}: ${what}; seen: ${this.events.slice(from).map((e) => e.event).join(" ")}`;
    return until(ms, seen, () => {
      if (this.exited) throw new Error(`${this.packageName} ended: ${readFileSync(join(this.folder, "log"), "utf8").slice(-600)}`);
      return this.events.slice(from).find(fits);
    });
  }

  freeze() {
    this.child.kill("SIGSTOP");
  }

  thaw() {
    this.child.kill("SIGCONT");
  }

  end() {
    this.child.kill("SIGKILL");
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** An app that keeps the SDK's rules about reconnecting, and tells everything. One HTTP server for all its sessions. */
export class PlainApp {
  sessions = new Map();
  /** Webhooks so far. */
  webhooks = [];
  /** Called with each new session before it connects. */
  onSession = () => {};

  static async start(packageName, apiKey, subscriptions = ["button_press"]) {
    const app = new PlainApp();
    Object.assign(app, { packageName, apiKey, subscriptions });
    app.server = createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => (body += chunk));
      request.on("end", () => app.#webhook(JSON.parse(body), response));
    });
    await new Promise((resolve) => app.server.listen(0, "127.0.0.1", resolve));
    app.webhook = `http://127.0.0.1:${app.server.address().port}/webhook`;
    return app;
  }

  end() {
    this.server.close();
    this.server.closeAllConnections();
    for (const session of this.sessions.values()) session.dispose();
  }

  async #webhook(ask, response) {
    this.webhooks.push({ at: Date.now(), ...ask });
    const answer = (status, body) => {
      response.writeHead(status, { "content-type": "application/json" });
      response.end(JSON.stringify(body));
    };
    const older = this.sessions.get(ask.sessionId);
    if (ask.type === "stop_request") {
      this.sessions.delete(ask.sessionId);
      older?.dispose();
      return answer(200, { status: "success" });
    }
    if (older) {
      if (older.release()) await new Promise((resolve) => setTimeout(resolve, 100));
      older.dispose();
    }
    const session = new PlainSession(this, ask);
    this.sessions.set(ask.sessionId, session);
    this.onSession(session);
    const acked = await session.start();
    answer(acked ? 200 : 500, acked ? { status: "success" } : { status: "error", message: "Failed to connect" });
  }
}

/** One session of a plain app: its connection, and the next one when that is lost. */
class PlainSession {
  attempts = 0;
  /** Every JSON message so far. */
  frames = [];
  ends = [];
  live = false;
  over = false;
  /** Called with the name of what happened, and with details: connecting, live, frame, lost. */
  tell = () => {};

  constructor(app, { sessionId, userId, mentraOSWebsocketUrl, augmentOSWebsocketUrl }) {
    Object.assign(this, { app, sessionId, user: userId, url: mentraOSWebsocketUrl ?? augmentOSWebsocketUrl });
  }

  /** Whether the first ack came within the SDK's 5 s. */
  start() {
    const acked = new Promise((resolve) => {
      this.acked = resolve;
      setTimeout(() => resolve(false), 5_000).unref();
    });
    this.#connect(true);
    return acked;
  }

  send(message) {
    if (!this.live) return false;
    this.ws.send(JSON.stringify({ packageName: this.app.packageName, sessionId: "", timestamp: new Date(), ...message }));
    return true;
  }

  subscribe(subscriptions) {
    return this.send({ type: "subscription_update", sessionId: this.sessionId, subscriptions });
  }

  release() {
    return this.send({ type: "ownership_release", sessionId: this.sessionId, reason: "switching_clouds" });
  }

  dispose() {
    this.over = true;
    this.live = false;
    clearTimeout(this.timer);
    this.ws?.close();
    setTimeout(() => this.ws?.terminate(), 2_000).unref();
  }

  #connect(fresh) {
    this.tell("connecting", {});
    const ws = new WebSocket(this.url);
    this.ws = ws;
    ws.on("error", () => {});
    ws.on("open", () => {
      if (this.over) return ws.close();
      const { packageName, apiKey } = this.app;
      ws.send(JSON.stringify({ type: "tpa_connection_init", sessionId: this.sessionId, packageName, apiKey, timestamp: new Date() }));
    });
    ws.on("message", (data, isBinary) => {
      if (this.over || this.ws !== ws || isBinary) return;
      const json = JSON.parse(data.toString());
      this.frames.push(json);
      if (json.type === "tpa_connection_ack") {
        this.attempts = 0;
        this.live = true;
        // The handlers of a fresh session are registered one by one; those of an old one are all there.
        if (fresh) this.subscribe([]);
        this.subscribe(this.app.subscriptions);
        this.acked(true);
        this.tell("live", { fresh });
        fresh = false;
      } else {
        this.tell("frame", { json });
      }
    });
    ws.on("close", (code, reason) => {
      if (this.ws !== ws || this.over) return;
      const end = { code, reason: reason.toString() };
      this.live = false;
      this.ends.push(end);
      const forGood = [1000, 1001, 1008].includes(code) || /App stopped|User session ended/.test(end.reason);
      if (forGood || this.attempts >= 3) {
        this.over = true;
        this.app.sessions.delete(this.sessionId);
      } else {
        this.timer = setTimeout(() => this.#connect(fresh), 1_000 * 2 ** this.attempts);
        this.attempts += 1;
      }
      this.tell("lost", { ...end, over: this.over });
    });
  }
}

/** One raw connection that says `init` first: resolves to its messages and its end, or to what it has after `ms`. */
export async function tryInit(url, init, ms = 5_000) {
  const ws = new WebSocket(url);
  const seen = { frames: [], end: undefined };
  ws.on("error", () => {});
  ws.on("open", () => ws.send(JSON.stringify({ type: "tpa_connection_init", timestamp: new Date(), ...init })));
  ws.on("message", (data) => seen.frames.push(JSON.parse(data.toString())));
  ws.on("close", (code, reason) => (seen.end = { code, reason: reason.toString() }));
  await until(ms, "an end", () => seen.end).catch(() => {});
  ws.terminate();
  return seen;
}
