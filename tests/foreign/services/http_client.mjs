// A client on Node's own HTTP, which asks for what the lines of its input say, in turn. It sends
// all cookies back. Prints a JSON line for each answer.
import http from 'node:http';
import https from 'node:https';
import { createInterface } from 'node:readline';

const say = event => console.log(JSON.stringify(event));
const agents = {
  'http:': new http.Agent({ keepAlive: true }),
  'https:': new https.Agent({ keepAlive: true, rejectUnauthorized: false }),
};
const cookies = new Map();

function ask({ url, method = 'GET', headers = {}, body, chunks, from }) {
  const { protocol } = new URL(url);
  const cookie = [...cookies].map(pair => pair.join('=')).join('; ');
  const options = {
    method,
    agent: agents[protocol],
    localAddress: from,
    headers: { ...(cookie && { Cookie: cookie }), ...headers },
  };
  return new Promise(done => {
    const request = (protocol === 'https:' ? https : http).request(url, options, async answer => {
      for (const line of answer.headers['set-cookie'] ?? []) {
        const [name, value] = line.split(';')[0].split('=');
        cookies.set(name, value);
      }
      const parts = [];
      try {
        for await (const part of answer) parts.push(part);
      } catch (error) {
        say({ cut: error.code });
      }
      say({
        answer: answer.statusCode,
        text: answer.statusMessage,
        fields: answer.rawHeaders,
        body: String(Buffer.concat(parts)).slice(0, 2000),
      });
      done();
    });
    request.on('error', error => done(say({ answer: null, error: error.code })));
    for (const chunk of chunks ?? []) request.write(chunk);
    request.end(body);
  });
}
for await (const line of createInterface({ input: process.stdin })) {
  const { ask: asked } = JSON.parse(line);
  if (asked.wait === false) ask(asked);
  else await ask(asked);
}
process.exit();
