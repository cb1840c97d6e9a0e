/** Returns an inbox that has received nothing. */
export declare function createInbox(now: () => number): {
    /** Counts a message that was received whole and is handed on. */
    count_(size: number): void;
    /** Returns how many messages of the session were received, and notes that it was said. */
    tell_(): number;
    /** Returns when to acknowledge; `Infinity` if the gateway knows of everything. */
    ackAt_(): number;
};
