import type { Data } from './data.ts';
import type { Environment } from './environment.ts';
import type { FailureClass } from './schedule.ts';
/** A try to connect. */
export interface Attempt {
    /** How many tries have failed since the last stable connection. */
    n: number;
    /** Why the try is needed. `rejected`: fetch a new token. `start`: nothing has failed yet. */
    why: FailureClass | 'start';
    /** Whether the session goes on if the gateway still has it. */
    resume: boolean;
}
export type Target = string | URL | ((attempt: Attempt) => string | URL | Promise<string | URL>);
type Names = string | string[] | undefined;
export type Protocols = Names | ((attempt: Attempt) => Names | Promise<Names>);
/** How a connection ended. */
export interface CloseInfo {
    code: number;
    reason: string;
    wasClean: boolean;
    class: FailureClass;
    /** How many ends there were since the last stable connection, less one. */
    n: number;
}
export interface Options {
    /** The constructor of the platform's WebSocket, if it is not the global one. */
    WebSocket?: any;
    /** What the host knows of the device better than this module. */
    environment?: Partial<Environment>;
    /** `false`: a plain reconnecting socket, for a service without a gateway. */
    pulse?: boolean;
    /** Whether to wait for `reconnect()` before the first try. */
    startClosed?: boolean;
    /** The most bytes that wait to be sent or acknowledged; 1 MiB unless given. */
    maxBufferedBytes?: number;
    /** The longest time that a try takes, the hello not included; 10 s unless given. */
    openTimeoutMs?: number;
    /** `false`: the gateway is not told how connections ended. */
    reports?: boolean;
    /** Asked at each end. `true` or `false` overrule the class, a number is a wait in ms. */
    shouldReconnect?(close: CloseInfo): boolean | number | undefined | void;
}
/**
 * `idle`: not started. `connecting`: never open so far. `open`. `suspended`: lost, and coming
 * back. `closing`, `closed`: by `close()`, or for good.
 */
export type State = 'idle' | 'connecting' | 'open' | 'suspended' | 'closing' | 'closed';
/** What the gateway promised for the present session. */
export interface Session {
    /** The id of the session's present connection, as the gateway's logs have it. */
    readonly id: string;
    /** How long the gateway holds the session after a loss, in milliseconds. */
    readonly holdMs: number;
    /** The largest message that the gateway takes, in bytes. */
    readonly maxMessageBytes: number;
}
/** How well the connections have done. */
export interface Quality {
    /** The last round-trip time of a probe, in milliseconds. */
    rttMs?: number;
    /** How many open connections were lost, and how many of them were resumed. */
    losses: number;
    resumes: number;
    /** How many sessions were lost. */
    resets: number;
}
interface Happening<T extends string> {
    readonly type: T;
}
export interface PulseEventMap {
    /** A new session begins. */
    open: Happening<'open'>;
    /** The session goes on, on a new connection. */
    resume: Happening<'resume'> & {
        resent: number;
    };
    /** The connection was lost. The next try is in `retryMs`. */
    suspend: Happening<'suspend'> & Partial<CloseInfo> & {
        retryMs: number;
    };
    /** A session was lost. The first `sent` of the unconfirmed messages may have arrived. */
    reset: Happening<'reset'> & {
        unconfirmed: Data[];
        sent: number;
    };
    message: Happening<'message'> & {
        data: any;
        origin: string;
    };
    /** `bufferedAmount` has fallen to half of its limit. */
    drain: Happening<'drain'>;
    /** The application, the target's function or the platform has failed. */
    error: Happening<'error'> & {
        error?: unknown;
    };
    /** The socket has closed for good. */
    close: Happening<'close'> & CloseInfo & {
        unconfirmed: Data[];
    };
    state: Happening<'state'> & {
        state: State;
        previous: State;
    };
}
export {};
