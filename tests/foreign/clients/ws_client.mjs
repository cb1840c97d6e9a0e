// A client that we did not write (npm `ws`) against the gateway: `ws_client.mjs MODE URL [flags]`.
//
//   stay      answers pings for --heartbeats intervals: is pinged on time, is not closed, gets its own pings answered
//   freeze    answers nothing (one connection that reads on, one that does not even read): both are closed with 3008
//   replaced  a second connection of the same identity: the first is closed, the second stays
//   bad       text that is not UTF-8, a frame without a mask, a message over 1 MiB: 1007, 1002, 1009
//   offers    offers subprotocols: one of them is chosen, without which it would drop the connection
//
// Flags: --interval-ms (5000), --timeout-ms (15000): the server's; --heartbeats (3); --max-message-bytes (1048576).
// Prints one JSON line; exit code 0 all held, 1 something did not (it says what), 2 usage. Bounded in time.

import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { connect } from "node:net";
import { performance } from "node:perf_hooks";
import { setTimeout as sleep } from "node:timers/promises";
import { parseArgs } from "node:util";
import WebSocket from "ws";

// What a busy machine may add to any time that is checked.
const SLACK_MS = 2_000;
const STALE = /^nothing heard for (\d+) ms, (\d+) pings? unanswered$/;
const REPLACED = "replaced by a newer connection";
const SUPERSEDED = `${REPLACED} (superseded by newer session)`;

const modes = { stay, freeze, replaced, bad, offers };

async function main() {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      "interval-ms": { type: "string", default: "5000" },
      "timeout-ms": { type: "string", default: "15000" },
      heartbeats: { type: "string", default: "3" },
      "max-message-bytes": { type: "string", default: "1048576" },
    },
  });
  const [mode, url] = positionals;
  const ask = {
    url,
    interval: Number(values["interval-ms"]),
    timeout: Number(values["timeout-ms"]),
    heartbeats: Number(values.heartbeats),
    maxMessage: Number(values["max-message-bytes"]),
  };
  if (!Object.hasOwn(modes, mode) || !URL.canParse(url ?? "") || Object.values(ask).some(Number.isNaN)) {
    console.error("usage: ws_client.mjs stay|freeze|replaced|bad|offers URL [flags]");
    return 2;
  }
  const line = { client: "ws", mode, url };
  try {
    Object.assign(line, { ok: true }, await modes[mode](ask));
  } catch (error) {
    Object.assign(line, { ok: false, error: error.message.split("\n")[0] });
  }
  console.log(JSON.stringify(line));
  return line.ok ? 0 : 1;
}

async function stay({ url, interval, heartbeats }) {
  const ws = await open(url);
  const pings = [];
  ws.on("ping", () => pings.push(performance.now()));
  const closed = closeOf(ws);

  const rtt = await roundTrip(() => ws.ping("rtt"), ws, "pong", (data) => data.toString() === "rtt");
  const jsonRtt = await roundTrip(() => ws.send('{"type":"ping"}'), ws, "message", isJsonPong);
  // The first ping is spread over an interval, so K pings take K + 1 intervals at most.
  const early = await Promise.race([closed, sleep((heartbeats + 1) * interval + SLACK_MS)]);

  assert.equal(early, undefined, `closed early: ${JSON.stringify(early)}`);
  assert.ok(pings.length >= heartbeats, `${pings.length} pings, not ${heartbeats}`);
  const gaps = pings.slice(1).map((at, i) => Math.round(at - pings[i]));
  for (const gap of gaps) {
    assert.ok(gap > interval / 4 && gap < interval + SLACK_MS, `pinged after ${gap} ms`);
  }
  ws.close(1000);
  const end = await closed;
  assert.equal(end.code, 1000, "the closing handshake");
  return { pings: pings.length, gaps_ms: gaps, rtt_ms: rtt, json_rtt_ms: jsonRtt };
}

async function freeze({ url, timeout }) {
  const ends = await Promise.all([frozen(url, timeout, "deaf"), frozen(url, timeout, "paused")]);
  return { ends };
}

async function frozen(url, timeout, how) {
  const started = performance.now();
  // A paused one can see its end only when it reads again.
  const wakes = how === "paused" ? timeout + 1_000 : 0;
  const ws = await open(`${url}-${how}`, { autoPong: false });
  const closed = closeOf(ws);
  if (how === "paused") {
    // Not a byte is read until the server must have given up; what it said by then is waiting.
    ws.pause();
    await sleep(wakes);
    ws.resume();
  }
  const end = await within(timeout + SLACK_MS, closed, `${how}: not closed`);
  const after = Math.round(performance.now() - started);
  assert.equal(end.code, 3008, `${how}: ${JSON.stringify(end)}`);
  const [, silence, unanswered] = STALE.exec(end.reason) ?? assert.fail(`reason: ${end.reason}`);
  assert.ok(Number(silence) >= timeout, `closed early, by its own words: ${end.reason}`);
  assert.ok(Number(unanswered) >= 1, `never pinged: ${end.reason}`);
  assert.ok(after >= timeout && after < Math.max(timeout, wakes) + SLACK_MS, `closed after ${after} ms`);
  return { how, after_ms: after, code: end.code, reason: end.reason };
}

async function replaced({ url }) {
  const [code, reason] = new URL(url).pathname === "/glasses-ws" ? [4003, SUPERSEDED] : [1000, REPLACED];
  const older = await open(url);
  const closed = closeOf(older);
  const newer = await open(url);
  const newerClosed = closeOf(newer);
  const end = await within(SLACK_MS, closed, "the older connection was not closed");
  assert.deepEqual(end, { code, reason });
  await roundTrip(() => newer.send('{"type":"ping"}'), newer, "message", isJsonPong);
  newer.close(1000);
  assert.equal((await newerClosed).code, 1000, "the newer connection stays until it leaves");
  return end;
}

