// The client on a virtual clock, against the gateway of its entry point for tests.
import assert from "node:assert/strict";
import { test } from "node:test";
import { FakePulse } from "../../../src/client/js/src/testing.ts";

// PULSE_MAIN: the entry under test, for instance the minified one.
const { PulseSocket, QuotaExceededError } = await import(process.env.PULSE_MAIN ?? "../../../src/client/js/src/index.ts");

const URL = "ws://service/chat?room=1";

/** A socket, its gateway, and its events in order. */
function rig({ fake = {}, options = {}, target = URL, protocols } = {}) {
  const gateway = new FakePulse(fake);
  const socket = new PulseSocket(target, protocols, { ...gateway.options, ...options });
  const events = [];
  for (const type of ["open", "resume", "suspend", "reset", "message", "drain", "error", "close"]) {
    socket.addEventListener(type, (event) => events.push(type === "message" ? `message ${event.data}` : type === "suspend" || type === "close" ? `${type} ${event.class}` : type));
  }
  return { gateway, socket, events };
}

test("a session opens, and messages go both ways as they are", async () => {
  const { gateway, socket, events } = rig();
  socket.send("early");
  assert.equal(socket.readyState, 0);
  await gateway.advance(10);
  assert.deepEqual([socket.readyState, socket.state, socket.url], [1, "open", URL]);
  assert.equal(gateway.tries[0].url, `${URL}&pulse=1`);
  for (const text of ["", "\x01", "\x01{\"rx\":9}"]) { socket.send(text); gateway.send(text); }
  await gateway.advance(10);
  assert.deepEqual(gateway.received, ["early", "", "\x01", "\x01{\"rx\":9}"]);
  assert.deepEqual(events, ["open", "message ", "message \x01", "message \x01{\"rx\":9}"]);
  assert.deepEqual(gateway.frames[0], { rx: 0 }, "proves that the hello arrived");
  await gateway.advance(1000);
  assert.equal(socket.bufferedAmount, 0);
  assert.equal(gateway.frames.at(-1).rx, 3, "acknowledged after a second of quiet");
});

test("a lost connection is resumed, and what was under way is sent again, once", async () => {
  const { gateway, socket, events } = rig({ fake: { latencyMs: 50 }, protocols: ["a", "b"] });
  await gateway.advance(500);
  socket.send("1");
  gateway.send("x");
  gateway.cut();
  socket.send("2");
  gateway.send("y");
  assert.deepEqual([socket.readyState, socket.state, socket.bufferedAmount], [1, "suspended", 2]);
  await gateway.advance(2000);
  assert.deepEqual(gateway.received, ["1", "2"]);
  assert.deepEqual(events, ["open", "suspend blip", "resume", "message x", "message y"]);
  assert.equal(gateway.tries[1].url, `${URL}&pulse=1&resume=fake`);
  assert.deepEqual([gateway.tries[0].protocols, gateway.tries[1].protocols, socket.protocol], [["a", "b"], ["a"], "a"]);
  assert.deepEqual(gateway.frames.find((frame) => frame.resume), { resume: "token-1", rx: 0 });
});

test("a lost session gives back what was not confirmed", async () => {
  const { gateway, socket, events } = rig();
  await gateway.advance(10);
  socket.send("confirmed");
  await gateway.advance(1500);
  gateway.cut("silence");
  socket.send("under way");
  gateway.loseSession();
  let reset;
  socket.onreset = (event) => { reset = event; socket.send(`again: ${event.unconfirmed[0]}`); };
  socket.send("waiting");
  await gateway.advance(27_000);
  assert.deepEqual([reset.unconfirmed, reset.sent], [["under way", "waiting"], 2]);
  assert.deepEqual(events, ["open", "suspend blip", "reset", "open"]);
  assert.deepEqual(gateway.received, ["confirmed", "again: under way"]);
  assert.equal(socket.quality.resets, 1);
});

test("a black hole is noticed at ping + grace", async () => {
  const { gateway, socket } = rig({ fake: { hello: { ping_ms: 5000, grace_ms: 2000 } } });
  await gateway.advance(5000);
  gateway.cut("silence");
  await gateway.advance(6999);
  assert.equal(socket.state, "open");
  await gateway.advance(1);
  assert.equal(socket.state, "suspended");
});

