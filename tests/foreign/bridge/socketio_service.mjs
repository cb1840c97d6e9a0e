// A service on `socket.io`, over WebSocket only. Prints a JSON line for everything that it sees.
import { createServer } from 'node:http';
import { Server } from 'socket.io';

const say = event => console.log(JSON.stringify(event));
const server = createServer();
const io = new Server(server, { transports: ['websocket'], perMessageDeflate: { threshold: 0 }, maxHttpBufferSize: 64 << 20 });
io.on('connection', socket => {
  say({ open: socket.id, headers: socket.handshake.headers, query: socket.handshake.query, auth: socket.handshake.auth });
  socket.join('room');
  socket.on('echo', (value, answer) => answer(value));
  socket.on('tell', text => io.to('room').emit('told', text));
  socket.on('leave', () => socket.disconnect(true));
  socket.on('disconnect', (reason, details) => say({ close: [reason, details?.description?.code ?? null] }));
});
server.listen(0, '127.0.0.1', () => say({ listening: server.address().port }));
