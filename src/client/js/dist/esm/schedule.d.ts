import type { GatewayFrame } from './frames.ts';
import { type Uint32Source } from './random.ts';
/** How a client classifies the end of a connection. The class decides when it tries again. */
export type FailureClass = 'told' | 'over' | 'replaced' | 'rejected' | 'fault' | 'restart' | 'overload' | 'offline' | 'slept' | 'flap' | 'idle_cut' | 'blip' | 'unreachable';
/** How a connection, or a try, ended. */
export interface End {
    /** The close code; 1006 if there was no close frame. */
    code: number;
    /** Whether the client has given it up, because nothing was heard. */
    watchdog_?: boolean;
    /** Whether a timer was late before that: the device was asleep. */
    slept_?: boolean;
}
/** What the host says to an end: stop, try again by the class, or after so many milliseconds. */
export type Verdict = boolean | number | undefined;
/** The schedule of one socket. All times are milliseconds of one clock. */
export type Schedule = ReturnType<typeof createSchedule>;
/** Returns a schedule that takes its random numbers from `next`. */
export declare function createSchedule(next: Uint32Source, now: () => number): {
    /** Returns the class of the last end; `undefined` before the first one. */
    failure_: () => FailureClass | undefined;
    /** Returns how many ends there were since the last stable connection, less one. */
    n_: () => number;
    /** Returns when to try next; `Infinity`: not before the host opens again. */
    due_: () => number;
    /** Returns the time between pings that would have kept idle connections open. */
    wantMs_: () => number | undefined;
    /** A try begins. */
    tried_(): void;
    /** The WebSocket is open. */
    opened_(): void;
    /** A ping was answered; or the connection is a plain one, which shows no pings. */
    proved_(): void;
    /** A frame came or was sent. */
    active_(): void;
    /** A control frame came: it may say when to come back, or that the client is not admitted. */
    told_({ hello, first_ms, bye, refused }: GatewayFrame): void;
    /** The connection or try has ended. Returns its class; `plan` follows. */
    ended_(end: End): FailureClass;
    /** Decides when to try after an end. */
    plan_(verdict?: Verdict): void;
    /** The environment says whether there is a network. */
    network_(isOnline: boolean, isWaiting?: unknown): void;
    /** The timer of a wait was more than a second late. */
    slept_(): void;
    /** The host opens again, or wants another connection at once. */
    reopen_(): void;
};
