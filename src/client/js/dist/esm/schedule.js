// When a client tries again: a pure function of what happened to its connections.
//
// The shell tells what happens and when, in milliseconds of one clock. `tests/pulse_vectors.json`
// specifies every rule with an example.
import { uniform } from './random.js';
const MINUTE = 60_000;
/** No wait is longer, whatever a gateway says: a timer of JavaScript has 31 bits. */
const WAIT_MAX = 3_600_000;
const TRIES_PER_MINUTE = 10;
const SHORT_OPENING = 30_000;
const FLAP_OPENINGS = 5;
const FLAP_WINDOW = 300_000;
const GAP_MIN = 1_000;
/** The classes of close codes, and of the HTTP statuses of refusals. The first that matches counts. */
const CODES = [
    [/^1000/, 'over'],
    [/^(1008|440[13]|refused 40[13])$/, 'rejected'],
    [/^100[2379]/, 'fault'],
    [/^1012/, 'restart'],
    [/^(101[13]|refused (429|503))$/, 'overload'],
    [/^4...$/, 'over'],
];
/** The classes whose wait ends when a network comes. */
const WAITS_FOR_NETWORK = /^(of|sl|id|bl|un)/;
/** Returns a schedule that takes its random numbers from `next`. */
export function createSchedule(next, now) {
    let failure;
    let n = -1;
    let due = 0;
    let wantMs;
    let tries = [];
    let isOffline = false;
    let firstMs = 0;
    let maxMs = 0;
    let wasOpen = false;
    // The present connection or try.
    let openedAt = -1;
    let isProven = false;
    let activeAt = 0;
    let retry;
    let refusal = 0;
    // What earlier ones have left.
    let rejectedAt = -Infinity;
    let faults = 0;
    let short = [];
    let flaps = 0;
    let gaps = [];
    const random = (a, b) => uniform(next, a, b);
    function limit(at) {
        const oldest = tries.filter((at) => at <= now()).at(-TRIES_PER_MINUTE);
        due = Math.max(at, oldest === undefined ? at : oldest + MINUTE);
    }
    function countOpening(age) {
        if (age < SHORT_OPENING) {
            short = [...short, now()].slice(-FLAP_OPENINGS);
        }
        else {
            short = [];
            flaps = 0;
        }
    }
    /** Learns from a silent end; returns whether the last three came at one idle gap. */
    function countGap(gap) {
        if (gap < GAP_MIN)
            return false;
        gaps = [...gaps, gap].slice(-3);
        if (gaps.length < 3 || gaps.some((other) => Math.abs(other - gap) * 10 > gap))
            return false;
        wantMs = Math.floor(0.6 * Math.min(...gaps));
        return true;
    }
    function classify({ code, watchdog, slept }) {
        if (retry)
            return code === 4003 && !refusal ? 'replaced' : 'told';
        const sign = refusal ? `refused ${refusal}` : `${code}`;
        const known = CODES.find(([pattern]) => pattern.test(sign));
        if (known)
            return known[1];
        if (isOffline)
            return 'offline';
        if (slept)
            return 'slept';
        const isIdleCut = code === 1006 && !watchdog && countGap(now() - activeAt);
        const isFlap = flaps || (short.length === FLAP_OPENINGS && now() - short[0] <= FLAP_WINDOW);
        return isFlap ? 'flap' : isIdleCut ? 'idle_cut' : 'blip';
    }
    function blip() {
        const width = Math.min(maxMs || 30_000, 500 * 2 ** n);
        return random(0, openedAt < 0 ? width : Math.max(width, firstMs));
    }
    function wait() {
        const half = (most) => random(most / 2, most);
        const isFirst = openedAt >= 0 || retry;
        if (failure === 'over' || failure === 'replaced')
            return Infinity;
        if (failure === 'fault')
            return faults > 2 ? Infinity : 15_000 * 2 ** faults;
        if (failure === 'overload')
            return half(Math.min(120_000, 5_000 * 2 ** n));
        if (failure === 'flap') {
            return half(Math.min(MINUTE, Math.max(5_000, firstMs) * 2 ** (flaps - 1)));
        }
        if (failure === 'unreachable')
            return random(0, Math.min(MINUTE, 1_000 * 2 ** n));
        if (failure === 'offline' && isOffline)
            return MINUTE;
        if (isFirst && retry)
            return random(retry[0], retry[0] + retry[1]);
        if (isFirst && failure === 'rejected') {
            const isAgain = now() - rejectedAt < MINUTE;
            rejectedAt = now();
            return isAgain ? Infinity : 0;
        }
        if (isFirst && failure === 'restart' && !n)
            return random(0, firstMs);
        if (isFirst && failure === 'slept')
            return random(0, 1_000);
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
        tried() {
            tries = [...tries, now()].filter((at) => at <= now() && at > now() - MINUTE);
            retry = undefined;
            openedAt = -1;
            refusal = 0;
            isProven = false;
        },
        /** The WebSocket is open. */
        opened() {
            openedAt = activeAt = now();
            wasOpen = true;
        },
        /** The hello came. */
        promised(first, most) {
            firstMs = Math.min(first, WAIT_MAX);
            maxMs = most;
        },
        /** A ping was answered; or the connection is a plain one, which shows no pings. */
        proved() {
            isProven = true;
        },
        /** A frame came or was sent. */
        active() {
            activeAt = now();
        },
        /** The gateway says when to come back. */
        told(retryMs, spreadMs) {
            retry = [retryMs, spreadMs];
        },
        /** The gateway does not admit the client. */
        refused(status, retryMs) {
            refusal = status;
            if (retryMs)
                retry = [retryMs, 0];
        },
        /** The connection or try has ended. Returns its class; `plan` follows. */
        ended(end) {
            const age = now() - openedAt;
            const isStable = isProven && age >= 10_000;
            const isOpen = openedAt >= 0;
            n = isStable ? 0 : n + 1;
            if (isOpen || retry || refusal) {
                if (isOpen && !refusal)
                    countOpening(age);
                failure = classify(end);
                faults = failure === 'fault' ? (isStable ? 1 : faults + 1) : 0;
            }
            failure ??= wasOpen ? 'blip' : 'unreachable';
            if (failure === 'flap')
                flaps++;
            return failure;
        },
        /** Decides when to try after an end. */
        plan(verdict) {
            let ms = typeof verdict === 'number' ? verdict : verdict === false ? Infinity : wait();
            if (verdict === true && ms === Infinity)
                ms = blip();
            if (ms < Infinity)
                limit(now() + Math.max(Math.min(ms, WAIT_MAX), isOffline ? MINUTE : 0));
            else
                due = ms;
        },
        /** The environment says whether there is a network. */
        network(isOnline, isWaiting) {
            isOffline = !isOnline;
            if (!isWaiting)
                return;
            const soon = now() + (isOnline ? random(0, 300) : MINUTE);
            const isForward = isOnline && WAITS_FOR_NETWORK.test(failure);
            limit(isForward ? soon : Math.max(due, soon));
        },
        /** The timer of a wait was more than a second late. */
        slept() {
            limit(now() + random(0, 1_000));
        },
        /** The host opens again, or wants another connection at once. */
        reopen() {
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
