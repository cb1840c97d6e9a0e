// A client on `socket.io-client`, over WebSocket only if it is not told otherwise, which does what the lines of its input say. Prints a JSON line for everything that it sees.
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { io } from 'socket.io-client';

const NOISE = randomBytes(90_000).toString('base64');
const say = event => console.log(JSON.stringify(event));
let socket;
const does = {
  open({ url, transports = ['websocket'], query, reconnection = true }) {
    const options = { transports, reconnection, withCredentials: true, reconnectionDelay: 50, reconnectionDelayMax: 200 };
    socket = io(url, { ...options, auth: { token: 't' }, query: { room: 'a b', ...query } });
    socket.on('connect', () => say({ open: socket.id }));
    socket.on('told', text => say({ told: text }));
    socket.on('disconnect', (reason, details) => say({ close: [reason, details?.context?.code ?? details?.code ?? null] }));
    socket.on('connect_error', error => say({ error: error.message }));
  },
  // Bytes go as an attachment, in a frame of their own.
  echo: async size => {
    const bytes = Buffer.alloc(size, 7);
    const back = await socket.timeout(10_000).emitWithAck('echo', { text: 'é', bytes });
    say({ echo: back.text === 'é' && Buffer.compare(bytes, Buffer.from(back.bytes)) === 0 });
  },
  // Messages as fast as they go, each with an answer; some have this size.
  async flood(size) {
    for (let i = 1; socket.connected; i++) {
      socket.emit('echo', `${i} ${NOISE.slice(0, i % 50 ? 500 : size)}`, () => {});
      if (i % 5 === 0) await sleep(1);
    }
  },
  tell: text => socket.emit('tell', text),
  leave: () => socket.emit('leave'),
  close: () => socket.disconnect(),
};
for await (const line of createInterface({ input: process.stdin })) {
  for (const [what, value] of Object.entries(JSON.parse(line))) await does[what](value);
}
process.exit();
