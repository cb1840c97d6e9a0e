import { VERSION } from './version.js';
const ENDED_MAX = 3;
const TRIES_MAX = 8;
const REPORT_MAX = 2_048;
/** Returns the report about `all`, the newest first, as long as the gateway takes it. */
export function report(all, env, most) {
    // A host's functions are called without `this`.
    const { now: clock, facts } = env;
    const now = clock();
    const { net } = facts();
    const ended = [];
    let tries = [];
    for (const one of all) {
        if (!one.wasUp_) {
            tries.unshift(describeTry(one, now));
        }
        else {
            ended.push({ ...describe(one, now, net), tries: tries.slice(-TRIES_MAX) });
            tries = [];
        }
    }
    const first = all.at(-1);
    if (tries.length && !ended.length) {
        const ended_ago = now - first.at_;
        ended.push({ end: 'never_open', ended_ago, class: first.class, tries: tries.slice(-TRIES_MAX) });
    }
    ended.splice(ENDED_MAX);
    for (; ended.length; ended.pop()) {
        const report = { v: 1, rt: runtime(), lib: VERSION, start: 'same', ended };
        if (JSON.stringify(report).length <= Math.min(most, REPORT_MAX))
            return report;
    }
    return;
}
function describe(one, now, net) {
    const { heardAt_: heardAt, gap_: gap, pings_: pings, rtts_: rtts } = one.dog_?.facts_() ?? {};
    const ago = (at) => (at ? Math.max(0, now - at) : undefined);
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
function cause(one) {
    if (one.isLocal_)
        return 'local';
    if (one.isOffline_)
        return 'offline';
    if (one.slept_)
        return 'sleep';
    return one.watchdog_ ? 'watchdog' : one.wasClean ? 'close' : 'error';
}
const describeTry = (one, now) => ({
    ago: now - one.triedAt_,
    phase: one.openedAt_ ? 'hello' : undefined,
    ms: one.at_ - one.triedAt_,
    why: one.isTimeout_ ? 'timeout' : 'other',
});
function summary(rtts) {
    const sorted = [...rtts].sort((a, b) => a - b);
    return { p50: sorted[sorted.length >> 1], max: sorted.at(-1) };
}
/** What the program runs on. */
function runtime() {
    const { document, navigator, Deno, Bun, process } = globalThis;
    if (navigator?.product === 'ReactNative')
        return 'react_native';
    return Deno ? 'deno' : Bun ? 'bun' : document ? 'browser' : process ? 'node' : 'other';
}
