export type Watchdog = ReturnType<typeof createWatchdog>;
/** Returns the watchdog of a connection whose hello came now. */
export declare function createWatchdog(pingMs: number, graceMs: number, now: () => number): {
    /** Returns when to call `fired`. */
    due: () => number;
    /** Returns whether a timer was late since the last answer to a probe. */
    slept: () => boolean;
    /** Returns what the report says of the connection. */
    facts: () => {
        heardAt: number;
        gap: number;
        pings: {
            seen: number;
            late: number;
        };
        rtts: number[];
    };
    /** A ping came. */
    pinged(): void;
    /** A frame came. */
    heard(): void;
    /** The gateway announces a message of so many bytes. */
    big(bytes: number): void;
    /**
     * The device woke up, or its network changed. Returns the number of the probe to send
     * behind `buffered` unsent bytes; 0 while the answer to another one is awaited.
     */
    probe(buffered: number): number;
    /** A probe was answered. Returns its round-trip time, in milliseconds. */
    answered(number: number): number | undefined;
    /** The timer that was set for `at` fires. Returns what to do. */
    fired(at: number): 'wait' | 'probe' | 'dead';
};
