// The life of a socket: the shell around the pure parts.
import type { Attempt, CloseInfo, Options, Protocols, Session, State, Target } from './api.ts';
import { type Data, keep, sizeOf } from './data.ts';
import { type Signal, platform } from './environment.ts';
import { type GatewayFrame, type Hello, control, escape, isControl, parse, unescape } from './frames.ts';
import { createInbox } from './inbox.ts';
import { guard } from './listeners.ts';
import { createOutbox } from './outbox.ts';
import type { Ended } from './report.ts';
import { type End, type Verdict, createSchedule } from './schedule.ts';
import type { PulseSocket } from './socket.ts';
import { type Watchdog, createWatchdog } from './watchdog.ts';

const OPEN_MS = 10_000;
const HELLO_MS = 2_000;
const CLOSE_MS = 3_000;
const STATE_MS = 10_000;
const LATE_MS = 1_000;
const BUFFERED_MAX = 1 << 20;
const ENDED_MAX = 12;

/** More was sent than may wait. The message was not taken. */
export class QuotaExceededError extends Error {
    override name = 'QuotaExceededError';
}

/** How the client noticed an end, for the schedule and the report. */
interface Signs extends Omit<End, 'code'> {
    isTimeout_?: boolean;
    isLocal_?: boolean;
}

