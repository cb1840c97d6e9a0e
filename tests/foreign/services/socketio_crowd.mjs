// Many clients on `socket.io-client`, each with its own cookies and connections. They start with
// long polling and upgrade. Prints a JSON line when all have done what they were asked for, and for
// everything that should not happen.
import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

const say = event => console.log(JSON.stringify(event));
const sockets = [];
const once = (emitter, event) => new Promise(done => emitter.once(event, done));
const connected = socket => socket.connected || once(socket, 'connect');

function client(url, transports) {
  const socket = io(url, {
    forceNew: true,
    withCredentials: true,
    transports,
    reconnectionDelay: 50,
    reconnectionDelayMax: 500,
    timeout: 30_000,
  });
  socket.on('connect_error', error =>
    say({
      error: error.message,
      answer: error.context?.responseText,
      status: error.context?.status,
    }),
  );
  socket.on('disconnect', (reason, details) =>
    say({
      lost: reason,
      code: details?.context?.code ?? null,
      answer: details?.context?.responseText ?? null,
    }),
  );
  socket.io.on('reconnect', () => say({ back: true }));
  return socket;
}

// Some messages both ways. One that a drain cuts off is sent again, as an application would.
async function echoes(socket, count) {
  for (let i = 0; i < count;) {
    await connected(socket);
    const text = `${i} ${'x'.repeat(200)}`;
    try {
      const answer = await socket.timeout(30_000).emitWithAck('echo', text);
      if (answer !== text) say({ wrong: answer });
      i++;
    } catch (error) {
      if (socket.connected) say({ late: error.message });
    }
  }
}

async function name(socket) {
  for (;;) {
    await connected(socket);
    try {
      return await socket.timeout(30_000).emitWithAck('name');
    } catch (error) {
      if (socket.connected) say({ late: error.message });
    }
  }
}

async function whole(socket, transports, count) {
  await connected(socket);
  await echoes(socket, count);
  const engine = socket.io.engine;
  if (transports.includes('websocket') && engine.transport.name !== 'websocket')
    await once(engine, 'upgrade');
  await echoes(socket, count);
}

const does = {
  async open({ url, count, transports = ['polling', 'websocket'], label }) {
    const opened = Array.from({ length: count }, () => client(url, transports));
    sockets.push(...opened);
    await Promise.all(opened.map(socket => whole(socket, transports, 3)));
    say({ ready: label });
  },
  async work(label) {
    await Promise.all(sockets.map(socket => echoes(socket, 3)));
    say({ worked: label });
  },
  async where() {
    const names = await Promise.all(sockets.map(name));
    say({ where: names.reduce((all, name) => ({ ...all, [name]: (all[name] ?? 0) + 1 }), {}) });
  },
};
for await (const line of createInterface({ input: process.stdin })) {
  for (const [what, value] of Object.entries(JSON.parse(line))) does[what](value);
}
process.exit();
