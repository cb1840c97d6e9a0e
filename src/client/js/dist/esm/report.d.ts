import type { Environment, Facts } from './environment.ts';
import type { FailureClass } from './schedule.ts';
import type { Watchdog } from './watchdog.ts';
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
export declare function report(all: Ended[], env: Pick<Environment, 'now' | 'facts'>, most: number): {
    v: number;
    rt: string;
    lib: string;
    start: string;
    ended: object[];
} | undefined;
