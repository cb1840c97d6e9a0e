// A WebSocket service for pairs.sh and frozen.sh: echoes, answers pings, and plays ghosts. Writes its own frames, because it must
// not be the bottleneck. Arguments: PORT GHOSTS GHOSTS_AFTER_MS TIMEOUT_MS. Says on stderr where it listens, and prints one JSON
// object when it is told to end (SIGTERM).
import crypto from 'node:crypto';
import net from 'node:net';

const [port, ghosts, ghostsAfter, timeout] = process.argv.slice(2).map(Number);
const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const late = [];
const counts = { opened: 0, ghosts: 0, messages: 0, closes: {} };
let ghostTime = false;

function header(first, length) {
  if (length < 126) return Buffer.from([first, length]);
  const head = Buffer.alloc(4);
  head.writeUInt8(first, 0);
  head.writeUInt8(126, 1);
  head.writeUInt16BE(length, 2);
  return head;
}

class Peer {
  constructor(socket) {
    this.socket = socket;
    this.rest = Buffer.alloc(0);
    this.open = false;
    this.ghost = false;
    this.heard = process.hrtime.bigint();
    socket.setNoDelay(true);
    socket.on('data', data => this.read(data));
    socket.on('error', () => {});
    socket.on('close', () => this.ended('eof'));
  }

  ended(how) {
    if (!this.open) return;
    this.open = false;
    counts.closes[how] = (counts.closes[how] ?? 0) + 1;
    // The close frame of a stale connection is followed by a reset, so this is when the ghost was found.
    if (this.ghost) late.push(Number(process.hrtime.bigint() - this.heard) / 1e6 - timeout);
  }

  send(first, payload) {
    if (this.ghost) return;
    this.heard = process.hrtime.bigint();
    this.socket.write(Buffer.concat([header(first, payload.length), payload]));
  }

  read(data) {
    this.rest = this.rest.length ? Buffer.concat([this.rest, data]) : data;
    if (!this.open) {
      const end = this.rest.indexOf('\r\n\r\n');
      if (end < 0) return;
      const head = this.rest.subarray(0, end).toString('latin1');
      const key = /sec-websocket-key: *(\S+)/i.exec(head)?.[1] ?? '';
      const accept = crypto.createHash('sha1').update(key + GUID).digest('base64');
      this.socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
      this.rest = this.rest.subarray(end + 4);
      this.open = true;
      counts.opened += 1;
    }
    while (this.rest.length >= 6) {
      const short = this.rest[1] & 0x7f;
      const extended = short === 126 ? 2 : 0;
      if (this.rest.length < 6 + extended) return;
      const length = extended ? this.rest.readUInt16BE(2) : short;
      const from = 6 + extended;
      if (this.rest.length < from + length) return;
      const mask = this.rest.subarray(from - 4, from);
      const payload = Buffer.from(this.rest.subarray(from, from + length));
      for (let i = 0; i < length; i++) payload[i] ^= mask[i & 3];
      const first = this.rest[0];
      this.rest = this.rest.subarray(from + length);
      if (first === 0x89) this.send(0x8a, payload);
      else if (first === 0x88) {
        const code = length >= 2 ? payload.readUInt16BE(0) : 1005;
        this.send(0x88, payload);
        this.ended(code);
        this.socket.end();
      } else if (first === 0x81 || first === 0x82) {
        counts.messages += 1;
        // A client that talks is not itself a ghost, so only one leg of a pair is.
        if (ghostTime && counts.ghosts < ghosts && !this.ghost) {
          counts.ghosts += 1;
          this.ghost = true;
        }
        this.send(first, payload);
      }
    }
  }
}

net.createServer({ backlog: 4096 }, socket => new Peer(socket)).listen(port, '127.0.0.1', function () {
  console.error(`listening on 127.0.0.1:${this.address().port}`);
});
if (ghosts > 0) setTimeout(() => { ghostTime = true; }, ghostsAfter);
process.on('SIGTERM', () => {
  late.sort((a, b) => a - b);
  const at = share => (late.length ? Number(late[Math.min(late.length - 1, Math.floor(share * late.length))].toFixed(1)) : null);
  console.log(JSON.stringify({ ...counts, found: late.length, early: late.filter(ms => ms < 0).length, late_ms: { min: at(0), p50: at(0.5), p99: at(0.99), max: at(1) } }));
  process.exit(0);
});