test("when the network comes back, a black hole is noticed in 3 s", async () => {
  const { gateway, socket } = rig();
  await gateway.advance(1000);
  gateway.cut("silence");
  gateway.setOnline(false);
  gateway.setOnline(true);
  await gateway.advance(2999);
  assert.equal(socket.state, "open");
  await gateway.advance(501);
  assert.deepEqual([socket.state, gateway.tries.length], ["open", 2]);
});

test("a device that slept asks, and keeps a connection that answers", async () => {
  const { gateway, socket, events } = rig({ fake: { latencyMs: 20 } });
  await gateway.advance(1000);
  gateway.clock.sleep(600_000);
  await gateway.advance(10_000);
  assert.deepEqual([socket.state, gateway.tries.length, events], ["open", 1, ["open"]]);
  assert.equal(socket.quality.rttMs, 40);
  gateway.cut("silence");
  gateway.clock.sleep(600_000);
  await gateway.advance(3000);
  assert.deepEqual(events, ["open", "suspend slept"]);
});

test("no hello within 2 s: a plain reconnecting socket", async () => {
  const { gateway, socket, events } = rig({ fake: { pulse: false } });
  socket.send("\x01 early");
  await gateway.advance(1999);
  assert.deepEqual(events, []);
  await gateway.advance(10);
  assert.deepEqual([events, gateway.received, socket.session], [["open"], ["\x01 early"], null]);
  gateway.send("\x01 as it is");
  await gateway.advance(20_000);
  gateway.cut();
  socket.send("while away");
  await gateway.advance(600);
  assert.deepEqual(events, ["open", "message \x01 as it is", "suspend blip", "open"]);
  assert.deepEqual([gateway.received.at(-1), gateway.tries[1].url, socket.bufferedAmount], ["while away", URL, 0]);
});

test("another first message: plain at once", async () => {
  const { gateway, events, socket } = rig({ fake: { pulse: false } });
  await gateway.advance(100);
  gateway.send("\x01welcome");
  await gateway.advance(0);
  assert.deepEqual(events, ["open", "message \x01welcome"]);
  assert.equal(socket.readyState, 1);
});

test("pulse: false asks for nothing", async () => {
  const { gateway, events } = rig({ fake: { pulse: false }, options: { pulse: false } });
  await gateway.advance(0);
  assert.deepEqual([gateway.tries[0].url, events], [URL, ["open"]]);
});

test("a client with a session does not become plain when a hello is late", async () => {
  const { gateway, socket, events } = rig();
  await gateway.advance(1000);
  const opened = gateway.arrived;
  gateway.arrived = () => {};
  gateway.cut();
  await gateway.advance(2600);
  gateway.arrived = opened;
  await gateway.advance(3000);
  assert.deepEqual([socket.state, events], ["open", ["open", "suspend blip", "resume"]]);
});

test("a client of a gateway does not become plain when its session has ended", async () => {
  const { gateway, socket } = rig();
  await gateway.advance(100);
  gateway.end(1001);
  await gateway.advance(1);
  const { opened } = gateway;
  gateway.opened = () => {};
  await gateway.advance(2600);
  gateway.opened = opened;
  await gateway.advance(5000);
  assert.notEqual(socket.session, null);
});

test("a client of a gateway does not become plain when a message comes before the hello", async () => {
  const { gateway, socket, events } = rig();
  await gateway.advance(100);
  const { opened } = gateway;
  gateway.opened = (raw) => raw.deliver("early");
  gateway.cut();
  await gateway.advance(600);
  gateway.opened = opened;
  await gateway.advance(5000);
  assert.deepEqual([events, socket.state], [["open", "suspend blip", "resume"], "open"]);
});

test("a hello that comes too late makes a pulse socket of a plain one, and is no message", async () => {
  const { gateway, socket, events } = rig();
  const { opened } = gateway;
  gateway.opened = (raw) => gateway.clock.setTimeout(() => opened.call(gateway, raw), 2500);
  await gateway.advance(2100);
  assert.deepEqual([events, socket.session], [["open"], null]);
  gateway.opened = opened;
  await gateway.advance(2000);
  assert.deepEqual(events, ["open", "suspend blip", "open"]);
  assert.deepEqual([socket.session.id, gateway.frames.some((frame) => frame.farewell)], ["fake.1.2", true]);
});

test("a refusal whose close is late does not make a plain socket", async () => {
  const { gateway, socket } = rig();
  gateway.opened = (raw) => raw.deliver('\x01{"refused":{"status":503}}');
  await gateway.advance(2500);
  assert.equal(socket.state, "connecting");
});

