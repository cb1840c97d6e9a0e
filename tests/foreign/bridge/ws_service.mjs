// A service on npm `ws`: `ws_service.mjs [deflate]`. It echoes, and does what a text asks for: `close CODE REASON`.
// Prints a JSON line for everything that it sees.
import { createServer } from 'node:http';
import { WebSocketServer } from 'ws';

const say = event => console.log(JSON.stringify(event));
const server = createServer((_, answer) => answer.writeHead(200, { 'Content-Type': 'text/html' }).end('<title>chat</title>'));
const sockets = new WebSocketServer({
  noServer: true,
  perMessageDeflate: process.argv[2] === 'deflate' && { threshold: 0 },
  maxPayload: 64 << 20,
  handleProtocols: names => [...names].at(-1),
});
sockets.on('headers', lines => lines.push('Set-Cookie: seen=1; HttpOnly', 'X-Service: ws'));
server.on('upgrade', (request, socket, head) => {
  if (request.url.startsWith('/private')) {
    const body = 'who are you?';
    socket.end(`HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="chat"\r\nContent-Length: ${body.length}\r\n\r\n${body}`);
    return;
  }
  sockets.handleUpgrade(request, socket, head, ws => {
    say({ open: request.url, headers: request.headers, extensions: ws.extensions });
    ws.on('message', (data, isBinary) => {
      const [, code, reason] = (!isBinary && /^close (\d+) (.*)$/.exec(data)) || [];
      if (code) ws.close(Number(code), reason);
      else ws.send(data, { binary: isBinary });
    });
    ws.on('close', (code, reason) => say({ close: [code, String(reason)] }));
    ws.on('error', error => say({ error: error.message }));
  });
});
server.listen(0, '127.0.0.1', () => say({ listening: server.address().port }));
