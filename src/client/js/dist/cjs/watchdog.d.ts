import type { Hello } from './frames.ts';
type Promise = Pick<Hello, 'ping_ms' | 'grace_ms'>;
export type Watchdog = ReturnType<typeof createWatchdog>;
/** Returns the watchdog of a connection whose hello came now. */
export declare function createWatchdog({ ping_ms, grace_ms }: Promise, now: () => number): {
    /** Returns when to call `fired`. */
    due_: () => number;
    /** Returns whether a timer was late since the last answer to a probe. */
    slept_: () => boolean;
    /** Returns what the report says of the connection. */
    facts_: () => {
        heardAt_: number;
        gap_: number;
        pings_: {
            seen: number;
            late: number;
        };
        rtts_: number[];
    };
    /** A ping came. */
    pinged_(): void;
    /** A frame came. */
    heard_(): void;
    /** The gateway announces a message of so many bytes. */
    big_(bytes: number): void;
    /**
     * The device woke up, or its network changed. Returns the number of the probe to send
     * behind `buffered` unsent bytes; 0 while the answer to another one is awaited.
     */
    probe_(buffered: number): number;
    /** A probe was answered. Returns its round-trip time, in milliseconds. */
    answered_(number: number | undefined): number | undefined;
    /** The timer that was set for `at` fires. Returns what to do. */
    fired_(at: number): 'wait' | 'probe' | 'dead';
};
export {};