test("close takes the codes that a WebSocket takes", async () => {
  const { gateway, socket } = rig();
  await gateway.advance(10);
  for (const code of [0, 999, 1001, 2999, 5000]) assert.throws(() => socket.close(code), { name: "InvalidAccessError" });
  assert.equal(socket.state, "open");
  socket.close(3000);
});

test("send beyond the limit throws and takes nothing; drain follows", async () => {
  const { gateway, socket, events } = rig({ options: { maxBufferedBytes: 10 }, fake: { hello: { max_message_bytes: 8 } } });
  socket.send("12345678");
  assert.throws(() => socket.send("123"), (error) => error instanceof QuotaExceededError && error.name === "QuotaExceededError");
  assert.equal(socket.bufferedAmount, 8);
  socket.send("12");
  await gateway.advance(1100);
  assert.deepEqual([gateway.received, events, socket.bufferedAmount], [["12345678", "12"], ["open", "drain"], 0]);
  assert.throws(() => socket.send("123456789"), QuotaExceededError, "max_message_bytes");
  for (let i = 0; i < 16_384; i++) socket.send("");
  assert.throws(() => socket.send(""), QuotaExceededError, "messages without bytes are bounded too");
});

test("drain follows whenever more than half had to wait", async () => {
  const { gateway, socket, events } = rig({ options: { maxBufferedBytes: 10 } });
  socket.send("12345");
  await gateway.advance(1100);
  assert.deepEqual(events, ["open"]);
  socket.send("123456");
  await gateway.advance(1100);
  assert.deepEqual(events, ["open", "drain"]);
});

test("timers that are always late, as in a hidden page, do not keep it from coming back", async () => {
  const gateway = new FakePulse();
  const { environment } = gateway.options;
  const late = { ...environment, setTimeout: (run, ms) => environment.setTimeout(run, ms + 30_000) };
  const socket = new PulseSocket(URL, [], { ...gateway.options, environment: late });
  await gateway.advance(61_000);
  assert.equal(socket.state, "open");
  gateway.cut();
  await gateway.advance(62_000);
  assert.deepEqual([socket.state, gateway.tries.length], ["open", 2]);
});

test("a device that is offline at the start tries once a minute", async () => {
  const gateway = new FakePulse();
  gateway.setOnline(false);
  gateway.isUnreachable = true;
  const socket = new PulseSocket(URL, [], gateway.options);
  await gateway.advance(150_000);
  assert.deepEqual(gateway.tries.map(({ at }) => at - gateway.tries[0].at), [0, 60_000, 120_000]);
  gateway.isUnreachable = false;
  gateway.setOnline(true);
  await gateway.advance(300);
  assert.equal(socket.state, "open");
});

test("what was sent cannot be changed later, and arrives as it was", async () => {
  const { gateway, socket } = rig({ fake: { latencyMs: 30 } });
  await gateway.advance(200);
  const bytes = new Uint8Array([9, 1, 2, 3, 9]);
  socket.send(bytes.subarray(1, 4));
  socket.send(bytes.buffer);
  bytes.fill(0);
  gateway.cut();
  await gateway.advance(1000);
  assert.deepEqual(gateway.received.map((data) => [...new Uint8Array(data)]), [[1, 2, 3], [9, 1, 2, 3, 9]]);
});

test("close says farewell, and is final", async () => {
  const { gateway, socket, events } = rig();
  await gateway.advance(10);
  socket.send("last");
  socket.close(4002, "bye");
  assert.equal(socket.readyState, 2);
  socket.send("dropped");
  await gateway.advance(100_000);
  assert.deepEqual([gateway.received, gateway.frames.at(-1), socket.readyState], [["last"], { farewell: true }, 3]);
  assert.deepEqual([events, gateway.tries.length], [["open", "close over"], 1]);
});

test("close in a black hole ends within 3 s", async () => {
  const { gateway, socket, events } = rig();
  await gateway.advance(10);
  gateway.cut("silence");
  socket.close();
  await gateway.advance(3000);
  assert.deepEqual([events, socket.readyState], [["open", "close over"], 3]);
});

test("close without a connection is final too", async () => {
  const { gateway, socket, events } = rig();
  socket.close();
  await gateway.advance(100_000);
  assert.deepEqual([events, gateway.tries.length], [["close over"], 0]);
  socket.reconnect();
  await gateway.advance(100);
  assert.equal(socket.readyState, 1);
});

