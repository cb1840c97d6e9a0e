// The naive monitor on npm `ws`: a map of when each peer was heard, one sweep an interval that pings all peers, and
// terminates those that were silent for the timeout.
//
//   node ws.mjs PORT INTERVAL_MS TIMEOUT_MS
import { WebSocketServer } from 'ws';

const [port, interval, timeout] = process.argv.slice(2).map(Number);
const server = new WebSocketServer({ host: '127.0.0.1', port, backlog: 4096 });
const heard = new Map();

server.on('connection', (socket) => {
    heard.set(socket, performance.now());
    socket.on('pong', () => heard.set(socket, performance.now()));
    socket.on('close', () => heard.delete(socket));
    socket.on('error', () => {});
});

setInterval(() => {
    const now = performance.now();
    for (const [socket, at] of heard) {
        if (now - at > timeout) socket.terminate();
        else socket.ping();
    }
}, interval);
