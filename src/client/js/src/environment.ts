// What the client knows of the device, and what a host may replace.
import type { Uint32Source } from './random.ts';

/** What happens to the device: `wake` when it may have slept, `change` when a fact changed. */
export type Signal = 'online' | 'offline' | 'wake' | 'change';

/** What the gateway is told: the network, whether the page is seen, and the saving of data. */
export interface Facts {
    net?: string;
    vis?: 'visible' | 'hidden';
    saver?: boolean;
}

/**
 * The surroundings of a client. A host gives what its platform knows and this module does not.
 * The functions are called without `this`.
 */
export interface Environment {
    /** The clock on the wall, in milliseconds. */
    now(): number;
    setTimeout(callback: () => void, ms: number): unknown;
    clearTimeout(timer: any): void;
    /** A random number from 0 to 2³² − 1. */
    random: Uint32Source;
    /** Whether the device says that it has no network. */
    isOffline(): boolean;
    facts(): Facts;
    /** Calls back on each signal. Returns what stops it. */
    listen(callback: (signal: Signal) => void): () => void;
}

/** Returns the environment of the platform, as far as it has one. */
export function platform(): Environment {
    const host = globalThis as any;
    const { document: page, navigator: device } = host;
    const net = device?.connection;
    return {
        now: Date.now,
        setTimeout: host.setTimeout,
        clearTimeout: host.clearTimeout,
        random: () => (Math.random() * 2 ** 32) >>> 0,
        isOffline: () => device?.onLine === false,
        facts: () => ({
            // The gateway says `cell` and `wired`.
            net: net?.type?.replace('ular', '').replace('ethernet', 'wired'),
            vis: page?.visibilityState,
            saver: net?.saveData,
        }),
        listen(callback) {
            const abort = new AbortController();
            const on = (target: any, type: string, signal: Signal) =>
                target?.addEventListener?.(
                    type,
                    () => callback(page?.hidden && signal === 'wake' ? 'change' : signal),
                    abort,
                );
            on(host, 'online', 'online');
            on(host, 'offline', 'offline');
            on(host, 'pageshow', 'wake');
            on(page, 'resume', 'wake');
            on(page, 'visibilitychange', 'wake');
            on(net, 'change', 'wake');
            return () => abort.abort();
        },
    };
}
