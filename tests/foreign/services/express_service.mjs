// A service on Express, with sessions and a WebSocket. Prints a JSON line for all that it sees.
import { createServer } from 'node:http';
import express from 'express';
import session from 'express-session';
import { WebSocketServer } from 'ws';

const say = event => console.log(JSON.stringify(event));
const app = express();
app.set('trust proxy', 'loopback');
app.use((request, _, next) => {
  const { ip, protocol, secure, hostname, path } = request;
  say({ request: path, ip, protocol, secure, hostname, host: request.headers.host });
  next();
});
// The session's cookie is set only if Express takes the request for one by https.
app.use(
  session({
    secret: 'a secret of this test',
    resave: false,
    saveUninitialized: false,
    cookie: { secure: true, sameSite: 'lax' },
  }),
);
app.get('/login', (request, answer) => {
  request.session.visits = 0;
  answer
    .cookie('theme', 'dark', { secure: true, httpOnly: true })
    .cookie('lang', 'en')
    .redirect(303, '/visits');
});
app.get('/visits', (request, answer) => {
  request.session.visits = (request.session.visits ?? 0) + 1;
  answer.json({ visits: request.session.visits });
});
app.get('/page', (_, answer) => answer.type('html').send(PAGE));
app.get('/stream', async (_, answer) => {
  answer.type('text');
  for (let i = 0; i < 5; i++) answer.write(`part ${i}\n`);
  answer.end();
});
app.get('/events', (_, answer) => {
  answer.set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
  for (let i = 0; i < 3; i++) answer.write(`id: ${i}\ndata: event ${i}\n\n`);
  answer.end();
});
// A long poll: answers when it is told to.
const waiting = [];
app.get('/poll', (_, answer) => waiting.push(answer));
app.post('/tell', express.text(), (request, answer) => {
  for (const poll of waiting.splice(0)) poll.send(request.body);
  answer.sendStatus(204);
});
app.get('/bytes', (_, answer) => answer.send(Buffer.alloc(300_000, 7)));
app.post('/form', express.urlencoded({ limit: '8mb' }), (request, answer) =>
  answer.status(201).location('/form/1').json(request.body),
);
app.post('/upload', express.raw({ limit: '8mb', type: () => true }), (request, answer) =>
  answer.json({ length: request.body.length }),
);
app.put('/item', express.json(), (request, answer) => answer.json({ put: request.body }));
app.delete('/item', (_, answer) => answer.sendStatus(204));

const PAGE = `<!doctype html><title>chat</title><link rel=icon href="data:,"><script>
  window.seen = {};
  fetch('/form', { method: 'POST', body: new URLSearchParams({ text: 'hallo é' }) })
    .then(async answer => (seen.post = [answer.status, await answer.json()]));
  const socket = new WebSocket('ws://' + location.host + '/socket', ['chat']);
  socket.onopen = () => socket.send('hallo é');
  socket.onmessage = event => { seen.message = event.data; socket.send('close 4003 enough'); };
  socket.onclose = event => (seen.close = [event.code, event.reason, event.wasClean]);
</script>`;

const server = createServer(app);
const sockets = new WebSocketServer({ server, path: '/socket', perMessageDeflate: true });
sockets.on('headers', lines => lines.push('Set-Cookie: seen=1; HttpOnly'));
sockets.on('connection', (socket, request) => {
  say({ open: request.url, headers: request.headers });
  socket.on('message', (data, isBinary) => {
    const [, code, reason] = (!isBinary && /^close (\d+) (.*)$/.exec(data)) || [];
    if (code) socket.close(Number(code), reason);
    else socket.send(data, { binary: isBinary });
  });
  socket.on('close', (code, reason) => say({ close: [code, String(reason)] }));
});
server.listen(0, '127.0.0.1', () => say({ listening: server.address().port }));
