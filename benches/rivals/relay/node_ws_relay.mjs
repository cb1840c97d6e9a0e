// The relay on npm `ws`, as small as it can be and as fast as it easily gets: one session per user, apps that subscribe by
// JSON, each frame of the glasses to those that did.
//
//   node node_ws_relay.mjs PORT
//
// Not in it, though the gateway does it: tokens and keys, webhooks, grace and replay, limits. In it, since it belongs to every
// frame: the message is parsed for its type, its envelope is built and encoded once for all receivers, and goes to them whole.
import { WebSocketServer } from 'ws';

const server = new WebSocketServer({ host: '127.0.0.1', port: Number(process.argv[2]), backlog: 4096, perMessageDeflate: false });
const sessions = new Map();

const session = (user) => {
    if (!sessions.has(user)) sessions.set(user, { glasses: undefined, apps: new Map() });
    return sessions.get(user);
};

server.on('connection', (socket, request) => {
    socket.on('error', () => {});
    socket.alive = true;
    socket.on('pong', () => (socket.alive = true));
    if (request.url.startsWith('/glasses-ws')) glasses(socket, request);
    else app(socket);
});

function glasses(socket, request) {
    // The claim is believed.
    const { email } = JSON.parse(Buffer.from(request.headers.authorization.split('.')[1], 'base64url'));
    const mine = session(email);
    mine.glasses = socket;
    socket.send(JSON.stringify({ type: 'connection_ack', sessionId: email, timestamp: new Date() }));
    socket.on('message', (data, isBinary) => {
        if (isBinary) {
            for (const [to, subscriptions] of mine.apps) if (subscriptions.has('audio_chunk')) to.send(data);
            return;
        }
        const text = data.toString();
        const { type } = JSON.parse(text);
        let frame;
        for (const [to, subscriptions] of mine.apps) {
            if (!subscriptions.has(type)) continue;
            frame ??= Buffer.from(`{"type":"data_stream","sessionId":${JSON.stringify(email)},"streamType":${JSON.stringify(type)},"data":${text},"timestamp":"${new Date().toISOString()}"}`);
            to.send(frame, { binary: false });
        }
    });
    socket.on('close', () => mine.glasses === socket && (mine.glasses = undefined));
}

function app(socket) {
    let mine;
    socket.on('message', (data, isBinary) => {
        if (isBinary) return;
        const text = data.toString();
        const message = JSON.parse(text);
        if (!mine) {
            mine = session(message.sessionId.slice(0, -message.packageName.length - 1));
            mine.apps.set(socket, new Set());
            socket.send(JSON.stringify({ type: 'tpa_connection_ack', sessionId: message.sessionId, settings: [], mentraosSettings: {}, timestamp: new Date() }));
        } else if (message.type === 'subscription_update') {
            mine.apps.set(socket, new Set(message.subscriptions));
        } else {
            mine.glasses?.send(data, { binary: false });
        }
    });
    socket.on('close', () => mine?.apps.delete(socket));
}

setInterval(() => {
    for (const socket of server.clients) {
        if (!socket.alive) socket.terminate();
        socket.alive = false;
        socket.ping();
    }
}, 15_000);
