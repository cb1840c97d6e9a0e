import { keep, sizeOf } from './data.js';
import { control, escape, isControl, unescape } from './frames.js';
import { mulberry32 } from './random.js';
/** A clock that stands still until the test moves it. */
export class VirtualClock {
    now = 1_000_000;
    #timers = new Map();
    #count = 0;
    setTimeout(run, ms) {
        this.#timers.set(++this.#count, { at: this.now + Math.max(0, Math.ceil(ms)), run });
        return this.#count;
    }
    clearTimeout(timer) {
        if (timer)
            this.#timers.delete(timer);
    }
    /** Lets so many milliseconds pass. Runs what is due, each at its time. */
    async advance(ms) {
        const end = this.now + ms;
        for (;;) {
            // What waits for a promise runs before the next timer.
            for (let i = 0; i < 8; i++)
                await undefined;
            const next = this.#first();
            if (!next || next[1].at > end)
                break;
            this.now = Math.max(this.now, next[1].at);
            this.#timers.delete(next[0]);
            next[1].run();
        }
        this.now = end;
    }
    #first() {
        let first;
        for (const entry of this.#timers)
            if (!first || entry[1].at < first[1].at)
                first = entry;
        return first;
    }
    /** Lets time pass in which nothing runs, as on a device that sleeps. */
    sleep(ms) {
        this.now += ms;
    }
}
/** A gateway with one client, on a virtual clock. */
export class FakePulse {
    clock = new VirtualClock();
    /** Options for the `PulseSocket` under test. */
    options;
    /** What the service has received, in all sessions. */
    received = [];
    /** The addresses of all tries. */
    tries = [];
    /** The facts of the device. Call `signal('change')` after a change. */
    facts = {};
    /** Whether tries fail, as without a network. */
    isUnreachable = false;
    /** What the next tries are refused with. */
    refusal;
    /** The frames of the client that are no messages. */
    frames = [];
    latencyMs;
    #hello;
    #isPulse;
    #isOffline = false;
    #listeners = new Set();
    #session;
    #socket;
    #count = 0;
    constructor(options = {}) {
        this.latencyMs = options.latencyMs ?? 0;
        this.#hello = options.hello ?? {};
        this.#isPulse = options.pulse !== false;
        const { clock } = this;
        const fake = this;
        const environment = {
            now: () => clock.now,
            setTimeout: (run, ms) => clock.setTimeout(run, ms),
            clearTimeout: (timer) => clock.clearTimeout(timer),
            random: mulberry32(options.seed ?? 1),
            isOffline: () => this.#isOffline,
            facts: () => this.facts,
            listen: (callback) => {
                this.#listeners.add(callback);
                return () => this.#listeners.delete(callback);
            },
        };
        const WebSocket = class extends FakeSocket {
            constructor(url, protocols = []) {
                super(fake, url, protocols);
            }
        };
        this.options = { WebSocket, environment, reports: false };
    }
    // ---- what a test does
    /** Lets time pass. */
    advance(ms) {
        return this.clock.advance(ms);
    }
    /** The service sends a message. It waits while there is no connection. */
    send(data) {
        if (this.#isPulse)
            this.#queue({ data: keep(data) });
        else
            this.#socket?.deliver(data);
    }
    /** The service closes the session. */
    end(code = 1000, reason = '') {
        if (this.#isPulse)
            this.#queue({ end: { code, reason } });
        else
            this.#socket?.drop(code, reason);
    }
    /** The connection is lost: at once (`1006`), or without a sign. What is under way is lost. */
    cut(how = 'close') {
        const socket = this.#socket;
        if (!socket)
            return;
        this.#detach();
        if (how === 'close')
            socket.drop(1006, '');
        else
            socket.isSilent = true;
    }
    /** The gateway says goodbye, forgets the session and closes. */
    bye(bye, code = 1012) {
        const socket = this.#socket;
        socket?.deliver(control({ bye }));
        this.loseSession();
        socket?.drop(code, bye.why);
    }
    /** The gateway forgets the session, as after a restart. */
    loseSession() {
        this.#detach();
        this.clock.clearTimeout(this.#session?.hold);
        this.#session = undefined;
    }
    /** The device loses its network, or gets one. Its connections do not notice by themselves. */
    setOnline(isOnline) {
        this.#isOffline = !isOnline;
        this.signal(isOnline ? 'online' : 'offline');
    }
    /** Something happens to the device. */
    signal(signal) {
        for (const listener of [...this.#listeners])
            listener(signal);
    }
    /** The client's connection, as far as the gateway knows. */
    get connection() {
        return this.#socket;
    }
    // ---- the gateway
    /** @internal */
    opened(socket) {
        this.#socket = socket;
        if (!this.#isPulse)
            return;
        if (this.refusal) {
            socket.deliver(control({ refused: this.refusal }));
            socket.drop(4000 + this.refusal.status, 'refused');
        }
        else if (!/[?&]resume=/.test(socket.url)) {
            this.#attach(socket, this.#begin(), false);
        }
    }
    /** @internal */
    arrived(socket, data) {
        const session = this.#session;
        const isFrame = this.#isPulse && typeof data === 'string' && isControl(data);
        const frame = isFrame ? JSON.parse(data.slice(1)) : undefined;
        if (frame)
            this.frames.push(frame);
        if (frame?.resume) {
            const isKnown = !!session && [session.proven, session.offered].includes(frame.resume);
            if (isKnown)
                this.#resume(session, frame);
            return this.#attach(socket, isKnown ? session : this.#begin(), isKnown);
        }
        if (socket !== this.#socket)
            return;
        if (session)
            session.proven = session.offered;
        if (!isFrame)
            return this.#receive(data);
        if (!session)
            return;
        if (frame.rx !== undefined)
            this.#acknowledge(session, frame.rx);
        if (frame.probe)
            socket.deliver(control({ probe: frame.probe, rx: session.received }));
        if (frame.farewell)
            this.loseSession();
    }
    /** @internal */
    closed(socket) {
        if (socket === this.#socket)
            this.#detach();
    }
    #begin() {
        this.loseSession();
        const counts = { acknowledged: 0, sent: 0, received: 0 };
        const none = { proven: undefined, socket: undefined, hold: undefined };
        this.#session = { ...none, ...counts, offered: '', outbox: [] };
        return this.#session;
    }
    #resume(session, { resume, rx }) {
        session.proven = resume;
        this.#acknowledge(session, rx);
        session.sent = rx;
    }
    #attach(socket, session, resumed) {
        this.clock.clearTimeout(session.hold);
        this.#socket = session.socket = socket;
        const hello = {
            v: 1,
            conn: `fake.1.${++this.#count}`,
            resume: (session.offered = `token-${this.#count}`),
            resumed,
            rx: session.received,
            ping_ms: 15_000,
            grace_ms: 10_000,
            timeout_ms: 45_000,
            hold_ms: 60_000,
            max_message_bytes: 1 << 20,
            retry: { first_ms: 0, max_ms: 30_000 },
            report_bytes: 0,
            ...this.#hello,
        };
        socket.deliver(control({ hello }));
        this.#ping(socket, hello.ping_ms);
        this.#flush(session);
    }
    #ping(socket, every) {
        this.clock.setTimeout(() => {
            if (socket !== this.#socket || !this.#session)
                return;
            socket.deliver(control({ ping: ++this.#count, rx: this.#session.received }));
            this.#ping(socket, every);
        }, every);
    }
    #detach() {
        const session = this.#session;
        this.#socket = undefined;
        if (!session?.socket)
            return;
        session.socket = undefined;
        const hold = this.#hello.hold_ms ?? 60_000;
        session.hold = this.clock.setTimeout(() => this.loseSession(), hold);
    }
    #queue(entry) {
        const session = this.#session;
        if (!session)
            throw new Error('there is no session');
        session.outbox.push(entry);
        this.#flush(session);
    }
    #flush(session) {
        const { socket } = session;
        if (!socket)
            return;
        for (;;) {
            const entry = session.outbox[session.sent - session.acknowledged];
            if (!entry)
                return;
            session.sent++;
            const { data, end } = entry;
            if (end)
                socket.deliver(control({ end }));
            else
                this.#deliver(socket, data);
        }
    }
    #deliver(socket, data) {
        const size = sizeOf(data);
        if (size > 16 << 10)
            socket.deliver(control({ big: size }));
        socket.deliver(typeof data === 'string' ? escape(data) : data);
    }
    #acknowledge(session, rx) {
        if (rx < session.acknowledged || rx > session.sent) {
            throw new Error(`the client says rx ${rx}, ${session.sent} were sent`);
        }
        const gone = session.outbox.splice(0, rx - session.acknowledged);
        session.acknowledged = rx;
        const end = gone.find((entry) => entry.end)?.end;
        const { socket } = session;
        if (!end)
            return;
        this.loseSession();
        socket?.drop(end.code, end.reason);
    }
    #receive(data) {
        this.received.push(this.#isPulse && typeof data === 'string' ? unescape(data) : data);
        const session = this.#session;
        if (!session)
            return;
        session.received++;
        if (session.received % 64 === 0)
            this.#socket.deliver(control({ rx: session.received }));
        else
            this.#acknowledgeLater(session);
    }
    #acknowledgeLater(session) {
        const { received, socket } = session;
        this.clock.setTimeout(() => {
            if (session.received !== received || session.socket !== socket)
                return;
            socket?.deliver(control({ rx: received }));
        }, 1_000);
    }
}
/** The platform's WebSocket, as far as a `PulseSocket` uses it. */
export class FakeSocket {
    url;
    readyState = 0;
    protocol;
    binaryType = 'blob';
    bufferedAmount = 0;
    isSilent = false;
    onopen = null;
    onmessage = null;
    onclose = null;
    #fake;
    constructor(fake, url, protocols) {
        const offered = [protocols].flat();
        this.#fake = fake;
        this.url = url;
        this.protocol = offered[0] ?? '';
        fake.tries.push({ at: fake.clock.now, url, protocols: offered });
        this.#later(() => {
            if (this.readyState)
                return;
            if (fake.isUnreachable)
                return this.drop(1006, '');
            this.readyState = 1;
            this.onopen?.({});
            fake.opened(this);
        });
    }
    #later(run) {
        this.#fake.clock.setTimeout(() => {
            if (!this.isSilent)
                run();
        }, this.#fake.latencyMs);
    }
    /** What the gateway sends. */
    deliver(data) {
        this.#later(() => this.readyState < 3 && this.onmessage?.({ data }));
    }
    /** The gateway or the network ends the connection. */
    drop(code, reason) {
        const isClean = code !== 1006;
        const end = () => {
            if (this.readyState > 2)
                return;
            this.readyState = 3;
            this.isSilent = true;
            this.#fake.closed(this);
            this.onclose?.({ code, reason, wasClean: isClean });
        };
        if (isClean)
            this.#later(end);
        else
            end();
    }
    send(data) {
        if (this.readyState === 1)
            this.#later(() => this.#fake.arrived(this, data));
    }
    close(code = 1005, reason = '') {
        if (this.readyState > 1)
            return;
        this.readyState = 2;
        this.#later(() => this.drop(code, reason));
    }
}
