// When a client tries again: a pure function of what happened to its connections.
//
// The shell tells what happens and when, in milliseconds of one clock. `tests/pulse_vectors.json`
// specifies every rule with an example.
import { type Uint32Source, uniform } from './random.ts';

/** How a client classifies the end of a connection. The class decides when it tries again. */
export type FailureClass =
    | 'told'
    | 'over'
    | 'replaced'
    | 'rejected'
    | 'fault'
    | 'restart'
    | 'overload'
    | 'offline'
    | 'slept'
    | 'flap'
    | 'idle_cut'
    | 'blip'
    | 'unreachable';

/** How a connection, or a try, ended. */
export interface End {
    /** The close code; 1006 if there was no close frame. */
    code: number;
    /** Whether the client has given it up, because nothing was heard. */
    watchdog?: boolean;
    /** Whether a timer was late before that: the device was asleep. */
    slept?: boolean;
}

/** What the host says to an end: stop, try again by the class, or after so many milliseconds. */
export type Verdict = boolean | number | undefined;

const MINUTE = 60_000;
/** No wait is longer, whatever a gateway says: a timer of JavaScript has 31 bits. */
const WAIT_MAX = 3_600_000;
const TRIES_PER_MINUTE = 10;
const SHORT_OPENING = 30_000;
const FLAP_OPENINGS = 5;
const FLAP_WINDOW = 300_000;
const GAP_MIN = 1_000;

/** The classes of close codes, and of the HTTP statuses of refusals. The first that matches counts. */
const CODES: [pattern: RegExp, failure: FailureClass][] = [
    [/^1000/, 'over'],
    [/^(1008|440[13]|refused 40[13])$/, 'rejected'],
    [/^100[2379]/, 'fault'],
    [/^1012/, 'restart'],
    [/^(101[13]|refused (429|503))$/, 'overload'],
    [/^4...$/, 'over'],
];
/** The classes whose wait ends when a network comes. */
const WAITS_FOR_NETWORK = /^(of|sl|id|bl|un)/;

/** The schedule of one socket. All times are milliseconds of one clock. */
export type Schedule = ReturnType<typeof createSchedule>;