async function bad({ url, maxMessage }) {
  const mask = randomBytes(4);
  const notUtf8 = maskedFrame(0x81, Buffer.from([0x61, 0xff, 0xfe]), mask);
  const noMask = Buffer.from([0x81, 0x02, 0x68, 0x69]);
  const tooBig = maskedFrame(0x82, Buffer.alloc(maxMessage + 1), mask);
  const ends = {};
  for (const [what, bytes, code] of [
    ["not_utf8", notUtf8, 1007],
    ["no_mask", noMask, 1002],
    ["too_big", tooBig, 1009],
  ]) {
    const end = await closeAfter(`${url}-${what}`, bytes);
    assert.equal(end.code, code, `${what}: ${JSON.stringify(end)}`);
    ends[what] = end;
  }
  return { ends };
}

async function offers({ url }) {
  const ws = await open(url, {}, ["v2.example", "v1.example"]);
  const closed = closeOf(ws);
  assert.equal(ws.protocol, "v2.example");
  ws.close(1000);
  assert.equal((await closed).code, 1000, "the closing handshake");
  return { chosen: ws.protocol };
}

/** An open connection; errors after that show as a close. */
async function open(url, options = {}, protocols = []) {
  const ws = new WebSocket(url, protocols, { perMessageDeflate: false, handshakeTimeout: 10_000, ...options });
  await once(ws, "open");
  ws.on("error", () => {});
  return ws;
}

function closeOf(ws) {
  return new Promise((resolve) =>
    ws.once("close", (code, reason) => resolve({ code, reason: reason.toString() })),
  );
}

/** Milliseconds from `send` to the first `event` that satisfies `isAnswer`. */
async function roundTrip(send, ws, event, isAnswer) {
  const answered = new Promise((resolve) =>
    ws.on(event, function listen(...args) {
      if (!isAnswer(...args)) return;
      ws.off(event, listen);
      resolve(performance.now());
    }),
  );
  const sent = performance.now();
  send();
  const at = await within(SLACK_MS, answered, `no ${event} came back`);
  return Number((at - sent).toFixed(3));
}

function isJsonPong(data, isBinary) {
  try {
    return !isBinary && JSON.parse(data.toString()).type === "pong";
  } catch {
    return false;
  }
}

async function within(ms, promise, fault) {
  const late = Symbol();
  const timer = new AbortController();
  const first = await Promise.race([promise, sleep(ms, late, { signal: timer.signal }).catch(() => {})]);
  timer.abort();
  if (first === late) throw new Error(`${fault} within ${ms} ms`);
  return first;
}

function maskedFrame(first, payload, mask) {
  const length =
    payload.length < 126 ? Buffer.from([0x80 | payload.length]) : Buffer.alloc(9, 0x80 | 127);
  if (length.length > 1) length.writeBigUInt64BE(BigInt(payload.length), 1);
  const masked = Buffer.from(payload.map((byte, i) => byte ^ mask[i % 4]));
  return Buffer.concat([Buffer.from([first]), length, mask, masked]);
}

/** What `ws` would not send: upgrades on a bare socket, writes the bytes, and reads the server's close frame. */
async function closeAfter(url, bytes) {
  const { hostname, port, pathname, search } = new URL(url);
  const socket = connect(Number(port || 80), hostname.replace(/[[\]]/g, ""));
  socket.on("error", () => {});
  const key = randomBytes(16).toString("base64");
  socket.write(
    `GET ${pathname}${search} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\n` +
      `Connection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n\r\n`,
  );
  const accept = createHash("sha1").update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
  let input = Buffer.alloc(0);
  let upgraded = false;
  const end = new Promise((resolve, reject) => {
    socket.on("data", (chunk) => {
      input = Buffer.concat([input, chunk]);
      const blank = input.indexOf("\r\n\r\n");
      if (!upgraded && blank >= 0) {
        const head = input.subarray(0, blank).toString();
        if (!head.startsWith("HTTP/1.1 101") || !head.includes(accept)) {
          return reject(new Error(`not upgraded: ${head.split("\r\n")[0]}`));
        }
        upgraded = true;
        input = input.subarray(blank + 4);
        socket.write(bytes);
      }
      const close = upgraded && closeIn(input);
      if (close) resolve(close);
    });
    socket.on("close", () => reject(new Error("the socket ended without a close frame")));
  });
  try {
    return await within(10_000, end, "no close frame");
  } finally {
    socket.destroy();
  }
}

/** The first close frame in what a server sent, if there is one. */
function closeIn(input) {
  for (let at = 0; at + 2 <= input.length; ) {
    const short = input[at + 1] & 0x7f;
    const header = short < 126 ? 2 : short === 126 ? 4 : 10;
    if (at + header > input.length) return undefined;
    const length =
      short < 126 ? short : short === 126 ? input.readUInt16BE(at + 2) : Number(input.readBigUInt64BE(at + 2));
    const payload = input.subarray(at + header, at + header + length);
    if (payload.length < length) return undefined;
    if ((input[at] & 0x0f) === 8) {
      return length < 2 ? { code: 1005, reason: "" } : { code: payload.readUInt16BE(0), reason: payload.subarray(2).toString() };
    }
    at += header + length;
  }
  return undefined;
}

process.exit(await main());
