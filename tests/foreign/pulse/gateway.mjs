// A gateway in the image of docs/pulse.md: it bridges pulse clients to a service, and holds the service's leg when it loses a client.
// It stands in for the real gateway, with the same interface to these tests: a port, and a service that is unchanged.
import { createServer } from "node:http";
import { randomBytes } from "node:crypto";
import { WebSocket, WebSocketServer } from "ws";
import { frameFault } from "./control_rules.mjs";

const ESCAPE = "\x01";
const ROOM = 128 << 10;
const DEFAULTS = { ping_ms: 15000, grace_ms: 10000, timeout_ms: 45000, hold_ms: 60000, max_message_bytes: 1 << 20, first_ms: 0, max_ms: 30000, report_bytes: 2048, pulse: true, speed: 1 };

/** A gateway in front of the service at `upstream`. `options` are the hello's values. */
export async function gateway(upstream, options = {}) {
  const values = { ...DEFAULTS, ...options };
  const self = {
    boot: randomBytes(4).toString("hex"), values, upstream, sessions: new Map(), count: 0, opened: [], reports: [], states: [], faults: [], closed: [],
    resumed: 0, resets: 0, farewells: 0, dirtyLosses: 0, losses: 0, refuse: null, silent: false, legs: new Set(),
  };
  const server = createServer((_, response) => response.writeHead(404).end());
  const sockets = new WebSocketServer({
    noServer: true, perMessageDeflate: false, maxPayload: values.max_message_bytes + 4096, handleProtocols: (offered) => [...offered][0],
  });
  server.on("upgrade", (request, socket, head) => {
    sockets.handleUpgrade(request, socket, head, (client) => accept(self, client, request));
  });
  await new Promise((done) => server.listen(options.port ?? 0, "127.0.0.1", done));
  self.port = server.address().port;
  self.url = `ws://127.0.0.1:${self.port}/chat?room=1`;
  /** As a killed process: all connections and sessions are gone, both legs. */
  self.kill = async () => {
    for (const session of self.sessions.values()) session.end();
    self.legs.forEach((leg) => leg.terminate());
    await new Promise((done) => { server.close(done); server.closeAllConnections?.(); });
  };
  /** The bye of a planned restart. */
  self.bye = (bye, code = 1012) => self.legs.forEach((leg) => { leg.send(control({ bye })); leg.close(code, "restart"); });
  return self;
}

const control = (frame) => ESCAPE + JSON.stringify(frame);

function accept(self, client, request) {
  const url = new URL(request.url, "http://gateway");
  const isPulse = url.searchParams.get("pulse") === "1" && self.values.pulse;
  const resume = url.searchParams.get("resume");
  self.opened.push({ at: Date.now(), url: request.url, resume, protocol: client.protocol });
  self.legs.add(client);
  client.on("close", (code) => { self.legs.delete(client); self.closed.push({ at: Date.now(), code }); });
  client.on("error", () => {});
  if (self.silent) return;
  url.searchParams.delete("pulse");
  url.searchParams.delete("resume");
  const path = url.pathname + url.search;
  if (!isPulse) return plain(self, client, path);
  if (self.refuse) {
    client.send(control({ refused: self.refuse }));
    return client.close(4000 + self.refuse.status, "refused");
  }
  if (resume === null) return new Session(self, path, client.protocol).attach(client, 0);
  client.once("message", (data, isBinary) => {
    const text = data.toString();
    if (isBinary || !text.startsWith(`${ESCAPE}{"resume":`)) return client.close(1002, "resume expected");
    const frame = JSON.parse(text.slice(1));
    const session = [...self.sessions.values()].find((one) => one.admits(frame.resume));
    if (resume !== self.boot) self.faults.push(`resume=${resume}, not ${self.boot}`);
    if (session) return session.resume(client, frame);
    self.resets++;
    return new Session(self, path, client.protocol).attach(client, 0);
  });
}

function plain(self, client, path) {
  const leg = new WebSocket(self.upstream + path, client.protocol ? [client.protocol] : [], { perMessageDeflate: false });
  const early = [];
  client.on("message", (data, isBinary) => (leg.readyState === 1 ? leg.send(data, { binary: isBinary }) : early.push([data, isBinary])));
  leg.on("open", () => early.forEach(([data, binary]) => leg.send(data, { binary })));
  leg.on("message", (data, isBinary) => client.readyState === 1 && client.send(data, { binary: isBinary }));
  leg.on("close", (code) => client.close(code > 999 && code !== 1005 && code !== 1006 ? code : 1000));
  leg.on("error", () => client.terminate());
  client.on("close", () => leg.terminate());
}

class Session {
  constructor(self, path, protocol) {
    Object.assign(this, { self, outbox: [], bytes: 0, acknowledged: 0, sent: 0, received: 0, told: 0, untold: 0, proven: null, offered: null, client: null });
    this.id = ++self.count;
    self.sessions.set(this.id, this);
    this.leg = new WebSocket(self.upstream + path, protocol ? [protocol] : [], { perMessageDeflate: false });
    this.early = [];
    this.leg.on("open", () => { this.early.forEach((args) => this.leg.send(...args)); this.early = null; });
    this.leg.on("message", (data, isBinary) => this.queue({ data, isBinary }, data.length));
    this.leg.on("close", (code, reason) => this.queue({ end: { code, reason: reason.toString() } }, 0));
    this.leg.on("error", () => {});
  }