/** Returns a schedule that takes its random numbers from `next`. */
export function createSchedule(next: Uint32Source, now: () => number) {
    let failure: FailureClass | undefined;
    let n = -1;
    let due = 0;
    let wantMs: number | undefined;
    let tries: number[] = [];
    let isOffline = false;
    let firstMs = 0;
    let maxMs = 0;
    let wasOpen = false;
    // The present connection or try.
    let openedAt = -1;
    let isProven = false;
    let activeAt = 0;
    let retry: [wait: number, spread: number] | undefined;
    let refusal = 0;
    // What earlier ones have left.
    let rejectedAt = -Infinity;
    let faults = 0;
    let short: number[] = [];
    let flaps = 0;
    let gaps: number[] = [];

    const random = (a: number, b: number) => uniform(next, a, b);

    function limit(at: number): void {
        const oldest = tries.filter((at) => at <= now()).at(-TRIES_PER_MINUTE);
        due = Math.max(at, oldest === undefined ? at : oldest + MINUTE);
    }

    function countOpening(age: number): void {
        if (age < SHORT_OPENING) {
            short = [...short, now()].slice(-FLAP_OPENINGS);
        } else {
            short = [];
            flaps = 0;
        }
    }

    /** Learns from a silent end; returns whether the last three came at one idle gap. */
    function countGap(gap: number): boolean {
        if (gap < GAP_MIN) return false;
        gaps = [...gaps, gap].slice(-3);
        if (gaps.length < 3 || gaps.some((other) => Math.abs(other - gap) * 10 > gap)) return false;
        wantMs = Math.floor(0.6 * Math.min(...gaps));
        return true;
    }

    function classify({ code, watchdog, slept }: End): FailureClass {
        if (retry) return code === 4003 && !refusal ? 'replaced' : 'told';
        const sign = refusal ? `refused ${refusal}` : `${code}`;
        const known = CODES.find(([pattern]) => pattern.test(sign));
        if (known) return known[1];
        if (isOffline) return 'offline';
        if (slept) return 'slept';
        const isIdleCut = code === 1006 && !watchdog && countGap(now() - activeAt);
        const isFlap = flaps || (short.length === FLAP_OPENINGS && now() - short[0]! <= FLAP_WINDOW);
        return isFlap ? 'flap' : isIdleCut ? 'idle_cut' : 'blip';
    }

    function blip(): number {
        const width = Math.min(maxMs || 30_000, 500 * 2 ** n);
        return random(0, openedAt < 0 ? width : Math.max(width, firstMs));
    }

    function wait(): number {
        const half = (most: number) => random(most / 2, most);
        const isFirst = openedAt >= 0 || retry;
        if (failure === 'over' || failure === 'replaced') return Infinity;
        if (failure === 'fault') return faults > 2 ? Infinity : 15_000 * 2 ** faults;
        if (failure === 'overload') return half(Math.min(120_000, 5_000 * 2 ** n));
        if (failure === 'flap') {
            return half(Math.min(MINUTE, Math.max(5_000, firstMs) * 2 ** (flaps - 1)));
        }
        if (failure === 'unreachable') return random(0, Math.min(MINUTE, 1_000 * 2 ** n));
        if (failure === 'offline' && isOffline) return MINUTE;
        if (isFirst && retry) return random(retry[0], retry[0] + retry[1]);
        if (isFirst && failure === 'rejected') {
            const isAgain = now() - rejectedAt < MINUTE;
            rejectedAt = now();
            return isAgain ? Infinity : 0;
        }
        if (isFirst && failure === 'restart' && !n) return random(0, firstMs);
        if (isFirst && failure === 'slept') return random(0, 1_000);
        return blip();
    }

    return {
        /** Returns the class of the last end; `undefined` before the first one. */
        failure: () => failure,
        /** Returns how many ends there were since the last stable connection, less one. */
        n: () => n,
        /** Returns when to try next; `Infinity`: not before the host opens again. */
        due: () => due,
        /** Returns the time between pings that would have kept idle connections open. */
        wantMs: () => wantMs,

        /** A try begins. */
        tried(): void {
            tries = [...tries, now()].filter((at) => at <= now() && at > now() - MINUTE);
            retry = undefined;
            openedAt = -1;
            refusal = 0;
            isProven = false;
        },

        /** The WebSocket is open. */
        opened(): void {
            openedAt = activeAt = now();
            wasOpen = true;
        },

        /** The hello came. */
        promised(first: number, most: number): void {
            firstMs = Math.min(first, WAIT_MAX);
            maxMs = most;
        },

        /** A ping was answered; or the connection is a plain one, which shows no pings. */
        proved(): void {
            isProven = true;
        },

        /** A frame came or was sent. */
        active(): void {
            activeAt = now();
        },

        /** The gateway says when to come back. */
        told(retryMs: number, spreadMs: number): void {
            retry = [retryMs, spreadMs];
        },

        /** The gateway does not admit the client. */
        refused(status: number, retryMs: number): void {
            refusal = status;
            if (retryMs) retry = [retryMs, 0];
        },

        /** The connection or try has ended. Returns its class; `plan` follows. */
        ended(end: End): FailureClass {
            const age = now() - openedAt;
            const isStable = isProven && age >= 10_000;
            const isOpen = openedAt >= 0;
            n = isStable ? 0 : n + 1;
            if (isOpen || retry || refusal) {
                if (isOpen && !refusal) countOpening(age);
                failure = classify(end);
                faults = failure === 'fault' ? (isStable ? 1 : faults + 1) : 0;
            }
            failure ??= wasOpen ? 'blip' : 'unreachable';
            if (failure === 'flap') flaps++;
            return failure;
        },

        /** Decides when to try after an end. */
        plan(verdict?: Verdict): void {
            let ms = typeof verdict === 'number' ? verdict : verdict === false ? Infinity : wait();
            if (verdict === true && ms === Infinity) ms = blip();
            if (ms < Infinity) limit(now() + Math.max(Math.min(ms, WAIT_MAX), isOffline ? MINUTE : 0));
            else due = ms;
        },

        /** The environment says whether there is a network. */
        network(isOnline: boolean, isWaiting: boolean): void {
            isOffline = !isOnline;
            if (!isWaiting) return;
            const soon = now() + (isOnline ? random(0, 300) : MINUTE);
            const isForward = isOnline && WAITS_FOR_NETWORK.test(failure!);
            limit(isForward ? soon : Math.max(due, soon));
        },

        /** The timer of a wait was more than a second late. */
        slept(): void {
            limit(now() + random(0, 1_000));
        },

        /** The host opens again, or wants another connection at once. */
        reopen(): void {
            if (due === Infinity) {
                failure = undefined;
                n = -1;
                faults = 0;
                rejectedAt = -Infinity;
            }
            limit(now());
        },
    };
}
