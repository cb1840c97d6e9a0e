import { keep, sizeOf } from './data.js';
import { platform } from './environment.js';
import { control, escape, isControl, parse, unescape } from './frames.js';
import { createInbox } from './inbox.js';
import { guard } from './listeners.js';
import { createOutbox } from './outbox.js';
import { createSchedule } from './schedule.js';
import { createWatchdog } from './watchdog.js';
const OPEN_MS = 10_000;
const HELLO_MS = 2_000;
const CLOSE_MS = 3_000;
const STATE_MS = 10_000;
const LATE_MS = 1_000;
const BUFFERED_MAX = 1 << 20;
const ENDED_MAX = 12;
/** The end of a socket that the application has closed without a connection. */
const GONE = { code: 1006, reason: '', wasClean: false, class: 'over', n: 0 };
/** More was sent than may wait. The message was not taken. */
export class QuotaExceededError extends Error {
    name = 'QuotaExceededError';
}
/** Returns the life of `host`, which it gives its events and facts. */
export function createCore(host, target, protocols, options, version) {
    const env = { ...platform(), ...options.environment };
    const { now, setTimeout, clearTimeout, facts, isOffline } = env;
    const schedule = createSchedule(env.random, now);
    const bufferedMax = options.maxBufferedBytes ?? BUFFERED_MAX;
    const { quality } = host;
    const timers = {};
    let state = 'idle';
    let unlisten;
    // The session.
    let isPlain = options.pulse === false;
    /** Whether a gateway has ever spoken pulse here. Then a late hello does not make a plain socket. */
    let hasSpoken = false;
    let session;
    let token;
    const outbox = createOutbox();
    let inbox = createInbox(now);
    let wasFull = false;
    // The present connection or try. What comes from one of another turn is ignored.
    let turn = 0;
    let raw;
    let isUp = false;
    let dog;
    let dogDue = 0;
    let end;
    let triedAt = 0;
    let openedAt = 0;
    let ended = [];
    let told = '{}';
    let toldAt = -Infinity;
    let hasWoken = false;
    const emit = (type, fields) => host.dispatchEvent({ ...fields, type });
    const isClosing = () => state === 'closing' || state === 'closed';
    const buffered = () => outbox.bytes() + ((isPlain && raw?.bufferedAmount) || 0);
    function become(next) {
        const previous = state;
        state = next;
        if (previous !== next)
            emit('state', { state, previous });
    }
    function clear(name) {
        clearTimeout(timers[name]);
        delete timers[name];
    }
    /** Calls back at a time of the clock. A later call for the same name replaces this one. */
    function at(name, due, callback) {
        clear(name);
        const run = () => {
            delete timers[name];
            callback();
        };
        timers[name] = setTimeout(run, Math.max(0, due - now()));
    }
    // ---- connecting
    function start() {
        unlisten = env.listen(onSignal);
        if (isOffline())
            schedule.network(false, false);
        schedule.reopen();
        become('connecting');
        wait();
    }
    async function connect() {
        const mine = turn;
        const attempt = {
            n: schedule.n() + 1,
            why: schedule.failure() ?? 'start',
            resume: !!token,
        };
        const ask = async (value) => (typeof value === 'function' ? value(attempt) : value);
        triedAt = now();
        openedAt = 0;
        schedule.tried();
        const isTimeout = true;
        const due = triedAt + (options.openTimeoutMs ?? OPEN_MS);
        at('phase', due, () => lost({ code: 1006, isTimeout }));
        try {
            const url = `${await ask(target)}`;
            const names = (await (token ? host.protocol : ask(protocols))) || [];
            if (mine === turn)
                open((host.url = url), names);
        }
        catch (error) {
            if (mine !== turn)
                return;
            lost({ code: 1006 });
            emit('error', { error });
        }
    }
    function open(url, names) {
        const mine = turn;
        const on = (handler) => (event) => {
            if (mine === turn)
                handler(event);
        };
        if (!isPlain)
            url += `${url.includes('?') ? '&' : '?'}pulse=1`;
        // The part of an id before the first dot is the gateway's.
        if (token)
            url += `&resume=${session.id.split('.')[0]}`;
        const socket = new (options.WebSocket ?? WebSocket)(url, names);
        raw = socket;
        socket.binaryType = host.binaryType;
        socket.onopen = on(onOpen);
        socket.onmessage = on(({ data }) => onMessage(data));
        socket.onclose = on(onClose);
    }
    function onOpen() {
        openedAt = now();
        schedule.opened();
        if (isPlain)
            return plain();
        if (token)
            say({ resume: token, rx: inbox.tell() });
        const isTimeout = true;
        at('phase', openedAt + HELLO_MS, () => (hasSpoken ? lost({ code: 1006, isTimeout }) : plain()));
    }
    /** The other side does not speak pulse. */
    function plain() {
        if (!renew())
            return;
        isPlain = true;
        schedule.proved();
        up('open');
    }
    /** The gateway speaks pulse after all, but later than it must. */
    function onLateHello() {
        isPlain = false;
        hasSpoken = true;
        say({ farewell: true });
        lost({ code: 1006 });
    }
    /** Begins or resumes a session. Returns whether the hello agrees with it. */
    function onHello({ hello }) {
        const { conn, resumed, rx, ping_ms, grace_ms, hold_ms, retry } = hello;
        const before = outbox.sent();
        if (resumed && !(token && outbox.resume(rx)))
            return false;
        if (!resumed && !renew())
            return true;
        session = { id: conn, holdMs: hold_ms, maxMessageBytes: hello.max_message_bytes };
        token = hello.resume;
        schedule.promised(retry.first_ms, retry.max_ms);
        dog = createWatchdog(ping_ms, grace_ms, now);
        // The gateway holds a session once a frame proves that its hello has arrived.
        say({ rx: inbox.tell() });
        void report(hello.report_bytes);
        told = '{}';
        toldAt = -Infinity;
        tell();
        if (resumed)
            quality.resumes++;
        up(resumed ? 'resume' : 'open', { resent: before - outbox.sent() });
        return true;
    }
    async function report(most) {
        const mine = turn;
        const all = ended;
        if (!all[0] || !most || options.reports === false)
            return;
        ended = [];
        const frame = (await import('./report.js')).report(all, now(), version, facts().net, most);
        if (mine === turn && frame)
            say({ report: frame });
    }
    function up(type, fields) {
        clear('phase');
        isUp = true;
        host.protocol = raw.protocol;
        become('open');
        if (state === 'open')
            emit(type, fields);
        flush();
        guardDog();
    }
    // ---- messages
    function send(data) {
        if (isClosing())
            return;
        data = keep(data);
        const size = sizeOf(data);
        const most = session?.maxMessageBytes ?? Infinity;
        const isTooMuch = buffered() + size > bufferedMax || outbox.isFull();
        if (isTooMuch)
            wasFull = true;
        if (isTooMuch || size > most) {
            throw new QuotaExceededError(`${size} bytes are too much`);
        }
        outbox.push(data, size);
        wasFull ||= buffered() > bufferedMax / 2;
        flush();
    }
    function flush() {
        if (!isUp || raw?.readyState !== 1 || isClosing())
            return;
        for (let data; (data = outbox.next()) !== undefined;) {
            raw.send(typeof data === 'string' && !isPlain ? escape(data) : data);
        }
        schedule.active();
        if (isPlain)
            outbox.acknowledge(outbox.sent());
    }
    /** Sends a control frame. */
    function say(frame) {
        if (raw?.readyState === 1)
            raw.send(control(frame));
        schedule.active();
    }
    function onMessage(data) {
        schedule.active();
        dog?.heard();
        const isText = typeof data === 'string';
        const isFrame = isText && isControl(data);
        const frame = isFrame && options.pulse !== false ? parse(data) : undefined;
        if (isPlain) {
            if (frame?.hello)
                return onLateHello();
        }
        else if (frame || (hasSpoken && isFrame)) {
            hasSpoken = true;
            if (!frame || !onFrame(frame))
                lost({ code: 1002 });
            return guardDog();
        }
        if (!isUp)
            plain();
        if (!isPlain) {
            inbox.count(sizeOf(data));
            if (isText)
                data = unescape(data);
        }
        emit('message', { data, origin: host.url });
        acknowledge();
        guardDog();
    }
    /** Handles a control frame. Returns whether it agrees with the session. */
    function onFrame(frame) {
        const { ping, probe, rx, bye, refused, big } = frame;
        if (bye)
            schedule.told(bye.retry_ms, bye.spread_ms ?? 0);
        if (refused)
            schedule.refused(refused.status, refused.retry_ms ?? 0);
        if (frame.hello)
            return isUp || onHello(frame);
        if (!dog)
            return true;
        if (rx !== undefined && !outbox.acknowledge(rx))
            return false;
        if (ping !== undefined) {
            dog.pinged();
            say({ pong: ping, rx: inbox.tell() });
            schedule.proved();
        }
        const rtt = probe === undefined ? probe : dog.answered(probe);
        if (rtt !== undefined) {
            quality.rttMs = rtt;
            schedule.proved();
        }
        if (big !== undefined)
            dog.big(big);
        if (frame.end) {
            end = frame.end;
            inbox.count(0);
            say({ rx: inbox.tell() });
        }
        if (wasFull && buffered() <= bufferedMax / 2) {
            wasFull = false;
            emit('drain');
        }
        return true;
    }
    function acknowledge() {
        const due = inbox.ackAt();
        if (due <= now())
            say({ rx: inbox.tell() });
        else if (due < Infinity && !timers['ack'])
            at('ack', due, acknowledge);
    }
    // ---- liveness
    function guardDog() {
        const mine = isUp && dog;
        if (!mine)
            return;
        const due = mine.due();
        const later = due - dogDue;
        if (timers['dog'] && later >= 0 && later < LATE_MS)
            return;
        dogDue = due;
        at('dog', due, () => {
            const what = mine.fired(due);
            if (what === 'dead')
                return lost({ code: 1006, watchdog: true, slept: mine.slept() });
            if (what === 'probe')
                doProbe();
            guardDog();
        });
    }
    function doProbe() {
        const probe = isUp && dog?.probe(raw.bufferedAmount);
        if (probe)
            say({ probe });
        guardDog();
    }
    function onSignal(signal) {
        const isWaiting = !!timers['retry'];
        if (signal === 'online' || signal === 'offline') {
            schedule.network(signal === 'online', isWaiting);
            if (isWaiting)
                wait();
        }
        if (signal === 'online' || signal === 'wake')
            doProbe();
        tell();
    }
    /** Tells the gateway of the surroundings, if they have changed. */
    function tell() {
        const state = { ...facts(), want_ms: schedule.wantMs() };
        const text = JSON.stringify(state);
        if (!dog || text === told)
            return;
        if (now() < toldAt + STATE_MS)
            return at('state', toldAt + STATE_MS, tell);
        told = text;
        toldAt = now();
        say({ state });
    }
    // ---- ends
    function onClose({ code, reason, wasClean }) {
        if (state === 'closing')
            finish({ code, reason, wasClean, class: 'over', n: 0 });
        else
            lost({ code, reason, wasClean });
    }
    function lost(loss) {
        if (state === 'closing')
            return finish(GONE);
        // What the service said at its end counts, not how the connection ended after it.
        loss = { ...loss, ...end };
        const { code, reason = '', wasClean = false } = loss;
        const failure = schedule.ended(loss);
        const info = { code, reason, wasClean, class: failure, n: schedule.n() };
        const hasEnded = end;
        note(loss);
        detach();
        if (hasEnded || failure === 'rejected' || failure === 'fault')
            token = undefined;
        let verdict;
        void guard(() => (verdict = options.shouldReconnect?.(info)));
        schedule.plan(verdict);
        if (isClosing())
            return;
        if (schedule.due() === Infinity)
            finish(info);
        else if (!hasEnded || renew())
            suspend(info);
    }
    /** Waits for the next try. */
    function suspend(info) {
        hasWoken = false;
        wait();
        if (state !== 'open')
            return;
        quality.losses++;
        become('suspended');
        if (isClosing())
            return;
        emit('suspend', { ...info, retryMs: Math.max(0, schedule.due() - now()) });
    }
    function wait() {
        const due = schedule.due();
        at('retry', due, () => {
            if (hasWoken || Math.abs(now() - due) <= LATE_MS)
                return connect();
            hasWoken = true;
            schedule.slept();
            return wait();
        });
    }
    /** Remembers an end, or a try that failed, for the report. */
    function note(loss) {
        const { id: conn } = session ?? {};
        const end = { conn, isOffline: isOffline(), triedAt, openedAt, dog, class: schedule.failure() };
        const one = { ...loss, ...facts(), ...end, at: now(), wasUp: state === 'open' };
        ended = [one, ...ended].slice(0, ENDED_MAX);
    }
    /** Lets go of the connection: nothing that comes from it counts any more. */
    function detach() {
        const old = raw;
        turn++;
        isUp = false;
        raw = dog = end = undefined;
        Object.keys(timers).forEach(clear);
        old?.close();
    }
    /** Takes from a lost session what the gateway has not acknowledged. */
    function takeBack() {
        const sent = outbox.unconfirmed();
        token = undefined;
        inbox = createInbox(now);
        return { unconfirmed: outbox.take(), sent };
    }
    /** Ends the session, if there is one. Returns whether the application goes on. */
    function renew() {
        const mine = turn;
        if (session) {
            quality.resets++;
            session = undefined;
            emit('reset', takeBack());
        }
        return mine === turn && !isClosing();
    }
    function finish(info) {
        const isOwn = state === 'closing';
        const left = takeBack();
        detach();
        unlisten?.();
        unlisten = session = undefined;
        become('closed');
        if (!isOwn && left.unconfirmed.length)
            emit('reset', left);
        emit('close', { ...info, ...left });
    }
    function close(code = 1000, reason = '') {
        if (code !== 1000 && !(code > 2999 && code < 5000)) {
            throw Object.assign(new Error(`close code ${code}`), { name: 'InvalidAccessError' });
        }
        if (isClosing())
            return;
        if (isUp) {
            if (!isPlain)
                say({ farewell: true });
            raw.close(code, reason);
        }
        else {
            detach();
        }
        become('closing');
        clear('dog');
        at('close', raw ? now() + CLOSE_MS : 0, () => finish(GONE));
    }
    function reconnect() {
        if (state === 'closing')
            finish(GONE);
        if (!unlisten)
            return start();
        schedule.reopen();
        note({ code: 1000, isLocal: true });
        detach();
        suspend({});
    }
    if (!options.startClosed)
        start();
    return {
        state: () => state,
        session: () => session ?? null,
        buffered,
        /** Passes the type of binary messages on. */
        setType(type) {
            if (raw)
                raw.binaryType = type;
        },
        send,
        close,
        reconnect,
    };
}
