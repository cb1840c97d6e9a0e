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
export declare function platform(): Environment;
