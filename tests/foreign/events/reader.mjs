// A reader of /api/v1/events that we did not write (the EventSource of npm): its connection is cut again and again while clients come and go,
// it stays away for longer than events are kept, and the gateway is started anew. It must miss nothing that it is not told of.
//
//   node reader.mjs BINARY
//
// Exit: 0 all held; 1 something did not.
import assert from "node:assert/strict";
import { EventSource } from "eventsource";
import { WebSocket, WebSocketServer } from "ws";
import { faultyProxy } from "./pulse/faulty_proxy.mjs";
import { realGateway } from "./pulse/real_gateway.mjs";

const PATIENCE = 30_000;
const [binary] = process.argv.slice(2);

const service = new WebSocketServer({ port: 0, host: "127.0.0.1" });
await new Promise((done) => service.on("listening", done));
const upstream = `http://127.0.0.1:${service.address().port}`;

/** Waits until `ask` returns something. */
async function until(what, ask) {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (answer) return answer;
    assert(Date.now() < deadline, `${what}: not within ${PATIENCE} ms`);
    await new Promise((done) => setTimeout(done, 10));
  }
}

/** Opens a client through the gateway, and closes it. */
async function visit(gateway) {
  const client = new WebSocket(`ws://127.0.0.1:${gateway.port}/`);
  await new Promise((done, fail) => client.on("open", done).on("error", fail));
  client.close(1000);
  await new Promise((done) => client.on("close", done));
}

async function visits(gateway, many) {
  for (let n = 0; n < many; n += 10) await Promise.all(Array.from({ length: Math.min(10, many - n) }, () => visit(gateway)));
}

/** Reads all events of `opened` and `closed`, and what the gateway says of the stream itself. */
function reader(port) {
  const source = new EventSource(`http://127.0.0.1:${port}/api/v1/events`);
  const self = { events: [], missed: [], resets: [], starts: 0, close: () => source.close() };
  for (const type of ["opened", "closed"]) source.addEventListener(type, (event) => self.events.push({ ...JSON.parse(event.data), last: event.lastEventId }));
  source.addEventListener("missed", (event) => self.missed.push(JSON.parse(event.data)));
  source.addEventListener("reset", (event) => self.resets.push(JSON.parse(event.data)));
  source.addEventListener("start", () => self.starts++);
  return self;
}

const number = (id) => Number(id.split("-")[1]);

/** Checks that numbers grow, that each id stands with its event, and that nothing is missing that was not said to be. */
function checkOrder(read, boot) {
  const events = read.events.filter((event) => event.id.startsWith(boot));
  const excused = new Set();
  for (const { first, last, count } of read.missed.filter((gap) => gap.first.startsWith(boot))) {
    assert.equal(number(last) - number(first) + 1, count);
    for (let n = number(first); n <= number(last); n++) excused.add(n);
  }
  events.forEach((event) => assert.equal(event.last, event.id));
  for (let n = 1; n < events.length; n++) {
    const [before, after] = [number(events[n - 1].id), number(events[n].id)];
    assert(after > before, `${events[n].id} came after ${events[n - 1].id}`);
    for (let gap = before + 1; gap < after; gap++) assert(excused.has(gap), `${boot}-${gap} is missing, and the reader was not told`);
  }
  return events;
}

let gateway = await realGateway(binary, upstream, { EVENTS_KEPT: "1000", PULSE: "0" });
const proxy = await faultyProxy(gateway.admin);
const read = reader(proxy.port);
await until("the stream begins", () => read.starts === 1);

// 1. Cut in every way while clients come and go. Each visit has two connections, of which each opens and closes.
let visited = 0;
for (const [how, bytes] of [["fin", 300], ["rst", 1], ["fin", 1_700], ["rst", 900], ["fin", 45]]) {
  const links = proxy.accepted;
  proxy.breakAfter(bytes, how);
  await visits(gateway, 20);
  visited += 20;
  await until("the reader is back", () => proxy.accepted > links);
}
const sum = () => read.events.length;
await until("all events have come", () => sum() === 4 * visited);
assert.deepEqual(read.missed, []);
const boot = read.events[0].id.split("-")[0];
assert.equal(checkOrder(read, boot).length, 4 * visited);
console.log(`cut 5 times: ${sum()} events of ${visited} visits, each once and in order`);

// 2. Away for longer than events are kept.
proxy.refusing = true;
proxy.breakAll("rst");
await visits(gateway, 400);
visited += 400;
proxy.refusing = false;
await until("the reader is told", () => read.missed.length > 0);
const lost = () => read.missed.reduce((all, gap) => all + gap.count, 0);
await until("the rest has come", () => sum() + lost() === 4 * visited);
checkOrder(read, boot);
console.log(`away for ${4 * 400} events: ${lost()} are told as missed, ${sum()} have come`);

// 3. The gateway is killed and started anew.
await gateway.kill();
proxy.refusing = true;
proxy.breakAll("rst");
gateway = await realGateway(binary, upstream, { EVENTS_KEPT: "1000", PULSE: "0" });
await visits(gateway, 5);
proxy.target = gateway.admin;
proxy.refusing = false;
await until("the reader is told of another run", () => read.resets.length === 1);
assert(read.resets[0].before.startsWith(boot), JSON.stringify(read.resets));
const later = () => read.events.filter((event) => event.id.startsWith(read.resets[0].boot));
await until("the events of the other run have come", () => later().length === 20);
checkOrder(read, read.resets[0].boot);
console.log("started anew: the reader is told of the other run, and gets its 20 events");

read.close();
proxy.stop();
await gateway.end();
service.close();
console.log("all held");
