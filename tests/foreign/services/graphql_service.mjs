// A service on `graphql-ws`. Prints a JSON line for everything that it sees.
import { createServer } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { buildSchema } from 'graphql';
import { useServer } from 'graphql-ws/use/ws';
import { WebSocketServer } from 'ws';

const say = event => console.log(JSON.stringify(event));
const schema = buildSchema(`
  type Query { echo(text: String!): String! }
  type Subscription {
    tick: Int!
    count(from: Int!, to: Int!, pad: Int!): String!
  }
`);
const roots = {
  query: { echo: ({ text }) => text },
  subscription: {
    async *tick() {
      for (let i = 1; ; i++) {
        yield { tick: i };
        // A client that stops after the first one gets no second, however slow it is.
        await sleep(60_000);
      }
    },
    async *count({ from, to, pad }) {
      for (let i = from; i <= to; i++) {
        yield { count: `${i} ${'x'.repeat(pad)}` };
        if (i % 10 === 0) await sleep(1);
      }
    },
  },
};
const server = createServer((_, answer) => answer.writeHead(404).end());
const sockets = new WebSocketServer({ server, path: '/graphql' });
useServer(
  {
    schema,
    roots,
    onConnect: ({ connectionParams, extra }) =>
      say({ open: connectionParams, headers: extra.request.headers }),
    onComplete: (_, id) => say({ complete: id }),
    onClose: (_, code, reason) => say({ close: [code, String(reason)] }),
  },
  sockets,
);
server.listen(0, '127.0.0.1', () => say({ listening: server.address().port }));