/** Returns the life of `host`, which it gives its events and facts. */
export function createCore(
    host: PulseSocket,
    target: Target,
    protocols: Protocols,
    options: Options,
) {
    const env = { ...platform(), ...options.environment };
    const { now, setTimeout, clearTimeout, facts, isOffline } = env;
    const schedule = createSchedule(env.random, now);
    const bufferedMax = options.maxBufferedBytes ?? BUFFERED_MAX;
    const timers: { [name: string]: unknown } = {};
    let state: State = 'idle';
    let unlisten: (() => void) | undefined;

    // The session.
    let isPlain = options.pulse === false;
    /** Whether a gateway has ever spoken pulse here. Then a late hello does not make a plain socket. */
    let hasSpoken: boolean | undefined;
    let session: Session | null = null;
    let token: string | null = null;
    const outbox = createOutbox();
    let inbox = createInbox(now);
    let wasFull: boolean | undefined;

    // The present connection or try. What comes from one of another turn is ignored.
    let turn = 0;
    let raw: WebSocket | undefined;
    let isUp: boolean | undefined;
    let dog: Watchdog | undefined;
    let dogDue: number;
    let end: { code: number; reason?: string } | undefined;
    let triedAt = 0;
    let openedAt: number | undefined;
    let ended: Ended[] = [];
    let told: string;

    const emit = (type: string, fields?: object) => host.dispatchEvent({ ...fields, type });
    const isClosing = () => /^clos/.test(state);
    const buffered = () => outbox.bytes_() + ((isPlain && raw?.bufferedAmount) || 0);

    /** Changes the state, and emits `type` unless a listener has changed it again. */
    function become(next: State, type?: string, fields?: object): void {
        const previous = state;
        state = next;
        if (previous !== next) emit('state', { state, previous });
        if (type && state === next) emit(type, fields);
    }

    function clear(name: string): void {
        clearTimeout(timers[name]);
        delete timers[name];
    }

    /** Calls back at a time of the clock. A later call for the same name replaces this one. */
    function at(name: string, due: number, callback: () => void): void {
        clear(name);
        const run = () => {
            clear(name);
            callback();
        };
        timers[name] = setTimeout(run, due - now());
    }

    // ---- connecting

    function start(): void {
        unlisten = env.listen(onSignal);
        schedule.network_(!isOffline());
        schedule.reopen_();
        become('connecting');
        wait();
    }

    async function connect(): Promise<void> {
        const mine = turn;
        const attempt: Attempt = {
            n: schedule.n_() + 1,
            why: schedule.failure_() ?? 'start',
            resume: !!token,
        };
        const ask = (value: any) => (value?.call ? value(attempt) : value);
        triedAt = now();
        openedAt = 0;
        schedule.tried_();
        at('hello', triedAt + (options.openTimeoutMs ?? OPEN_MS), timeOut);
        try {
            let url = `${await ask(target)}`;
            const names = (await (token ? host.protocol : ask(protocols))) || [];
            if (mine !== turn) return;
            host.url = url;
            if (!isPlain) url += `${url.includes('?') ? '&' : '?'}pulse=1`;
            // The part of an id before the first dot is the gateway's.
            if (token) url += `&resume=${session!.id.split('.')[0]}`;
            const socket: WebSocket = (raw = new (options.WebSocket ?? WebSocket)(url, names));
            const on = (handler: (event: any) => void) => (event: any) => {
                if (socket === raw) handler(event);
            };
            socket.binaryType = host.binaryType;
            socket.onopen = on(onOpen);
            socket.onmessage = on(({ data }) => onMessage(data));
            // Node's WebSocket has no `close` for a connection that was never open.
            socket.onerror = on(() => openedAt || lost());
            socket.onclose = on(lost);
        } catch (error) {
            if (mine !== turn) return;
            lost();
            emit('error', { error });
        }
    }

    const timeOut = () => lost({}, { isTimeout_: true });

    function onOpen(): void {
        openedAt = now();
        schedule.opened_();
        if (isPlain) return plain();
        if (token) say({ resume: token, rx: inbox.tell_() });
        at('hello', openedAt + HELLO_MS, plain);
    }

    /** No hello came first: the other side does not speak pulse, unless it once did. */
    function plain(): void {
        // A gateway's session may go on when another try succeeds.
        if (hasSpoken) return timeOut();
        if (!renew()) return;
        isPlain = true;
        schedule.proved_();
        up('open');
    }

    /** The gateway speaks pulse after all, but later than it must. */
    function onLateHello(): void {
        isPlain = false;
        hasSpoken = true;
        say({ farewell: true });
        lost();
    }

    /** Begins or resumes a session. Returns whether the hello contradicts it. */
    function onHello(hello: Hello): boolean | void {
        const { resumed } = hello;
        const before = outbox.sent_();
        if (resumed ? !token || !outbox.acknowledge_(hello.rx, true) : !renew()) return resumed;
        session = {
            id: hello.conn,
            holdMs: hello.hold_ms,
            maxMessageBytes: hello.max_message_bytes,
        };
        token = hello.resume;
        dog = createWatchdog(hello, now);
        // The gateway holds a session once a frame proves that its hello has arrived.
        say({ rx: inbox.tell_() });
        void report(hello.report_bytes);
        told = '{}';
        tell();
        if (resumed) host.quality.resumes++;
        up(resumed ? 'resume' : 'open', { resent: before - outbox.sent_() });
    }

    async function report(most: number): Promise<void> {
        const mine = turn;
        const all = ended;
        if (!all[0] || !most || options.reports === false) return;
        ended = [];
        const frame = (await import('./report.ts')).report(all, env, most);
        if (mine === turn && frame) say({ report: frame });
    }

    function up(type: string, fields?: object): void {
        clear('hello');
        isUp = true;
        host.protocol = raw!.protocol;
        become('open', type, fields);
        flush();
        guardDog();
    }

    // ---- messages

    function flush(): void {
        if (!isUp || raw?.readyState !== 1) return;
        for (let data: any; (data = outbox.next_()) != null; ) {
            raw.send(typeof data === 'string' && !isPlain ? escape(data) : data);
        }
        schedule.active_();
        if (isPlain) outbox.acknowledge_(outbox.sent_());
    }

    /** Sends a control frame. */
    function say(frame: object): void {
        if (raw?.readyState === 1) raw.send(control(frame));
        schedule.active_();
    }

    function onMessage(data: any): void {
        schedule.active_();
        dog?.heard_();
        const isText = typeof data === 'string';
        const isFrame = isText && isControl(data);
        const frame = isFrame && parse(data);
        if (isPlain) {
            if ((frame as GatewayFrame)?.hello && options.pulse !== false) return onLateHello();
        } else if (frame || (hasSpoken && isFrame)) {
            hasSpoken = true;
            if (!frame || onFrame(frame)) lost({ code: 1002 });
            return guardDog();
        }
        if (!isUp) plain();
        if (!isUp) return;
        if (!isPlain) {
            inbox.count_(sizeOf(data));
            if (isText) data = unescape(data);
        }
        emit('message', { data, origin: host.url });
        acknowledge();
        guardDog();
    }

    /** Handles a control frame. Returns whether it contradicts the session. */
    function onFrame(frame: GatewayFrame): boolean | void {
        const { ping, probe, rx, big } = frame;
        schedule.told_(frame);
        if (frame.hello) return !isUp && onHello(frame.hello);
        if (!dog) return;
        if (rx != null && !outbox.acknowledge_(rx)) return true;
        if (ping != null) {
            dog.pinged_();
            say({ pong: ping, rx: inbox.tell_() });
            schedule.proved_();
        }
        const rtt = dog.answered_(probe);
        if (rtt != null) {
            host.quality.rttMs = rtt;
            schedule.proved_();
        }
        if (big) dog.big_(big);
        if (frame.end) {
            end = frame.end;
            // So much is acknowledged at once.
            inbox.count_(Infinity);
            acknowledge();
        }
        if (wasFull && buffered() <= bufferedMax / 2) {
            wasFull = false;
            emit('drain');
        }
    }

    function acknowledge(): void {
        const due = inbox.ackAt_();
        if (due <= now()) say({ rx: inbox.tell_() });
        else if (due < Infinity) at('rx', due, acknowledge);
    }

    // ---- liveness

    function guardDog(): void {
        if (!dog) return;
        const due = dog.due_();
        // A deadline that has moved away is looked at when the timer fires.
        if (timers['ping'] && due >= dogDue) return;
        dogDue = due;
        at('ping', due, () => {
            const what = dog!.fired_(due);
            if (what === 'dead') return lost({}, { watchdog_: true, slept_: dog!.slept_() });
            if (what === 'probe') doProbe();
            guardDog();
        });
    }

    function doProbe(): void {
        const probe = dog?.probe_(raw!.bufferedAmount);
        if (probe) say({ probe });
        guardDog();
    }

    function onSignal(signal: Signal): void {
        const isWaiting = timers['retry'];
        const isOnline = signal === 'online';
        if (isOnline || signal === 'offline') schedule.network_(isOnline, isWaiting);
        if (isWaiting) wait();
        if (isOnline || signal === 'wake') doProbe();
        tell();
    }

    /** Tells the gateway of the surroundings, if they have changed. */
    function tell(): void {
        const state = { ...facts(), want_ms: schedule.wantMs_() };
        const text = JSON.stringify(state);
        if (!dog || timers['state'] || text === told) return;
        told = text;
        at('state', now() + STATE_MS, tell);
        say({ state });
    }

    // ---- ends

    function lost(
        { code = 1006, reason = '', wasClean = false }: Partial<CloseInfo> = {},
        signs?: Signs,
    ): void {
        // What the service said at its end counts, not how the connection ended after it.
        const info: CloseInfo = { code, reason, wasClean, ...end, class: 'over', n: 0 };
        if (state === 'closing') return finish(info);
        const failure = (info.class = schedule.ended_({ ...info, ...signs }));
        const hasEnded = end;
        info.n = schedule.n_();
        note({ ...info, ...signs });
        detach();
        if (hasEnded || /^(rej|fa)/.test(failure)) token = null;
        let verdict: Verdict | void;
        void guard(() => (verdict = options.shouldReconnect?.(info)));
        schedule.plan_(verdict as Verdict);
        if (isClosing()) return;
        if (schedule.due_() === Infinity) finish(info);
        else if (!hasEnded || renew()) suspend(info);
    }

    /** Waits for the next try. */
    function suspend(info: object): void {
        wait();
        if (state !== 'open') return;
        host.quality.losses++;
        const retryMs = Math.max(0, schedule.due_() - now());
        become('suspended', 'suspend', { ...info, retryMs });
    }

    function wait(hasWoken?: boolean): void {
        const due = schedule.due_();
        at('retry', due, () => {
            if (hasWoken || Math.abs(now() - due) <= LATE_MS) return connect();
            schedule.slept_();
            return wait(true);
        });
    }

    /** Remembers an end, or a try that failed, for the report. */
    function note(loss: Partial<CloseInfo> & Signs): void {
        const one = {
            ...loss,
            ...facts(),
            conn: session?.id,
            at_: now(),
            isOffline_: isOffline(),
            triedAt_: triedAt,
            openedAt_: openedAt,
            wasUp_: state === 'open',
            dog_: dog,
        };
        ended = [one, ...ended].slice(0, ENDED_MAX);
    }

    /** Lets go of the connection: nothing that comes from it counts any more. */
    function detach(): void {
        const old = raw;
        turn++;
        isUp = false;
        raw = dog = end = undefined;
        for (const name in timers) clear(name);
        old?.close();
    }

    /** Takes from a lost session what the gateway has not acknowledged. */
    function takeBack(): { unconfirmed: Data[]; sent: number } {
        session = token = null;
        inbox = createInbox(now);
        return { sent: outbox.unconfirmed_(), unconfirmed: outbox.take_() };
    }

    /** Ends the session, if there is one. Returns whether the application goes on. */
    function renew(): boolean {
        const mine = turn;
        if (session) {
            host.quality.resets++;
            emit('reset', takeBack());
        }
        // `close()` and `reconnect()` begin another turn.
        return mine === turn;
    }

    function finish(info: CloseInfo): void {
        const isOwn = state === 'closing';
        const left = takeBack();
        detach();
        unlisten?.();
        unlisten = undefined;
        become('closed');
        if (!isOwn && left.unconfirmed.length) emit('reset', left);
        emit('close', { ...info, ...left });
    }

    if (!options.startClosed) start();
    return {
        state_: () => state,
        session_: () => session,
        buffered_: buffered,
        /** Passes the type of binary messages on. */
        setType_(type: BinaryType): void {
            if (raw) raw.binaryType = type;
        },

        send_(data: Data): void {
            if (isClosing()) return;
            data = keep(data);
            const size = sizeOf(data);
            const after = outbox.isFull_() ? Infinity : buffered() + size;
            wasFull ||= after > bufferedMax / 2;
            if (after > bufferedMax || size > session?.maxMessageBytes!) {
                throw new QuotaExceededError(`${size} bytes are too much`);
            }
            outbox.push_(data, size);
            flush();
        },

        close_(code = 1000, reason = ''): void {
            if (!/^(1000|[34]...)$/.test(code as any)) {
                throw Object.assign(new Error(`close code ${code}`), { name: 'InvalidAccessError' });
            }
            if (isClosing()) return;
            if (isUp) {
                if (!isPlain) say({ farewell: true });
                raw!.close(code, reason);
            } else {
                detach();
            }
            become('closing');
            at('close', raw ? now() + CLOSE_MS : 0, lost);
        },

        reconnect_(): void {
            if (state === 'closing') lost();
            if (!unlisten) return start();
            schedule.reopen_();
            note({ code: 1000, isLocal_: true });
            detach();
            suspend({});
        },
    };
}