  admits(token) { return token === this.proven || token === this.offered; }

  queue(entry, size) {
    this.outbox.push({ ...entry, size });
    this.bytes += size;
    if (this.bytes > ROOM) this.leg.pause();
    this.flush();
  }

  flush() {
    while (this.client?.readyState === 1 && this.sent - this.acknowledged < this.outbox.length) {
      const { data, isBinary, size, end } = this.outbox[this.sent - this.acknowledged];
      if (end) {
        this.client.send(control({ end }));
      } else {
        if (size > 16 << 10) this.client.send(control({ big: size }));
        const isEscaped = !isBinary && data[0] === 1;
        this.client.send(isEscaped ? ESCAPE + data : data, { binary: isBinary });
      }
      this.sent++;
    }
  }

  acknowledge(rx) {
    if (!(rx >= this.acknowledged && rx <= this.sent)) {
      this.self.faults.push(`rx ${rx}, not from ${this.acknowledged} to ${this.sent}`);
      return this.client?.close(1002, "rx");
    }
    const gone = this.outbox.splice(0, rx - this.acknowledged);
    for (const { size, end } of gone) {
      this.bytes -= size;
      if (end) this.finish(end);
    }
    this.acknowledged = rx;
    if (this.bytes <= ROOM) this.leg.resume();
  }

  resume(client, { resume, rx }) {
    // The older leg is cut, and never read again, before what it brought is counted.
    this.detach(true);
    this.acknowledge(rx);
    this.sent = rx;
    this.proven = resume;
    this.self.resumed++;
    this.attach(client, this.received, true);
  }

  attach(client, rx, resumed = false) {
    const { self } = this;
    const { first_ms, max_ms, ping_ms, grace_ms, timeout_ms, hold_ms, max_message_bytes, report_bytes } = self.values;
    clearTimeout(this.holding);
    this.client = client;
    this.offered = randomBytes(16).toString("hex");
    this.told = this.received;
    const conn = `${self.boot}.${this.id}.${++self.count}`;
    client.send(control({ hello: { v: 1, conn, resume: this.offered, resumed, rx, ping_ms, grace_ms, timeout_ms, hold_ms, max_message_bytes, retry: { first_ms, max_ms }, report_bytes, later: [{}] } }));
    client.on("message", (data, isBinary) => this.client === client && this.onMessage(data, isBinary));
    client.on("close", (code) => this.client === client && this.lost(code));
    this.heard = Date.now();
    this.pinging = setInterval(() => {
      if (Date.now() - this.heard > self.values.timeout_ms) return client.terminate();
      this.told = this.received;
      client.send(control({ ping: ++self.count, rx: this.received }));
    }, ping_ms / self.values.speed);
    this.acking = setInterval(() => this.received > this.told && this.tell(), 250);
    this.flush();
  }

  tell() {
    this.told = this.received;
    this.untold = 0;
    this.client.send(control({ rx: this.received }));
  }

  onMessage(data, isBinary) {
    this.heard = Date.now();
    this.proven = this.offered;
    if (!isBinary && data[0] === 1 && data[1] !== 1) return this.onFrame(JSON.parse(data.subarray(1).toString()));
    const args = [!isBinary && data[0] === 1 ? data.subarray(1) : data, { binary: isBinary }];
    this.received++;
    this.untold += data.length;
    if (this.early) this.early.push(args);
    else this.leg.send(...args);
    if (this.received - this.told >= 64 || this.untold >= 64 << 10) this.tell();
  }

  onFrame(frame) {
    if (frame.rx !== undefined) this.acknowledge(frame.rx);
    if (frame.probe !== undefined) this.client.send(control({ probe: frame.probe, rx: (this.told = this.received) }));
    const fault = frameFault(frame);
    if (fault) this.self.faults.push(fault);
    if (frame.report) this.self.reports.push(frame.report);
    if (frame.state) this.self.states.push(frame.state);
    if (frame.farewell) { this.farewell = true; this.self.farewells++; }
  }

  detach(isCut) {
    clearInterval(this.pinging);
    clearInterval(this.acking);
    const { client, self } = this;
    this.client = null;
    if (client) self.losses++;
    if (client && this.outbox.length) self.dirtyLosses++;
    if (isCut) client?.terminate();
  }

  lost(code) {
    this.detach(false);
    if (!this.proven || this.farewell || code === 1002) return this.end(code === 1005 ? 1000 : code);
    this.holding = setTimeout(() => this.end(), this.self.values.hold_ms);
  }

  /** The service has closed, and the client knows. */
  finish({ code, reason }) {
    const { client } = this;
    this.end();
    client?.close(code === 1005 || code === 1006 ? 1011 : code, reason);
  }

  end(code) {
    clearTimeout(this.holding);
    this.detach(false);
    this.self.sessions.delete(this.id);
    if (code >= 1000 && this.leg.readyState === 1 && code !== 1006) this.leg.close(code > 1003 && code < 3000 ? 1000 : code);
    else this.leg.terminate();
  }
}
