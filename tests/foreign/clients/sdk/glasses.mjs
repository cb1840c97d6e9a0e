// Glasses as a phone app: a plain WebSocket client with a token.

import { createHmac } from "node:crypto";
import WebSocket from "ws";
import { until } from "./wait.mjs";

/** An HS256 token for a user. */
export function token(secret, email, claims = {}) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const now = Math.floor(Date.now() / 1_000);
  const body = `${part({ alg: "HS256", typ: "JWT" })}.${part({ email, iat: now, exp: now + 3_600, ...claims })}`;
  return `${body}.${createHmac("sha256", secret).update(body).digest("base64url")}`;
}

export class Glasses {
  /** Every JSON message so far, as `{at, text, json}`, unless `hear` is another's. */
  frames = [];
  /** Called with each message and its connection. The first may be there as soon as the upgrade is. */
  hear = (frame) => this.frames.push(frame);
  pings = 0;
  /** Every end so far, as `{code, reason}`. */
  ends = [];
  /** Every refusal of an upgrade so far, as `{status, retryAfter, body}`. */
  refusals = [];

  constructor({ url, secret, user }) {
    Object.assign(this, { url, user, token: token(secret, user) });
  }

  /** One attempt: resolves to whether it opened. */
  connect() {
    const ws = new WebSocket(`${this.url}/glasses-ws`, {
      headers: { Authorization: `Bearer ${this.token}` },
      handshakeTimeout: 10_000,
    });
    this.ws = ws;
    ws.on("message", (data, isBinary) => {
      if (isBinary) return;
      const text = data.toString();
      this.hear({ at: Date.now(), text, json: JSON.parse(text) }, ws);
    });
    ws.on("ping", () => (this.pings += 1));
    ws.on("close", (code, reason) => {
      // The refusal of an upgrade also ends so, with a code of the library's own.
      if (ws.opened) this.ends.push({ code, reason: reason.toString() });
    });
    return new Promise((resolve) => {
      ws.on("open", () => {
        ws.opened = true;
        resolve(true);
      });
      ws.on("error", () => resolve(false));
      ws.on("unexpected-response", (request, response) => {
        let body = "";
        response.on("data", (chunk) => (body += chunk));
        response.on("end", () => {
          this.refusals.push({ status: response.statusCode, retryAfter: response.headers["retry-after"], body });
          resolve(false);
        });
        response.on("error", () => resolve(false));
        ws.on("error", () => {});
        setTimeout(() => request.destroy(), 1_000).unref();
      });
    });
  }

  /** Until it opens. */
  async open(ms = 10_000) {
    await until(ms, `${this.user} opens: ${JSON.stringify(this.refusals.at(-1))}`, () => this.connect());
    return this;
  }

  send(message) {
    this.ws.send(JSON.stringify({ timestamp: new Date(), ...message }));
  }

  /** The newer SDK's handlers get the button and no other field. */
  press(n) {
    this.send({ type: "button_press", buttonId: String(n), pressType: "short", n });
  }

  of(type, from = 0) {
    return this.frames.slice(from).filter(({ json }) => json.type === type);
  }

  /** The first message that `fits`, from the one at `from` on. */
  expect(ms, what, fits, from = 0) {
    const seen = () => `${this.user}: ${what}; seen: ${this.frames.slice(from).map((frame) => frame.json.type).join(" ")}`;
    return until(ms, seen, () => this.frames.slice(from).find(({ json }) => fits(json)));
  }

  async close() {
    const ws = this.ws;
    if (!ws || ws.readyState === WebSocket.CLOSED) return;
    ws.close(1000);
    await until(5_000, `${this.user} closes`, () => ws.readyState === WebSocket.CLOSED).catch(() => ws.terminate());
  }

  destroy() {
    this.ws?.on("error", () => {});
    this.ws?.terminate();
  }
}
