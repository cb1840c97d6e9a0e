// A client on `graphql-ws`, which does what the lines of its input say. Prints a JSON line for
// everything that it sees.
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import { createClient } from 'graphql-ws';
import WebSocket from 'ws';

const NOISE = randomBytes(90_000).toString('base64');
const say = event => console.log(JSON.stringify(event));
let client,
  stop,
  operations = 0,
  hasClosed = false;
const COUNT =
  'subscription ($from: Int!, $to: Int!, $pad: Int!) { count(from: $from, to: $to, pad: $pad) }';
const does = {
  open({ url, retry }) {
    client = createClient({
      url,
      webSocketImpl: WebSocket,
      lazy: false,
      generateID: () => `operation ${++operations}`,
      connectionParams: { token: 't' },
      retryAttempts: retry ? 100 : 0,
      // Without it a refused connection is fatal. Close codes that are fatal stay so.
      shouldRetry: () => true,
      retryWait: () => sleep(100),
      onNonLazyError: event => say({ gave_up: event.code ?? event.message }),
      on: {
        connected: () => say({ open: true }),
        closed: event => {
          hasClosed = true;
          say({ close: [event.code, event.reason] });
        },
      },
    });
  },
  query: text =>
    client.subscribe(
      { query: 'query ($text: String!) { echo(text: $text) }', variables: { text } },
      {
        next: ({ data }) => say({ echo: data.echo }),
        error: error => say({ error: error.code ?? String(error) }),
        complete: () => say({ answered: true }),
      },
    ),
  subscribe(variables) {
    stop = client.subscribe(
      { query: COUNT, variables },
      {
        next: ({ data, errors }) => say({ count: data ? parseInt(data.count) : errors }),
        error: error => say({ error: error.code ?? String(error) }),
        complete: () => say({ complete: true }),
      },
    );
  },
  tick() {
    stop = client.subscribe(
      { query: 'subscription { tick }' },
      {
        next: ({ data }) => say({ tick: data.tick }),
        error: error => say({ error: error.code ?? String(error) }),
        complete: () => say({ complete: true }),
      },
    );
  },
  // Sends `complete`.
  stop: () => stop(),
  // Events as fast as they come, and questions with their answers meanwhile; some have this size.
  async flood(size) {
    const ignored = { next() {}, error() {}, complete() {} };
    client.subscribe({ query: COUNT, variables: { from: 1, to: 1e9, pad: 3000 } }, ignored);
    for (let i = 1; !hasClosed; i++) {
      const text = `${i} ${NOISE.slice(0, i % 50 ? 500 : size)}`;
      client.subscribe(
        { query: 'query ($text: String!) { echo(text: $text) }', variables: { text } },
        ignored,
      );
      if (i % 5 === 0) await sleep(1);
    }
  },
  close: () => client.dispose(),
};
for await (const line of createInterface({ input: process.stdin })) {
  for (const [what, value] of Object.entries(JSON.parse(line))) does[what](value);
}
process.exit();
