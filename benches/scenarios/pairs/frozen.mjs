// The clients of frozen.sh. They stop and continue the service, and judge what they see. Arguments: PORT ADMIN_PORT PAIRS
// SERVICE_PID INTERVAL_MS TIMEOUT_MS. Prints a line for each claim. Exit: 0 all held; 1 one did not.
import crypto from 'node:crypto';
import net from 'node:net';

const [port, adminPort, pairs, service, interval, timeout] = process.argv.slice(2).map(Number);
const SHORT_S = 60, LONG_S = 200;
// Patience and rate, as docs/bridge.md states them.
const PATIENCE_MS = 3 * timeout, CLOSE_ALL_S = 60;
const sleep = ms => new Promise(resolve => setTimeout(resolve, ms));
const now = () => performance.now();
let failed = 0;

function claim(holds, text) {
  if (!holds) failed += 1;
  console.log(`${holds ? 'PASS' : 'FAIL'}  ${text}`);
}

function masked(first, payload) {
  const mask = crypto.randomBytes(4);
  return Buffer.concat([Buffer.from([first, 0x80 | payload.length]), mask, payload.map((byte, i) => byte ^ mask[i & 3])]);
}

class Client {
  constructor() {
    this.rest = Buffer.alloc(0);
    this.opened = false;
    this.close = null;
    this.echoes = 0;
    this.socket = net.connect(port, '127.0.0.1', () => this.socket.write(
      'GET /frozen HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'));
    this.socket.setNoDelay(true);
    this.socket.on('data', data => this.read(data));
    this.socket.on('error', () => {});
    this.socket.on('close', () => this.ended(1006, ''));
  }

  ended(code, reason) {
    this.close ??= { code, reason, at: now() };
  }

  talk() {
    if (!this.close) this.socket.write(masked(0x82, crypto.randomBytes(16)));
  }

  read(data) {
    this.rest = Buffer.concat([this.rest, data]);
    if (!this.opened) {
      const end = this.rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      if (!this.rest.toString('latin1').startsWith('HTTP/1.1 101 ')) return this.socket.destroy();
      this.opened = true;
      this.rest = this.rest.subarray(end + 4);
    }
    // All frames here are short: pings, echoes of 16 bytes, closes.
    while (this.rest.length >= 2 && this.rest.length >= 2 + this.rest[1]) {
      const [first, length] = this.rest;
      const payload = this.rest.subarray(2, 2 + length);
      this.rest = this.rest.subarray(2 + length);
      if (first === 0x89) this.socket.write(masked(0x8a, payload));
      else if (first === 0x82) this.echoes += 1;
      else if (first === 0x88) {
        this.ended(length >= 2 ? payload.readUInt16BE(0) : 1005, payload.subarray(2).toString());
        this.socket.end(masked(0x88, payload.subarray(0, 2)));
      }
    }
  }
}

async function until(seconds, look) {
  const end = now() + seconds * 1000;
  while (!look() && now() < end) await sleep(20);
  return look();
}

const clients = [];
const closed = () => clients.filter(client => client.close);
const answered = () => clients.filter(client => client.echoes > 0).length;

/** Sends a message on each open pair. */
function talk() {
  for (const client of clients) {
    client.echoes = 0;
    client.talk();
  }
}

async function alertFires() {
  const answer = await fetch(`http://127.0.0.1:${adminPort}/api/v1/alerts`);
  return (await answer.json()).alerts.some(alert => alert.name === 'upstream_unresponsive' && alert.state === 'firing');
}

/** Stops the service for so many seconds. Calls `meanwhile` when half of them are over, and returns when it stopped. */
async function freeze(seconds, meanwhile) {
  const stopped = now();
  process.kill(service, 'SIGSTOP');
  try {
    await sleep(seconds * 500);
    await meanwhile();
    await sleep(stopped + seconds * 1000 - now());
  } finally {
    process.kill(service, 'SIGCONT');
  }
  return stopped;
}

/** The most closes within so many seconds. */
function busiest(times, seconds) {
  let most = 0;
  for (let from = 0, to = 0; to < times.length; to++) {
    while (times[to] - times[from] > seconds * 1000) from += 1;
    most = Math.max(most, to - from + 1);
  }
  return most;
}

while (clients.length < pairs) {
  const client = new Client();
  clients.push(client);
  // A few at once, so that no queue of the kernel is full.
  if (clients.length % 100 === 0) await until(20, () => client.opened || client.close);
}
await until(20, () => clients.every(client => client.opened || client.close));
const open = clients.filter(client => client.opened).length;
if (open < pairs) {
  console.error(`only ${open} of ${pairs} pairs could be opened`);
  process.exit(2);
}
// Each leg is pinged at a time of its own after this.
await sleep(interval);

await freeze(SHORT_S, talk);
claim(closed().length === 0, `stopped for ${SHORT_S} s: ${closed().length} of ${pairs} pairs closed`);
await until(20, () => answered() === pairs);
claim(answered() === pairs, `of ${pairs} messages sent meanwhile, ${answered()} were answered afterwards`);
await sleep(2 * interval);
talk();
await until(20, () => answered() === pairs);
claim(closed().length === 0 && answered() === pairs,
  `${2 * interval / 1000} s later ${closed().length} pairs are closed, and ${answered()} of ${pairs} answer`);

let fires = false;
// The messages were heard at once. Now what was heard last is a pong again, at a time of its own on each leg.
await sleep(interval);

const stopped = await freeze(LONG_S, async () => { fires = await alertFires(); });
claim(fires, `stopped for ${LONG_S} s: upstream_unresponsive ${fires ? 'fires' : 'does not fire'} after ${LONG_S / 2} s`);
const ends = closed().map(client => client.close).sort((a, b) => a.at - b.at);
const after = ends.map(end => (end.at - stopped) / 1000);
const seconds = value => value?.toFixed(1);
claim(ends.length === pairs, `${ends.length} of ${pairs} pairs closed before the service went on, ` +
  `the first ${seconds(after[0])} s and the last ${seconds(after.at(-1))} s after it stopped`);
const silences = ends.map(end => Number(/^upstream lost: nothing heard for (\d+) ms/.exec(end.reason)?.[1] ?? 0));
const least = Math.min(...silences), early = silences.filter(ms => ms < PATIENCE_MS).length;
claim(early === 0, `${early} closed before ${PATIENCE_MS / 1000} s of silence, by the reasons of the closes; the least is ${least} ms`);
const codes = {};
for (const { code } of ends) codes[code] = (codes[code] ?? 0) + 1;
claim(codes[1012] === pairs, `what the clients heard: ${JSON.stringify(codes)}`);
// A busy machine handles some closes late and the next on time, so one second may have a few more.
const times = ends.map(end => end.at), perSecond = pairs / CLOSE_ALL_S, ofFive = busiest(times, 5);
claim(ofFive <= 5.5 * perSecond, `at most ${ofFive} closes in any 5 s, ${busiest(times, 1)} in any one second; ` +
  `a sixtieth of all is ${perSecond.toFixed(1)}`);

clients.splice(0, clients.length, new Client());
await until(20, () => clients[0].opened);
talk();
await until(20, () => answered() === 1);
claim(answered() === 1, `a client that comes back is ${answered() === 1 ? '' : 'not '}served`);
process.exit(failed ? 1 : 0);
