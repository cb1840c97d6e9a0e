// What a client reports about connections that ended. It is loaded when there is a report.
import type { Facts } from './environment.ts';
import type { FailureClass } from './schedule.ts';
import type { Watchdog } from './watchdog.ts';

const ENDED_MAX = 3;
const TRIES_MAX = 8;
const REPORT_MAX = 2_048;

/** What the socket remembers of an end, with the times of its clock. */
export interface Ended extends Facts {
    /** Whether the connection was open; otherwise a try has failed. */
    wasUp: boolean;
    conn?: string | undefined;
    code?: number;
    wasClean?: boolean;
    watchdog?: boolean;
    slept?: boolean;
    isTimeout?: boolean;
    isLocal?: boolean;
    isOffline: boolean;
    triedAt: number;
    /** 0: it was not open. */
    openedAt: number;
    at: number;
    dog: Watchdog | undefined;
    class: FailureClass | undefined;
}

/** Returns the report about `all`, the newest first, as long as the gateway takes it. */
export function report(all: Ended[], now: number, lib: string, net: string | undefined, most: number) {
    const ended: object[] = [];
    let tries: object[] = [];
    for (const one of all) {
        if (!one.wasUp) {
            tries.unshift(describeTry(one, now));
        } else {
            ended.push({ ...describe(one, now, net), tries: tries.slice(-TRIES_MAX) });
            tries = [];
        }
    }
    const first = all.at(-1)!;
    if (tries.length && !ended.length) {
        const ended_ago = now - first.at;
        ended.push({ end: 'never_open', ended_ago, class: first.class, tries: tries.slice(-TRIES_MAX) });
    }
    ended.splice(ENDED_MAX);
    for (; ended.length; ended.pop()) {
        const report = { v: 1, rt: runtime(), lib, start: 'same', ended };
        if (JSON.stringify(report).length <= Math.min(most, REPORT_MAX)) return report;
    }
    return;
}

function describe(one: Ended, now: number, net: string | undefined) {
    const { heardAt, gap, pings, rtts } = one.dog?.facts() ?? {};
    const ago = (at: number | undefined) => (at ? Math.max(0, now - at) : undefined);
    return {
        conn: one.conn,
        end: cause(one),
        code: one.code,
        opened_ago: ago(one.openedAt),
        heard_ago: ago(heardAt),
        ended_ago: ago(one.at),
        clock_gap: gap,
        pings,
        rtt: rtts?.length ? summary(rtts) : undefined,
        net: one.net && net && { then: one.net, now: net },
        page: one.vis && { vis: one.vis },
        class: one.class,
    };
}

function cause(one: Ended): string {
    if (one.isLocal) return 'local';
    if (one.isOffline) return 'offline';
    if (one.slept) return 'sleep';
    return one.watchdog ? 'watchdog' : one.wasClean ? 'close' : 'error';
}

const describeTry = (one: Ended, now: number) => ({
    ago: now - one.triedAt,
    phase: one.openedAt ? 'hello' : undefined,
    ms: one.at - one.triedAt,
    why: one.isTimeout ? 'timeout' : 'other',
});

function summary(rtts: number[]) {
    const sorted = [...rtts].sort((a, b) => a - b);
    return { p50: sorted[sorted.length >> 1], max: sorted.at(-1) };
}

/** What the program runs on. */
function runtime(): string {
    const { document, navigator, Deno, Bun, process } = globalThis as any;
    if (navigator?.product === 'ReactNative') return 'react_native';
    return Deno ? 'deno' : Bun ? 'bun' : document ? 'browser' : process ? 'node' : 'other';
}
