// A client on npm `ws`, which does what the lines of its input say, each a JSON object. Prints a JSON line for everything that it sees.
import { createHash, randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import WebSocket from 'ws';

const NOISE = randomBytes(90_000).toString('base64');
const say = event => console.log(JSON.stringify(event));
const digest = bytes => createHash('sha256').update(bytes).digest('hex');
let ws;
const does = {
  open({ url, protocols, headers, origin }) {
    // Certificates are signed by the tests themselves.
    ws = new WebSocket(url, protocols, { headers, origin, rejectUnauthorized: false, perMessageDeflate: { threshold: 0 }, maxPayload: 64 << 20 });
    let fields;
    ws.on('upgrade', answer => (fields = answer.headers));
    ws.on('open', () => say({ open: ws.protocol, headers: fields, extensions: ws.extensions }));
    ws.on('message', (data, isBinary) => say(isBinary ? { binary: data.length, sha256: digest(data) } : { text: String(data) }));
    ws.on('pong', data => say({ pong: String(data) }));
    ws.on('close', (code, reason) => say({ close: [code, String(reason)] }));
    ws.on('error', error => say({ error: error.message }));
    ws.on('unexpected-response', async (_, answer) => {
      let body = '';
      for await (const part of answer) body += part;
      say({ refused: answer.statusCode, headers: answer.headers, body });
    });
  },
  text: text => ws.send(text),
  // Bytes that compress badly, and the same every time.
  binary(size) {
    const bytes = Buffer.alloc(size);
    for (let i = 0, x = 1; i < size; i++) bytes[i] = (x = (x * 48271) % 2147483647) >> 8;
    say({ sent: size, sha256: digest(bytes) });
    ws.send(bytes);
  },
  // Messages as fast as they go, until the end; some have this size.
  async flood(size) {
    for (let i = 1; ws.readyState === WebSocket.OPEN; i++) {
      ws.send(`${i} ${NOISE.slice(0, i % 50 ? 500 : size)}`);
      if (i % 5 === 0) await sleep(1);
    }
  },
  ping: text => ws.ping(text),
  close: ([code, reason]) => ws.close(code, reason),
};
for await (const line of createInterface({ input: process.stdin })) {
  for (const [what, value] of Object.entries(JSON.parse(line))) does[what](value);
}
process.exit();
