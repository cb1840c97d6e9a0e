// Many clients on `socket.io-client`, each with its own cookies and connections. They start with
// long polling and upgrade. Prints a JSON line when all have done what they were asked for, and for
// everything that should not happen.
import { createInterface } from 'node:readline';
import { io } from 'socket.io-client';

const say = event => console.log(JSON.stringify(event));
const sockets = [];
const once = (emitter, event) => new Promise(done => emitter.once(event, done));
const connected = socket => socket.connected || once(socket, 'connect');

function client(url) {
  const socket = io(url, {
    forceNew: true,
    withCredentials: true,
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

// The answer to a question. One that a drain cuts off is asked again, as an application would.
async function ask(socket, ...question) {
  for (;;) {
    await connected(socket);
    try {
      return await socket.timeout(30_000).emitWithAck(...question);
    } catch (error) {
      if (socket.connected) say({ late: error.message });
    }
  }
}

// Some messages both ways.
async function echoes(socket) {
  for (let i = 0; i < 3; i++) {
    const text = `${i} ${'x'.repeat(200)}`;
    const answer = await ask(socket, 'echo', text);
    if (answer !== text) say({ wrong: answer });
  }
}

// A client that loses its connection before the upgrade has a new one to upgrade.
async function upgraded(socket) {
  for (;;) {
    await connected(socket);
    const { engine } = socket.io;
    if (engine.transport.name === 'websocket') return;
    await Promise.race([once(engine, 'upgrade'), once(engine, 'close')]);
  }
}

async function whole(socket) {
  await echoes(socket);
  await upgraded(socket);
  await echoes(socket);
}

const does = {
  async open({ url, count, label }) {
    const opened = Array.from({ length: count }, () => client(url));
    sockets.push(...opened);
    await Promise.all(opened.map(whole));
    say({ ready: label });
  },
  async work() {
    await Promise.all(sockets.map(echoes));
    say({ worked: true });
  },
  async where() {
    const names = await Promise.all(sockets.map(socket => ask(socket, 'name')));
    say({ where: names.reduce((all, name) => ({ ...all, [name]: (all[name] ?? 0) + 1 }), {}) });
  },
};
for await (const line of createInterface({ input: process.stdin })) {
  for (const [what, value] of Object.entries(JSON.parse(line))) does[what](value);
}
process.exit();
