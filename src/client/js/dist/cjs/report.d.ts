import type { Facts } from './environment.ts';
import type { FailureClass } from './schedule.ts';
import type { Watchdog } from './watchdog.ts';
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
export declare function report(all: Ended[], now: number, lib: string, net: string | undefined, most: number): {
    v: number;
    rt: string;
    lib: string;
    start: string;
    ended: object[];
} | undefined;