test("startClosed waits for reconnect", async () => {
  const { gateway, socket, events } = rig({ options: { startClosed: true } });
  socket.send("kept");
  await gateway.advance(100_000);
  assert.deepEqual([socket.state, socket.readyState, gateway.tries.length], ["idle", 3, 0]);
  socket.reconnect();
  await gateway.advance(10);
  assert.deepEqual([events, gateway.received], [["open"], ["kept"]]);
});

test("reconnect replaces the connection, and the session goes on", async () => {
  const { gateway, socket, events } = rig();
  await gateway.advance(10);
  socket.reconnect();
  await gateway.advance(10);
  assert.deepEqual(events, ["open", "suspend undefined", "resume"]);
  for (let i = 0; i < 20; i++) { socket.reconnect(); await gateway.advance(10); }
  assert.equal(gateway.tries.length, 10, "ten tries in a minute");
});

test("the service's end is final for 1000, and another session begins otherwise", async () => {
  const { gateway, socket, events } = rig();
  await gateway.advance(10);
  gateway.send("before");
  gateway.end(1001, "moved");
  await gateway.advance(1000);
  assert.deepEqual(events, ["open", "message before", "reset", "suspend blip", "open"]);
  gateway.cut();
  gateway.send("kept");
  gateway.end(1000, "done");
  let close;
  socket.onclose = (event) => { close = event; };
  await gateway.advance(1000);
  assert.deepEqual(events.slice(5), ["suspend blip", "resume", "message kept", "close over"]);
  assert.deepEqual([close.code, close.reason, close.wasClean], [1000, "done", true]);
});

test("the service's end counts when its close is lost", async () => {
  for (const how of ["silence", "close"]) {
    const { gateway, socket, events } = rig({ fake: { latencyMs: 50 } });
    await gateway.advance(1000);
    gateway.end(1000, "done");
    await gateway.advance(75);
    let close;
    socket.onclose = (event) => { close = event; };
    gateway.cut(how);
    await gateway.advance(60_000);
    assert.deepEqual([events, close?.code, close?.reason], [["open", "close over"], 1000, "done"]);
  }
});

test("functions for the address and the subprotocols are told why", async () => {
  const attempts = [];
  const target = async (attempt) => { attempts.push(attempt); return "ws://service/"; };
  const { gateway, socket } = rig({ fake: { latencyMs: 20 }, target, protocols: (attempt) => `token-${attempt.why}` });
  gateway.refusal = { status: 401 };
  await gateway.advance(45);
  gateway.refusal = undefined;
  await gateway.advance(500);
  gateway.cut();
  await gateway.advance(5000);
  assert.equal(socket.state, "open");
  const expected = [{ n: 0, why: "start", resume: false }, { n: 1, why: "rejected", resume: false }, { n: 2, why: "blip", resume: true }];
  assert.deepEqual(attempts.slice(0, 3), expected);
  assert.deepEqual(gateway.tries[1].protocols, ["token-rejected"]);
});

test("a token that is rejected twice stops the client", async () => {
  const { gateway, events } = rig();
  gateway.refusal = { status: 403 };
  await gateway.advance(100_000);
  assert.deepEqual([events, gateway.tries.length], [["close rejected"], 2]);
});

test("an address that cannot be made is an error and another try", async () => {
  let count = 0;
  const { gateway, events } = rig({ target: () => { if (count++ < 2) throw new Error("no token"); return URL; } });
  await gateway.advance(10_000);
  assert.deepEqual(events, ["error", "error", "open"]);
});

test("the application may stop, go on, or wait", async () => {
  const closes = [];
  const options = { shouldReconnect: (close) => { closes.push([close.code, close.class, close.n]); return closes.length < 3 ? 5000 : false; } };
  const { gateway, events } = rig({ options });
  gateway.isUnreachable = true;
  await gateway.advance(60_000);
  assert.deepEqual([closes.length, gateway.tries.map(({ at }) => at - gateway.tries[0].at)], [3, [0, 5000, 10_000]]);
  assert.deepEqual([closes[2], events], [[1006, "unreachable", 2], ["close unreachable"]]);
});

test("a try that takes too long is given up", async () => {
  const { gateway, socket } = rig({ options: { openTimeoutMs: 4000 }, fake: { latencyMs: 1e9 } });
  await gateway.advance(4000);
  gateway.latencyMs = 0;
  await gateway.advance(1100);
  assert.equal(socket.state, "open");
});

