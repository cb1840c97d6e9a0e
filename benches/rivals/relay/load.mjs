// The load for a relay: glasses that send, apps that count.
//
//   node load.mjs URL SECRET SECONDS [SERVER_PID]
//
// For small JSON and 1 KiB binary, and for 1, 10 and 100 apps (packages bench.0 to bench.99, keys key-0 to key-99): how many
// frames are delivered in a second while so many are under way as the WINDOW lets, what the server's CPU takes for each, and
// how long a frame takes when one is sent every 5 ms. Prints a JSON line for each, and first one for a bare loopback connection
// of this process to itself, which is the part of the latency that is not the relay's. A WebSocket library would be slower
// than what is measured: this looks at frame headers only. Exit: 0 measured; 1 frames were lost, or it took too long.
import { createHmac, randomBytes } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { connect, createServer } from 'node:net';

const [url, secret, secondsText, pid] = process.argv.slice(2);
const seconds = Number(secondsText);
if (!url || !(seconds > 0)) {
    console.error('usage: load.mjs URL SECRET SECONDS [SERVER_PID]');
    process.exit(2);
}
const { hostname, port } = new URL(url);
const SUBSCRIBERS = [1, 10, 100];
const KINDS = {
    // As phones send it; 114 bytes.
    json: { opcode: 1, window: 256, payload: () => Buffer.from(JSON.stringify({ type: 'button_press', buttonId: 'main', pressType: 'short', timestamp: new Date(), n: 100_000 })) },
    binary: { opcode: 2, window: 128, payload: () => randomBytes(1024) },
};
const PERIOD_MS = 5;
const sleep = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** A client's frame, masked. */
function frame(opcode, payload) {
    const mask = randomBytes(4);
    const header = payload.length < 126 ? Buffer.from([0x80 | opcode, 0x80 | payload.length]) : Buffer.from([0x80 | opcode, 0x80 | 126, payload.length >> 8, payload.length & 0xff]);
    return Buffer.concat([header, mask, payload.map((byte, i) => byte ^ mask[i % 4])]);
}

/** A connection that counts data frames, answers pings and knows when it ended. */
class Client {
    frames = 0;
    onFrames = () => {};
    #rest = Buffer.alloc(0);

