// A client for pairs.sh that sends as many small frames as the gateway takes, once the gateway has PAIRS other clients. Arguments:
// PORT ADMIN_PORT PAIRS SECONDS. Prints how many the kernel took from it.
import net from 'node:net';

const [port, adminPort, pairs, seconds] = process.argv.slice(2).map(Number);
const frame = Buffer.from([0x82, 0x80 | 10, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2, 3, 4, 1, 2]);
const block = Buffer.concat(Array(4096).fill(frame));
let sent = 0, opened = false;

async function clients() {
  const text = await (await fetch(`http://127.0.0.1:${adminPort}/metrics`)).text();
  return Number(/^pulsegate_connections\{class="client"[^}]*\} (\d+)/m.exec(text)[1]);
}
while (await clients() < pairs) await new Promise(resolve => setTimeout(resolve, 200));

const socket = net.connect(port, '127.0.0.1', () => {
  socket.write('GET /flood HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n');
});
// Node takes any number of bytes; they have left only when the call back comes.
function count(error) {
  if (!error) sent += 4096;
}
function fill() {
  while (socket.write(block, count));
}
let answer = '';
socket.on('data', data => {
  if (opened) return;
  answer += data.toString('latin1');
  if (!answer.includes('\r\n\r\n')) return;
  opened = answer.startsWith('HTTP/1.1 101 ');
  if (opened) fill();
});
socket.on('drain', fill);
socket.on('error', () => {});
setTimeout(() => { console.log(JSON.stringify({ frames: sent, opened, destroyed: socket.destroyed })); process.exit(0); }, seconds * 1000);
