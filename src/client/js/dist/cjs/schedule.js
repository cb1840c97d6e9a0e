"use strict";
Object.defineProperty(exports, "__esModule", { value: true });
exports.createSchedule = createSchedule;
const random_ts_1 = require("./random.js");
const MINUTE = 60_000;
/** No wait is longer, whatever a gateway says: a timer of JavaScript has 31 bits. */
const WAIT_MAX = 3_600_000;
const TRIES_PER_MINUTE = 10;
const SHORT_OPENING = 30_000;
const FLAP_OPENINGS = 5;
const FLAP_WINDOW = 300_000;
const GAP_MIN = 1_000;
/** The classes of close codes, and of the HTTP statuses of refusals (`r401`). The first that matches counts. */
const CODES = [
    [/^(1008|[4r]40[13])$/, 'rejected'],
    [/^100[2379]/, 'fault'],
    [/^1012/, 'restart'],
    [/^(101[13]|r429|r503)$/, 'overload'],
    [/^(1000|4...)$/, 'over'],
];
/** The classes whose wait ends when a network comes. */
const WAITS_FOR_NETWORK = /^([bisu]|of)/;
/** Returns a schedule that takes its random numbers from `next`. */
function createSchedule(next, now) {
    let failure;
    let n = -1;
    let due = 0;
    let wantMs;
    let tries = [];
    let isOffline;
    let firstMs = 0;
    let maxMs = 0;
    let wasOpen;
    // The present connection or try.
    let openedAt;
    let isProven;
    let activeAt = 0;
    let retry;
    let refusal;
    // What earlier ones have left.
    let rejectedAt;
    let faults = 0;
    let short = [];
    let flaps = 0;
    let gaps = [0, 0];
    const random = (0, random_ts_1.createUniform)(next);
    /** Returns whether the present try was answered: it is open, or refused. */
    const isAnswered = () => openedAt >= 0 || retry || refusal;
    function limit(at) {
        const oldest = tries.filter((at) => at <= now()).at(-TRIES_PER_MINUTE);
        due = Math.max(at, oldest + MINUTE || at);
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
        const isOne = gaps.every((other) => Math.abs(other - gap) * 10 <= gap);
        if (isOne)
            wantMs = Math.floor(0.6 * Math.min(...gaps));
        return isOne;
    }
    function classify({ code, watchdog_, slept_ }) {
        if (retry)
            return code === 4003 && !refusal ? 'replaced' : 'told';
        const sign = refusal ? `r${refusal}` : code;
        const known = CODES.find(([pattern]) => pattern.test(sign))?.[1];
        if (known)
            return known;
        if (isOffline)
            return 'offline';
        if (slept_)
            return 'slept';
        // A try that was refused was never idle.
        const isIdleCut = code === 1006 && !watchdog_ && openedAt >= 0 && countGap(now() - activeAt);
        const isFlap = flaps || now() - short.at(-FLAP_OPENINGS) <= FLAP_WINDOW;
        return isFlap ? 'flap' : isIdleCut ? 'idle_cut' : 'blip';
    }
    function blip() {
        const width = Math.min(maxMs || 30_000, 500 * 2 ** n);
        return random(0, openedAt >= 0 ? Math.max(width, firstMs) : width);
    }
    function wait() {
        const half = (most) => random(most / 2, most);
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
        if (!isAnswered())
            return blip();
        if (retry)
            return random(retry.retry_ms, retry.retry_ms + (retry.spread_ms ?? 0));
        if (failure === 'rejected') {
            const isAgain = now() - rejectedAt < MINUTE;
            rejectedAt = now();
            return isAgain ? Infinity : 0;
        }
        if (failure === 'restart' && !n)
            return random(0, firstMs);
        return failure === 'slept' ? random(0, 1_000) : blip();
    }
    return {
        /** Returns the class of the last end; `undefined` before the first one. */
        failure_: () => failure,
        /** Returns how many ends there were since the last stable connection, less one. */
        n_: () => n,
        /** Returns when to try next; `Infinity`: not before the host opens again. */
        due_: () => due,
        /** Returns the time between pings that would have kept idle connections open. */
        wantMs_: () => wantMs,
        /** A try begins. */
        tried_() {
            tries = [...tries, now()].slice(-TRIES_PER_MINUTE);
            retry = openedAt = refusal = isProven = undefined;
        },
        /** The WebSocket is open. */
        opened_() {
            openedAt = activeAt = now();
            wasOpen = true;
        },
        /** A ping was answered; or the connection is a plain one, which shows no pings. */
        proved_() {
            isProven = true;
        },
        /** A frame came or was sent. */
        active_() {
            activeAt = now();
        },
        /** A control frame came: it may say when to come back, or that the client is not admitted. */
        told_({ hello, first_ms = firstMs, bye, refused }) {
            // A ping may bring another `first_ms` than the hello.
            firstMs = hello?.retry.first_ms ?? first_ms;
            maxMs = hello?.retry.max_ms ?? maxMs;
            refusal = refused?.status ?? refusal;
            retry = bye ?? (refused?.retry_ms ? refused : retry);
        },
        /** The connection or try has ended. Returns its class; `plan` follows. */
        ended_(end) {
            const age = now() - openedAt;
            const isStable = isProven && age >= 10_000;
            n = isStable ? 0 : n + 1;
            if (isAnswered()) {
                if (age >= 0 && !refusal)
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
        plan_(verdict) {
            let ms = typeof verdict === 'number' ? verdict : verdict === false ? Infinity : wait();
            if (verdict === true && ms === Infinity)
                ms = blip();
            if (ms < Infinity)
                limit(now() + Math.max(Math.min(ms, WAIT_MAX), isOffline ? MINUTE : 0));
            else
                due = ms;
        },
        /** The environment says whether there is a network. */
        network_(isOnline, isWaiting) {
            isOffline = !isOnline;
            if (!isWaiting)
                return;
            const soon = now() + (isOnline ? random(0, 300) : MINUTE);
            const isForward = isOnline && WAITS_FOR_NETWORK.test(failure);
            limit(isForward ? soon : Math.max(due, soon));
        },
        /** The timer of a wait was more than a second late. */
        slept_() {
            limit(now() + random(0, 1_000));
        },
        /** The host opens again, or wants another connection at once. */
        reopen_() {
            if (due === Infinity) {
                failure = rejectedAt = undefined;
                n = -1;
                faults = 0;
            }
            limit(now());
        },
    };
}