    static open(path, headers = '') {
        const client = new Client();
        client.socket = connect({ port: Number(port), host: hostname, noDelay: true });
        client.socket.on('error', () => {});
        client.socket.on('close', () => (client.ended = true));
        const key = randomBytes(16).toString('base64');
        client.socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Key: ${key}\r\nSec-WebSocket-Version: 13\r\n${headers}\r\n`);
        return new Promise((resolve, reject) => {
            client.socket.once('close', () => reject(new Error(`${path} is not upgraded`)));
            client.socket.once('data', (bytes) => {
                const head = bytes.indexOf('\r\n\r\n');
                if (!bytes.subarray(0, 12).equals(Buffer.from('HTTP/1.1 101')) || head < 0) return reject(new Error(`${path}: ${bytes.toString().split('\r\n')[0]}`));
                client.socket.on('data', (more) => client.#read(more));
                client.#read(bytes.subarray(head + 4));
                resolve(client);
            });
        });
    }

    say(message) {
        this.socket.write(frame(1, Buffer.from(JSON.stringify(message))));
    }

    #read(bytes) {
        if (this.#rest.length) bytes = Buffer.concat([this.#rest, bytes]);
        let at = 0;
        let count = 0;
        while (at + 2 <= bytes.length) {
            const short = bytes[at + 1] & 0x7f;
            const start = at + (short < 126 ? 2 : short === 126 ? 4 : 10);
            if (start > bytes.length) break;
            const length = short < 126 ? short : short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
            if (start + length > bytes.length) break;
            const opcode = bytes[at] & 0x0f;
            if (opcode === 1 || opcode === 2) count += 1;
            else if (opcode === 9) this.socket.write(frame(10, bytes.subarray(start, start + length)));
            else if (opcode === 8) this.end = bytes.subarray(start, start + length).toString('latin1');
            at = start + length;
        }
        this.#rest = at === bytes.length ? bytes.subarray(at) : Buffer.from(bytes.subarray(at));
        if (count) {
            this.frames += count;
            this.onFrames(count);
        }
    }
}

async function until(what, condition, ms = 10_000) {
    const deadline = performance.now() + ms;
    while (!condition()) {
        if (performance.now() > deadline) throw new Error(`not within ${ms} ms: ${what}`);
        await sleep(2);
    }
}

/** Nanoseconds that the server has run, all its threads. */
function spent() {
    if (!pid) return NaN;
    let ns = 0;
    for (const task of readdirSync(`/proc/${pid}/task`)) ns += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, 'utf8').split(' ')[0]);
    return ns;
}

function percentiles(values) {
    const sorted = Float64Array.from(values).sort();
    const at = (share) => Number((sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] * 1_000).toFixed(1));
    return { p50_us: at(0.5), p99_us: at(0.99) };
}

function jwt(email) {
    const part = (value) => Buffer.from(JSON.stringify(value)).toString('base64url');
    const body = `${part({ alg: 'HS256', typ: 'JWT' })}.${part({ email, exp: Math.floor(Date.now() / 1_000) + 3_600 })}`;
    return `${body}.${createHmac('sha256', secret).update(body).digest('base64url')}`;
}

async function measure(kind, count) {
    const { opcode, window, payload } = KINDS[kind];
    const user = `bench-${kind}-${count}-${process.pid}@example.org`;
    const glasses = await Client.open('/glasses-ws', `Authorization: Bearer ${jwt(user)}\r\n`);
    await until('connection_ack', () => glasses.frames === 1);
    const apps = await Promise.all(
        Array.from({ length: count }, async (_, i) => {
            const app = await Client.open('/app-ws');
            const [packageName, sessionId] = [`bench.${i}`, `${user}-bench.${i}`];
            app.say({ type: 'tpa_connection_init', sessionId, packageName, apiKey: `key-${i}`, timestamp: new Date() });
            await until('tpa_connection_ack', () => app.frames === 1 || app.ended);
            app.say({ type: 'subscription_update', packageName, sessionId, subscriptions: ['button_press', 'audio_chunk'], timestamp: new Date() });
            return app;
        }),
    );
    const bytes = frame(opcode, payload());
    // Until the subscriptions are there; what comes before them has no receiver.
    await until('subscriptions', () => (glasses.socket.write(bytes), apps.every((app) => app.frames > 1)));
    for (let before = -1; before !== apps.reduce((sum, app) => sum + app.frames, 0); await sleep(100)) before = apps.reduce((sum, app) => sum + app.frames, 0);
    const lost = () => {
        const gone = [glasses, ...apps].find((client) => client.ended || client.end);
        if (gone) throw new Error(`${kind} ${count}: a connection ended: ${JSON.stringify(gone.end ?? '')}`);
    };

    const result = { kind, subscribers: count };
    // Throughput: as many under way as the window lets, counted at the slowest receiver.
    for (const app of apps) app.frames = 0;
    let sent = 0;
    const started = performance.now();
    const before = spent();
    const over = () => performance.now() - started > seconds * 1_000;
    await new Promise((resolve) => {
        const fill = () => {
            let least = Infinity;
            for (const app of apps) if (app.frames < least) least = app.frames;
            const room = window - (sent - least);
            if (over()) return resolve();
            if (room >= window / 4) {
                glasses.socket.write(room === 1 ? bytes : Buffer.concat(Array(room).fill(bytes)));
                sent += room;
            }
        };
        for (const app of apps) app.onFrames = fill;
        fill();
        setTimeout(resolve, seconds * 1_000 + 500);
    });
    for (const app of apps) app.onFrames = () => {};
    await until(`${kind} ${count}: all ${sent} frames at all apps`, () => (lost(), apps.every((app) => app.frames >= sent)), 20_000);
    const elapsed = (performance.now() - started) / 1_000;
    result.frames_per_s = Math.round(sent / elapsed);
    result.deliveries_per_s = Math.round((sent * count) / elapsed);
    result.cpu_us = Number(((spent() - before) / 1_000 / (sent * count)).toFixed(2));

    // Latency: from the write to the event that brings it, one at a time.
    const times = [];
    const waits = [];
    apps.forEach((app) => {
        app.frames = 0;
        app.onFrames = (n) => {
            const now = performance.now();
            for (let i = app.frames - n; i < app.frames; i += 1) waits.push(now - times[i]);
        };
    });
    await paced(seconds, () => {
        times.push(performance.now());
        glasses.socket.write(bytes);
    });
    await until(`${kind} ${count}: the last frame at all apps`, () => (lost(), apps.every((app) => app.frames >= times.length)));
    Object.assign(result, percentiles(waits));
    for (const client of [...apps, glasses]) client.socket.destroy();
    return result;
}

async function paced(length, act) {
    const end = performance.now() + length * 1_000;
    while (performance.now() < end) {
        act();
        await sleep(PERIOD_MS);
    }
}

/** One loopback connection of this process to itself. */
async function direct() {
    const waits = [];
    let at = 0;
    const server = createServer((socket) => socket.on('data', () => waits.push(performance.now() - at)));
    await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
    const socket = connect({ port: server.address().port, host: '127.0.0.1', noDelay: true });
    await paced(seconds, () => {
        at = performance.now();
        socket.write('x'.repeat(120));
    });
    socket.destroy();
    server.close();
    return { kind: 'direct', subscribers: 1, ...percentiles(waits) };
}

try {
    console.log(JSON.stringify(await direct()));
    for (const kind of Object.keys(KINDS)) for (const count of SUBSCRIBERS) console.log(JSON.stringify(await measure(kind, count)));
    process.exit(0);
} catch (error) {
    console.error(`load.mjs: ${error.message}`);
    process.exit(1);
}
