// A service on `socket.io`, over WebSocket only, or `socketio_service.mjs polling [NAME]`. Prints a JSON line for everything that it sees.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const say = event => console.log(JSON.stringify(event));
const [polling, name] = process.argv.slice(2);
const server = createServer();
const transports = polling ? ['polling', 'websocket'] : ['websocket'];
const io = new Server(server, { transports, cookie: Boolean(polling), perMessageDeflate: { threshold: 0 }, maxHttpBufferSize: 64 << 20 });
io.engine.on('connection_error', error => say({ refused: error.message, code: error.code }));
// Until the upgrade nothing but it happens, so that a transcript is the same each time.
if (polling) io.use((socket, next) => {
  const waits = socket.handshake.query.patient && socket.conn.transport.name === 'polling';
  waits ? socket.conn.once('upgrade', () => next()) : next();
});
io.on('connection', socket => {
  say({ open: socket.id, headers: socket.handshake.headers, query: socket.handshake.query, auth: socket.handshake.auth });
  socket.join('room');
  socket.on('echo', (value, answer) => answer(value));
  socket.on('name', answer => answer(name));
  socket.on('tell', text => io.to('room').emit('told', text));
  socket.on('leave', () => socket.disconnect(true));
  socket.on('disconnect', (reason, details) => say({ close: [reason, details?.description?.code ?? null] }));
});
server.listen(0, '127.0.0.1', () => say({ listening: server.address().port }));
