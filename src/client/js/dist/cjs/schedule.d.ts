import { type Uint32Source } from './random.ts';
/** How a client classifies the end of a connection. The class decides when it tries again. */
export type FailureClass = 'told' | 'over' | 'replaced' | 'rejected' | 'fault' | 'restart' | 'overload' | 'offline' | 'slept' | 'flap' | 'idle_cut' | 'blip' | 'unreachable';
/** How a connection, or a try, ended. */
export interface End {
    /** The close code; 1006 if there was no close frame. */
    code: number;
    /** Whether the client has given it up, because nothing was heard. */
    watchdog?: boolean;
    /** Whether a timer was late before that: the device was asleep. */
    slept?: boolean;
}
/** What the host says to an end: stop, try again by the class, or after so many milliseconds. */
export type Verdict = boolean | number | undefined;
/** The schedule of one socket. All times are milliseconds of one clock. */
export type Schedule = ReturnType<typeof createSchedule>;
/** Returns a schedule that takes its random numbers from `next`. */
export declare function createSchedule(next: Uint32Source): {
    /** Returns the class of the last end; `undefined` before the first one. */
    failure: () => FailureClass | undefined;
    /** Returns how many ends there were since the last stable connection, less one. */
    n: () => number;
    /** Returns when to try next; `Infinity`: not before the host opens again. */
    due: () => number;
    /** Returns the time between pings that would have kept idle connections open. */
    wantMs: () => number | undefined;
    /** A try begins. */
    tried(now: number): void;
    /** The WebSocket is open. */
    opened(now: number): void;
    /** The hello came. */
    promised(first: number, most: number): void;
    /** A ping was answered; or the connection is a plain one, which shows no pings. */
    proved(): void;
    /** A frame came or was sent. */
    active(now: number): void;
    /** The gateway says when to come back. */
    told(retryMs: number, spreadMs: number): void;
    /** The gateway does not admit the client. */
    refused(status: number, retryMs: number): void;
    /** The connection or try has ended. Returns its class; `plan` follows. */
    ended(now: number, end: End): FailureClass;
    /** Decides when to try after an end. */
    plan(now: number, verdict?: Verdict): void;
    /** The environment says whether there is a network. */
    network(now: number, isOnline: boolean, isWaiting: boolean): void;
    /** The timer of a wait was more than a second late. */
    slept(now: number): void;
    /** The host opens again, or wants another connection at once. */
    reopen(now: number): void;
};