test("an error without a close, as Node has it for a try that fails, ends the try", async () => {
  const { gateway, socket, events } = rig();
  const { opened } = gateway;
  await gateway.advance(100);
  gateway.isUnreachable = true;
  gateway.cut();
  const failing = class extends gateway.options.WebSocket { drop() { this.onerror?.({}); } };
  const other = new PulseSocket(URL, [], { ...gateway.options, WebSocket: failing });
  await gateway.advance(9000);
  assert.ok(gateway.tries.length > 4, `${gateway.tries.length} tries`);
  other.close();
  gateway.isUnreachable = false;
  gateway.opened = opened;
  await gateway.advance(60_000);
  assert.deepEqual([socket.state, events], ["open", ["open", "suspend blip", "resume"]]);
});

test("a ping may bring another first_ms", async () => {
  for (const [first_ms, most] of [[0, 500], [40_000, 40_000]]) {
    const waits = [];
    for (let seed = 1; seed < 9; seed++) {
      const { gateway, socket } = rig({ fake: { seed } });
      await gateway.advance(15_000);
      gateway.connection.deliver(`\x01{"ping":7,"rx":0,"first_ms":${first_ms}}`);
      await gateway.advance(10);
      socket.onsuspend = ({ retryMs }) => waits.push(retryMs);
      gateway.cut();
    }
    assert.ok(Math.max(...waits) <= most && Math.max(...waits) > most / 2, `${waits}`);
  }
});

test("a bye says when to come back", async () => {
  const { gateway, events } = rig();
  await gateway.advance(1000);
  gateway.bye({ why: "restart", retry_ms: 5000, spread_ms: 1000 });
  await gateway.advance(10_000);
  const wait = gateway.tries[1].at - gateway.tries[0].at - 1000;
  assert.ok(wait >= 5000 && wait < 6000, `${wait}`);
  assert.deepEqual(events, ["open", "suspend told", "reset", "open"]);
});

test("a gateway that contradicts the session ends it", async () => {
  for (const frame of ['{"rx":1}', "{", '{"rx":-1}']) {
    const { gateway, events } = rig();
    await gateway.advance(10);
    gateway.send("x");
    gateway.connection.deliver(`\x01${frame}`);
    await gateway.advance(29_000);
    assert.deepEqual(events, ["open", "message x", "suspend fault"], frame);
    await gateway.advance(2000);
    assert.deepEqual(events.slice(3), ["reset", "open"]);
  }
});

/** A life with every event. */
async function life({ gateway, socket }) {
  socket.send("12345678");
  await gateway.advance(1100);
  if (gateway.connection) gateway.send("x");
  await gateway.advance(10);
  gateway.cut();
  await gateway.advance(1000);
  if (gateway.connection) gateway.end(1001, "moved");
  await gateway.advance(1000);
  gateway.cut();
  gateway.loseSession();
  await gateway.advance(1000);
  if (gateway.connection) gateway.end(1000, "done");
  await gateway.advance(1000);
}

for (const type of ["open", "resume", "suspend", "reset", "message", "drain", "state"]) {
  for (const nth of [1, 2, 3]) {
    test(`the application closes or reconnects in handler ${nth} of ${type}`, async () => {
      for (const call of ["close", "reconnect"]) {
        const it = rig({ options: { maxBufferedBytes: 10 } });
        let count = 0;
        let before;
        it.socket.addEventListener(type, () => { if (++count === nth) { before = it.events.length; it.socket[call](); } });
        await life(it);
        const { tries } = it.gateway;
        const made = tries.length;
        await it.gateway.advance(600_000);
        if (call === "close" && count >= nth) assert.deepEqual([it.socket.state, tries.length, it.events.slice(before).filter((event) => !/^(message|drain)/.test(event))], ["closed", made, ["close over"]]);
        else assert.ok(["open", "closed"].includes(it.socket.state), it.socket.state);
        assert.ok(it.events.filter((event) => event.startsWith("close")).length < 2);
      }
    });
  }
}

test("a watchdog that barks while the socket closes does not open it again", async () => {
  const { gateway, socket, events } = rig({ fake: { hello: { ping_ms: 500, grace_ms: 500 } } });
  await gateway.advance(10);
  socket.onmessage = () => socket.close();
  gateway.send("x");
  gateway.latencyMs = 1e9;
  await gateway.advance(600_000);
  assert.deepEqual([events, socket.state, gateway.tries.length], [["open", "message x", "close over"], "closed", 1]);
});

