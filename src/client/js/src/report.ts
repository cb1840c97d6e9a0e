// What a client reports about connections that ended. It is loaded when there is a report.
import type { Environment, Facts } from './environment.ts';
import type { FailureClass } from './schedule.ts';
import { VERSION } from './version.ts';
import type { Watchdog } from './watchdog.ts';

const ENDED_MAX = 3;
const TRIES_MAX = 8;
const REPORT_MAX = 2_048;

/** What the socket remembers of an end, with the times of its clock. */
export interface Ended extends Facts {
    /** Whether the connection was open; otherwise a try has failed. */
    wasUp_: boolean;
    conn?: string | undefined;
    code?: number;
    wasClean?: boolean;
    watchdog_?: boolean;
    slept_?: boolean;
    isTimeout_?: boolean;
    isLocal_?: boolean;
    isOffline_: boolean;
    triedAt_: number;
    /** 0 or `undefined`: it was not open. */
    openedAt_: number | undefined;
    at_: number;
    dog_: Watchdog | undefined;
    class?: FailureClass | undefined;
}

/** Returns the report about `all`, the newest first, as long as the gateway takes it. */
export function report(all: Ended[], env: Pick<Environment, 'now' | 'facts'>, most: number) {
    // A host's functions are called without `this`.
    const { now: clock, facts } = env;
    const now = clock();
    const { net } = facts();
    const ended: object[] = [];
    let tries: object[] = [];
    for (const one of all) {
        if (!one.wasUp_) {
            tries.unshift(describeTry(one, now));
        } else {
            ended.push({ ...describe(one, now, net), tries: tries.slice(-TRIES_MAX) });
            tries = [];
        }
    }
    const first = all.at(-1)!;
    if (tries.length && !ended.length) {
        const ended_ago = now - first.at_;
        ended.push({ end: 'never_open', ended_ago, class: first.class, tries: tries.slice(-TRIES_MAX) });
    }
    ended.splice(ENDED_MAX);
    for (; ended.length; ended.pop()) {
        const report = { v: 1, rt: runtime(), lib: VERSION, start: 'same', ended };
        if (JSON.stringify(report).length <= Math.min(most, REPORT_MAX)) return report;
    }
    return;
}

function describe(one: Ended, now: number, net: string | undefined) {
    const { heardAt_: heardAt, gap_: gap, pings_: pings, rtts_: rtts } = one.dog_?.facts_() ?? {};
    const ago = (at: number | undefined) => (at ? Math.max(0, now - at) : undefined);
    return {
        conn: one.conn,
        end: cause(one),
        code: one.code,
        opened_ago: ago(one.openedAt_),
        heard_ago: ago(heardAt),
        ended_ago: ago(one.at_),
        clock_gap: gap,
        pings,
        rtt: rtts?.length ? summary(rtts) : undefined,
        net: one.net && net && { then: one.net, now: net },
        page: one.vis && { vis: one.vis },
        class: one.class,
    };
}

function cause(one: Ended): string {
    if (one.isLocal_) return 'local';
    if (one.isOffline_) return 'offline';
    if (one.slept_) return 'sleep';
    return one.watchdog_ ? 'watchdog' : one.wasClean ? 'close' : 'error';
}

const describeTry = (one: Ended, now: number) => ({
    ago: now - one.triedAt_,
    phase: one.openedAt_ ? 'hello' : undefined,
    ms: one.at_ - one.triedAt_,
    why: one.isTimeout_ ? 'timeout' : 'other',
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
