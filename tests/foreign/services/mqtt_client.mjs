// A client on npm `mqtt`, which does what the lines of its input say. Prints a JSON line for
// everything that it sees.
import { randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import mqtt, { UniqueMessageIdProvider } from 'mqtt';

const NOISE = randomBytes(90_000).toString('base64');
const say = event => console.log(JSON.stringify(event));
let client;
const does = {
  open({ url, id }) {
    const will = { topic: 'wills', payload: `${id} is lost`, qos: 1 };
    const messageIdProvider = new UniqueMessageIdProvider();
    client = mqtt.connect(url, {
      clientId: id,
      will,
      reconnectPeriod: 0,
      protocolVersion: 5,
      messageIdProvider,
    });
    client.on('connect', () => say({ open: true }));
    client.on(
      'message',
      (topic, data) =>
        topic === 'flood' ||
        say({ message: [topic, data.length > 100 ? data.length : String(data)] }),
    );
    client.on('close', () => say({ close: true }));
    client.on('error', error => say({ error: error.message }));
  },
  subscribe: async topic =>
    say({ subscribed: (await client.subscribeAsync(topic, { qos: 1 })).map(each => each.qos) }),
  publish: async ([topic, text, qos]) => {
    await client.publishAsync(topic, text, { qos });
    say({ published: topic });
  },
  // Messages as fast as they go; some have this size. What is published comes back.
  async flood(size) {
    await client.subscribeAsync('flood', { qos: 0 });
    for (let i = 1; client.connected; i++) {
      client.publish('flood', `${i} ${NOISE.slice(0, i % 50 ? 500 : size)}`, { qos: 0 });
      if (i % 5 === 0) await sleep(1);
    }
  },
  close: () => client.end(),
};
for await (const line of createInterface({ input: process.stdin })) {
  for (const [what, value] of Object.entries(JSON.parse(line))) does[what](value);
}
process.exit();