test("the surroundings are told on change, at most once in 10 s", async () => {
  const { gateway } = rig();
  const states = () => gateway.frames.filter((frame) => frame.state).map((frame) => frame.state);
  gateway.facts = { net: "wifi", vis: "visible" };
  await gateway.advance(10);
  assert.deepEqual(states(), [{ net: "wifi", vis: "visible" }]);
  for (const net of ["cell", "wifi", "cell"]) { gateway.facts = { net }; gateway.signal("change"); await gateway.advance(1000); }
  assert.equal(states().length, 1);
  await gateway.advance(8000);
  assert.deepEqual(states().slice(1), [{ net: "cell" }]);
  gateway.signal("change");
  await gateway.advance(60_000);
  assert.equal(states().length, 2);
});

test("listeners are those of an EventTarget", async () => {
  const { gateway, socket } = rig();
  const calls = [];
  const abort = new AbortController();
  const twice = (event) => calls.push(`twice ${event.target === socket}`);
  socket.addEventListener("message", twice);
  socket.addEventListener("message", twice);
  socket.addEventListener("message", { handleEvent: (event) => calls.push(`object ${event.data}`) }, { once: true });
  socket.addEventListener("message", () => calls.push("aborted"), { signal: abort.signal });
  socket.addEventListener("message", null);
  socket.onmessage = function () { calls.push(`on ${this === socket}`); };
  await gateway.advance(10);
  gateway.send("1");
  await gateway.advance(1);
  abort.abort();
  socket.removeEventListener("message", twice);
  gateway.send("2");
  await gateway.advance(1);
  assert.deepEqual(calls, ["on true", "twice true", "object 1", "aborted", "on true"]);
  assert.deepEqual([PulseSocket.OPEN, socket.CLOSED, socket.extensions], [1, 3, ""]);
});

test("a listener that throws loses nothing", async () => {
  const { gateway, socket, events } = rig();
  const thrown = [];
  const others = process.listeners("unhandledRejection");
  process.removeAllListeners("unhandledRejection");
  process.on("unhandledRejection", (error) => thrown.push(error.message));
  await gateway.advance(10);
  socket.onmessage = () => { throw new Error("of the application"); };
  gateway.send("1");
  gateway.send("2");
  await gateway.advance(1100);
  await new Promise(setImmediate);
  process.removeAllListeners("unhandledRejection");
  others.forEach((listener) => process.on("unhandledRejection", listener));
  assert.deepEqual(thrown, ["of the application", "of the application"]);
  assert.deepEqual([events, gateway.frames.at(-1).rx], [["open", "message 1", "message 2"], 2]);
});

test("on a random walk nothing is lost, doubled or reordered", async () => {
  const steps = Number(process.env.PULSE_WALK_STEPS ?? 4000);
  let seed = Number(process.env.PULSE_WALK_SEED ?? 1);
  const next = (below) => ((seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0) / 2 ** 32) * below | 0;
  const { gateway, socket } = rig({ fake: { latencyMs: 40, hello: { ping_ms: 2000, grace_ms: 1000, hold_ms: 1e9 } } });
  let sent = 0, served = 0, expected = 0, resets = 0, dirty = 0;
  socket.onmessage = ({ data }) => { assert.equal(data, `s${expected++}`); };
  socket.onreset = () => resets++;
  await gateway.advance(1000);
  for (let i = 0; i < steps; i++) {
    const what = next(20);
    if (what < 7) { try { socket.send(`c${sent}`); sent++; } catch (error) { assert.ok(error instanceof QuotaExceededError); } }
    else if (what < 14) gateway.send(`s${served++}`);
    else if (what === 14) { if (socket.bufferedAmount) dirty++; gateway.cut(next(2) ? "close" : "silence"); }
    else if (what === 15) gateway.signal("wake");
    else if (what === 16) gateway.clock.sleep(next(5000));
    else if (what === 17 && next(4) === 0) gateway.isUnreachable = !gateway.isUnreachable;
    else if (what === 18 && next(20) === 0) socket.reconnect();
    await gateway.advance(next(200));
  }
  gateway.isUnreachable = false;
  await gateway.advance(400_000);
  assert.equal(resets, 0);
  assert.equal(expected, served);
  assert.deepEqual(gateway.received, Array.from({ length: sent }, (_, i) => `c${i}`));
  assert.ok(dirty > steps / 200, `${dirty} cuts hit an unacknowledged message`);
  const times = gateway.tries.map(({ at }) => at);
  times.forEach((at, i) => assert.ok(i < 10 || at - times[i - 10] >= 60_000, "at most ten tries in a minute"));
});
